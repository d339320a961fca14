//! The proof of a rewrite: the pruned model must compute what the masked twin computes.

use serde::Serialize;

use crate::data::random_inputs;
use crate::dimensions::Analysis;
use crate::error::{Error, Result};
use crate::metrics::{OutputDeviation, compare};
use crate::onnx::{ElementType, Model};
use crate::plan::Plan;
use crate::rewrite::{Masks, prune, twin};
use crate::runtime::{Runtime, Session};

/// Relative error that rounding alone does not reach in 32 bits: seen are 1e-7 to 2e-6.
const ALLOWED: f64 = 1e-4;
/// The same for models with weights of 16 bits.
const ALLOWED_HALF: f64 = 2e-2;
/// Share of integer outputs (arg max, ranks) that rounding may flip.
const ALLOWED_INTEGER: f64 = 1e-2;
const MASKED_TWIN: &str = "the masked twin";
/// Random inputs that are tried.
const DRAWS: u64 = 2;

/// What was proven of a pruned model.
#[derive(Clone, Debug, Serialize)]
pub struct Verification {
    /// Pruned dimensions that the twin proves.
    pub proven: usize,
    /// Mixing dimensions: left out of the comparison, the model was run with them.
    pub left_out: usize,
    /// Largest deviation of every output from the twin over all inputs tried.
    pub outputs: Vec<OutputDeviation>,
    /// The relative error that was allowed.
    pub allowed: f64,
}

impl Verification {
    /// The largest deviation of all.
    pub fn worst(&self) -> f64 {
        self.outputs
            .iter()
            .map(|output| output.relative)
            .fold(0.0, f64::max)
    }
}

/// Verifies `pruned`, which [`prune`] made of `analysis` and `plan`. Mixing dimensions change what the model
/// computes, so the plan without them is proven instead, and the whole is run and its signature compared.
///
/// # Errors
/// [`Error::Verification`] with the worst output, or onnxruntime's refusal of a model.
pub fn verify(
    analysis: &Analysis,
    plan: &Plan,
    pruned: &Model,
    runtime: &Runtime,
) -> Result<Verification> {
    let exact = plan.exact_part();
    let left_out = plan.dimensions.len() - exact.dimensions.len();
    let reference = twin(analysis, &exact, Masks::Initializers)?;
    let mut reference = runtime.session(&reference, "the masked twin")?;
    let mut whole = runtime.session(pruned, "the pruned model")?;
    same_signature(&reference, &whole)?;
    let mut proven = match left_out {
        0 => None,
        _ => Some(runtime.session(&prune(analysis, &exact)?, "the exact part of the plan")?),
    };
    let allowed = allowed(analysis);
    let mut outputs: Vec<OutputDeviation> = Vec::new();
    for seed in 0..DRAWS {
        let inputs = random_inputs(analysis, &reference.inputs(), seed)?;
        let expected = reference.run(&inputs)?;
        let computed = whole.run(&inputs)?;
        let deviations = match &mut proven {
            None => compare(&expected, &computed)?,
            Some(proven) => {
                // Other numbers, but the same names, types and shapes.
                compare(&expected, &computed)?;
                compare(&expected, &proven.run(&inputs)?)?
            }
        };
        merge(&mut outputs, deviations);
    }
    let allowances = reference.outputs().into_iter().map(|signature| {
        let real = signature.element.is_some_and(ElementType::is_float);
        if real { allowed } else { ALLOWED_INTEGER }
    });
    let allowances: Vec<f64> = allowances.collect();
    if let Some(fault) = excess(&outputs, &allowances, MASKED_TWIN) {
        return Err(fault);
    }
    Ok(Verification {
        proven: exact.dimensions.len(),
        left_out,
        outputs,
        allowed,
    })
}

/// Verifies that `candidate` computes what `reference` does, on random inputs, within a relative error of
/// `allowed`. `what` names the reference.
///
/// # Errors
/// [`Error::Verification`] with the worst output, or onnxruntime's refusal of a model.
pub fn verify_equal(
    analysis: &Analysis,
    reference: &Model,
    candidate: &Model,
    what: &'static str,
    allowed: f64,
    runtime: &Runtime,
) -> Result<Vec<OutputDeviation>> {
    let mut reference = runtime.session(reference, what)?;
    let mut candidate = runtime.session(candidate, "the written model")?;
    same_signature(&reference, &candidate)?;
    let mut outputs = Vec::new();
    for seed in 0..DRAWS {
        let inputs = random_inputs(analysis, &reference.inputs(), seed)?;
        merge(
            &mut outputs,
            compare(&reference.run(&inputs)?, &candidate.run(&inputs)?)?,
        );
    }
    let allowances = vec![allowed; outputs.len()];
    match excess(&outputs, &allowances, what) {
        Some(fault) => Err(fault),
        None => Ok(outputs),
    }
}

/// The output that is furthest beyond what it is allowed, if any is.
fn excess(
    outputs: &[OutputDeviation],
    allowances: &[f64],
    reference: &'static str,
) -> Option<Error> {
    let pairs = outputs.iter().zip(allowances);
    // A deviation that is no number is beyond every allowance.
    let beyond =
        pairs.filter(|(output, allowed)| output.relative.is_nan() || output.relative > **allowed);
    let by_excess = |(a, allowed_a): &(&OutputDeviation, &f64),
                     (b, allowed_b): &(&OutputDeviation, &f64)| {
        (a.relative / **allowed_a).total_cmp(&(b.relative / **allowed_b))
    };
    let (output, &allowed) = beyond.max_by(by_excess)?;
    Some(Error::Verification {
        output: output.name.clone(),
        reference,
        error: output.relative,
        allowed,
    })
}

fn merge(outputs: &mut Vec<OutputDeviation>, deviations: Vec<OutputDeviation>) {
    if outputs.is_empty() {
        *outputs = deviations;
        return;
    }
    for (known, new) in outputs.iter_mut().zip(deviations) {
        known.relative = known.relative.max(new.relative);
        known.informative |= new.informative;
    }
}

fn same_signature(reference: &Session, candidate: &Session) -> Result<()> {
    let pairs = [
        ("inputs", reference.inputs(), candidate.inputs()),
        ("outputs", reference.outputs(), candidate.outputs()),
    ];
    for (what, before, after) in pairs {
        if before != after {
            return Err(Error::Verification {
                output: format!("(signature: the {what} went from {before:?} to {after:?})"),
                reference: MASKED_TWIN,
                error: f64::INFINITY,
                allowed: 0.0,
            });
        }
    }
    Ok(())
}

fn allowed(analysis: &Analysis) -> f64 {
    match analysis.has_half_weights() {
        true => ALLOWED_HALF,
        false => ALLOWED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(name: &str, relative: f64) -> OutputDeviation {
        OutputDeviation {
            name: name.to_owned(),
            relative,
            informative: true,
        }
    }

    #[test]
    fn every_output_is_held_to_its_own_allowance() {
        let outputs = [
            output("ranks", 5e-3),
            output("logits", 1e-3),
            output("boxes", 2e-4),
        ];
        let fault = excess(&outputs, &[ALLOWED_INTEGER, ALLOWED, ALLOWED], MASKED_TWIN);
        let Some(Error::Verification { output: worst, .. }) = fault else {
            panic!("the logits are beyond what they are allowed: {fault:?}");
        };
        assert_eq!(worst, "logits");
        assert!(excess(&outputs[..1], &[ALLOWED_INTEGER], MASKED_TWIN).is_none());
        assert!(excess(&[output("broken", f64::NAN)], &[ALLOWED], MASKED_TWIN).is_some());
    }
}
