//! Means over samples, with their intervals.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::deviation::largest;
use crate::runtime::Tensor;

/// Resamplings for the interval of a mean.
const RESAMPLINGS: u64 = 2000;
/// Share of the resampled means that the interval leaves out, both sides together.
const LEFT_OUT: f64 = 0.05;

/// By output that has rows of two and more numbers, and by sample, the share of rows whose largest element is the same.
pub(crate) fn agreements(
    dense: &[(String, Tensor)],
    other: &[(String, Tensor)],
    samples: usize,
) -> Vec<Vec<f64>> {
    let mut out = Vec::new();
    for (name, a) in dense.iter().filter(|(_, a)| a.element().is_float()) {
        let width = a.shape().last().copied().unwrap_or(1);
        let from = a.to_f64();
        let rows = from.len() / width.max(1);
        if width < 2 || samples == 0 || rows < samples || !rows.is_multiple_of(samples) {
            continue;
        }
        let found = other.iter().find(|(known, _)| known == name);
        let Some((_, b)) = found.filter(|(_, b)| b.shape() == a.shape()) else {
            out.push(vec![0.0; samples]);
            continue;
        };
        let to = b.to_f64();
        let pairs = from.chunks_exact(width).zip(to.chunks_exact(width));
        let same = |(a, b): (&[f64], &[f64])| f64::from(u8::from(largest(a) == largest(b)));
        let same: Vec<f64> = pairs.map(same).collect();
        let shares = same.chunks_exact(rows / samples);
        out.push(shares.map(mean).collect());
    }
    out
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
    use crate::onnx::ElementType;

    fn outputs(shape: &[usize], numbers: &[f64]) -> Vec<(String, Tensor)> {
        let tensor = Tensor::from_f64(ElementType::Float, shape, numbers);
        vec![("y".to_owned(), tensor.expect("a tensor"))]
    }

    #[test]
    fn agreement_is_by_output() {
        let a = outputs(&[2, 2], &[1.0, 0.0, 0.0, 1.0]);
        let b = outputs(&[2, 2], &[1.0, 0.0, 1.0, 0.0]);
        assert_eq!(agreements(&a, &b, 2), [[1.0, 0.0]]);
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
