//! Weights that are read as they are: nodes that only rearrange them are computed before, and normalisations behind
//! layers folded into these.

use std::collections::BTreeMap;

use super::normalised::without_normalisations;
use crate::dimensions::Analysis;
use crate::error::Result;
use crate::graph::{Graph, Patch, ValueId, declaration};
use crate::layers::Layers;
use crate::onnx::Model;
use crate::rewrite::{retain_places, without_newly_dead};
use crate::runtime::{Runtime, Tensor};

/// The model with all of this done; none where there is nothing to do.
///
/// # Errors
/// Onnxruntime refuses these nodes, or the result is no valid graph.
pub(crate) fn folded(analysis: &Analysis, runtime: &Runtime) -> Result<Option<Model>> {
    let Some(model) = rearranged(analysis, runtime)? else {
        return without_normalisations(analysis);
    };
    let model = model.settled();
    let analysis = Analysis::of_rearranged(Graph::new(&model)?, analysis);
    Ok(Some(without_normalisations(&analysis)?.unwrap_or(model)))
}

/// The model with weights that nodes rearrange as constants, as onnxruntime computes them.
fn rearranged(analysis: &Analysis, runtime: &Runtime) -> Result<Option<Model>> {
    let graph = analysis.graph();
    let mut wanted: BTreeMap<String, ValueId> = BTreeMap::new();
    for layer in Layers::of(analysis).layers {
        for linear in &layer.uses {
            let read = graph.node(linear.node).input(linear.slot);
            if let Some(read) = read.filter(|&read| read != layer.value) {
                wanted.insert(graph.value(read).name.clone(), read);
            }
        }
    }
    if wanted.is_empty() {
        return Ok(None);
    }
    let constants = computed(graph, &wanted, runtime)?;
    let mut patch = Patch::of(graph);
    for (name, tensor) in constants {
        let Some(value) = wanted.get(&name) else {
            continue;
        };
        let bytes = tensor.packed().into_owned();
        let made = patch.constant(&name, tensor.element(), tensor.shape(), bytes);
        for &(reader, slot) in &graph.value(*value).consumers {
            patch.connect(reader, slot, &made);
        }
    }
    let model = patch.applied(graph.model());
    let after = Graph::verified(model, "the model with rearranged weights as constants")?;
    Ok(Some(without_newly_dead(graph, after)))
}

/// These values, which depend on constants alone.
fn computed(
    graph: &Graph,
    wanted: &BTreeMap<String, ValueId>,
    runtime: &Runtime,
) -> Result<Vec<(String, Tensor)>> {
    let fixed = graph.fixed_nodes();
    let source = graph.model();
    let mut proto = source.proto.clone();
    let target = proto.graph.get_or_insert_default();
    retain_places(&mut target.node, |place| fixed[place]);
    target.input.clear();
    target.value_info.clear();
    let outputs = wanted.iter();
    target.output = outputs
        .map(|(name, value)| declaration(name, graph.element(*value), None))
        .collect();
    let model = source.with(proto, source.lazy.clone());
    let mut session = runtime.session(&model, "the nodes that rearrange weights")?;
    session.run(&[])
}
