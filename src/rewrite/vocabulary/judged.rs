//! Models with a smaller vocabulary beside the original, on the ids that stay: inputs hold any ids that the original knows, and
//! each model reads those that are gone as others that are not.

use std::borrow::Cow;

use super::inputs;
use super::maps::{IdMap, mapped};
use crate::axes::Kept;
use crate::dimensions::Analysis;
use crate::error::Result;
use crate::graph::{Graph, Patch};
use crate::onnx::{ElementType, Model};
use crate::plan::{Plan, Remap};
use crate::rewrite::twin::narrowed;

/// The pruned model as it is compared with the twin: as it is, where the plan cuts no vocabulary.
///
/// # Errors
/// A model that is no valid graph.
pub(crate) fn judged<'a>(
    analysis: &Analysis,
    plan: &Plan,
    pruned: &'a Model,
) -> Result<Cow<'a, Model>> {
    let Some(of) = &plan.settings.vocabulary else {
        return Ok(Cow::Borrowed(pruned));
    };
    let kept = plan.kept(analysis)?;
    let made = match of.remap {
        Remap::Outside => folded(analysis, &kept, pruned.clone(), true),
        Remap::Inside => {
            let graph = Graph::verified(pruned.clone(), "the renumbered model")?;
            folded(analysis, &kept, narrowed(analysis, &kept, graph), false)
        }
    };
    made.map(Cow::Owned)
}

/// A model that reads ids that stay, whichever it is given: as old ids, or as places.
///
/// # Errors
/// A model that is no valid graph.
pub(crate) fn folded(
    analysis: &Analysis,
    kept: &Kept,
    model: Model,
    as_places: bool,
) -> Result<Model> {
    let Some(map) = IdMap::of(analysis, kept) else {
        return Ok(model);
    };
    let graph = Graph::verified(model, "a model on the ids that stay")?;
    let mut patch = Patch::of(&graph);
    patch.at_start();
    let list = map.folded(as_places);
    for name in inputs(analysis, kept) {
        let Some(value) = graph.find(&name) else {
            continue;
        };
        let element = graph.element(value).unwrap_or(ElementType::Int64);
        let ids = mapped(&mut patch, &name, element, &list);
        patch.read_as(&name, &ids);
    }
    Ok(patch.applied(graph.model()))
}
