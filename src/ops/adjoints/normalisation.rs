//! Normalisations. With `h` what is normalised and `g` the gradient of it, the data's is `g - mean(g) - h mean(g h)`
//! over the deviation; the second term only where the mean is taken away.

use super::{Backward, must};
use crate::graph::Array;
use crate::onnx::ElementType;
use crate::ops::readers::{epsilon, makes_statistics};
use crate::ops::typing::{Ruling, Unsupported, axis_of};

/// The widest window of a local response normalisation: each place is a node of its own.
const WIDEST: usize = 64;

/// Data brought to unit size over some axes.
pub(super) struct Normalised {
    /// The data as it was normalised.
    pub(super) h: Array,
    /// One over the deviation, or over the root of the mean square.
    pub(super) inverse: Array,
    axes: Vec<usize>,
    centred: bool,
}

impl Normalised {
    /// Statistics made anew.
    pub(super) fn of(b: &mut Backward, x: &Array, axes: &[usize], centred: bool) -> Normalised {
        let epsilon = f64::from(epsilon(b.proto()));
        let moved = match centred {
            true => {
                let mean = b.emit.mean(x, axes);
                b.emit.sub(x, &mean)
            }
            false => x.clone(),
        };
        let square = b.emit.square(&moved);
        let variance = b.emit.mean(&square, axes);
        let shifted = b.emit.shift(&variance, epsilon);
        let root = b.emit.map("Sqrt", &shifted);
        let inverse = b.emit.map("Reciprocal", &root);
        Normalised {
            h: b.emit.mul(&moved, &inverse),
            inverse,
            axes: axes.to_vec(),
            centred,
        }
    }

    /// The gradient of the data from that of what is normalised.
    pub(super) fn back(&self, b: &mut Backward, g: &Array) -> Array {
        let product = b.emit.mul(g, &self.h);
        let along = b.emit.mean(&product, &self.axes);
        let along = b.emit.mul(&self.h, &along);
        let mut rest = g.clone();
        if self.centred {
            let mean = b.emit.mean(g, &self.axes);
            rest = b.emit.sub(&rest, &mean);
        }
        let rest = b.emit.sub(&rest, &along);
        b.emit.mul(&rest, &self.inverse)
    }
}

/// A vector along the channels as an array of this rank that has them at axis 1.
fn per_channel(b: &mut Backward, slot: usize, rank: usize) -> Ruling<Array> {
    let vector = b.input(slot)?;
    must(vector.rank() == 1 && rank >= 2, "a parameter is no vector")?;
    let mut sizes = vec![1; rank];
    sizes[1] = vector.count();
    Ok(b.emit.reshape(&vector, &sizes))
}

/// All axes but that of the channels.
fn but_channels(rank: usize) -> Vec<usize> {
    (0..rank).filter(|&axis| axis != 1).collect()
}

