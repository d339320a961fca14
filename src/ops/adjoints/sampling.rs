//! Images sampled at places between positions: each sample is a sum of positions near it, times weights that depend on
//! the place. So the image's gradient is added at these positions, and the place's goes through the weights.

use super::Backward;
use super::gather::add_rows;
use crate::graph::{Array, Emitter, int};
use crate::onnx::ElementType;
use crate::ops::typing::{Ruling, Unsupported};

const UNUSUAL: Unsupported = Unsupported("its sizes or modes are unusual");
/// The coefficient of cubic interpolation.
const CUBIC: f64 = -0.75;

/// What lies outside of the image.
#[derive(Clone, Copy, PartialEq)]
enum Padding {
    Zeros,
    Border,
    Reflection,
}

/// One position near each place along an axis, its weight, and how that changes with the place.
pub(super) struct Tap {
    pub(super) position: Array,
    pub(super) weight: Array,
    pub(super) slope: Option<Array>,
}

/// Positions near each place in all axes.
pub(super) struct Corner {
    /// Row of the image, as [`rows`] has it.
    row: Array,
    weight: Array,
    /// By axis how the weight changes with the place.
    slopes: Vec<Array>,
}

/// X[N, C, sizes..] at grid[N, places.., rank] to Y[N, C, places..]
pub(in crate::ops) fn grid_sample(b: &mut Backward) -> Ruling {
    let (d, x, grid) = (b.cotangent()?, b.input(0)?, b.input(1)?);
    let rank = x
        .rank()
        .checked_sub(2)
        .filter(|rank| (1..=3).contains(rank))
        .ok_or(UNUSUAL)?;
    if grid.rank() != x.rank() || d.rank() != x.rank() || d.count() == 0 || x.count() == 0 {
        return Err(UNUSUAL);
    }
    if grid.sizes[rank + 1] != rank || grid.sizes[0] != x.sizes[0] {
        return Err(UNUSUAL);
    }
    if b.emit.opset() < 11 {
        return Err(Unsupported(
            "its gradient needs version 11 of the operator set",
        ));
    }
    let (samples, channels) = (x.sizes[0], x.sizes[1]);
    let places = d.count() / (samples * channels);
    let flat = b.emit.reshape(&grid, &[samples, places, rank]);
    let mut axes = Vec::new();
    for axis in 0..rank {
        // The last axis is the first coordinate.
        let along = b.emit.part(&flat, 2, rank - 1 - axis, 1);
        let along = b.emit.reshape(&along, &[samples, places]);
        axes.push(taps(b, &along, x.sizes[axis + 2])?);
    }
    let volume = x.count() / (samples * channels);
    let first: Vec<f64> = (0..samples).map(|n| (n * volume) as f64).collect();
    let first = b.emit.constant(&first, &[samples, 1], ElementType::Int64);
    let corners = corners(b.emit, &axes, &first, &x.sizes[2..]);
    let d = by_rows(b.emit, &d);
    if b.needs(0) {
        let given = to_image(b.emit, &d, &corners, &x)?;
        b.give(0, &given)?;
    }
    if b.needs(1) {
        let given = to_grid(b, &d, &corners, &x);
        let given = b.emit.reshape(&given, &grid.sizes);
        b.give(1, &given)?;
    }
    Ok(())
}

/// `[N, C, places..]` as `[N, places, C]`.
pub(super) fn by_rows(emit: &mut Emitter, x: &Array) -> Array {
    let (samples, channels) = (x.sizes[0], x.sizes[1]);
    let places = x.count() / (samples * channels);
    let flat = emit.reshape(x, &[samples, channels, places]);
    emit.transpose(&flat, &[0, 2, 1])
}

/// By how much a place moves along an axis of this size with its coordinate.
fn pace(b: &Backward, size: usize) -> f64 {
    match b.int("align_corners", 0) != 0 {
        true => (size as f64 - 1.0) / 2.0,
        false => size as f64 / 2.0,
    }
}

