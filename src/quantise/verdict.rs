//! Whether a quantised model is good enough, and what stays real where it is not.

use super::pace::pace;
use super::{QuantiseSettings, Quantised, Subject};
use crate::engine::Pass;
use crate::error::{Error, Result};
use crate::events::Events;
use crate::validate::{Fusion, fused};

/// Why a quantised model is not good enough.
pub(super) enum Shortfall {
    /// Of these layers onnxruntime makes no products of integers, with why.
    Unfused(Vec<(String, String)>),
    /// The outputs diverge by this, where so much is allowed.
    Far(f64, f64),
    /// It is slower than the model; these layers are chains, with that as the reason.
    Slow(Vec<(String, String)>),
}

/// What is wrong with a quantised model, the worst first; its speed is noted.
///
/// # Errors
/// Data that cannot be read, or a provider that refuses a model.
pub(super) fn fault(
    subject: &Subject,
    settings: &QuantiseSettings,
    found: &mut Quantised,
    pass: Pass,
) -> Result<Option<Shortfall>> {
    if let Some(fused) = found
        .fused
        .as_ref()
        .filter(|_| !settings.takes_every_layer())
    {
        let rest = fused.rest.iter().map(|of| {
            let why = format!(
                "onnxruntime makes no product of integers of it: {}",
                of.reason
            );
            (of.name.clone(), why)
        });
        let rest: Vec<(String, String)> = rest.collect();
        if !rest.is_empty() {
            return Ok(Some(Shortfall::Unfused(rest)));
        }
    }
    if let Some(most) = settings.max_kl {
        let divergence = subject.trial(pass)?.of(found.judged())?;
        if divergence > most {
            return Ok(Some(Shortfall::Far(divergence, most)));
        }
    }
    if !settings.target.is_chained() {
        return Ok(None);
    }
    let pace = pace(subject.part, &found.model, pass)?;
    found.speedup = Some(pace.speedup);
    if settings.takes_every_layer() || !subject.timed || !pace.is_slower {
        return Ok(None);
    }
    let chained = found.placement().layers.iter();
    let chained = chained.filter(|of| of.layer.reads_windows()).map(|of| {
        let why = format!(
            "integers were slower here: the model ran at {:.2} times the speed",
            pace.speedup
        );
        (of.layer.name.clone(), why)
    });
    Ok(Some(Shortfall::Slow(chained.collect())))
}

/// The faster of two slow models.
pub(super) fn faster(found: Quantised, other: Option<Quantised>) -> Quantised {
    match other {
        Some(other) if other.speedup > found.speedup => other,
        _ => found,
    }
}

/// What is said where nothing helps.
pub(super) fn hopeless(fault: Option<Shortfall>) -> Error {
    match fault {
        Some(Shortfall::Far(divergence, most)) => Error::Gates {
            failed: vec![format!(
                "the outputs diverge by {divergence:.6} on held-out samples, where {most} is allowed, and no more can stay real"
            )],
        },
        Some(Shortfall::Unfused(rest)) => {
            let first = rest.first();
            let why = first.map_or(String::new(), |(name, why)| format!(": '{name}': {why}"));
            Error::Usage(format!(
                "no layer becomes a product of integers{why}; use `weight_only`"
            ))
        }
        _ => Error::Usage("no layer becomes a product of integers; use `weight_only`".to_owned()),
    }
}

/// What onnxruntime makes of the model, if it is for its kernels; none where it cannot be seen, which is no fault of the
/// model.
pub(super) fn seen(made: &Quantised, pass: Pass, events: &mut dyn Events) -> Option<Fusion> {
    if !made.placement().target.is_chained() {
        return None;
    }
    let names = made.weights.iter().map(|of| of.name.as_str());
    match fused(&made.model, names, pass.runtime) {
        Ok(fused) => Some(fused),
        Err(fault) => {
            events.say(&format!(
                "what onnxruntime makes of the model could not be seen: {fault}"
            ));
            None
        }
    }
}
