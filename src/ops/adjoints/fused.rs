//! What onnxruntime makes of several nodes: the gradient of each in turn.

use super::activations::{slope_of_gelu, slope_of_gelu_tanh};
use super::convolution::conv_of;
use super::normalisation::{Normalised, scaled};
use super::products::gemm_of;
use super::{Backward, must};
use crate::graph::{Array, Attributes};
use crate::onnx::ElementType;
use crate::ops::typing::{Ruling, Unsupported};

/// Of `x + bias`, by its slope.
fn biased(b: &mut Backward, slope: fn(&mut Backward, &Array) -> Array) -> Ruling {
    let (d, x) = (b.cotangent()?, b.input(0)?);
    let sum = match b.has(1) {
        true => {
            let bias = b.input(1)?;
            b.emit.add(&x, &bias)
        }
        false => x,
    };
    let slope = slope(b, &sum);
    let given = b.emit.mul(&d, &slope);
    b.give(0, &given)?;
    b.give(1, &given)
}

pub(in crate::ops) fn bias_gelu(b: &mut Backward) -> Ruling {
    biased(b, slope_of_gelu)
}

pub(in crate::ops) fn fast_gelu(b: &mut Backward) -> Ruling {
    biased(b, slope_of_gelu_tanh)
}

/// The gradient before an activation that an attribute names, from what it makes.
fn activated(b: &mut Backward, name: &str, [first, second]: [f64; 2], d: &Array) -> Ruling<Array> {
    let y = b.output(0)?;
    let slope = match name {
        "Relu" => {
            let above = b.emit.above(&y, 0.0);
            return Ok(b.kept(&above, d));
        }
        "Clip" => {
            let (above, below) = (b.emit.above(&y, first), b.emit.below(&y, second));
            let inside = b.emit.and(&above, &below);
            return Ok(b.kept(&inside, d));
        }
        "LeakyRelu" if first > 0.0 => {
            let above = b.emit.above(&y, 0.0);
            let other = b.emit.scale(d, first);
            return Ok(b.emit.choose(&above, d, &other));
        }
        "Tanh" => {
            let square = b.emit.square(&y);
            b.emit.number_less(1.0, &square)
        }
        "Sigmoid" => {
            let rest = b.emit.number_less(1.0, &y);
            b.emit.mul(&y, &rest)
        }
        _ => {
            return Err(Unsupported(
                "its activation is none that has a gradient here",
            ));
        }
    };
    Ok(b.emit.mul(d, &slope))
}

pub(in crate::ops) fn gemm(b: &mut Backward) -> Ruling {
    let d = b.cotangent()?;
    let name = b.string("activation", "");
    let alpha = b.float("activation_alpha", 0.01);
    let d = activated(b, &name, [alpha, 0.0], &d)?;
    gemm_of(b, &d)
}

/// A convolution, what is added to it, and an activation.
pub(in crate::ops) fn conv(b: &mut Backward) -> Ruling {
    let d = b.cotangent()?;
    let name = b.string("activation", "");
    let listed = b.proto().attribute("activation_params");
    let parameter = |place: usize, default: f64| {
        let found = listed.and_then(|a| a.floats.get(place));
        found.map_or(default, |&number| f64::from(number))
    };
    let parameters = match &*name {
        "LeakyRelu" => [parameter(0, 0.01), 0.0],
        _ => [parameter(0, f64::NEG_INFINITY), parameter(1, f64::INFINITY)],
    };
    let d = activated(b, &name, parameters, &d)?;
    if b.has(3) {
        b.give(3, &d)?;
    }
    conv_of(b, &d)
}

/// One factor of a product, with its axes as they are multiplied.
struct Factor {
    turned: Array,
    order: Vec<usize>,
}

impl Factor {
    fn of(b: &mut Backward, slot: usize, [transposed, batch]: [&str; 2]) -> Ruling<Factor> {
        let x = b.input(slot)?;
        let rank = x.rank();
        must(rank >= 2, "an input is a vector")?;
        let mut order: Vec<usize> = (0..rank).collect();
        if rank > 2 && b.int(batch, 0) != 0 {
            order[..rank - 1].rotate_left(1);
        }
        if b.int(transposed, 0) != 0 {
            order.swap(rank - 1, rank - 2);
        }
        Ok(Factor {
            turned: b.emit.transpose(&x, &order),
            order,
        })
    }

    /// The gradient with the axes of the input.
    fn give(&self, b: &mut Backward, slot: usize, gradient: &Array) -> Ruling {
        let mut back = vec![0; self.order.len()];
        for (place, &axis) in self.order.iter().enumerate() {
            back[axis] = place;
        }
        let summed = b.emit.sum_to(gradient, &self.turned.sizes);
        let given = b.emit.transpose(&summed, &back);
        b.give(slot, &given)
    }
}

