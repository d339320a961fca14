//! Shifts and mirror images: elements change places, so that their type does not matter.

use ndarray::{ArrayD, ArrayViewMutD, Axis};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// How one sample is moved, the same for all its inputs, so that an image and its mask stay together.
#[derive(Clone, Copy, Debug)]
pub(super) struct MoveDraw {
    /// In 0..1: where between the most backwards and the most forwards.
    down: f64,
    right: f64,
    mirrored: bool,
}

impl MoveDraw {
    pub(super) fn new(generator: &mut ChaCha8Rng) -> MoveDraw {
        MoveDraw {
            down: generator.random(),
            right: generator.random(),
            mirrored: generator.random(),
        }
    }
}

/// A shift along an axis of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shift {
    pub(super) axis: usize,
    /// Places, forwards or backwards.
    pub(super) most: usize,
}

impl Shift {
    /// All shifts from the most backwards to the most forwards are as likely.
    fn places(self, share: f64) -> isize {
        let most = self.most as isize;
        ((share * (2 * most + 1) as f64) as isize - most).min(most)
    }
}

/// What may happen to the samples of one input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Moving {
    pub(super) down: Option<Shift>,
    pub(super) right: Option<Shift>,
    /// The axis of a sample that is reversed.
    pub(super) mirror: Option<usize>,
}

impl Moving {
    /// Moves the samples along `axis` of a batch, each as its draw says.
    pub(super) fn apply<T: Clone>(&self, batch: &mut ArrayD<T>, axis: usize, draws: &[MoveDraw]) {
        for (mut sample, draw) in batch.axis_iter_mut(Axis(axis)).zip(draws) {
            for (shift, share) in [(self.down, draw.down), (self.right, draw.right)] {
                if let Some(shift) = shift {
                    shifted(&mut sample, shift.axis, shift.places(share));
                }
            }
            if let Some(axis) = self.mirror.filter(|_| draw.mirrored) {
                mirrored(&mut sample, axis);
            }
        }
    }
}

/// Moves all elements forwards along an axis, or backwards where `by` is negative. What comes in is the edge
/// once more: 0 may be a value that the data never has, once it is normalised.
fn shifted<T: Clone>(sample: &mut ArrayViewMutD<T>, axis: usize, by: isize) {
    if by == 0 {
        return;
    }
    let before = sample.to_owned();
    let last = sample.len_of(Axis(axis)).saturating_sub(1);
    for (place, mut lane) in sample.axis_iter_mut(Axis(axis)).enumerate() {
        let from = place.saturating_add_signed(-by).min(last);
        lane.assign(&before.index_axis(Axis(axis), from));
    }
}

fn mirrored<T: Clone>(sample: &mut ArrayViewMutD<T>, axis: usize) {
    let mut before = sample.to_owned();
    before.invert_axis(Axis(axis));
    sample.assign(&before);
}

#[cfg(test)]
mod tests {
    use ndarray::IxDyn;

    use super::*;
    use crate::random::generator;

    fn numbers(shape: &[usize]) -> ArrayD<i32> {
        let count: usize = shape.iter().product();
        ArrayD::from_shape_vec(IxDyn(shape), (0..count as i32).collect()).expect("it fits")
    }

    #[test]
    fn a_shift_moves_exactly_and_repeats_the_edge() {
        let mut image = numbers(&[2, 3]);
        shifted(&mut image.view_mut(), 1, 1);
        assert_eq!(image.into_raw_vec_and_offset().0, [0, 0, 1, 3, 3, 4]);
        let mut image = numbers(&[3, 2]);
        shifted(&mut image.view_mut(), 0, -2);
        assert_eq!(image.into_raw_vec_and_offset().0, [4, 5, 4, 5, 4, 5]);
        let mut image = numbers(&[2, 2]);
        shifted(&mut image.view_mut(), 0, 9);
        assert_eq!(image.into_raw_vec_and_offset().0, [0, 1, 0, 1]);
    }

    #[test]
    fn mirrored_twice_is_the_original() {
        let original = numbers(&[2, 3, 4]);
        let mut image = original.clone();
        mirrored(&mut image.view_mut(), 2);
        assert_eq!(image.as_slice().expect("in order")[..4], [3, 2, 1, 0]);
        mirrored(&mut image.view_mut(), 2);
        assert_eq!(image, original);
    }

    #[test]
    fn all_shifts_are_as_likely() {
        let shift = Shift { axis: 0, most: 2 };
        let shares = (0..1000).map(|share| f64::from(share) / 1000.0);
        let mut counts = [0; 5];
        for places in shares.map(|share| shift.places(share)) {
            counts[usize::try_from(places + 2).expect("at most two back")] += 1;
        }
        assert_eq!(counts, [200; 5]);
    }

    #[test]
    fn inputs_of_a_sample_move_together() {
        let mut generator = generator("moves", 3);
        let draws: Vec<MoveDraw> = (0..16).map(|_| MoveDraw::new(&mut generator)).collect();
        // Samples along the second axis, channels last.
        let moving = |down, right| Moving {
            down: Some(Shift {
                axis: down,
                most: 2,
            }),
            right: Some(Shift {
                axis: right,
                most: 2,
            }),
            mirror: Some(right),
        };
        let image = numbers(&[9, 16, 9]);
        let mut first = image.clone();
        moving(0, 1).apply(&mut first, 1, &draws);
        assert_ne!(first, image);
        let mut second = image.clone();
        second.swap_axes(0, 1);
        let mut second = second
            .insert_axis(Axis(3))
            .as_standard_layout()
            .into_owned();
        moving(0, 1).apply(&mut second, 0, &draws);
        let mut second = second.remove_axis(Axis(3));
        second.swap_axes(0, 1);
        assert_eq!(first, second);
    }
}
