//! Interpolation is linear along each axis by itself: the gradient is a product with the transposed matrix of weights.

use super::Backward;
use crate::graph::{Array, Attributes};
use crate::ops::typing::{Ruling, Unsupported, axis_of};

/// Numbers at most in the matrix of weights of one axis.
const MOST_WEIGHTS: usize = 1 << 24;

const UNUSUAL: Unsupported = Unsupported("its scales, sizes or modes are unusual");

/// How elements between positions are made.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    Nearest,
    Linear,
    /// With this coefficient.
    Cubic(f32),
}

/// How one axis is resized.
struct Axis {
    input: usize,
    output: usize,
    scale: f32,
    mode: Mode,
    coordinates: String,
    rounding: Rounding,
    exclude_outside: bool,
    antialias: bool,
    /// Start and end of the part that is resized, where the coordinates say so.
    part: [f32; 2],
}

/// Which position is nearest.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Rounding {
    PreferFloor,
    PreferCeil,
    Floor,
    Ceil,
}

/// Scales stand in one of the inputs, sizes in the one behind it.
pub(in crate::ops) fn resize(b: &mut Backward, d: &Array) -> Ruling<Array> {
    backward(b, d, 2)
}

/// Before version 11: without modes.
pub(in crate::ops) fn resize_of_old(b: &mut Backward, d: &Array) -> Ruling<Array> {
    backward(b, d, 1)
}

fn backward(b: &mut Backward, d: &Array, scales_slot: usize) -> Ruling<Array> {
    let x = b.input(0)?;
    if d.rank() != x.rank() || x.count() == 0 || d.count() == 0 {
        return Err(UNUSUAL);
    }
    let axes = axes(b, [&x, d], scales_slot)?;
    let (mut given, mut left) = (d.clone(), Vec::new());
    // Copies side by side are added first, of all axes at once.
    let (mut apart, mut copies) = (Vec::new(), Vec::new());
    for (place, axis) in axes.iter().enumerate() {
        match axis.as_ref().map(Axis::copies) {
            Some(Some(times)) => {
                apart.extend([x.sizes[place], times]);
                copies.push(apart.len() - 1);
            }
            rest => {
                apart.push(d.sizes[place]);
                left.extend(rest.map(|_| place));
            }
        }
    }
    if !copies.is_empty() {
        given = b.emit.reshape(&given, &apart);
        given = b.emit.sum(&given, &copies, false);
    }
    for place in left {
        if let Some(axis) = &axes[place] {
            given = axis.backward(b, &given, place)?;
        }
    }
    Ok(given)
}

/// By axis how it is resized; none where it stays.
fn axes(b: &Backward, [x, d]: [&Array; 2], scales_slot: usize) -> Ruling<Vec<Option<Axis>>> {
    if b.string("keep_aspect_ratio_policy", "stretch") != "stretch" {
        return Err(Unsupported("its scales are chosen so that sides keep their ratio"));
    }
    let of_old = scales_slot == 1;
    let count = x.rank();
    let listed = b.proto().ints("axes").map(<[i64]>::to_vec);
    let listed = listed.unwrap_or_else(|| (0..count as i64).collect());
    let scales = scales(b, scales_slot)?;
    let part = match b.string("coordinate_transformation_mode", "half_pixel") == "tf_crop_and_resize" {
        true => b.reals(1).ok_or(Unsupported("an argument is computed at run time"))?,
        false => Vec::new(),
    };
    let mut axes: Vec<Option<Axis>> = (0..count).map(|_| None).collect();
    for (place, &axis) in listed.iter().enumerate() {
        let axis = axis_of(axis, count)?;
        let (input, output) = (x.sizes[axis], d.sizes[axis]);
        let scale = match &scales {
            Some(scales) => *scales.get(place).ok_or(UNUSUAL)?,
            None => output as f32 / input as f32,
        };
        let part = [place, place + listed.len()].map(|at| part.get(at).copied());
        let is_part = part.iter().all(Option::is_some);
        if (scale == 1.0 && input == output && !is_part) || axes[axis].is_some() {
            continue;
        }
        axes[axis] = Some(Axis {
            input,
            output,
            scale,
            mode: mode(b)?,
            coordinates: match of_old {
                true => "asymmetric".to_owned(),
                false => b.string("coordinate_transformation_mode", "half_pixel"),
            },
            rounding: match of_old {
                true if scale < 1.0 => Rounding::Ceil,
                true => Rounding::Floor,
                false => rounding(b)?,
            },
            exclude_outside: b.int("exclude_outside", 0) != 0,
            antialias: b.int("antialias", 0) != 0,
            part: part.map(|number| number.unwrap_or(0.0)),
        });
    }
    Ok(axes)
}