/// `alpha A' B'`, whose factors are transposed as the attributes say.
pub(in crate::ops) fn matmul(b: &mut Backward) -> Ruling {
    let alpha = b.float("alpha", 1.0);
    let d = b.cotangent()?;
    let d = b.emit.scale(&d, alpha);
    let left = Factor::of(b, 0, ["transA", "transBatchA"])?;
    let right = Factor::of(b, 1, ["transB", "transBatchB"])?;
    if b.needs(0) {
        let other = b.emit.transposed(&right.turned);
        let given = b.emit.matmul(&d, &other);
        left.give(b, 0, &given)?;
    }
    if !b.needs(1) {
        return Ok(());
    }
    let given = match &right.turned.sizes[..] {
        // One product sums over the batches as well.
        &[inner, columns] => {
            let rows = left.turned.count() / inner.max(1);
            let x = b.emit.reshape(&left.turned, &[rows, inner]);
            let d = b.emit.reshape(&d, &[rows, columns]);
            b.emit.gemm(&x, &d, [true, false], 1.0)
        }
        _ => {
            let other = b.emit.transposed(&left.turned);
            b.emit.matmul(&other, &d)
        }
    };
    right.give(b, 1, &given)
}

/// `-Y' d Y'`.
pub(in crate::ops) fn inverse(b: &mut Backward, d: &Array) -> Ruling<Array> {
    let y = b.output(0)?;
    must(y.rank() >= 2, "its data is no matrix")?;
    let turned = b.emit.transposed(&y);
    let first = b.emit.matmul(&turned, d);
    let both = b.emit.matmul(&first, &turned);
    Ok(b.emit.neg(&both))
}

/// Data, skipped data, scale, bias of the scale, bias of the data: normalised along the last axis.
pub(in crate::ops) fn skip_layer(b: &mut Backward) -> Ruling {
    skip(b, true, [3, 4])
}

/// As [`skip_layer`], by the root of the mean square and without the first bias.
pub(in crate::ops) fn skip_root_mean_square(b: &mut Backward) -> Ruling {
    skip(b, false, [usize::MAX, 3])
}

fn skip(b: &mut Backward, centred: bool, [shift, bias]: [usize; 2]) -> Ruling {
    let statistics = [1, 2].iter().any(|&slot| b.cotangent_of(slot).is_some());
    must(!statistics, "the gradient of another output is asked for")?;
    let (x, skipped) = (b.input(0)?, b.input(1)?);
    must(x.rank() > 0, "its data has no axis")?;
    let mut sum = b.emit.add(&x, &skipped);
    if b.has(bias) {
        let bias = b.input(bias)?;
        sum = b.emit.add(&sum, &bias);
    }
    let mut parts: Vec<Array> = b.cotangent_of(3).into_iter().collect();
    if let Some(d) = b.cotangent_of(0) {
        let unit = Normalised::of(b, &sum, &[x.rank() - 1], centred);
        parts.extend(scaled(b, &d, &unit, [2, shift])?);
    }
    let whole = b.emit.total(&parts);
    [0, 1, bias].iter().try_for_each(|&slot| match b.has(slot) {
        true => b.give(slot, &whole),
        false => Ok(()),
    })
}

/// Words, segments, tables of words, places and segments, scale, bias, mask, places: rows of the tables, normalised.
pub(in crate::ops) fn embed_layer(b: &mut Backward) -> Ruling {
    let (words, table) = (b.input(0)?, b.input(2)?);
    let (&[batch, length], &[_, width]) = (&words.sizes[..], &table.sizes[..]) else {
        return Err(Unsupported("an input has an unusual rank"));
    };
    let sum = b.output_with(2, &[batch, length, width], table.element);
    let mut parts: Vec<Array> = b.cotangent_of(2).into_iter().collect();
    if let Some(d) = b.cotangent_of(0) {
        let unit = Normalised::of(b, &sum, &[2], true);
        parts.extend(scaled(b, &d, &unit, [5, 6])?);
    }
    let whole = b.emit.total(&parts);
    rows_of(b, 2, &words, &whole)?;
    if b.has(4) && b.has(1) {
        let segments = b.input(1)?;
        rows_of(b, 4, &segments, &whole)?;
    }
    match b.has(8) {
        true => {
            let places = b.input(8)?;
            let places = b.emit.cast(&places, ElementType::Int64);
            let places = b.emit.expand(&places, &[batch, length]);
            rows_of(b, 3, &places, &whole)
        }
        false => of_first_places(b, &whole, length),
    }
}

/// The first rows of a table, each for the same place of all samples.
fn of_first_places(b: &mut Backward, whole: &Array, length: usize) -> Ruling {
    if !b.needs(3) {
        return Ok(());
    }
    let table = b.input(3)?;
    must(
        table.rank() == 2 && table.sizes[0] >= length,
        "its table of places is too short",
    )?;
    let sum = b.emit.sum(whole, &[0], false);
    let given = b.emit.placed(&sum, 0, 0, table.sizes[0]);
    b.give(3, &given)
}

fn rows_of(b: &mut Backward, slot: usize, indices: &Array, d: &Array) -> Ruling {
    if !b.needs(slot) {
        return Ok(());
    }
    let table = b.input(slot)?;
    must(table.rank() == 2, "an input has an unusual rank")?;
    let given = b.emit.added_rows(indices, d, table.sizes[0]);
    b.give(slot, &given)
}