/// The positions near each coordinate, which runs from -1 to 1 along an axis of this size.
fn taps(b: &mut Backward, along: &Array, size: usize) -> Ruling<Vec<Tap>> {
    let pace = pace(b, size);
    let scaled = b.emit.scale(along, pace);
    let place = b.emit.shift(&scaled, (size as f64 - 1.0) / 2.0);
    let near = match b.string("mode", "linear").as_str() {
        "nearest" => {
            let position = b.emit.map("Round", &place);
            let weight = b.emit.full(1.0, &position.sizes, position.element);
            vec![(position, weight, None)]
        }
        "linear" | "bilinear" => linear(b.emit, &place),
        "cubic" | "bicubic" => cubic(b.emit, &place),
        _ => return Err(UNUSUAL),
    };
    let padding = match b.string("padding_mode", "zeros").as_str() {
        "zeros" => Padding::Zeros,
        "border" => Padding::Border,
        "reflection" => Padding::Reflection,
        _ => return Err(UNUSUAL),
    };
    let aligned = b.int("align_corners", 0) != 0;
    let near = near.into_iter().map(|(position, mut weight, mut slope)| {
        if padding == Padding::Zeros {
            let inside = inside(b.emit, &position, size);
            weight = b.emit.mul(&weight, &inside);
            slope = slope.map(|slope| b.emit.mul(&slope, &inside));
        }
        let position = match padding {
            Padding::Reflection => reflected(b.emit, &position, size, aligned),
            _ => position,
        };
        let zero = b.emit.number(0.0, position.element);
        let last = b.emit.number(size as f64 - 1.0, position.element);
        let made = (position.sizes.clone(), position.element);
        let names = [&*position.name, &zero.name];
        let position = b.emit.node("Max", &names, Vec::new(), made.clone());
        let names = [&*position.name, &last.name];
        let position = b.emit.node("Min", &names, Vec::new(), made);
        Tap {
            position: b.emit.cast(&position, ElementType::Int64),
            weight,
            slope,
        }
    });
    Ok(near.collect())
}

/// Positions, weights and slopes.
type Near = Vec<(Array, Array, Option<Array>)>;

pub(super) fn linear(emit: &mut Emitter, place: &Array) -> Near {
    let below = emit.map("Floor", place);
    let above = emit.shift(&below, 1.0);
    let share = emit.sub(place, &below);
    let rest = emit.number_less(1.0, &share);
    let [down, up] = [-1.0, 1.0].map(|n| emit.full(n, &share.sizes, share.element));
    vec![(below, rest, Some(down)), (above, share, Some(up))]
}

fn cubic(emit: &mut Emitter, place: &Array) -> Near {
    let below = emit.map("Floor", place);
    let share = emit.sub(place, &below);
    let steps = [-1.0, 0.0, 1.0, 2.0].map(|step: f64| {
        let position = emit.shift(&below, step);
        let distance = emit.shift(&share, -step);
        let size = if step > 0.0 {
            emit.neg(&distance)
        } else {
            distance
        };
        // Coefficients of the cube, the square, the distance and 1.
        let numbers = match step {
            0.0 | 1.0 => [CUBIC + 2.0, -(CUBIC + 3.0), 0.0, 1.0],
            _ => [CUBIC, -5.0 * CUBIC, 8.0 * CUBIC, -4.0 * CUBIC],
        };
        let [cube, square, single, rest] = numbers;
        let weight = polynomial(emit, &size, &[cube, square, single, rest]);
        let slope = polynomial(emit, &size, &[3.0 * cube, 2.0 * square, single]);
        let slope = if step > 0.0 { emit.neg(&slope) } else { slope };
        (position, weight, Some(slope))
    });
    steps.into()
}

/// With these coefficients from the highest power on.
fn polynomial(emit: &mut Emitter, x: &Array, numbers: &[f64]) -> Array {
    let (first, rest) = numbers.split_first().unwrap_or((&0.0, &[]));
    let start = emit.full(*first, &x.sizes, x.element);
    rest.iter().fold(start, |sum, &number| {
        let product = emit.mul(&sum, x);
        emit.shift(&product, number)
    })
}

/// 1 for positions of an axis of this size, 0 for others.
fn inside(emit: &mut Emitter, position: &Array, size: usize) -> Array {
    let not_before = emit.above(position, -0.5);
    let not_behind = emit.below(position, size as f64 - 0.5);
    let inside = emit.and(&not_before, &not_behind);
    emit.cast(&inside, position.element)
}

/// Positions thrown back at the borders of an axis, which are those of its first and last position, or of their
/// middles.
fn reflected(emit: &mut Emitter, position: &Array, size: usize, aligned: bool) -> Array {
    let (low, span) = match aligned {
        true => (0.0, (size as f64 - 1.0).max(1.0)),
        false => (-0.5, size as f64),
    };
    let from_border = emit.shift(position, -low);
    let distance = emit.map("Abs", &from_border);
    let turns = emit.scale(&distance, 1.0 / span);
    let turns = emit.map("Floor", &turns);
    let run = emit.scale(&turns, span);
    let left = emit.sub(&distance, &run);
    let half = emit.scale(&turns, 0.5);
    let pairs = emit.map("Floor", &half);
    let pairs = emit.scale(&pairs, 2.0);
    let is_odd = emit.sub(&turns, &pairs);
    let twice = emit.scale(&left, -2.0);
    let back = emit.shift(&twice, span);
    let back = emit.mul(&is_odd, &back);
    let sum = emit.add(&left, &back);
    let there = emit.shift(&sum, low);
    // Quotients are rounded.
    emit.map("Round", &there)
}

