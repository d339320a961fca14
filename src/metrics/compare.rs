//! How far two tensors are from each other.

use serde::Serialize;

use crate::error::{Error, ProofFault, Result};
use crate::runtime::Tensor;

/// How far an output is from its reference, and how far rounding may take it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OutputDeviation {
    /// The output's name.
    pub name: String,
    /// Largest absolute difference over the largest absolute value of the reference; for integers and
    /// Booleans the share of elements that differ.
    pub relative: f64,
    /// What was allowed, in the same unit.
    pub allowed: f64,
    /// True if the output says something: it, or what enters it, is finite and varies by more than what was
    /// allowed.
    pub informative: bool,
}

/// The distance between two tensors of one shape.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Gap {
    /// Largest absolute difference; infinite where only one of both is finite. For integers and Booleans the
    /// share of elements that differ.
    pub(crate) error: f64,
    /// Largest absolute finite value of the first; 1 for integers and Booleans.
    pub(crate) scale: f64,
}

impl Gap {
    /// From a reference to a candidate of the same shape.
    pub(crate) fn between(reference: &Tensor, candidate: &Tensor) -> Gap {
        let (a, b) = (reference.to_f64(), candidate.to_f64());
        if reference.element().is_float() {
            return Gap::of_numbers(&a, &b);
        }
        let unequal = a.iter().zip(&b).filter(|(x, y)| x != y).count();
        Gap {
            error: unequal as f64 / a.len().max(1) as f64,
            scale: 1.0,
        }
    }

    /// Values that are not finite must be the same on both sides, or the error is infinite.
    fn of_numbers(reference: &[f64], candidate: &[f64]) -> Gap {
        let mut gap = Gap::default();
        for (&a, &b) in reference.iter().zip(candidate) {
            if a.is_finite() && b.is_finite() {
                gap.error = gap.error.max((a - b).abs());
                gap.scale = gap.scale.max(a.abs());
            } else if !(a == b || a.is_nan() && b.is_nan()) {
                gap.error = f64::INFINITY;
            }
        }
        gap
    }

    /// A difference in units of the scale.
    pub(crate) fn relative(self, difference: f64) -> f64 {
        match self.scale > 0.0 {
            true => difference / self.scale,
            false if difference == 0.0 => 0.0,
            false => f64::INFINITY,
        }
    }
}

/// Largest distance between two elements of a tensor; none where one is not finite.
pub(crate) fn spread(tensor: &Tensor) -> Option<f64> {
    let numbers = tensor.to_f64();
    let least = numbers.iter().copied().fold(f64::INFINITY, f64::min);
    let most = numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let finite = numbers.iter().all(|x| x.is_finite());
    (finite && !numbers.is_empty()).then_some(most - least)
}

/// Refuses outputs that differ from their references in number, name, type or shape.
///
/// # Errors
/// [`Error::Verification`] with the first difference.
pub(crate) fn same_form(
    reference: &[(String, Tensor)],
    candidate: &[(String, Tensor)],
) -> Result<()> {
    let changed = |what: &str, before: String, after: String| {
        Err(Error::Verification {
            reference: "the original",
            fault: ProofFault::Signature {
                what: what.to_owned(),
                before,
                after,
            },
        })
    };
    let names = |list: &[(String, Tensor)]| -> Vec<String> {
        list.iter().map(|(name, _)| name.clone()).collect()
    };
    let (before, after) = (names(reference), names(candidate));
    if before != after {
        return changed("the outputs", before.join(", "), after.join(", "));
    }
    for ((name, a), (_, b)) in reference.iter().zip(candidate) {
        let form = |tensor: &Tensor| format!("{}{:?}", tensor.element(), tensor.shape());
        if form(a) != form(b) {
            return changed(&format!("output '{name}'"), form(a), form(b));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_equal_non_finite_values_are_equal() {
        let nan = f64::NAN;
        let relative = |a: &[f64], b: &[f64]| {
            let gap = Gap::of_numbers(a, b);
            gap.relative(gap.error)
        };
        assert_eq!(relative(&[1.0, nan], &[1.0, nan]), 0.0);
        assert_eq!(relative(&[1.0, nan], &[1.0, 2.0]), f64::INFINITY);
        let infinite = [1.0, f64::INFINITY];
        assert_eq!(relative(&infinite, &infinite), 0.0);
        assert_eq!(relative(&[2.0, -4.0], &[2.0, -3.0]), 0.25);
        assert_eq!(relative(&[0.0], &[1e-30]), f64::INFINITY);
    }
}
