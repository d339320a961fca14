//! How far a candidate's outputs are from a reference's, accumulated over batches.

use serde::Serialize;

use super::divergence::Logs;
use crate::error::{Error, Result};
use crate::runtime::Tensor;

/// Classes that count as found in a top-5 comparison.
pub(super) const TOP: usize = 5;

/// Deviations of one output over all samples. What could not be measured is none: an output without a finite
/// number, without rows of two or more, or with an angle or share of nothing.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Deviation {
    /// The output.
    pub output: String,
    /// Its numbers over all samples.
    pub elements: u64,
    /// Largest absolute difference.
    pub max_absolute: Option<f64>,
    /// Mean absolute difference.
    pub mean_absolute: Option<f64>,
    /// Largest absolute difference over the largest absolute reference.
    pub max_relative: Option<f64>,
    /// Mean absolute difference over the mean absolute reference.
    pub mean_relative: Option<f64>,
    /// Cosine of the angle between the two, all samples as one vector.
    pub cosine: Option<f64>,
    /// Signal to difference in decibels; infinite for equal outputs.
    pub sqnr_db: Option<f64>,
    /// Mean Kullback-Leibler divergence of the softmax along the last axis, reference to candidate.
    pub kl: Option<f64>,
    /// Share of rows with the same largest element.
    pub top1_agreement: Option<f64>,
    /// Share of rows whose largest reference element is among the candidate's five largest.
    pub top5_agreement: Option<f64>,
    /// Numbers of the candidate that are NaN or infinite where the reference's are not.
    pub not_finite: u64,
}

/// Sums from which a [`Deviation`] follows.
#[derive(Clone, Debug, Default)]
struct Sums {
    elements: u64,
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
    /// Outputs of which places of the candidate are `-inf` because what they answer for is gone.
    gone: Vec<String>,
}

impl Deviations {
    /// Where the candidate's places in these outputs may be `-inf`.
    pub(crate) fn but_for(gone: &[String]) -> Deviations {
        Deviations {
            outputs: Vec::new(),
            gone: gone.to_vec(),
        }
    }

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
            let row = a.shape().last().copied().unwrap_or(1);
            let gone = self.gone.contains(name);
            sums.add((&a.to_f64(), &b.to_f64()), row, gone);
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
    fn add(&mut self, (reference, candidate): (&[f64], &[f64]), row: usize, gone: bool) {
        self.elements += reference.len() as u64;
        for (&a, &b) in reference.iter().zip(candidate) {
            if !a.is_finite() || !b.is_finite() {
                let promised = gone && b == f64::NEG_INFINITY;
                self.not_finite += u64::from(a.is_finite() && !promised);
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
        let logs = Logs::of(reference, row);
        for (a, b) in reference.chunks_exact(row).zip(candidate.chunks_exact(row)) {
            self.rows += 1.0;
            self.divergence += logs.divergence(a, b);
            let best = largest(a);
            self.top1 += f64::from(best == largest(b));
            self.top5 += f64::from(rank(b, best) < TOP);
        }
    }

    fn finish(&self, name: &str) -> Deviation {
        let measured = |number: f64| (self.count > 0.0).then_some(number);
        // Nothing of nothing is no difference; something of nothing is infinite.
        let ratio = |part: f64, whole: f64| match whole {
            0.0 if part == 0.0 => 0.0,
            whole => part / whole,
        };
        let by_row = |sum: f64| (self.rows > 0.0).then(|| sum / self.rows);
        let norm = (self.reference_squared * self.candidate_squared).sqrt();
        let cosine = match norm > 0.0 {
            true => Some(self.product / norm),
            // Two vectors of zeros are the same; one of them has no direction.
            false => (self.reference_squared == self.candidate_squared).then_some(1.0),
        };
        let signal = 10.0 * (self.reference_squared / self.difference_squared).log10();
        Deviation {
            output: name.to_owned(),
            elements: self.elements,
            max_absolute: measured(self.largest_difference),
            mean_absolute: measured(self.difference / self.count),
            max_relative: measured(ratio(self.largest_difference, self.largest_reference)),
            mean_relative: measured(ratio(self.difference, self.reference)),
            cosine: cosine.and_then(measured),
            sqnr_db: measured(signal).filter(|signal| !signal.is_nan()),
            kl: by_row(self.divergence),
            top1_agreement: by_row(self.top1),
            top5_agreement: by_row(self.top5),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deviations_match_hand_computed_values() {
        let mut sums = Sums::default();
        sums.add((&[3.0, -4.0, 0.0, 1.0], &[3.0, -2.0, 0.0, 2.0]), 2, false);
        let found = sums.finish("y");
        assert_eq!(found.max_absolute, Some(2.0));
        assert_eq!(found.mean_absolute, Some(0.75));
        assert_eq!(found.max_relative, Some(0.5));
        assert_eq!(found.mean_relative, Some(3.0 / 8.0));
        // 9 + 8 + 2 = 19 over sqrt(26 * 17)
        let cosine = found.cosine.expect("an angle");
        assert!((cosine - 19.0 / (26.0_f64 * 17.0).sqrt()).abs() < 1e-12);
        let signal = found.sqnr_db.expect("a ratio");
        assert!((signal - 10.0 * (26.0_f64 / 5.0).log10()).abs() < 1e-12);
        assert_eq!(found.top1_agreement, Some(1.0));
    }

    #[test]
    fn equal_outputs_have_no_divergence_and_nan_is_counted() {
        let mut sums = Sums::default();
        sums.add((&[1.0, 2.0, f64::NAN], &[1.0, f64::NAN, 0.0]), 3, false);
        assert_eq!(sums.finish("y").not_finite, 1);
        let lost = [f64::NEG_INFINITY, f64::INFINITY, 0.0];
        for (gone, count) in [(false, 2), (true, 1)] {
            let mut sums = Sums::default();
            sums.add((&[1.0, 2.0, 0.0], &lost), 3, gone);
            assert_eq!(sums.finish("y").not_finite, count);
        }
        let mut sums = Sums::default();
        // ln 2 apart with probabilities 1 and 1/2.
        sums.add((&[1.0, 0.0], &[0.5, 0.5]), 2, false);
        let divergence = sums.finish("y").kl.expect("rows");
        assert!((divergence - 2.0_f64.ln()).abs() < 1e-9);
    }

    #[test]
    fn what_was_not_measured_has_no_number() {
        let mut sums = Sums::default();
        sums.add((&[f64::NAN, f64::INFINITY], &[f64::NAN, 1.0]), 1, false);
        let found = sums.finish("y");
        assert_eq!((found.max_relative, found.cosine), (None, None));
        assert_eq!((found.kl, found.top1_agreement), (None, None));
        let mut sums = Sums::default();
        sums.add((&[0.0, 0.0], &[0.0, 1.0]), 1, false);
        let found = sums.finish("y");
        assert_eq!(found.max_relative, Some(f64::INFINITY));
        assert_eq!(found.cosine, None);
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
                .all(|output| output.max_absolute == Some(0.0))
        );
        let mut stored = Deviations::default();
        stored.add(&[named("", 2.0)], &swapped).expect("they fit");
        assert_eq!(stored.finish()[0].max_absolute, Some(0.0));
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
