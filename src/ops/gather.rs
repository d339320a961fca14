//! Selection by index: the axis that is selected from keeps its positions, all others pass.

use super::arithmetic as ev;
use super::typing::{Ruling, Typing, axis_of};
use super::{Row, row};

pub(super) const ROWS: &[Row] = &[row("Gather", gather).evaluated(ev::gather)];

/// Y[a.., i.., b..] = X[a.., index[i..], b..]
fn gather(op: &mut Typing) -> Ruling {
    let (x, index) = (op.input(0)?, op.input(1)?);
    let axis = axis_of(op.int("axis", 0), x.len())?;
    op.pin(&x[axis], "is selected from by index");
    op.looks_up(1, &x[axis]);
    let mut out = x[..axis].to_vec();
    out.extend(index);
    out.extend_from_slice(&x[axis + 1..]);
    op.output(0, out);
    Ok(())
}