/// The scales, if there are any.
fn scales(b: &Backward, slot: usize) -> Ruling<Option<Vec<f32>>> {
    if let Some(attribute) = b.proto().attribute("scales") {
        return Ok(Some(attribute.floats.clone()));
    }
    if !b.has(slot) {
        return Ok(None);
    }
    match b.reals(slot) {
        Some(scales) => Ok(Some(scales).filter(|scales| !scales.is_empty())),
        // Those that a run has made are near to the ratio of sizes, and not quite it.
        None => Err(Unsupported("its scales are computed at run time")),
    }
}

fn mode(b: &Backward) -> Ruling<Mode> {
    match b.string("mode", "nearest").as_str() {
        "nearest" => Ok(Mode::Nearest),
        "linear" | "bilinear" => Ok(Mode::Linear),
        "cubic" => Ok(Mode::Cubic(b.float("cubic_coeff_a", -0.75) as f32)),
        _ => Err(UNUSUAL),
    }
}

fn rounding(b: &Backward) -> Ruling<Rounding> {
    match b.string("nearest_mode", "round_prefer_floor").as_str() {
        "round_prefer_floor" => Ok(Rounding::PreferFloor),
        "round_prefer_ceil" => Ok(Rounding::PreferCeil),
        "floor" => Ok(Rounding::Floor),
        "ceil" => Ok(Rounding::Ceil),
        _ => Err(UNUSUAL),
    }
}

impl Axis {
    /// The place in the input that a position of the output shows.
    fn place(&self, position: usize) -> Option<f32> {
        let (at, scale) = (position as f32, self.scale);
        let (input, output) = (self.input as f32, self.output as f32);
        Some(match self.coordinates.as_str() {
            "half_pixel" => (at + 0.5) / scale - 0.5,
            "pytorch_half_pixel" if self.output > 1 => (at + 0.5) / scale - 0.5,
            "pytorch_half_pixel" => 0.0,
            "asymmetric" => at / scale,
            "align_corners" if self.output > 1 => at * (input - 1.0) / (output - 1.0),
            "align_corners" => 0.0,
            "tf_half_pixel_for_nn" => (at + 0.5) / scale,
            "half_pixel_symmetric" => {
                let adjustment = output / (scale * input);
                input / 2.0 * (1.0 - adjustment) + (at + 0.5) / scale - 0.5
            }
            "tf_crop_and_resize" => {
                let [start, end] = self.part;
                match self.output {
                    1 => 0.5 * (start + end) * (input - 1.0),
                    _ => start * (input - 1.0) + at * (end - start) * (input - 1.0) / (output - 1.0),
                }
            }
            _ => return None,
        })
    }

    /// How many copies of each position there are, side by side; none where it is not so.
    fn copies(&self) -> Option<usize> {
        let times = self.output / self.input;
        let whole = self.mode == Mode::Nearest && times * self.input == self.output;
        let same = |position: usize| {
            let weights = self.weights(position)?;
            (weights == [(position / times, 1.0)]).then_some(())
        };
        (whole && (0..self.output).all(|position| same(position).is_some())).then_some(times)
    }

