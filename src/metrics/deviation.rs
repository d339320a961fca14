//! How far a candidate's outputs are from a reference's, accumulated over batches.

use serde::Serialize;

use crate::error::{Error, Result};
use crate::runtime::Tensor;

/// Classes that count as found in a top-5 comparison.
pub(super) const TOP: usize = 5;
/// A row whose numbers add up to 1 within this is taken for probabilities already.
const SUM_OF_PROBABILITIES: f64 = 1e-3;
/// Probabilities below this count as this in a logarithm.
const SMALLEST_PROBABILITY: f64 = 1e-12;

/// Deviations of one output over all samples.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Deviation {
    /// The output.
    pub output: String,
    /// Largest absolute difference.
    pub max_absolute: f64,
    /// Mean absolute difference.
    pub mean_absolute: f64,
    /// Largest absolute difference over the largest absolute reference.
    pub max_relative: f64,
    /// Mean absolute difference over the mean absolute reference.
    pub mean_relative: f64,
    /// Cosine of the angle between the two, all samples as one vector.
    pub cosine: f64,
    /// Signal to difference in decibels; infinite for equal outputs.
    pub sqnr_db: f64,
    /// Mean Kullback-Leibler divergence of the softmax along the last axis, reference to candidate.
    pub kl: f64,
    /// Share of rows with the same largest element.
    pub top1_agreement: f64,
    /// Share of rows whose largest reference element is among the candidate's five largest.
    pub top5_agreement: f64,
    /// Numbers of the candidate that are NaN or infinite where the reference's are not.
    pub not_finite: u64,
}

/// Sums from which a [`Deviation`] follows.
#[derive(Clone, Debug, Default)]
struct Sums {
    count: f64,
    difference: f64,
    difference_squared: f64,
    largest_difference: f64,
    reference: f64,
    reference_squared: f64,
    largest_reference: f64,
    candidate_squared: f64,
    product: f64,
    rows: f64,
    divergence: f64,
    top1: f64,
    top5: f64,
    not_finite: u64,
}

/// Accumulates the deviations of all outputs of a model.
#[derive(Clone, Debug, Default)]
pub(crate) struct Deviations {
    outputs: Vec<(String, Sums)>,
}

impl Deviations {
    /// Adds a batch: outputs of both models.
    pub(crate) fn add(
        &mut self,
        reference: &[(String, Tensor)],
        candidate: &[(String, Tensor)],
    ) -> Result<()> {
        if self.outputs.is_empty() {
            let names = reference
                .iter()
                .map(|(name, _)| (name.clone(), Sums::default()));
            self.outputs = names.collect();
        }
        let pairs = reference.iter().zip(&mut self.outputs).enumerate();
        for (place, ((name, a), (_, sums))) in pairs {
            let Some(b) = counterpart(candidate, name, place) else {
                return Err(Error::Signatures {
                    differences: vec![format!("there is no output '{name}' to compare")],
                });
            };
            if a.shape() != b.shape() {
                return Err(Error::Signatures {
                    differences: vec![format!(
                        "output '{name}' has shape {:?} and {:?}",
                        a.shape(),
                        b.shape()
                    )],
                });
            }
            sums.add(
                &a.to_f64(),
                &b.to_f64(),
                a.shape().last().copied().unwrap_or(1),
            );
        }
        Ok(())
    }

    /// What has been found so far.
    pub(crate) fn finish(&self) -> Vec<Deviation> {
        self.outputs
            .iter()
            .map(|(name, sums)| sums.finish(name))
            .collect()
    }
}

/// The output called `name`; where none is (stored outputs may have no names) the one at `place`.
pub(crate) fn counterpart<'a>(
    outputs: &'a [(String, Tensor)],
    name: &str,
    place: usize,
) -> Option<&'a Tensor> {
    let named = outputs.iter().find(|(other, _)| other == name);
    named
        .or_else(|| outputs.get(place))
        .map(|(_, tensor)| tensor)
}

impl Sums {
    fn add(&mut self, reference: &[f64], candidate: &[f64], row: usize) {
        for (&a, &b) in reference.iter().zip(candidate) {
            if !a.is_finite() || !b.is_finite() {
                self.not_finite += u64::from(a.is_finite());
                continue;
            }
            let difference = (a - b).abs();
            self.count += 1.0;
            self.difference += difference;
            self.difference_squared += difference * difference;
            self.largest_difference = self.largest_difference.max(difference);
            self.reference += a.abs();
            self.reference_squared += a * a;
            self.largest_reference = self.largest_reference.max(a.abs());
            self.candidate_squared += b * b;
            self.product += a * b;
        }
        if row < 2 {
            return;
        }
        for (a, b) in reference.chunks_exact(row).zip(candidate.chunks_exact(row)) {
            self.rows += 1.0;
            self.divergence += divergence(a, b);
            let best = largest(a);
            self.top1 += f64::from(best == largest(b));
            self.top5 += f64::from(rank(b, best) < TOP);
        }
    }