/// An affine map of each channel: its statistics are inputs.
pub(in crate::ops) fn batch(b: &mut Backward) -> Ruling {
    let made = (1..b.output_count()).any(|slot| b.output(slot).is_ok());
    if makes_statistics(b.proto()) || made {
        return Err(Unsupported("it normalises by the statistics of the batch"));
    }
    must(
        b.int("spatial", 1) != 0,
        "it normalises each position by itself",
    )?;
    let (d, x) = (b.cotangent()?, b.input(0)?);
    must(x.rank() >= 2, "its data has no channel axis")?;
    let epsilon = f64::from(epsilon(b.proto()));
    let variance = b.input(4)?;
    let variance = b.emit.cast(&variance, x.element);
    let shifted = b.emit.shift(&variance, epsilon);
    let root = b.emit.map("Sqrt", &shifted);
    let inverse = b.emit.map("Reciprocal", &root);
    let scale = b.input(1)?;
    let scale = b.emit.cast(&scale, x.element);
    let factor = b.emit.mul(&scale, &inverse);
    if b.needs(0) {
        let mut sizes = vec![1; x.rank()];
        sizes[1] = factor.count();
        let wide = b.emit.reshape(&factor, &sizes);
        let given = b.emit.mul(&d, &wide);
        b.give(0, &given)?;
    }
    if !(1..5).any(|slot| b.needs(slot)) {
        return Ok(());
    }
    let axes = but_channels(x.rank());
    let sum = b.emit.sum(&d, &axes, false);
    b.give(2, &sum)?;
    if b.needs(3) {
        let product = b.emit.mul(&sum, &factor);
        let given = b.emit.neg(&product);
        b.give(3, &given)?;
    }
    if b.needs(1) || b.needs(4) {
        let mean = per_channel(b, 3, x.rank())?;
        let mean = b.emit.cast(&mean, x.element);
        let moved = b.emit.sub(&x, &mean);
        let product = b.emit.mul(&d, &moved);
        let along = b.emit.sum(&product, &axes, false);
        let of_scale = b.emit.mul(&along, &inverse);
        b.give(1, &of_scale)?;
        let product = b.emit.mul(&of_scale, &factor);
        let product = b.emit.mul(&product, &inverse);
        let given = b.emit.scale(&product, -0.5);
        b.give(4, &given)?;
    }
    Ok(())
}

/// Statistics over the axes of the places of each channel.
pub(in crate::ops) fn instance(b: &mut Backward) -> Ruling {
    let (d, x) = (b.cotangent()?, b.input(0)?);
    must(x.rank() >= 2, "its data has no channel axis")?;
    let places: Vec<usize> = (2..x.rank()).collect();
    let unit = Normalised::of(b, &x, &places, true);
    let axes = but_channels(x.rank());
    if b.needs(1) {
        let product = b.emit.mul(&d, &unit.h);
        let given = b.emit.sum(&product, &axes, false);
        b.give(1, &given)?;
    }
    if b.needs(2) {
        let given = b.emit.sum(&d, &axes, false);
        b.give(2, &given)?;
    }
    if b.needs(0) {
        let scale = per_channel(b, 1, x.rank())?;
        let g = b.emit.mul(&d, &scale);
        let given = unit.back(b, &g);
        b.give(0, &given)?;
    }
    Ok(())
}

/// Statistics over each group of channels; parameters are per group or per channel.
pub(in crate::ops) fn group(b: &mut Backward) -> Ruling {
    let (d, x) = (b.cotangent()?, b.input(0)?);
    must(x.rank() >= 2, "its data has no channel axis")?;
    let (samples, channels) = (x.sizes[0], x.sizes[1]);
    let groups = usize::try_from(b.int("num_groups", 0)).unwrap_or(0);
    let divides = groups > 0 && channels % groups == 0 && channels > 0;
    must(divides, "its channels do not divide into its groups")?;
    let places: usize = x.sizes[2..].iter().product();
    let by_group = [samples, groups, channels / groups * places];
    let flat = b.emit.reshape(&x, &by_group);
    let unit = Normalised::of(b, &flat, &[2], true);
    let scale = b.input(1)?;
    let parameters = scale.count();
    must(
        parameters == groups || parameters == channels,
        "it has an unusual number of scales",
    )?;
    // One parameter for each of these rows.
    let rows = [samples, parameters, channels / parameters * places];
    let d = b.emit.reshape(&d, &rows);
    if b.needs(1) {
        let h = b.emit.reshape(&unit.h, &rows);
        let product = b.emit.mul(&d, &h);
        let given = b.emit.sum(&product, &[0, 2], false);
        b.give(1, &given)?;
    }
    if b.needs(2) {
        let given = b.emit.sum(&d, &[0, 2], false);
        b.give(2, &given)?;
    }
    if b.needs(0) {
        let scale = b.emit.reshape(&scale, &[1, parameters, 1]);
        let g = b.emit.mul(&d, &scale);
        let g = b.emit.reshape(&g, &by_group);
        let given = unit.back(b, &g);
        let given = b.emit.reshape(&given, &x.sizes);
        b.give(0, &given)?;
    }
    Ok(())
}

