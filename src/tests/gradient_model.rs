//! A model that computes gradients beside its outputs.

use crate::error::Result;
use crate::grad::{BoundGraph, Gradients, backward, seed_inputs};
use crate::graph::{Emitter, Graph, Patch, ValueId, declaration};
use crate::onnx::Model;

/// A model with gradients as outputs.
#[derive(Debug)]
pub(in crate::tests) struct GradientModel {
    pub(in crate::tests) model: Model,
    /// Inputs that take the gradients of values: value and name of the input.
    pub(in crate::tests) seeds: Vec<(ValueId, String)>,
    /// Which output is the gradient of which value.
    pub(in crate::tests) outputs: Vec<(ValueId, String)>,
    pub(in crate::tests) gradients: Gradients,
}

/// The model with the gradients of `wanted` values as further outputs, and those of `seeded` ones as inputs.
///
/// # Errors
/// The result is no valid graph.
pub(in crate::tests) fn gradient_model(
    bound: &BoundGraph,
    seeded: &[ValueId],
    wanted: &[ValueId],
) -> Result<GradientModel> {
    let graph = bound.graph();
    let source = graph.model();
    let mut emit = Emitter::new(Patch::of(graph), source.opset(), "gradient");
    let seeds = seed_inputs(bound, &mut emit, seeded);
    let known = seeds.iter();
    let known = known
        .map(|(value, seed)| (*value, seed.name.clone()))
        .collect();
    let gradients = backward(bound.settled(), &mut emit, seeds, wanted);
    let mut outputs = Vec::new();
    for &value in wanted {
        let Some(gradient) = gradients.of.get(&value) else {
            continue;
        };
        // Several values may have one gradient, and a seed is no output.
        let name = emit.patch().fresh("gradient.of");
        emit.patch()
            .node_as(&name, "Identity", &[&gradient.name], Vec::new());
        let shape: Vec<_> = gradient
            .sizes
            .iter()
            .map(|&size| Some(size as i64))
            .collect();
        let declared = declaration(&name, Some(gradient.element), Some(&shape));
        emit.patch().output(declared);
        outputs.push((value, name));
    }
    let mut proto = source.proto.clone();
    emit.into_patch().apply(proto.graph.get_or_insert_default());
    let model = source.with(proto, source.lazy.clone());
    let model = Graph::verified(model, "the model with gradients")?.into_model();
    Ok(GradientModel {
        model,
        seeds: known,
        outputs,
        gradients,
    })
}