    fn finish(&self, name: &str) -> Deviation {
        let ratio = |part: f64, whole: f64| match whole {
            0.0 if part == 0.0 => 0.0,
            whole => part / whole,
        };
        let norm = (self.reference_squared * self.candidate_squared).sqrt();
        Deviation {
            output: name.to_owned(),
            max_absolute: self.largest_difference,
            mean_absolute: ratio(self.difference, self.count),
            max_relative: ratio(self.largest_difference, self.largest_reference),
            mean_relative: ratio(self.difference, self.reference),
            cosine: if norm > 0.0 { self.product / norm } else { 1.0 },
            sqnr_db: 10.0 * (self.reference_squared / self.difference_squared).log10(),
            kl: ratio(self.divergence, self.rows),
            top1_agreement: if self.rows > 0.0 {
                self.top1 / self.rows
            } else {
                1.0
            },
            top5_agreement: if self.rows > 0.0 {
                self.top5 / self.rows
            } else {
                1.0
            },
            not_finite: self.not_finite,
        }
    }
}

/// Position of the largest element; the first of equals.
pub(super) fn largest(row: &[f64]) -> usize {
    let mut best = 0;
    for (place, value) in row.iter().enumerate() {
        if *value > row[best] || row[best].is_nan() {
            best = place;
        }
    }
    best
}

/// Number of elements that are larger than the one at `place`, or equal and before it.
pub(super) fn rank(row: &[f64], place: usize) -> usize {
    let Some(&own) = row.get(place) else {
        return row.len();
    };
    let before = |(at, &other): (usize, &f64)| other > own || (other == own && at < place);
    row.iter().enumerate().filter(|&pair| before(pair)).count()
}

/// KL(softmax(a) || softmax(b)); rows that are probabilities already are taken as they are.
fn divergence(a: &[f64], b: &[f64]) -> f64 {
    let (p, q) = (probabilities(a), probabilities(b));
    let term = |(p, q): (&f64, &f64)| match *p > 0.0 {
        true => p * (p.max(SMALLEST_PROBABILITY) / q.max(SMALLEST_PROBABILITY)).ln(),
        false => 0.0,
    };
    p.iter().zip(&q).map(term).sum()
}

pub(super) fn probabilities(row: &[f64]) -> Vec<f64> {
    let sum: f64 = row.iter().sum();
    if (sum - 1.0).abs() < SUM_OF_PROBABILITIES && row.iter().all(|&x| x >= 0.0) {
        return row.to_vec();
    }
    let top = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = row.iter().map(|x| (x - top).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deviations_match_hand_computed_values() {
        let mut sums = Sums::default();
        sums.add(&[3.0, -4.0, 0.0, 1.0], &[3.0, -2.0, 0.0, 2.0], 2);
        let found = sums.finish("y");
        assert_eq!(found.max_absolute, 2.0);
        assert_eq!(found.mean_absolute, 0.75);
        assert_eq!(found.max_relative, 0.5);
        assert_eq!(found.mean_relative, 3.0 / 8.0);
        // 9 + 8 + 2 = 19 over sqrt(26 * 17)
        assert!((found.cosine - 19.0 / (26.0_f64 * 17.0).sqrt()).abs() < 1e-12);
        assert!((found.sqnr_db - 10.0 * (26.0_f64 / 5.0).log10()).abs() < 1e-12);
        assert_eq!(found.top1_agreement, 1.0);
    }

    #[test]
    fn equal_outputs_have_no_divergence_and_nan_is_counted() {
        let mut sums = Sums::default();
        sums.add(&[1.0, 2.0, f64::NAN], &[1.0, f64::NAN, 0.0], 3);
        assert_eq!(sums.finish("y").not_finite, 1);
        assert!(divergence(&[1.0, 2.0], &[1.0, 2.0]).abs() < 1e-12);
        // ln 2 apart with probabilities 1 and 1/2.
        assert!((divergence(&[1.0, 0.0], &[0.5, 0.5]) - 2.0_f64.ln()).abs() < 1e-9);
    }

    #[test]
    fn outputs_are_matched_by_name() {
        let tensor = |x: f64| {
            Tensor::from_f64(crate::onnx::ElementType::Float, &[1], &[x]).expect("a tensor")
        };
        let named = |name: &str, x: f64| (name.to_owned(), tensor(x));
        let mut sums = Deviations::default();
        let swapped = [named("b", 2.0), named("a", 1.0)];
        sums.add(&[named("a", 1.0), named("b", 2.0)], &swapped)
            .expect("they fit");
        assert!(
            sums.finish()
                .iter()
                .all(|output| output.max_absolute == 0.0)
        );
        let mut stored = Deviations::default();
        stored.add(&[named("", 2.0)], &swapped).expect("they fit");
        assert_eq!(stored.finish()[0].max_absolute, 0.0);
    }

    #[test]
    fn ranks_count_from_the_largest() {
        let row = [0.1, 0.7, 0.1, 0.1];
        assert_eq!(largest(&row), 1);
        assert_eq!(rank(&row, 1), 0);
        assert_eq!(rank(&row, 0), 1);
        assert_eq!(rank(&row, 3), 3);
    }
}
