//! The structural rewrite.

use super::cleanup::without_newly_dead;
use super::drop::without_blocks;
use super::stale::attempt;
use super::vocabulary::renumbered;
use crate::axes::Kept;
use crate::dimensions::Analysis;
use crate::error::Result;
use crate::graph::Graph;
use crate::onnx::Model;
use crate::plan::Plan;

/// The model that `plan` leaves of the analysed one. An empty plan returns it unchanged.
///
/// # Errors
/// The plan does not fit the model, leaves sizes that do not fit together, or the result is no valid graph.
pub fn prune(analysis: &Analysis, plan: &Plan) -> Result<Model> {
    let kept = plan.kept(analysis)?;
    let sliced = prune_to(analysis, &kept)?;
    match &plan.settings.vocabulary {
        None => Ok(sliced),
        Some(settings) => renumbered(analysis, &kept, settings, sliced),
    }
}

/// Refuses a choice that leaves sizes which do not fit together.
///
/// # Errors
/// They do not.
pub(crate) fn check(analysis: &Analysis, kept: &Kept) -> Result<()> {
    let after = fitting(analysis, kept)?;
    analysis.keep_fitting(kept.clone(), after);
    Ok(())
}

fn fitting(analysis: &Analysis, kept: &Kept) -> Result<Graph> {
    if let Some(after) = analysis.take_fitting(kept) {
        return Ok(after);
    }
    attempt(analysis, kept)?.map_err(|stale| stale.refusal(analysis, kept))
}

/// As [`prune`], for kept positions.
///
/// # Errors
/// What is left does not fit together, or is no valid graph.
pub(crate) fn prune_to(analysis: &Analysis, kept: &Kept) -> Result<Model> {
    let after = without_blocks(analysis, kept, fitting(analysis, kept)?)?;
    let clean = without_newly_dead(analysis.graph(), after);
    Ok(Graph::verified(clean, "the cleaned model")?.into_model())
}