    /// The positions of the input that make one of the output, and how much of each.
    fn weights(&self, position: usize) -> Option<Vec<(usize, f32)>> {
        let place = self.place(position)?;
        let last = self.input as f32 - 1.0;
        if !place.is_finite() {
            return None;
        }
        // A number stands there, and nothing of the input.
        if self.coordinates == "tf_crop_and_resize" && !(0.0..=last).contains(&place) {
            return Some(Vec::new());
        }
        if self.antialias && self.mode != Mode::Nearest {
            return self.filtered(place);
        }
        Some(match self.mode {
            Mode::Nearest => {
                let nearest = match self.rounding {
                    Rounding::PreferFloor => (place - 0.5).ceil(),
                    Rounding::PreferCeil => (place + 0.5).floor(),
                    Rounding::Floor => place.floor(),
                    Rounding::Ceil => place.ceil(),
                };
                vec![(nearest.clamp(0.0, last) as usize, 1.0)]
            }
            Mode::Linear => {
                let place = place.clamp(0.0, last);
                let (below, share) = (place.floor(), place.fract());
                let above = (below + 1.0).min(last);
                vec![(below as usize, 1.0 - share), (above as usize, share)]
            }
            Mode::Cubic(a) => {
                let below = place.floor();
                let near = (-1..=2).map(|step| below + step as f32);
                self.taken(near, |at| cubic(place - at, a), self.exclude_outside)
            }
        })
    }

    /// Weights by distance at some positions; those outside count as the last ones, or not at all.
    fn taken(
        &self,
        near: impl Iterator<Item = f32>,
        weight: impl Fn(f32) -> f32,
        exclude: bool,
    ) -> Vec<(usize, f32)> {
        let last = self.input as f32 - 1.0;
        let inside = |at: &f32| !exclude || (0.0..=last).contains(at);
        let taken: Vec<(usize, f32)> = near
            .filter(inside)
            .map(|at| (at.clamp(0.0, last) as usize, weight(at)))
            .collect();
        let sum: f32 = taken.iter().map(|(_, weight)| weight).sum();
        match exclude && sum != 0.0 {
            true => taken.into_iter().map(|(at, weight)| (at, weight / sum)).collect(),
            false => taken,
        }
    }

    /// Smaller images show all positions: the kernel is as wide as the distance between places.
    fn filtered(&self, place: f32) -> Option<Vec<(usize, f32)>> {
        let width = (1.0 / self.scale).max(1.0);
        let reach = width * if self.mode == Mode::Linear { 1.0 } else { 2.0 };
        let first = (place + 0.5 - reach + 0.5).floor();
        let count = (2.0 * reach).ceil() + 1.0;
        if !(count.is_finite() && count < 1e6) {
            return None;
        }
        let near = (0..count as usize).map(|step| first + step as f32);
        let last = (place + 0.5 + reach + 0.5).floor();
        let near = near.filter(|&at| at < last);
        let weight = |at: f32| {
            let distance = (at - place) / width;
            match self.mode {
                Mode::Cubic(a) => cubic(distance, a),
                _ => (1.0 - distance.abs()).max(0.0),
            }
        };
        Some(self.taken(near, weight, true))
    }

    /// The gradient along one axis.
    fn backward(&self, b: &mut Backward, d: &Array, place: usize) -> Ruling<Array> {
        let count = self.input.checked_mul(self.output);
        let count = count.filter(|&count| count <= MOST_WEIGHTS);
        let count = count.ok_or(Unsupported("it resizes an axis that is too long for a matrix"))?;
        let mut weights = vec![0.0; count];
        for position in 0..self.output {
            for (at, weight) in self.weights(position).ok_or(UNUSUAL)? {
                weights[at * self.output + position] += f64::from(weight);
            }
        }
        let outer: usize = d.sizes[..place].iter().product();
        let inner: usize = d.sizes[place + 1..].iter().product();
        let mut sizes = d.sizes.clone();
        sizes[place] = self.input;
        let matrix = b.emit.constant(&weights, &[self.input, self.output], d.element);
        let made = if inner == 1 {
            let rows = b.emit.reshape(d, &[outer, self.output]);
            b.emit.gemm(&rows, &matrix, [false, true], 1.0)
        } else {
            let all = b.emit.reshape(d, &[outer, self.output, inner]);
            b.emit.matmul(&matrix, &all)
        };
        Ok(b.emit.reshape(&made, &sizes))
    }
}

/// The cubic kernel at a distance.
fn cubic(distance: f32, a: f32) -> f32 {
    let t = distance.abs();
    match t {
        _ if t <= 1.0 => ((a + 2.0) * t - (a + 3.0)) * t * t + 1.0,
        _ if t < 2.0 => ((t - 5.0) * t + 8.0) * t * a - 4.0 * a,
        _ => 0.0,
    }
}
