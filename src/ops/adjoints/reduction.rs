//! Reductions, distributions and rankings.

use super::{Backward, must};
use crate::graph::Array;
use crate::onnx::ElementType;
use crate::ops::typing::{Ruling, Unsupported, axis_of};

/// A reduction with its axes kept.
struct Reduced {
    x: Array,
    axes: Vec<usize>,
    /// The sizes of the result, 1 where it is reduced.
    kept: Vec<usize>,
}

impl Reduced {
    fn of(b: &Backward) -> Ruling<Reduced> {
        let x = b.input(0)?;
        let axes = b.integers(1, "axes")?.unwrap_or_default();
        let axes: Vec<usize> = match axes.is_empty() {
            true if b.int("noop_with_empty_axes", 0) != 0 => Vec::new(),
            true => (0..x.rank()).collect(),
            false => axes
                .into_iter()
                .map(|axis| axis_of(axis, x.rank()))
                .collect::<Ruling<_>>()?,
        };
        let mut kept = x.sizes.clone();
        axes.iter().for_each(|&axis| kept[axis] = 1);
        Ok(Reduced { x, axes, kept })
    }

    /// The result, with all axes.
    fn result(&self, b: &mut Backward) -> Ruling<Array> {
        let y = b.output(0)?;
        Ok(b.emit.reshape(&y, &self.kept))
    }
}

/// The reduction and its gradient, with all axes.
fn of_kept(b: &mut Backward, d: &Array) -> Ruling<(Reduced, Array)> {
    let reduced = Reduced::of(b)?;
    let d = b.emit.reshape(d, &reduced.kept);
    Ok((reduced, d))
}

/// As [`of_kept`], of a function that is not the identity where no axis is reduced.
fn of_some(b: &mut Backward, d: &Array) -> Ruling<(Reduced, Array)> {
    let (reduced, d) = of_kept(b, d)?;
    must(
        !reduced.axes.is_empty() || reduced.x.rank() == 0,
        "it reduces no axis",
    )?;
    Ok((reduced, d))
}

pub(in crate::ops) fn sum(b: &mut Backward, d: &Array) -> Ruling<Array> {
    let (reduced, d) = of_kept(b, d)?;
    Ok(b.emit.expand(&d, &reduced.x.sizes))
}

pub(in crate::ops) fn mean(b: &mut Backward, d: &Array) -> Ruling<Array> {
    let (reduced, d) = of_kept(b, d)?;
    let sizes = &reduced.x.sizes;
    let count: usize = reduced.axes.iter().map(|&axis| sizes[axis]).product();
    let share = b.emit.scale(&d, 1.0 / count.max(1) as f64);
    Ok(b.emit.expand(&share, sizes))
}

/// The largest or smallest: to all that equal it, in equal shares.
pub(in crate::ops) fn extreme(b: &mut Backward, d: &Array) -> Ruling<Array> {
    let (reduced, d) = of_kept(b, d)?;
    let y = reduced.result(b)?;
    let taken = b.emit.equal(&reduced.x, &y);
    let taken = b.emit.cast(&taken, d.element);
    let count = b.emit.sum(&taken, &reduced.axes, true);
    let share = b.emit.div(&d, &count);
    Ok(b.emit.mul(&taken, &share))
}

/// The product of all others: 0 where one of these is.
pub(in crate::ops) fn product(b: &mut Backward, d: &Array) -> Ruling<Array> {
    let (Reduced { x, axes, .. }, d) = of_kept(b, d)?;
    let zero = b.emit.number(0.0, x.element);
    let is_zero = b.emit.equal(&x, &zero);
    let one = b.emit.number(1.0, x.element);
    let safe = b.emit.choose(&is_zero, &one, &x);
    let zeros = b.emit.cast(&is_zero, x.element);
    let all_zeros = b.emit.sum(&zeros, &axes, true);
    let other_zeros = b.emit.sub(&all_zeros, &zeros);
    let all = b.emit.product(&safe, &axes);
    let all = b.emit.mul(&all, &d);
    let others = b.emit.div(&all, &safe);
    let none = b.emit.below(&other_zeros, 0.5);
    Ok(b.emit.keep_where(&none, &others))
}

pub(in crate::ops) fn sum_of_sizes(b: &mut Backward, d: &Array) -> Ruling<Array> {
    let (reduced, d) = of_some(b, d)?;
    let wide = b.emit.expand(&d, &reduced.x.sizes);
    Ok(b.emit.signed_as(&wide, &reduced.x))
}

