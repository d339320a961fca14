//! How far outputs are from those of the original.

use crate::runtime::Tensor;

/// What counts as infinitely far.
pub(crate) const LARGEST: f64 = 1e9;
/// Probabilities below this count as this.
const LEAST: f64 = 1e-12;
/// How far from 1 the sum of a row of probabilities may be.
const ROUNDING: f64 = 1e-3;

/// Sum over samples of how far `other` is from `dense`, over all outputs: for one row of classes per sample the
/// Kullback-Leibler divergence, for other real numbers the squared error as a share of the energy, times the number of samples,
/// and for integers the share of those that differ, times the number of samples.
pub(crate) fn divergence(
    dense: &[(String, Tensor)],
    other: &[(String, Tensor)],
    samples: usize,
) -> f64 {
    let mut sum = 0.0;
    for (name, a) in dense {
        let Some((_, b)) = other.iter().find(|(known, _)| known == name) else {
            return LARGEST;
        };
        let (from, to) = (a.to_f64(), b.to_f64());
        let part = match a.shape() {
            _ if !a.element().is_float() => {
                let shares = by_difference(&from, &to, 1);
                shares.iter().sum::<f64>() * samples as f64
            }
            [_, classes] if *classes > 1 => by_row(&from, &to, *classes).iter().sum(),
            _ => samples as f64 * relative(&from, &to),
        };
        sum += finite(part);
    }
    sum
}

fn relative(from: &[f64], to: &[f64]) -> f64 {
    error(from, to) / energy(from).max(f64::MIN_POSITIVE)
}

/// The sum of squares; a place that is `-inf` is one that nothing can take.
fn energy(numbers: &[f64]) -> f64 {
    let numbers = numbers.iter().filter(|&&x| x != f64::NEG_INFINITY);
    numbers.map(|x| x * x).sum()
}

/// The sum of squared differences; of equal numbers, also infinite ones, there is none.
fn error(from: &[f64], to: &[f64]) -> f64 {
    let pairs = from.iter().zip(to).filter(|(a, b)| a != b);
    pairs.map(|(a, b)| (a - b) * (a - b)).sum()
}

