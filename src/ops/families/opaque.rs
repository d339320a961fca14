//! Operators that hold every axis they touch but whose output shape is known, so that what lies behind them
//! can still be typed.

use crate::axes::{Extent, Type};
use crate::ops::typing::{Ruling, Typing, Unsupported, axis_of};
use crate::ops::{Carried, Row, row};

pub(in crate::ops) const ROWS: &[Row] = &[
    row("GatherElements", |op| selecting(op, 1)).carries(Carried::First),
    row("GatherND", gather_nd).carries(Carried::First),
    row("ScatterElements", |op| selecting(op, 0)),
    row("ScatterND", scatter_nd),
    row("Scatter", |op| selecting(op, 0)),
    row("TensorScatter", tensor_scatter),
    row("ReverseSequence", reverse_sequence),
    row("RotaryEmbedding", |op| shaped_like(op, 0)),
    row("EyeLike", |op| shaped_like(op, 0)),
    row("RandomNormalLike", |op| shaped_like(op, 0)),
    row("RandomUniformLike", |op| shaped_like(op, 0)),
    row("Bernoulli", |op| shaped_like(op, 0)),
    row("OneHot", one_hot),
    row("NonZero", non_zero),
    row("RoiAlign", roi_align),
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

/// The second input holds positions along an axis.
fn selecting(op: &mut Typing, slot: usize) -> Ruling {
    let x = op.input(0)?;
    let axis = axis_of(op.int("axis", 0), x.len())?;
    op.positions(1, &x[axis]);
    shaped_like(op, slot)
}

/// The last axis of the second input holds a position along each of the data's axes from `first` on.
fn tuples(op: &mut Typing, x: &[Type], first: usize, depth: usize) {
    for axis in x.iter().skip(first).take(depth) {
        op.positions(1, axis);
    }
}

fn scatter_nd(op: &mut Typing) -> Ruling {
    let (x, index) = (op.input(0)?, op.input(1)?);
    if let Some(depth) = index.last().and_then(|depth| op.size(depth).ok()) {
        tuples(op, &x, 0, depth);
    }
    shaped_like(op, 0)
}

/// Updates are written from a position on along the axis of the past; they must not reach beyond it.
fn tensor_scatter(op: &mut Typing) -> Ruling {
    let (past, update) = (op.input(0)?, op.input(1)?);
    let axis = axis_of(op.int("axis", -2), past.len())?;
    let size = |axes: &[Type]| axes.get(axis).map(|axis| op.extent(axis));
    let room = size(&past).zip(size(&update));
    let room = room.and_then(|(past, update)| past.sub(&update));
    op.bounded(2, Extent::Known(0), room);
    shaped_like(op, 0)
}

fn reverse_sequence(op: &mut Typing) -> Ruling {
    let x = op.input(0)?;
    let [time, batch] = [("time_axis", 0), ("batch_axis", 1)].map(|(name, at)| op.int(name, at));
    op.lengths(1, &x[axis_of(time, x.len())?]);
    let lengths = op.input(1)?;
    if let [count] = &lengths[..] {
        op.agree(&x[axis_of(batch, x.len())?], count, false);
    }
    shaped_like(op, 0)
}

/// Y[r, c, ..] = a window of X[index[r], c, ..]: each channel by itself.
fn roi_align(op: &mut Typing) -> Ruling {
    let (x, rois, index) = (op.input(0)?, op.input(1)?, op.input(2)?);
    let (4, 2, [count]) = (x.len(), rois.len(), &index[..]) else {
        return Err(Unsupported("its regions are unusual"));
    };
    op.positions(2, &x[0]);
    op.agree(&rois[0], count, false);
    for axis in [0, 2, 3] {
        op.pin(&x[axis], "is cut into regions");
    }
    op.pin_all(&rois, "is a region");
    op.pin_all(&index, "is a region");
    op.nonlinear(&x[1], "is pooled");
    let mut out = vec![rois[0].clone(), x[1].clone()];
    for name in ["output_height", "output_width"] {
        out.push(op.fixed(Extent::Known(op.int(name, 1)), "is pooled"));
    }
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
    let depth = op.size(depth)?;
    tuples(op, &x, batch, depth);
    let rest = x.get(batch.saturating_add(depth)..);
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
    if let Some(classes) = &depth {
        op.bounded(0, Extent::Known(0), classes.sub(&Extent::ONE));
    }
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
