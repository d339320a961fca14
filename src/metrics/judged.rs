//! Outputs compared sample by sample, so that a mean comes with its interval.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::deviation::largest;
use super::divergence::{LARGEST, Logs};
use crate::runtime::Tensor;

/// Resamplings for the interval of a mean.
const RESAMPLINGS: u64 = 2000;
/// Share of the resampled means that the interval leaves out, both sides together.
const LEFT_OUT: f64 = 0.05;

/// How far every sample's outputs are from those of the original, as [`super::divergence`] counts them: their sum is that of
/// the batch.
pub(crate) fn divergences(
    dense: &[(String, Tensor)],
    other: &[(String, Tensor)],
    samples: usize,
) -> Vec<f64> {
    let mut out = vec![0.0; samples];
    for (name, a) in dense.iter().filter(|(_, a)| a.element().is_float()) {
        let Some((_, b)) = other.iter().find(|(known, _)| known == name) else {
            return vec![LARGEST; samples];
        };
        let (from, to) = (a.to_f64(), b.to_f64());
        let parts = match a.shape() {
            [_, classes] if *classes > 1 => by_row(&from, &to, *classes),
            _ => by_energy(&from, &to, samples),
        };
        // An output that is not by sample is of all of them alike.
        if parts.len() < samples || !parts.len().is_multiple_of(samples) {
            let share = finite(parts.iter().sum()) / samples as f64;
            out.iter_mut().for_each(|sum| *sum += share);
            continue;
        }
        let rows = parts.len() / samples;
        for (sum, rows) in out.iter_mut().zip(parts.chunks_exact(rows)) {
            *sum += finite(rows.iter().sum());
        }
    }
    out
}

fn by_row(from: &[f64], to: &[f64], classes: usize) -> Vec<f64> {
    let logs = Logs::of(from, classes);
    let rows = from.chunks_exact(classes).zip(to.chunks_exact(classes));
    rows.map(|(from, to)| logs.divergence(from, to)).collect()
}

fn by_energy(from: &[f64], to: &[f64], samples: usize) -> Vec<f64> {
    let energy: f64 = from.iter().map(|x| x * x).sum();
    let size = (from.len() / samples.max(1)).max(1);
    let pairs = from.chunks(size).zip(to.chunks(size));
    let error = |(a, b): (&[f64], &[f64])| {
        let pairs = a.iter().zip(b);
        pairs.map(|(a, b)| (a - b) * (a - b)).sum::<f64>() * samples as f64
            / energy.max(f64::MIN_POSITIVE)
    };
    pairs.map(error).collect()
}

fn finite(number: f64) -> f64 {
    if number.is_finite() { number } else { LARGEST }
}

/// By sample the share of rows whose largest element is the same, of the output in which fewest are; empty where no output has
/// rows of two and more numbers.
pub(crate) fn agreements(
    dense: &[(String, Tensor)],
    other: &[(String, Tensor)],
    samples: usize,
) -> Vec<f64> {
    let mut worst: Vec<f64> = Vec::new();
    for (name, a) in dense.iter().filter(|(_, a)| a.element().is_float()) {
        let width = a.shape().last().copied().unwrap_or(1);
        let Some((_, b)) = other.iter().find(|(known, _)| known == name) else {
            return vec![0.0; samples];
        };
        let (from, to) = (a.to_f64(), b.to_f64());
        let rows = from.len() / width.max(1);
        if width < 2 || rows < samples || !rows.is_multiple_of(samples) {
            continue;
        }
        let rows = from.chunks_exact(width).zip(to.chunks_exact(width));
        let same = |(a, b): (&[f64], &[f64])| f64::from(u8::from(largest(a) == largest(b)));
        let same: Vec<f64> = rows.map(same).collect();
        let per = same.len() / samples;
        let shares: Vec<f64> = same
            .chunks_exact(per)
            .map(|rows| rows.iter().sum::<f64>() / per as f64)
            .collect();
        if worst.is_empty() || mean(&shares) < mean(&worst) {
            worst = shares;
        }
    }
    worst
}

/// The mean of numbers; 0 of none.
pub(crate) fn mean(numbers: &[f64]) -> f64 {
    numbers.iter().sum::<f64>() / numbers.len().max(1) as f64
}

/// 95 % interval of the mean by bootstrap, the same at any number of threads.
pub(crate) fn interval_of_mean(numbers: &[f64], seed: u64) -> [f64; 2] {
    if numbers.is_empty() {
        return [0.0; 2];
    }
    let mut means: Vec<f64> = (0..RESAMPLINGS)
        .into_par_iter()
        .map(|number| {
            let mut generator = ChaCha8Rng::seed_from_u64(seed);
            generator.set_stream(number);
            let pick = |_| numbers[generator.random_range(0..numbers.len())];
            (0..numbers.len()).map(pick).sum::<f64>() / numbers.len() as f64
        })
        .collect();
    means.sort_by(f64::total_cmp);
    let at = |share: f64| means[((means.len() - 1) as f64 * share).round() as usize];
    [at(LEFT_OUT / 2.0), at(1.0 - LEFT_OUT / 2.0)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::divergence;
    use crate::onnx::ElementType;

    fn outputs(shape: &[usize], numbers: &[f64]) -> Vec<(String, Tensor)> {
        let tensor = Tensor::from_f64(ElementType::Float, shape, numbers);
        vec![("y".to_owned(), tensor.expect("a tensor"))]
    }

    #[test]
    fn samples_add_up_to_the_batch() {
        for shape in [vec![4, 2], vec![2, 4], vec![2, 2, 2], vec![8]] {
            let a = outputs(&shape, &[1.0, 0.0, -1.0, 2.0, 0.5, 0.0, 3.0, 1.0]);
            let b = outputs(&shape, &[0.0, 0.5, -1.0, 1.0, 0.5, 1.0, 2.0, 1.0]);
            let each = divergences(&a, &b, 2);
            assert_eq!(each.len(), 2);
            let sum: f64 = each.iter().sum();
            assert!((sum - divergence(&a, &b, 2)).abs() < 1e-9, "{shape:?}");
        }
    }

    #[test]
    fn agreement_is_of_the_worst_output() {
        let a = outputs(&[2, 2], &[1.0, 0.0, 0.0, 1.0]);
        let b = outputs(&[2, 2], &[1.0, 0.0, 1.0, 0.0]);
        assert_eq!(agreements(&a, &b, 2), [1.0, 0.0]);
        assert!(
            agreements(
                &outputs(&[2, 1], &[1.0, 0.0]),
                &outputs(&[2, 1], &[1.0, 0.0]),
                2
            )
            .is_empty()
        );
    }

    #[test]
    fn an_interval_holds_its_mean_and_narrows() {
        let few: Vec<f64> = (0..20).map(|n| f64::from(n % 2)).collect();
        let many: Vec<f64> = (0..2000).map(|n| f64::from(n % 2)).collect();
        let width = |numbers: &[f64]| {
            let [low, high] = interval_of_mean(numbers, 0);
            assert!(low <= 0.5 && 0.5 <= high);
            high - low
        };
        assert!(width(&many) < width(&few) / 5.0);
    }
}
