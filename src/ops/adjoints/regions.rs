//! Regions of images that the data says, as means of samples between positions.

use super::Backward;
use super::gather::wrapped_index;
use super::sampling::{Tap, by_place, by_rows, corners, linear, to_image};
use crate::graph::Array;
use crate::onnx::ElementType;
use crate::ops::typing::{Ruling, Unsupported};

const UNUSUAL: Unsupported = Unsupported("its regions are unusual");

/// Y[r, c, ..] = means of samples of X[index[r], c, ..]
pub(in crate::ops) fn roi_align(b: &mut Backward) -> Ruling {
    if b.string("mode", "avg") != "avg" {
        return Err(Unsupported(
            "it takes the largest of samples between positions",
        ));
    }
    let ratio = usize::try_from(b.int("sampling_ratio", 0)).unwrap_or(0);
    if ratio == 0 {
        return Err(Unsupported("its regions say how many samples they have"));
    }
    let (d, x, rois, index) = (b.cotangent()?, b.input(0)?, b.input(1)?, b.input(2)?);
    let [count, channels, height, width] = d.sizes[..] else {
        return Err(UNUSUAL);
    };
    let fits = rois.sizes == [count, 4] && index.sizes == [count] && ratio <= 1 << 10;
    if x.rank() != 4 || !fits || x.count() == 0 || d.count() == 0 || x.sizes[1] != channels {
        return Err(UNUSUAL);
    }
    let bounds = bounds(b, &rois);
    let down = Along::of(b, [&bounds[1], &bounds[3]], height * ratio);
    let over = Along::of(b, [&bounds[0], &bounds[2]], width * ratio);
    let (rows, columns) = (height * ratio, width * ratio);
    let axes = [
        taps(b, &down.places, x.sizes[2], [count, rows, 1]),
        taps(b, &over.places, x.sizes[3], [count, 1, columns]),
    ];
    let index = b.emit.cast(&index, ElementType::Int64);
    let index = wrapped_index(b.emit, &index, x.sizes[0]);
    let first = b.emit.scale(&index, (x.sizes[2] * x.sizes[3]) as f64);
    let first = b.emit.reshape(&first, &[count, 1, 1]);
    let corners = corners(b.emit, &axes, &first, &x.sizes[2..]);
    // Each sample has its share.
    let share = by_rows(b.emit, &d);
    let share = b.emit.scale(&share, 1.0 / (ratio * ratio) as f64);
    let apart = [count, height, 1, width, 1, channels];
    let share = b.emit.reshape(&share, &apart);
    let all = [count, height, ratio, width, ratio, channels];
    let share = b.emit.expand(&share, &all);
    let share = b.emit.reshape(&share, &[count, rows * columns, channels]);
    if b.needs(0) {
        let given = to_image(b.emit, &share, &corners, &x)?;
        b.give(0, &given)?;
    }
    if b.needs(1) {
        let changes = by_place(b.emit, &share, &corners, &x);
        let mut sides = Vec::new();
        for ((change, along), other) in changes.into_iter().zip([&down, &over]).zip([2, 1]) {
            let change = change.ok_or(UNUSUAL)?;
            let apart = b.emit.reshape(&change, &[count, rows, columns]);
            let change = b.emit.sum(&apart, &[other], false);
            sides.push(along.ends(b, &change));
        }
        let sides = [&sides[1][0], &sides[0][0], &sides[1][1], &sides[0][1]].map(Array::clone);
        let given = b.emit.concat(&sides, 1);
        let scale = b.float("spatial_scale", 1.0);
        let given = b.emit.scale(&given, scale);
        b.give(1, &given)?;
    }
    Ok(())
}

/// Left, top, right and bottom of each region, `[count, 1]`, in positions of the image.
fn bounds(b: &mut Backward, rois: &Array) -> [Array; 4] {
    let scale = b.float("spatial_scale", 1.0);
    let scaled = b.emit.scale(rois, scale);
    let shift = if is_centred(b) { -0.5 } else { 0.0 };
    let moved = b.emit.shift(&scaled, shift);
    [0, 1, 2, 3].map(|place| b.emit.part(&moved, 1, place, 1))
}