/// Statistics that the node makes besides, over all axes from `axis` on.
pub(in crate::ops) fn layer(b: &mut Backward) -> Ruling {
    let x = b.input(0)?;
    let from = axis_of(b.int("axis", -1), x.rank())?;
    let axes: Vec<usize> = (from..x.rank()).collect();
    let mut sizes = x.sizes.clone();
    sizes[from..].fill(1);
    let [mean, inverse] = [1, 2].map(|slot| b.output_with(slot, &sizes, ElementType::Float));
    let mean = b.emit.cast(&mean, x.element);
    let inverse = b.emit.cast(&inverse, x.element);
    let moved = b.emit.sub(&x, &mean);
    let unit = Normalised {
        h: b.emit.mul(&moved, &inverse),
        inverse,
        axes: axes.clone(),
        centred: true,
    };
    let given = match b.cotangent_of(0) {
        Some(d) => scaled(b, &d, &unit, [1, 2])?,
        None => None,
    };
    let statistics = of_statistics(b, &unit, &x)?;
    for part in [given, statistics].into_iter().flatten() {
        b.give(0, &part)?;
    }
    Ok(())
}

/// What the gradients of a mean and of one over a deviation, if there are any, make of the data's.
fn of_statistics(b: &mut Backward, unit: &Normalised, x: &Array) -> Ruling<Option<Array>> {
    let count: usize = unit.axes.iter().map(|&axis| x.sizes[axis]).product();
    let share = 1.0 / count.max(1) as f64;
    let mut sum = None;
    if let Some(d) = b.cotangent_of(1) {
        let d = b.emit.cast(&d, x.element);
        let each = b.emit.scale(&d, share);
        sum = Some(b.emit.expand(&each, &x.sizes));
    }
    if let Some(d) = b.cotangent_of(2) {
        let d = b.emit.cast(&d, x.element);
        let square = b.emit.square(&unit.inverse);
        let steep = b.emit.mul(&d, &square);
        let steep = b.emit.scale(&steep, -share);
        let part = b.emit.mul(&unit.h, &steep);
        sum = Some(match sum {
            Some(other) => b.emit.add(&other, &part),
            None => part,
        });
    }
    Ok(sum)
}

/// The gradients of a scale and a bias at these slots, broadcast along the last axes, and of the data.
pub(super) fn scaled(
    b: &mut Backward,
    d: &Array,
    unit: &Normalised,
    [scale, bias]: [usize; 2],
) -> Ruling<Option<Array>> {
    if b.has(scale) && b.needs(scale) {
        let product = b.emit.mul(d, &unit.h);
        b.give(scale, &product)?;
    }
    if b.has(bias) {
        b.give(bias, d)?;
    }
    let factor = b.input(scale)?;
    let factor = b.emit.cast(&factor, d.element);
    let g = b.emit.mul(d, &factor);
    Ok(Some(unit.back(b, &g)))
}

/// By the root of the mean square.
pub(in crate::ops) fn root_mean_square(b: &mut Backward) -> Ruling {
    let (d, x) = (b.cotangent()?, b.input(0)?);
    let from = axis_of(b.int("axis", -1), x.rank())?;
    let axes: Vec<usize> = (from..x.rank()).collect();
    let unit = Normalised::of(b, &x, &axes, false);
    // There is no bias.
    if let Some(given) = scaled(b, &d, &unit, [1, usize::MAX])? {
        b.give(0, &given)?;
    }
    Ok(())
}

/// Each vector along an axis over its norm; nothing where that is 0.
pub(in crate::ops) fn to_unit_norm(b: &mut Backward, d: &Array) -> Ruling<Array> {
    let (x, y) = (b.input(0)?, b.output(0)?);
    let axis = axis_of(b.int("axis", -1), x.rank())?;
    match b.int("p", 2) {
        1 => over_norm(b, d, [&x, &y], axis, Divisor::Sum),
        2 => over_norm(b, d, [&x, &y], axis, Divisor::Root),
        _ => Err(Unsupported("its norm is neither the first nor the second")),
    }
}

