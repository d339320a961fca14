//! Operators on codes (`com.microsoft`) of which no rule says more than what their outputs are like.

use super::axis;
use crate::axes::{Extent, Type};
use crate::onnx::ElementType::{Float, Int32};
use crate::ops::typing::{Ruling, Typing, Unsupported, axis_of};
use crate::ops::{Elements, Row, contrib};

const CODES_ONLY: &str = "its factors are codes: train the model before its quantisation";
const TABLE: &str = "its codes stand for numbers of a table";
const INSIDE: &str = "its codes are added up and normalised inside";
const UNTRIED: &str = "onnxruntime has no kernel to try it with";

pub(super) const ROWS: &[Row] = &[
    contrib("MatMulBnb4", product_of_a_table).stops(CODES_ONLY),
    contrib("QEmbedLayerNormalization", embedding)
        .stops(CODES_ONLY)
        .of_elements(&[Elements::Input(8), Elements::Always(Float)])
        .yields(1, Int32),
    contrib("QLinearReduceMean", mean).stops(CODES_ONLY),
    contrib("MulInteger", product)
        .stops(CODES_ONLY)
        .of_elements(&[Elements::Always(Int32)]),
];

/// The axes of an input, which stay.
fn held(op: &mut Typing, slots: &[usize], why: &'static str) -> Ruling<Vec<Vec<Type>>> {
    let inputs = op.hold_inputs(why);
    let known = slots
        .iter()
        .map(|&slot| inputs.get(slot).cloned().flatten());
    let known: Option<Vec<Vec<Type>>> = known.collect();
    known.ok_or(Unsupported("the rank of an input is unknown"))
}

fn product_of_a_table(op: &mut Typing) -> Ruling {
    let mut out = held(op, &[0], TABLE)?.swap_remove(0);
    let rows = usize::try_from(op.int("N", 0)).map_err(|_| Unsupported("'N' is negative"))?;
    out.pop();
    out.push(op.fixed(Extent::from(rows), TABLE));
    op.output(0, out);
    Ok(())
}

/// Ids of the first input pick rows of the third.
fn embedding(op: &mut Typing) -> Ruling {
    let [mut ids, table] = <[_; 2]>::try_from(held(op, &[0, 2], INSIDE)?)
        .map_err(|_| Unsupported("the rank of an input is unknown"))?;
    op.output(1, ids.iter().take(1).cloned().collect());
    ids.extend(table.last().cloned());
    op.output(0, ids);
    Ok(())
}

fn mean(op: &mut Typing) -> Ruling {
    let x = held(op, &[0], UNTRIED)?.swap_remove(0);
    let axes = op.ints("axes").unwrap_or_default().into_iter();
    let axes = axes.map(|axis| axis_of(axis, x.len()));
    let axes: Vec<usize> = axes.collect::<Ruling<_>>()?;
    let is_reduced = |place: usize| axes.is_empty() || axes.contains(&place);
    let keep = op.int("keepdims", 1) != 0;
    let mut out = Vec::new();
    for (place, ty) in x.into_iter().enumerate() {
        match is_reduced(place) {
            false => out.push(ty),
            true if keep => out.push(op.fixed(Extent::ONE, UNTRIED)),
            true => {}
        }
    }
    op.output(0, out);
    Ok(())
}

/// Element by element, as broadcasting goes.
fn product(op: &mut Typing) -> Ruling {
    let [a, b] = <[_; 2]>::try_from(held(op, &[0, 2], UNTRIED)?)
        .map_err(|_| Unsupported("the rank of an input is unknown"))?;
    let rank = a.len().max(b.len());
    let mut out = Vec::new();
    for place in 0..rank {
        let own = |of: &[Type]| {
            (place + of.len())
                .checked_sub(rank)
                .map(|at| of[at].clone())
        };
        let wide = [own(&a), own(&b)].into_iter().flatten();
        let sizes: Vec<Extent> = wide.map(|ty| op.extent(&ty)).collect();
        let mut sizes = sizes.into_iter().filter(|size| !size.is_one());
        let first = sizes.next();
        let size = match (first, sizes.next()) {
            (None, _) => Some(Extent::ONE),
            (Some(one), None) => Some(one),
            (Some(one), Some(other)) => (one == other).then_some(one),
        };
        out.push(axis(op, 0, place, size));
    }
    op.output(0, out);
    Ok(())
}
