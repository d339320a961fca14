//! Batches changed in place.

use rand_chacha::ChaCha8Rng;

use super::exchange::{self, Guard};
use super::facts::InputFacts;
use super::moves::{MoveDraw, Moving};
use super::{Augmentation, AugmentedInput, Treatment};
use crate::error::{Error, Result};
use crate::random::normal;
use crate::runtime::Tensor;

/// Does the same to an array of any element type.
macro_rules! with_array {
    ($tensor:expr, $array:ident => $work:expr) => {
        match $tensor {
            Tensor::Float($array) => $work,
            Tensor::Double($array) => $work,
            Tensor::Float16($array) => $work,
            Tensor::Bfloat16($array) => $work,
            Tensor::Int8($array) => $work,
            Tensor::Int16($array) => $work,
            Tensor::Int32($array) => $work,
            Tensor::Int64($array) => $work,
            Tensor::Uint8($array) => $work,
            Tensor::Uint16($array) => $work,
            Tensor::Uint32($array) => $work,
            Tensor::Uint64($array) => $work,
            Tensor::Bool($array) => $work,
        }
    };
}

impl Augmentation {
    /// Changes a batch. What comes out depends on the batch and the random numbers alone.
    ///
    /// # Errors
    /// An input that is not there, or has another rank than in the batch that was looked at.
    pub(crate) fn apply(
        &self,
        batch: &mut [(String, Tensor)],
        generator: &mut ChaCha8Rng,
    ) -> Result<()> {
        if self.is_none() {
            return Ok(());
        }
        let places: Vec<usize> = self
            .inputs
            .iter()
            .map(|input| input.place(batch))
            .collect::<Result<_>>()?;
        self.shift(&places, batch, generator);
        self.exchange(&places, batch, generator);
        for (input, &place) in self.inputs.iter().zip(&places) {
            if let Treatment::Noise(deviation) = input.treatment {
                let tensor = &mut batch[place].1;
                let noisy = tensor.to_f64().into_iter();
                let noisy = noisy.map(|number| number + deviation * normal(generator));
                let shape = tensor.shape().to_vec();
                *tensor = Tensor::from_numbers(tensor.element(), &shape, noisy)?;
            }
        }
        Ok(())
    }

    fn shift(&self, places: &[usize], batch: &mut [(String, Tensor)], generator: &mut ChaCha8Rng) {
        let inputs = self.inputs.iter().zip(places);
        let moved = inputs.filter_map(|(input, &place)| match input.treatment {
            Treatment::Moved(moving) => Some((moving, input.axis, place)),
            _ => None,
        });
        let moved: Vec<(Moving, usize, usize)> = moved.collect();
        let samples = moved
            .iter()
            .map(|(_, axis, place)| batch[*place].1.shape()[*axis]);
        let draws = (0..samples.max().unwrap_or(0)).map(|_| MoveDraw::new(generator));
        let draws: Vec<MoveDraw> = draws.collect();
        for (moving, axis, place) in moved {
            with_array!(&mut batch[place].1, array => moving.apply(array, axis, &draws));
        }
    }

    fn exchange(
        &self,
        places: &[usize],
        batch: &mut [(String, Tensor)],
        generator: &mut ChaCha8Rng,
    ) {
        let mut done = Vec::new();
        for (input, &place) in self.inputs.iter().zip(places) {
            let Treatment::Tokens(group) = input.treatment else {
                continue;
            };
            if done.contains(&group) {
                continue;
            }
            done.push(group);
            let shape = batch[place].1.shape();
            let (samples, length) = (shape[input.axis], shape[1 - input.axis]);
            let guards = self.guards(group, places, batch);
            let exchanges = exchange::drawn(samples, length, &guards, generator);
            for (input, &place) in self.inputs.iter().zip(places) {
                if input.treatment == Treatment::Tokens(group) {
                    let tensor = &mut batch[place].1;
                    with_array!(tensor, array => exchange::exchange(array, input.axis, &exchanges));
                }
            }
        }
    }

    /// What must hold where tokens of a group are exchanged.
    fn guards(&self, group: usize, places: &[usize], batch: &[(String, Tensor)]) -> Vec<Guard> {
        let inputs = self.inputs.iter().zip(places);
        let guard = |(input, &place): (&AugmentedInput, &usize)| {
            let lines = || InputFacts::of(&batch[place].1, Some(input.axis)).lines();
            match input.treatment {
                Treatment::Mask(of) if of == group => Some(Guard::Mask(lines())),
                Treatment::Types(of) if of == group => Some(Guard::Type(lines())),
                _ => None,
            }
        };
        inputs.filter_map(guard).collect()
    }
}