/// True where positions are the middles of pixels.
fn is_centred(b: &Backward) -> bool {
    let of_version = match b.emit.opset() >= 16 {
        true => "half_pixel",
        false => "output_half_pixel",
    };
    b.string("coordinate_transformation_mode", of_version) == "half_pixel"
}

/// All samples along one axis.
struct Along {
    /// `[count, samples]`
    places: Array,
    /// How far each is on the way, `[1, samples]`.
    steps: Array,
    /// 1 where the way is as long as the region, `[count, 1]`; 0 where it is the least one.
    follows: Array,
}

impl Along {
    fn of(b: &mut Backward, [from, to]: [&Array; 2], samples: usize) -> Along {
        let least = if is_centred(b) { 0.0 } else { 1.0 };
        let length = b.emit.sub(to, from);
        let follows = b.emit.above(&length, least);
        let follows = b.emit.cast(&follows, length.element);
        let least = b.emit.number(least, length.element);
        let made = (length.sizes.clone(), length.element);
        let names = [&*length.name, &least.name];
        let length = b.emit.node("Max", &names, Vec::new(), made);
        let steps = (0..samples).map(|n| (n as f64 + 0.5) / samples as f64);
        let steps: Vec<f64> = steps.collect();
        let steps = b.emit.constant(&steps, &[1, samples], length.element);
        let run = b.emit.mul(&length, &steps);
        Along {
            places: b.emit.add(from, &run),
            steps,
            follows,
        }
    }

    /// The gradients of where the way begins and ends, from those of the places.
    fn ends(&self, b: &mut Backward, d: &Array) -> [Array; 2] {
        let all = b.emit.sum(d, &[1], true);
        let far = b.emit.mul(d, &self.steps);
        let far = b.emit.sum(&far, &[1], true);
        let far = b.emit.mul(&far, &self.follows);
        [b.emit.sub(&all, &far), far]
    }
}

/// The two positions beside each place, as these sizes; beyond the image's rim there is nothing.
fn taps(b: &mut Backward, places: &Array, size: usize, sizes: [usize; 3]) -> Vec<Tap> {
    let last = size as f64 - 1.0;
    let beyond = b.emit.below(places, -1.0);
    let behind = b.emit.above(places, size as f64);
    let beyond = [beyond, behind].map(|outside| {
        let inside = b.emit.not(&outside);
        b.emit.cast(&inside, places.element)
    });
    let inside = b.emit.mul(&beyond[0], &beyond[1]);
    let place = clamped(b, places, last);
    let near = linear(b.emit, &place);
    let before = b.emit.below(places, 0.0);
    let moves = b.emit.not(&before);
    let moves = b.emit.cast(&moves, places.element);
    let moves = b.emit.mul(&moves, &inside);
    let near = near.into_iter().map(|(position, weight, slope)| {
        let position = clamped(b, &position, last);
        let position = b.emit.cast(&position, ElementType::Int64);
        let weight = b.emit.mul(&weight, &inside);
        Tap {
            position: b.emit.reshape(&position, &sizes),
            weight: b.emit.reshape(&weight, &sizes),
            slope: slope.map(|slope| {
                let slope = b.emit.mul(&slope, &moves);
                b.emit.reshape(&slope, &sizes)
            }),
        }
    });
    near.collect()
}

/// Between 0 and a number.
fn clamped(b: &mut Backward, x: &Array, most: f64) -> Array {
    let bounds = [0.0, most].map(|bound| b.emit.number(bound, x.element));
    let made = || (x.sizes.clone(), x.element);
    let names = [&*x.name, &bounds[0].name];
    let x = b.emit.node("Max", &names, Vec::new(), made());
    let names = [&*x.name, &bounds[1].name];
    b.emit.node("Min", &names, Vec::new(), made())
}
