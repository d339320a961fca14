//! Operators that hold every axis they touch but whose output shape is known, so that what lies behind them
//! can still be typed.

use crate::axes::{Extent, Type};
use crate::ops::typing::{Ruling, Typing, Unsupported, axis_of};
use crate::ops::{Row, row};

pub(in crate::ops) const ROWS: &[Row] = &[
    row("GatherElements", |op| shaped_like(op, 1)),
    row("GatherND", gather_nd),
    row("ScatterElements", |op| shaped_like(op, 0)),
    row("ScatterND", |op| shaped_like(op, 0)),
    row("Scatter", |op| shaped_like(op, 0)),
    row("TensorScatter", |op| shaped_like(op, 0)),
    row("ReverseSequence", |op| shaped_like(op, 0)),
    row("RotaryEmbedding", |op| shaped_like(op, 0)),
    row("EyeLike", |op| shaped_like(op, 0)),
    row("RandomNormalLike", |op| shaped_like(op, 0)),
    row("RandomUniformLike", |op| shaped_like(op, 0)),
    row("Bernoulli", |op| shaped_like(op, 0)),
    row("OneHot", one_hot),
    row("NonZero", non_zero),
];

const HELD: &str = "holds all axes it touches";

/// All inputs with their axes pinned.
fn held(op: &mut Typing) -> Ruling<Vec<Option<Vec<Type>>>> {
    let mut inputs = Vec::with_capacity(op.input_count());
    for slot in 0..op.input_count() {
        let input = op.optional(slot)?;
        for axis in input.iter().flatten() {
            op.pin(axis, HELD);
        }
        inputs.push(input);
    }
    Ok(inputs)
}

fn at(inputs: &[Option<Vec<Type>>], slot: usize) -> Ruling<Vec<Type>> {
    let input = inputs.get(slot).cloned().flatten();
    input.ok_or(Unsupported("a required input is missing"))
}

fn shaped_like(op: &mut Typing, slot: usize) -> Ruling {
    let out = at(&held(op)?, slot)?;
    op.output(0, out);
    Ok(())
}

/// Y = index[..-1] ++ X[batch_dims + depth of the index..]
fn gather_nd(op: &mut Typing) -> Ruling {
    let inputs = held(op)?;
    let (x, index) = (at(&inputs, 0)?, at(&inputs, 1)?);
    let (depth, places) = index
        .split_last()
        .ok_or(Unsupported("its index has rank 0"))?;
    let batch = usize::try_from(op.int("batch_dims", 0)).unwrap_or(0);
    let rest = x.get(batch + op.size(depth)?..);
    let rest = rest.ok_or(Unsupported("its index is deeper than its data"))?;
    let mut out = places.to_vec();
    out.extend_from_slice(rest);
    op.output(0, out);
    Ok(())
}

fn one_hot(op: &mut Typing) -> Ruling {
    let mut out = at(&held(op)?, 0)?;
    let axis = axis_of(op.int("axis", -1), out.len() + 1)?;
    let depth = op
        .integers(1)
        .and_then(|depth| depth.first().cloned().flatten());
    let class = match depth {
        Some(depth) => op.fixed(depth, HELD),
        None => op.unknown(0, axis, HELD),
    };
    out.insert(axis, class);
    op.output(0, out);
    Ok(())
}

fn non_zero(op: &mut Typing) -> Ruling {
    let rank = at(&held(op)?, 0)?.len();
    let axes = op.fixed(Extent::from(rank), HELD);
    let count = op.unknown(0, 1, HELD);
    op.output(0, vec![axes, count]);
    Ok(())
}
