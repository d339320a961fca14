//! Selection by index: the axis that is selected from keeps its positions, unless the index was found along the same axis; all others pass.

use crate::ops::adjoints::gather as adjoint;
use crate::ops::shapes::arrange as ev;
use crate::ops::typing::{Ruling, Typing, axis_of};
use crate::ops::{Form, Row, row};

pub(in crate::ops) const ROWS: &[Row] = &[row("Gather", gather)
    .slope(adjoint::gather)
    .form(Form::Through)
    .evaluated(ev::gather)
    .picks()];

/// Y[a.., i.., b..] = X[a.., index[i..], b..]
fn gather(op: &mut Typing) -> Ruling {
    let (x, index) = (op.input(0)?, op.input(1)?);
    let axis = axis_of(op.int("axis", 0), x.len())?;
    op.points(1, &x[axis], "is selected from by index");
    op.looks_up(1, axis, &x[axis]);
    let mut out = x[..axis].to_vec();
    out.extend(index);
    out.extend_from_slice(&x[axis + 1..]);
    op.output(0, out);
    Ok(())
}