impl AugmentedInput {
    /// Where it is in a batch.
    fn place(&self, batch: &[(String, Tensor)]) -> Result<usize> {
        let place = batch.iter().position(|(name, _)| *name == self.name);
        let same = |&place: &usize| batch[place].1.shape().len() == self.rank;
        place.filter(same).ok_or_else(|| {
            let misfit = format!(
                "the input '{}' has another rank in one batch than in the first, {}, or is not there",
                self.name, self.rank
            );
            Error::data("the data", misfit)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{AugmentKind, AugmentSettings};
    use super::*;
    use crate::onnx::ElementType;

    const SAMPLES: usize = 12;

    fn tensor(element: ElementType, shape: &[usize], number: impl Fn(usize) -> f64) -> Tensor {
        let numbers: Vec<f64> = (0..shape.iter().product()).map(number).collect();
        Tensor::from_f64(element, shape, &numbers).expect("it fits")
    }

    fn named(inputs: Vec<(&str, Tensor)>) -> Vec<(String, Tensor)> {
        let owned = |(name, tensor): (&str, Tensor)| (name.to_owned(), tensor);
        inputs.into_iter().map(owned).collect()
    }

    /// Numbers without order.
    fn mixed(at: usize) -> usize {
        at.wrapping_mul(2_654_435_761) >> 7
    }

    fn images(element: ElementType, shape: &[usize]) -> Tensor {
        tensor(element, shape, |at| (mixed(at) % 100) as f64)
    }

    /// How many tokens of a sample are no padding.
    fn long(sample: usize) -> usize {
        16 + sample
    }

    /// A text model's inputs: tokens (0 where they are padding), mask, types, positions.
    fn texts() -> Vec<(String, Tensor)> {
        let of = |element, number: &dyn Fn(usize, usize) -> usize| {
            tensor(element, &[SAMPLES, 32], |at| {
                number(at / 32, at % 32) as f64
            })
        };
        let real = |i: usize, j: usize| usize::from(j < long(i));
        named(vec![
            (
                "ids",
                of(ElementType::Int64, &|i, j| {
                    real(i, j) * (1 + mixed(32 * i + j) % 900)
                }),
            ),
            ("mask", of(ElementType::Int64, &real)),
            (
                "types",
                of(ElementType::Int64, &|i, j| {
                    usize::from(j > 5 + i / 2) * real(i, j)
                }),
            ),
            ("positions", of(ElementType::Int32, &|_, j| j)),
        ])
    }

    fn changed(
        batch: &[(String, Tensor)],
        settings: &AugmentSettings,
        seed: u64,
    ) -> Vec<(String, Tensor)> {
        let augmentation = Augmentation::of(batch, &|_| Some(0), settings);
        let mut out = batch.to_vec();
        let mut generator = Augmentation::generator(seed, 5);
        augmentation
            .apply(&mut out, &mut generator)
            .expect("it fits");
        out
    }

    fn auto() -> AugmentSettings {
        AugmentSettings::default()
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes() {
        let mut batch = texts();
        batch.extend(named(vec![
            ("image", images(ElementType::Float, &[SAMPLES, 3, 12, 12])),
            ("table", images(ElementType::Float, &[SAMPLES, 10])),
        ]));
        let settings = AugmentSettings {
            noise: 0.1,
            ..auto()
        };
        let first = changed(&batch, &settings, 3);
        assert_eq!(first, changed(&batch, &settings, 3));
        let second = changed(&batch, &settings, 4);
        for name in ["ids", "image", "table"] {
            let of = |batch: &[(String, Tensor)]| {
                let mut inputs = batch.iter();
                inputs
                    .find(|(input, _)| input == name)
                    .expect("it is there")
                    .1
                    .clone()
            };
            assert_ne!(of(&batch), of(&first), "{name}");
            assert_ne!(of(&first), of(&second), "{name}");
        }
    }

    #[test]
    fn every_image_is_shifted_by_up_to_two_and_perhaps_mirrored() {
        for (element, shape) in [
            (ElementType::Float, [SAMPLES, 1, 9, 11]),
            (ElementType::Float16, [SAMPLES, 9, 11, 3]),
            (ElementType::Uint8, [SAMPLES, 3, 9, 11]),
        ] {
            let before = images(element, &shape);
            let after = &changed(&named(vec![("x", before.clone())]), &auto(), 1)[0].1;
            assert_eq!(after.element(), element);
            let [channels, height, width] = match shape[3] {
                3 => [2, 0, 1],
                _ => [0, 1, 2],
            };
            let sizes = &shape[1..];
            let each = sizes.iter().product();
            let (before, after) = (before.to_f64(), after.to_f64());
            let mut found = std::collections::BTreeSet::new();
            for (before, after) in before.chunks(each).zip(after.chunks(each)) {
                let pixel = |image: &[f64], at: [usize; 3]| {
                    image[(at[0] * sizes[1] + at[1]) * sizes[2] + at[2]]
                };
                let is = |down: isize, right: isize, mirrored: bool| {
                    (0..each).all(|flat| {
                        let at = [
                            flat / sizes[2] / sizes[1],
                            flat / sizes[2] % sizes[1],
                            flat % sizes[2],
                        ];
                        let mut from = at;
                        if mirrored {
                            from[width] = sizes[width] - 1 - at[width];
                        }
                        for (axis, by) in [(height, down), (width, right)] {
                            from[axis] = from[axis].saturating_add_signed(-by).min(sizes[axis] - 1);
                        }
                        assert_eq!(from[channels], at[channels]);
                        pixel(after, at) == pixel(before, from)
                    })
                };
                let ways = (-2..=2).flat_map(|down| (-2..=2).map(move |right| (down, right)));
                let mut ways = ways.flat_map(|(d, r)| [(d, r, false), (d, r, true)]);
                found.insert(ways.find(|&(d, r, m)| is(d, r, m)).expect("it is moved so"));
            }
            assert!(found.len() > 6, "{found:?}");
        }
    }

    #[test]
    fn only_tokens_change_where_masks_and_types_allow_it() {
        let batch = texts();
        let out = changed(&batch, &auto(), 0);
        assert_eq!(out[1..], batch[1..]);
        let (before, after) = (batch[0].1.to_f64(), out[0].1.to_f64());
        let mut exchanged = 0;
        for (at, (before_it, after_it)) in before.iter().zip(&after).enumerate() {
            let (sample, place) = (at / 32, at % 32);
            if place >= long(sample) {
                assert_eq!(*after_it, 0.0, "padding stays");
                continue;
            }
            assert_ne!(*after_it, 0.0, "no padding comes in");
            let kind = |sample: usize| place > 5 + sample / 2;
            let mut others = (0..SAMPLES).filter(|&other| kind(other) == kind(sample));
            assert!(others.any(|other| before[32 * other + place] == *after_it));
            exchanged += usize::from(before_it != after_it);
        }
        assert!(exchanged > SAMPLES, "{exchanged} tokens");
    }

    #[test]
    fn two_kinds_in_one_model_are_both_changed() {
        let mut batch = texts();
        batch.push((
            "image".to_owned(),
            images(ElementType::Float, &[SAMPLES, 3, 8, 8]),
        ));
        let out = changed(&batch, &auto(), 2);
        let same: Vec<bool> = batch.iter().zip(&out).map(|(a, b)| a == b).collect();
        assert_eq!(same, [false, true, true, true, false]);
    }

    #[test]
    fn a_mask_is_shifted_with_its_rows() {
        let marked = |at: usize| {
            if at / 5 % 28 < 20 {
                1.0 + (mixed(at) % 9) as f64
            } else {
                0.0
            }
        };
        let batch = named(vec![
            (
                "rows",
                tensor(ElementType::Float, &[SAMPLES, 28, 5], marked),
            ),
            (
                "mask",
                tensor(ElementType::Bool, &[SAMPLES, 28], |at| {
                    f64::from(at % 28 < 20)
                }),
            ),
        ]);
        let out = changed(&batch, &auto(), 0);
        assert_ne!(out, batch);
        let (rows, mask) = (out[0].1.to_f64(), out[1].1.to_f64());
        for (row, mask) in rows.chunks(5).zip(mask) {
            assert!(row.iter().all(|&number| (number != 0.0) == (mask == 1.0)));
        }
    }

    #[test]
    fn noise_is_as_large_as_was_asked_for() {
        let batch = named(vec![("x", images(ElementType::Float, &[400, 30]))]);
        assert_eq!(changed(&batch, &auto(), 0), batch);
        let settings = AugmentSettings {
            noise: 0.1,
            ..auto()
        };
        let out = changed(&batch, &settings, 0);
        let (before, after) = (batch[0].1.to_f64(), out[0].1.to_f64());
        let squares = before.iter().zip(&after).map(|(a, b)| (a - b) * (a - b));
        let noise = (squares.sum::<f64>() / 12_000.0).sqrt();
        // Numbers from 0 to 99, all as likely.
        let wanted = 0.1 * (100.0_f64 * 100.0 / 12.0).sqrt();
        assert!((noise / wanted - 1.0).abs() < 0.05, "{noise} for {wanted}");
    }

    #[test]
    fn nothing_is_changed_where_that_is_asked_for() {
        let batch = texts();
        let settings = AugmentSettings {
            kind: AugmentKind::None,
            noise: 0.1,
        };
        assert!(Augmentation::of(&batch, &|_| Some(0), &settings).is_none());
        assert_eq!(changed(&batch, &settings, 0), batch);
    }

    #[test]
    fn a_batch_of_another_form_is_refused() {
        let batch = named(vec![("x", images(ElementType::Float, &[2, 3, 8, 8]))]);
        let augmentation = Augmentation::of(&batch, &|_| Some(0), &auto());
        for other in [
            named(vec![("x", images(ElementType::Float, &[2, 3, 8]))]),
            named(vec![("y", images(ElementType::Float, &[2, 3, 8, 8]))]),
        ] {
            let mut other = other;
            let fault = augmentation.apply(&mut other, &mut Augmentation::generator(0, 0));
            let fault = fault.expect_err("it is refused").to_string();
            assert!(fault.contains("'x'"), "{fault}");
        }
    }
}