/// `x / y`; nothing at 0.
pub(in crate::ops) fn root_of_squares(b: &mut Backward, d: &Array) -> Ruling<Array> {
    let (reduced, d) = of_some(b, d)?;
    let y = reduced.result(b)?;
    let positive = b.emit.above(&y, 0.0);
    let one = b.emit.number(1.0, y.element);
    let safe = b.emit.choose(&positive, &y, &one);
    let share = b.emit.div(&d, &safe);
    Ok(b.emit.mul(&reduced.x, &share))
}

pub(in crate::ops) fn sum_of_squares(b: &mut Backward, d: &Array) -> Ruling<Array> {
    let (reduced, d) = of_some(b, d)?;
    let twice = b.emit.scale(&d, 2.0);
    Ok(b.emit.mul(&reduced.x, &twice))
}

/// One over the sum, which is `exp(y)`.
pub(in crate::ops) fn log_of_sum(b: &mut Backward, d: &Array) -> Ruling<Array> {
    let (reduced, d) = of_some(b, d)?;
    let y = reduced.result(b)?;
    let opposite = b.emit.neg(&y);
    let inverse = b.emit.map("Exp", &opposite);
    let share = b.emit.mul(&d, &inverse);
    Ok(b.emit.expand(&share, &reduced.x.sizes))
}

/// `exp(x - y)`.
pub(in crate::ops) fn log_of_sum_of_powers(b: &mut Backward, d: &Array) -> Ruling<Array> {
    let (reduced, d) = of_some(b, d)?;
    let y = reduced.result(b)?;
    let less = b.emit.sub(&reduced.x, &y);
    let share = b.emit.map("Exp", &less);
    Ok(b.emit.mul(&share, &d))
}

/// The axes of one distribution: one, or before version 13 all from there on.
fn distribution(b: &Backward, rank: usize) -> Ruling<Vec<usize>> {
    if b.emit.opset() >= 13 {
        return Ok(vec![axis_of(b.int("axis", -1), rank)?]);
    }
    match b.int("axis", 1) {
        axis if axis == rank as i64 => Ok(Vec::new()),
        axis => Ok((axis_of(axis, rank)?..rank).collect()),
    }
}

/// `p - y sum(p)` with `p = d y`.
pub(in crate::ops) fn softmax(b: &mut Backward, d: &Array) -> Ruling<Array> {
    let y = b.output(0)?;
    let axes = distribution(b, y.rank())?;
    Ok(softmax_of(b, d, &y, &axes))
}

pub(super) fn softmax_of(b: &mut Backward, d: &Array, y: &Array, axes: &[usize]) -> Array {
    let p = b.emit.mul(d, y);
    let sum = b.emit.sum(&p, axes, true);
    let all = b.emit.mul(y, &sum);
    b.emit.sub(&p, &all)
}

/// `d - exp(y) sum(d)`.
pub(in crate::ops) fn log_softmax(b: &mut Backward, d: &Array) -> Ruling<Array> {
    let y = b.output(0)?;
    let axes = distribution(b, y.rank())?;
    Ok(log_softmax_of(b, d, &y, &axes))
}

pub(super) fn log_softmax_of(b: &mut Backward, d: &Array, y: &Array, axes: &[usize]) -> Array {
    let p = b.emit.map("Exp", y);
    let sum = b.emit.sum(d, axes, true);
    let all = b.emit.mul(&p, &sum);
    b.emit.sub(d, &all)
}

/// Each to the place that it was taken from.
pub(in crate::ops) fn top_k(b: &mut Backward, d: &Array) -> Ruling<Array> {
    let x = b.input(0)?;
    let axis = axis_of(b.int("axis", -1), x.rank())?;
    must(d.rank() == x.rank(), "its ranks are not known")?;
    let indices = b.output_with(1, &d.sizes, ElementType::Int64);
    Ok(b.emit.at_positions(&indices, d, axis, x.sizes[axis]))
}

/// The same from the other end.
pub(in crate::ops) fn cumulative(b: &mut Backward, d: &Array) -> Ruling<Array> {
    let axis = b.input(1)?;
    let [exclusive, reverse] = ["exclusive", "reverse"].map(|name| b.int(name, 0) != 0);
    Ok(b.emit.cumulated(d, &axis.name, exclusive, !reverse))
}

/// The same part of the gradient.
pub(in crate::ops) fn triangle(b: &mut Backward, d: &Array) -> Ruling<Array> {
    let shift = match b.has(1) {
        true => Some(b.input(1)?),
        false => None,
    };
    if d.rank() < 2 {
        return Err(Unsupported("its data is no matrix"));
    }
    let upper = b.int("upper", 1) != 0;
    Ok(b.emit.triangle(d, shift.as_ref(), upper))
}