/// All combinations of positions along axes of these sizes, in images whose first rows are given.
pub(super) fn corners(
    emit: &mut Emitter,
    axes: &[Vec<Tap>],
    first: &Array,
    sizes: &[usize],
) -> Vec<Corner> {
    let mut choices: Vec<Vec<&Tap>> = vec![Vec::new()];
    for taps in axes {
        let longer = choices
            .iter()
            .flat_map(|chosen| taps.iter().map(move |tap| [&chosen[..], &[tap]].concat()));
        choices = longer.collect();
    }
    let corners = choices.into_iter().map(|chosen| {
        let mut row = first.clone();
        for (axis, tap) in chosen.iter().enumerate() {
            let stride: usize = sizes[axis + 1..].iter().product();
            let steps = emit.scale(&tap.position, stride as f64);
            row = emit.add(&row, &steps);
        }
        let weights: Vec<Array> = chosen.iter().map(|tap| tap.weight.clone()).collect();
        let slopes = chosen.iter().enumerate().filter_map(|(axis, tap)| {
            let mut factors = weights.clone();
            factors[axis] = tap.slope.clone()?;
            Some(product(emit, &factors))
        });
        let slopes = slopes.collect();
        Corner {
            row,
            weight: product(emit, &weights),
            slopes,
        }
    });
    corners.collect()
}

fn product(emit: &mut Emitter, factors: &[Array]) -> Array {
    let mut factors = factors.iter().cloned();
    let first = factors.next();
    let first = first.unwrap_or_else(|| emit.number(1.0, ElementType::Float));
    factors.fold(first, |product, factor| emit.mul(&product, &factor))
}

/// `d[N, places, C]` added at all corners.
pub(super) fn to_image(
    emit: &mut Emitter,
    d: &Array,
    corners: &[Corner],
    x: &Array,
) -> Ruling<Array> {
    let [samples, places, channels] = [d.sizes[0], d.sizes[1], d.sizes[2]];
    let (mut indices, mut updates) = (Vec::new(), Vec::new());
    for corner in corners {
        let weight = emit.reshape(&corner.weight, &[samples, places, 1]);
        let update = emit.mul(d, &weight);
        updates.push(emit.reshape(&update, &[samples * places, channels]));
        indices.push(emit.reshape(&corner.row, &[samples * places]));
    }
    let (index, updates) = (emit.concat(&indices, 0), emit.concat(&updates, 0));
    let rows = x.count() / channels;
    let added = add_rows(emit, &updates, &index, rows)?;
    let images = x.sizes[0];
    let apart = emit.reshape(&added, &[images, rows / images, channels]);
    let turned = emit.transpose(&apart, &[0, 2, 1]);
    Ok(emit.reshape(&turned, &x.sizes))
}

/// By axis how `d[N, places, C]` changes with the place along it, `[N, places]`; none where it does not.
pub(super) fn by_place(
    emit: &mut Emitter,
    d: &Array,
    corners: &[Corner],
    x: &Array,
) -> Vec<Option<Array>> {
    let channels = x.sizes[1];
    let rows = by_rows(emit, x);
    let rows = emit.reshape(&rows, &[x.count() / channels, channels]);
    let mut sums: Vec<Option<Array>> = vec![None; x.rank() - 2];
    for corner in corners.iter().filter(|corner| !corner.slopes.is_empty()) {
        let row = emit.reshape(&corner.row, &d.sizes[..2]);
        let made = (d.sizes.clone(), x.element);
        let names = [&*rows.name, &row.name];
        let there = emit.node("Gather", &names, vec![int("axis", 0)], made);
        let product = emit.mul(&there, d);
        let sum = emit.sum(&product, &[2], false);
        for (total, slope) in sums.iter_mut().zip(&corner.slopes) {
            let slope = emit.reshape(slope, &sum.sizes);
            let part = emit.mul(&sum, &slope);
            *total = Some(match total.take() {
                None => part,
                Some(total) => emit.add(&total, &part),
            });
        }
    }
    sums
}

/// The gradient of all coordinates, `[N, places, rank]`.
fn to_grid(b: &mut Backward, d: &Array, corners: &[Corner], x: &Array) -> Array {
    let (samples, places) = (d.sizes[0], d.sizes[1]);
    let sums = by_place(b.emit, d, corners, x);
    let parts = sums.into_iter().enumerate().rev().map(|(axis, sum)| {
        let pace = pace(b, x.sizes[axis + 2]);
        let sum = match sum {
            // The nearest position does not change with the place.
            None => b.emit.full(0.0, &[samples, places], d.element),
            Some(sum) => b.emit.scale(&sum, pace),
        };
        b.emit.reshape(&sum, &[samples, places, 1])
    });
    let parts: Vec<Array> = parts.collect();
    b.emit.concat(&parts, 2)
}