/// What a vector is divided by.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Divisor {
    Sum,
    Root,
    Largest,
}

/// With `s` the slope of the norm: `(d - s sum(d y)) / norm`.
pub(super) fn over_norm(
    b: &mut Backward,
    d: &Array,
    [x, y]: [&Array; 2],
    axis: usize,
    norm: Divisor,
) -> Ruling<Array> {
    let size = match norm {
        Divisor::Root => {
            let square = b.emit.square(x);
            let sum = b.emit.sum(&square, &[axis], true);
            b.emit.map("Sqrt", &sum)
        }
        Divisor::Sum => {
            let sizes = b.emit.map("Abs", x);
            b.emit.sum(&sizes, &[axis], true)
        }
        Divisor::Largest => b.emit.max(x, &[axis]),
    };
    let product = b.emit.mul(d, y);
    let along = b.emit.sum(&product, &[axis], true);
    let part = match norm {
        Divisor::Root => b.emit.mul(y, &along),
        Divisor::Sum => {
            let sizes = broadcast(b, &along, &x.sizes);
            b.emit.signed_as(&sizes, x)
        }
        Divisor::Largest => {
            let largest = b.emit.equal(x, &size);
            b.emit.keep_where(&largest, &along)
        }
    };
    let rest = b.emit.sub(d, &part);
    let zero = b.emit.number(0.0, x.element);
    let empty = b.emit.equal(&size, &zero);
    let one = b.emit.number(1.0, x.element);
    let safe = b.emit.choose(&empty, &one, &size);
    let given = b.emit.div(&rest, &safe);
    Ok(b.emit.choose(&empty, &zero, &given))
}

fn broadcast(b: &mut Backward, x: &Array, sizes: &[usize]) -> Array {
    b.emit.expand(x, sizes)
}

/// Over the deviation along some axes, without parameters.
pub(in crate::ops) fn mean_variance(b: &mut Backward, d: &Array) -> Ruling<Array> {
    let x = b.input(0)?;
    let axes = b
        .integers(usize::MAX, "axes")?
        .unwrap_or_else(|| vec![0, 2, 3]);
    let axes: Ruling<Vec<usize>> = axes.iter().map(|&axis| axis_of(axis, x.rank())).collect();
    // The operator adds nothing to the variance.
    let unit = Normalised::of(b, &x, &axes?, true);
    Ok(unit.back(b, d))
}

/// Of `x / s^beta` with `s = bias + alpha / size * (sum of squares of neighbours)`.
pub(in crate::ops) fn local_response(b: &mut Backward, d: &Array) -> Ruling<Array> {
    let x = b.input(0)?;
    must(x.rank() >= 2, "its data has no channel axis")?;
    let size = usize::try_from(b.int("size", 1)).unwrap_or(0);
    must((1..=WIDEST).contains(&size), "its window is very wide")?;
    let (alpha, beta) = (b.float("alpha", 1e-4), b.float("beta", 0.75));
    let bias = b.float("bias", 1.0);
    let before = (size - 1) / 2;
    let square = b.emit.square(&x);
    let around = b.emit.neighbours(&square, 1, [before, size - 1 - before]);
    let share = alpha / size as f64;
    let scaled = b.emit.scale(&around, share);
    let sum = b.emit.shift(&scaled, bias);
    let power = b.emit.number(-beta, x.element);
    let factor = b.emit.pow(&sum, &power);
    let direct = b.emit.mul(d, &factor);
    let product = b.emit.mul(&direct, &x);
    let product = b.emit.div(&product, &sum);
    // Whom x is a neighbour of.
    let back = b.emit.neighbours(&product, 1, [size - 1 - before, before]);
    let back = b.emit.mul(&back, &x);
    let back = b.emit.scale(&back, -2.0 * beta * share);
    Ok(b.emit.add(&direct, &back))
}