/// The same by sample: the sum is that of the batch, but for what is not finite.
pub(crate) fn divergences(
    dense: &[(String, Tensor)],
    other: &[(String, Tensor)],
    samples: usize,
) -> Vec<f64> {
    let mut out = vec![0.0; samples.max(1)];
    let samples = out.len();
    for (name, a) in dense {
        let Some((_, b)) = other.iter().find(|(known, _)| known == name) else {
            return vec![LARGEST; samples];
        };
        let (from, to) = (a.to_f64(), b.to_f64());
        let parts = match a.shape() {
            _ if !a.element().is_float() => by_difference(&from, &to, samples),
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

/// By sample the share of elements that differ; of an output that is not by sample, of all together.
fn by_difference(from: &[f64], to: &[f64], samples: usize) -> Vec<f64> {
    let size = (from.len() / samples).max(1);
    let pairs = from.chunks(size).zip(to.chunks(size));
    let differ = |(a, b): (&[f64], &[f64])| {
        let same = a.iter().zip(b).filter(|(a, b)| a == b).count();
        let others = a.len() - same;
        others as f64 * samples as f64 / from.len().max(1) as f64
    };
    pairs.map(differ).collect()
}

fn by_row(from: &[f64], to: &[f64], classes: usize) -> Vec<f64> {
    let logs = Logs::of(from, classes);
    let rows = from.chunks_exact(classes).zip(to.chunks_exact(classes));
    rows.map(|(from, to)| logs.divergence(from, to)).collect()
}

fn by_energy(from: &[f64], to: &[f64], samples: usize) -> Vec<f64> {
    let energy = energy(from).max(f64::MIN_POSITIVE);
    let size = (from.len() / samples.max(1)).max(1);
    let pairs = from.chunks(size).zip(to.chunks(size));
    let share = |(a, b): (&[f64], &[f64])| error(a, b) * samples as f64 / energy;
    pairs.map(share).collect()
}

fn finite(number: f64) -> f64 {
    if number.is_finite() { number } else { LARGEST }
}

/// How rows of classes become logarithms of probabilities.
#[derive(Clone, Copy)]
pub(crate) enum Logs {
    /// They are probabilities.
    OfProbabilities,
    /// They are logits.
    OfLogits,
}

impl Logs {
    /// What rows like these hold: logits, unless all of them are of no negative number and add up to 1. All
    /// rows of a tensor decide together: of logits a single row may add up to 1 by chance.
    pub(crate) fn of(rows: &[f64], classes: usize) -> Logs {
        let probabilities = |row: &[f64]| {
            let sum = row.iter().sum::<f64>();
            row.iter().all(|&p| p >= 0.0) && (sum - 1.0).abs() < ROUNDING
        };
        match rows.chunks_exact(classes).all(probabilities) {
            true => Logs::OfProbabilities,
            false => Logs::OfLogits,
        }
    }

    pub(crate) fn row(self, row: &[f64]) -> Vec<f64> {
        match self {
            Logs::OfProbabilities => row.iter().map(|p| p.max(LEAST).ln()).collect(),
            Logs::OfLogits => log_softmax(row),
        }
    }

    /// Kullback-Leibler divergence of a row to another of the same kind.
    pub(super) fn divergence(self, from: &[f64], to: &[f64]) -> f64 {
        let (from, to) = (self.row(from), self.row(to));
        // What has no probability adds nothing.
        let pairs = from
            .iter()
            .zip(&to)
            .filter(|(a, _)| **a != f64::NEG_INFINITY);
        let sum: f64 = pairs.map(|(a, b)| a.exp() * (a - b)).sum();
        // A maximum would take 0 for what is no number.
        if sum < 0.0 { 0.0 } else { sum }
    }
}

fn log_softmax(row: &[f64]) -> Vec<f64> {
    let most = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = row.iter().map(|x| (x - most).exp()).sum();
    row.iter().map(|x| x - most - sum.ln()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_that_nothing_can_take_are_no_difference() {
        let gone = f64::NEG_INFINITY;
        for shape in [vec![2, 2], vec![2, 1, 2]] {
            let a = tensor(&shape, &[1.0, gone, 2.0, gone]);
            assert_eq!(divergence(&a, &a, 2), 0.0, "{shape:?}");
            assert_eq!(divergences(&a, &a, 2), [0.0, 0.0], "{shape:?}");
            let whole = tensor(&shape, &[1.0, 0.5, 2.0, 0.5]);
            assert!(divergence(&whole, &a, 2) >= LARGEST, "{shape:?}");
        }
    }

    #[test]
    fn samples_add_up_to_the_batch() {
        for shape in [vec![4, 2], vec![2, 4], vec![2, 2, 2], vec![8]] {
            let a = tensor(&shape, &[1.0, 0.0, -1.0, 2.0, 0.5, 0.0, 3.0, 1.0]);
            let b = tensor(&shape, &[0.0, 0.5, -1.0, 1.0, 0.5, 1.0, 2.0, 1.0]);
            let each = divergences(&a, &b, 2);
            assert_eq!(each.len(), 2);
            let sum: f64 = each.iter().sum();
            assert!((sum - divergence(&a, &b, 2)).abs() < 1e-9, "{shape:?}");
        }
    }

    #[test]
    fn integers_that_differ_count() {
        let integers = |numbers: &[f64]| {
            let tensor = Tensor::from_f64(crate::onnx::ElementType::Int64, &[4], numbers);
            vec![("y".to_owned(), tensor.expect("a tensor"))]
        };
        let (a, b) = (
            integers(&[1.0, 2.0, 3.0, 4.0]),
            integers(&[1.0, 0.0, 3.0, 4.0]),
        );
        assert_eq!(divergences(&a, &b, 4), [0.0, 1.0, 0.0, 0.0]);
        assert_eq!(divergence(&a, &a, 4), 0.0);
    }

    fn tensor(shape: &[usize], numbers: &[f64]) -> Vec<(String, Tensor)> {
        let tensor = Tensor::from_f64(crate::onnx::ElementType::Float, shape, numbers);
        vec![("y".to_owned(), tensor.expect("a tensor"))]
    }

    #[test]
    fn classes_diverge_by_kullback_leibler_whether_logits_or_probabilities() {
        let (a, b) = ([-1.0, 0.0], [0.0, -1.0]);
        let logits = divergence(&tensor(&[1, 2], &a), &tensor(&[1, 2], &b), 1);
        let soft = |x: [f64; 2]| log_softmax(&x).iter().map(|l| l.exp()).collect::<Vec<_>>();
        let same = divergence(&tensor(&[1, 2], &soft(a)), &tensor(&[1, 2], &soft(b)), 1);
        // KL of (p, 1 - p) and (1 - p, p) is (1 - 2p) ln((1 - p) / p), with p = 1 / (1 + e).
        let p = 1.0 / (1.0 + 1_f64.exp());
        let expected = (1.0 - 2.0 * p) * ((1.0 - p) / p).ln();
        assert!((logits - expected).abs() < 1e-6 && (same - expected).abs() < 1e-6);
    }

    #[test]
    fn one_row_of_logits_makes_all_rows_logits() {
        let rows = [0.25, 0.75, -1.0, 2.0];
        assert!(matches!(Logs::of(&rows, 2), Logs::OfLogits));
        assert!(matches!(Logs::of(&rows[..2], 2), Logs::OfProbabilities));
        let of_logits = divergence(&tensor(&[2, 2], &rows), &tensor(&[2, 2], &rows), 2);
        assert!(of_logits.abs() < 1e-9);
    }

    #[test]
    fn other_outputs_diverge_by_their_relative_error() {
        let (a, b) = (tensor(&[2, 1], &[3.0, 4.0]), tensor(&[2, 1], &[3.0, 5.0]));
        assert!((divergence(&a, &b, 2) - 2.0 / 25.0).abs() < 1e-9);
        let nan = tensor(&[2, 1], &[f64::NAN, 0.0]);
        assert_eq!(divergence(&a, &nan, 2), LARGEST);
        let (rows, lost) = ([1.0, 2.0], [f64::NAN, 2.0]);
        let rows = tensor(&[1, 2], &rows);
        assert_eq!(divergence(&rows, &tensor(&[1, 2], &lost), 1), LARGEST);
    }
}
