//! Gradients of a log-likelihood at the outputs, for answers that are drawn from the model itself or given.
//!
//! The mean square of a gradient is Fisher information where answers are drawn from what the model believes: a class from
//! its own probabilities, or numbers from a normal distribution around its own.

use rand::RngExt;

use crate::error::Result;
use crate::random::{generator, normal};
use crate::runtime::Tensor;
use crate::train::Comparison;

/// Probabilities below this count as this.
const LEAST: f64 = 1e-7;

/// An output whose answers are drawn.
pub(super) struct Drawn<'a> {
    pub(super) name: &'a str,
    pub(super) comparison: Comparison,
    pub(super) output: &'a Tensor,
    /// The number of the first sample, and how many there are.
    pub(super) first: usize,
    pub(super) samples: usize,
}

/// The gradient of the log-likelihood of an answer, of the shape of the output.
///
/// Classes: of a label that is drawn for each row. Numbers: of a normal distribution around the output, whose width is
/// such that information is half a squared error in units of the output's energy, as divergences are.
///
/// # Errors
/// An element type that sessions do not take.
pub(super) fn drawn(of: &Drawn, draw: usize, seed: u64) -> Result<Tensor> {
    let numbers = of.output.to_f64();
    let per_sample = numbers.len() / of.samples.max(1);
    let mut seeds = vec![0.0; numbers.len()];
    let energy = numbers.iter().map(|x| x * x).sum::<f64>() / of.samples.max(1) as f64;
    let scale = (2.0 / energy.max(f64::from(f32::MIN_POSITIVE))).sqrt();
    let scale = if energy > 0.0 { scale } else { 1.0 };
    let rows = numbers
        .chunks(per_sample.max(1))
        .zip(seeds.chunks_mut(per_sample.max(1)));
    for (sample, (row, seeds)) in rows.enumerate() {
        let name = format!("{} {draw} {}", of.name, of.first + sample);
        let mut random = generator(&name, seed);
        match of.comparison {
            Comparison::Values => seeds
                .iter_mut()
                .for_each(|seed| *seed = scale * normal(&mut random)),
            _ => {
                let p = probabilities(of.comparison, row);
                let label = drawn_label(&p, random.random::<f64>());
                of_label(of.comparison, &p, label, seeds);
            }
        }
    }
    Tensor::from_numbers(of.output.element(), of.output.shape(), seeds.into_iter())
}

/// The gradient of the log-likelihood of given answers: rows with a 1, or numbers.
///
/// # Errors
/// As [`drawn`].
pub(super) fn given(comparison: Comparison, output: &Tensor, answers: &Tensor) -> Result<Tensor> {
    let (numbers, answers) = (output.to_f64(), answers.to_f64());
    let mut seeds = vec![0.0; numbers.len()];
    match comparison {
        Comparison::Values => {
            let pairs = numbers.iter().zip(&answers);
            let errors = pairs.map(|(y, t)| t - y);
            seeds
                .iter_mut()
                .zip(errors)
                .for_each(|(seed, error)| *seed = error);
        }
        _ => {
            let width = output.shape().last().copied().unwrap_or(1).max(1);
            let rows = numbers.chunks(width).zip(answers.chunks(width));
            for ((row, right), seeds) in rows.zip(seeds.chunks_mut(width)) {
                if let Some(label) = right.iter().position(|&one| one > 0.5) {
                    of_label(comparison, &probabilities(comparison, row), label, seeds);
                }
            }
        }
    }
    Tensor::from_numbers(output.element(), output.shape(), seeds.into_iter())
}

fn probabilities(comparison: Comparison, row: &[f64]) -> Vec<f64> {
    if comparison == Comparison::Probabilities {
        return row.to_vec();
    }
    let most = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = row.iter().map(|z| (z - most).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.iter().map(|power| power / sum).collect()
}

/// The class in whose part of the unit interval a number falls.
fn drawn_label(p: &[f64], at: f64) -> usize {
    let mut left = at * p.iter().sum::<f64>();
    for (label, p) in p.iter().enumerate() {
        left -= p;
        if left < 0.0 {
            return label;
        }
    }
    p.len().saturating_sub(1)
}

fn of_label(comparison: Comparison, p: &[f64], label: usize, seeds: &mut [f64]) {
    match comparison {
        Comparison::Probabilities => seeds[label] = 1.0 / p[label].max(LEAST),
        _ => {
            for (class, (seed, p)) in seeds.iter_mut().zip(p).enumerate() {
                *seed = f64::from(u8::from(class == label)) - p;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::ElementType;

    #[test]
    fn labels_are_drawn_as_often_as_the_model_believes() {
        let z: Vec<f64> = [0.7_f64, 0.2, 0.1].iter().map(|p| p.ln()).collect();
        let output = Tensor::from_f64(ElementType::Float, &[4000, 3], &z.repeat(4000));
        let output = output.expect("a tensor");
        let of = Drawn {
            name: "y",
            comparison: Comparison::Logits,
            output: &output,
            first: 0,
            samples: 4000,
        };
        let seeds = drawn(&of, 0, 3).expect("seeds").to_f64();
        // A seed is positive at the label alone.
        for (class, p) in [0.7, 0.2, 0.1].into_iter().enumerate() {
            let count = seeds.chunks(3).filter(|row| row[class] > 0.0).count();
            assert!((count as f64 / 4000.0 - p).abs() < 0.02, "{class}: {count}");
        }
        assert_eq!(seeds, drawn(&of, 0, 3).expect("seeds").to_f64());
        assert_ne!(seeds, drawn(&of, 1, 3).expect("seeds").to_f64());
    }

    #[test]
    fn what_is_drawn_for_a_sample_does_not_depend_on_its_batch() {
        let numbers: Vec<f64> = (0..12).map(f64::from).collect();
        let rows = |from: usize, to: usize| {
            let output = Tensor::from_f64(
                ElementType::Float,
                &[to - from, 2],
                &numbers[2 * from..2 * to],
            );
            let output = output.expect("a tensor");
            let of = Drawn {
                name: "y",
                comparison: Comparison::Logits,
                output: &output,
                first: from,
                samples: to - from,
            };
            drawn(&of, 2, 1).expect("seeds").to_f64()
        };
        assert_eq!(rows(0, 6), [rows(0, 4), rows(4, 6)].concat());
    }
}
