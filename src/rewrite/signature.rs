//! A model and what was made of it in one signature, where that has changed: both read the original's inputs, and give the places
//! of outputs that stayed.

use std::collections::HashSet;

use super::twin::{chosen, declared_narrow, narrow_axes};
use crate::axes::Kept;
use crate::dimensions::Analysis;
use crate::error::{Error, Result};
use crate::graph::{DeclaredSize, Graph, Patch, Producer, ValueId};
use crate::onnx::Model;

/// The analysed model and the one that a plan left of it, so that both run on the same inputs and give the same outputs.
///
/// # Errors
/// The model is not one that the plan left.
pub(crate) fn in_one_signature(
    analysis: &Analysis,
    kept: &Kept,
    pruned: &Graph,
) -> Result<[Model; 2]> {
    let graph = analysis.graph();
    let changed = graph.value_ids().filter(|&id| analysis.is_pruned(id, kept));
    let changed: Vec<ValueId> = changed.collect();
    let outputs = changed.iter().copied();
    let outputs: Vec<ValueId> = outputs.filter(|&id| graph.value(id).is_output).collect();
    let is_input = |id: &ValueId| matches!(graph.value(*id).producer, Producer::Input(_));
    let inputs: Vec<ValueId> = changed.into_iter().filter(is_input).collect();
    let narrower = choosing(analysis, kept, &outputs);
    let wider = reading(analysis, kept, pruned, (&inputs, &outputs))?;
    Ok([narrower, wider])
}

/// The original, which gives the places of outputs that stay.
fn choosing(analysis: &Analysis, kept: &Kept, outputs: &[ValueId]) -> Model {
    let graph = analysis.graph();
    let mut patch = Patch::of(graph);
    patch.at_end();
    for &value in outputs {
        let name = graph.value(value).name.as_str();
        let given = chosen(analysis, kept, (value, name), &mut patch);
        patch.replace_output(name, &given);
    }
    let source = graph.model();
    let mut proto = source.proto.clone();
    let target = proto.graph.get_or_insert_default();
    patch.apply(target);
    for &value in outputs {
        declared_narrow(analysis, kept, value, target);
    }
    source.with(proto, source.lazy.clone())
}

/// The pruned model, which reads of the original's inputs the places that stayed.
fn reading(
    analysis: &Analysis,
    kept: &Kept,
    pruned: &Graph,
    (inputs, outputs): (&[ValueId], &[ValueId]),
) -> Result<Model> {
    let graph = analysis.graph();
    let mut patch = Patch::of(pruned);
    patch.at_start();
    let mut read = HashSet::new();
    for &value in inputs {
        let name = graph.value(value).name.as_str();
        check(analysis, kept, value, pruned)?;
        let narrow = chosen(analysis, kept, (value, name), &mut patch);
        patch.read_as(name, &narrow);
        if outputs.contains(&value) {
            patch.replace_output(name, &narrow);
        }
        read.insert(name);
    }
    let source = pruned.model();
    let mut proto = source.proto.clone();
    let target = proto.graph.get_or_insert_default();
    patch.apply(target);
    let whole = &graph.proto().input;
    for info in &mut target.input {
        let same = whole.iter().find(|whole| whole.name() == info.name());
        if let Some(whole) = same.filter(|whole| read.contains(whole.name())) {
            info.clone_from(whole);
        }
    }
    Ok(source.with(proto, source.lazy.clone()))
}

/// That a model declares an input with the sizes that the plan leaves.
fn check(analysis: &Analysis, kept: &Kept, value: ValueId, pruned: &Graph) -> Result<()> {
    let name = &analysis.graph().value(value).name;
    let own = pruned.find(name).map(|own| pruned.value(own));
    let own = own.filter(|own| matches!(own.producer, Producer::Input(_)));
    let declared = own
        .and_then(|own| own.declared.as_deref())
        .unwrap_or_default();
    for (axis, stay, _) in narrow_axes(analysis, kept, value) {
        let left = stay.len() as i64;
        if declared.get(axis) != Some(&DeclaredSize::Known(left)) {
            return Err(Error::plan(format!(
                "it leaves {left} of input '{name}' along axis {axis}, which the candidate does not declare: name the plan that the candidate was made by"
            )));
        }
    }
    Ok(())
}
