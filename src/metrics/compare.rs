//! How far two sets of outputs are from each other.

use serde::Serialize;

use crate::error::{Error, Result};
use crate::onnx::ElementType;
use crate::runtime::Tensor;

/// How far an output is from its reference.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OutputDeviation {
    /// The output's name.
    pub name: String,
    /// Largest absolute difference over the largest absolute value of the reference; for integers and
    /// Booleans the share of elements that differ.
    pub relative: f64,
    /// True if the reference says something: it is finite and not the same everywhere.
    pub informative: bool,
}

/// Compares outputs with their references, by position.
///
/// # Errors
/// The outputs differ in number, name, type or shape.
pub fn compare(
    reference: &[(String, Tensor)],
    candidate: &[(String, Tensor)],
) -> Result<Vec<OutputDeviation>> {
    if reference.len() != candidate.len() {
        return Err(changed("their number", reference.len(), candidate.len()));
    }
    let pairs = reference.iter().zip(candidate);
    pairs
        .map(|((name, reference), (other, candidate))| {
            if name != other {
                return Err(changed("a name", name, other));
            }
            if reference.shape() != candidate.shape() {
                let what = format!("the shape of '{name}'");
                return Err(changed(
                    &what,
                    format!("{:?}", reference.shape()),
                    format!("{:?}", candidate.shape()),
                ));
            }
            if reference.element() != candidate.element() {
                let what = format!("the type of '{name}'");
                return Err(changed(&what, reference.element(), candidate.element()));
            }
            Ok(deviation(name, reference, candidate))
        })
        .collect()
}

fn changed(what: &str, before: impl std::fmt::Display, after: impl std::fmt::Display) -> Error {
    Error::Verification {
        output: format!("(signature: {what} went from {before} to {after})"),
        reference: "the original",
        error: f64::INFINITY,
        allowed: 0.0,
    }
}

fn deviation(name: &str, reference: &Tensor, candidate: &Tensor) -> OutputDeviation {
    let (a, b) = (reference.to_f64(), candidate.to_f64());
    let first = a.first().copied().unwrap_or(0.0);
    let informative = a.iter().all(|x| x.is_finite()) && a.iter().any(|&x| x != first);
    let relative = match is_real(reference.element()) {
        true => relative_error(&a, &b),
        false => {
            let unequal = a.iter().zip(&b).filter(|(x, y)| x != y).count();
            unequal as f64 / a.len().max(1) as f64
        }
    };
    OutputDeviation {
        name: name.to_owned(),
        relative,
        informative,
    }
}

fn is_real(element: ElementType) -> bool {
    element.is_float()
}

/// Largest absolute difference over the largest absolute finite reference. Values that are not finite must
/// be the same on both sides, or the error is infinite.
fn relative_error(reference: &[f64], candidate: &[f64]) -> f64 {
    let mut difference = 0.0_f64;
    let mut scale = 0.0_f64;
    for (&a, &b) in reference.iter().zip(candidate) {
        if a.is_finite() && b.is_finite() {
            difference = difference.max((a - b).abs());
            scale = scale.max(a.abs());
        } else if !(a == b || a.is_nan() && b.is_nan()) {
            return f64::INFINITY;
        }
    }
    match scale > 0.0 {
        true => difference / scale,
        false if difference == 0.0 => 0.0,
        false => f64::INFINITY,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_equal_non_finite_values_are_equal() {
        let nan = f64::NAN;
        assert_eq!(relative_error(&[1.0, nan], &[1.0, nan]), 0.0);
        assert_eq!(relative_error(&[1.0, nan], &[1.0, 2.0]), f64::INFINITY);
        assert_eq!(
            relative_error(&[1.0, f64::INFINITY], &[1.0, f64::INFINITY]),
            0.0
        );
        assert_eq!(relative_error(&[2.0, -4.0], &[2.0, -3.0]), 0.25);
        assert_eq!(relative_error(&[0.0], &[1e-30]), f64::INFINITY);
    }
}
