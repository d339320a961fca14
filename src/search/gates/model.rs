//! A model that computes the gradients of all gates in one backward pass.

use crate::error::Result;
use crate::grad::{BoundGraph, backward, seed_inputs};
use crate::graph::{Array, Emitter, Graph, Patch, ValueId};
use crate::onnx::{ElementType, Model};
use crate::rewrite::ChannelGate;

/// The model, with what its inputs and outputs are.
pub(super) struct GateModel {
    pub(super) model: Model,
    /// Inputs that take the gradients of outputs: the output, the input, its sizes and element type.
    pub(super) seeds: Vec<(String, Array)>,
    /// By gate what became of it.
    pub(super) gradients: Vec<Gradient>,
    /// Where gradients stop, with the reason.
    pub(super) stops: Vec<String>,
}

/// The gradient of a gate.
#[derive(Clone, Debug)]
pub(super) enum Gradient {
    /// This output: a row per sample where there is a sample axis, else one for all samples together.
    Output(String),
    /// No output that is seeded depends on it.
    Nothing,
    /// It lies before a node that no gradient goes through.
    Unknown,
}

/// The gradients of `gates` of a model whose inputs have these sizes, for `samples` samples.
///
/// # Errors
/// The result is no valid graph.
pub(super) fn gate_model(
    bound: &BoundGraph,
    gates: &[ChannelGate],
    outputs: &[String],
    samples: usize,
) -> Result<GateModel> {
    let graph = bound.graph();
    let source = graph.model();
    let mut emit = Emitter::new(Patch::of(graph), source.opset(), "gates");
    let seeded: Vec<ValueId> = outputs.iter().filter_map(|name| graph.find(name)).collect();
    let seeds = seed_inputs(bound, &mut emit, &seeded);
    let named = seeds.iter();
    let named = named.map(|(value, seed)| (graph.value(*value).name.clone(), seed.clone()));
    let named = named.collect();
    let values: Vec<Option<ValueId>> = gates.iter().map(|gate| graph.find(&gate.name)).collect();
    let wanted: Vec<ValueId> = values.iter().flatten().copied().collect();
    let found = backward(bound.settled(), &mut emit, seeds, &wanted);
    let mut gradients = Vec::new();
    for (gate, value) in gates.iter().zip(values) {
        let array = value.and_then(|value| bound.settled().array(value));
        let gradient = value.and_then(|value| found.of.get(&value));
        gradients.push(match (array, gradient) {
            (Some(x), Some(d)) => {
                let sum = gate_gradient(&mut emit, gate, (&x, d), samples);
                emit.output(&sum);
                Gradient::Output(sum.name)
            }
            (_, None) if value.is_some_and(|value| !found.behind.contains(&value)) => {
                Gradient::Nothing
            }
            _ => Gradient::Unknown,
        });
    }
    let stops = found.stops.iter();
    let stops = stops.map(|stop| format!("{}: {}", graph.describe(stop.node), stop.why));
    let stops = stops.collect();
    let mut proto = source.proto.clone();
    let target = proto.graph.get_or_insert_default();
    target.output.clear();
    emit.into_patch().apply(target);
    let model = source.with(proto, source.lazy.clone());
    let model = Graph::verified(model, "the model with gradients of gates")?.into_model();
    Ok(GateModel {
        model,
        seeds: named,
        gradients,
        stops,
    })
}

/// `sum of x * d` by sample and position of the gate's axis: `[samples, positions]`, or `[1, positions]` where samples
/// have no axis.
fn gate_gradient(
    emit: &mut Emitter,
    gate: &ChannelGate,
    (x, d): (&Array, &Array),
    samples: usize,
) -> Array {
    let product = emit.mul(x, d);
    let product = emit.cast(&product, ElementType::Float);
    let positions = x.sizes[gate.axis];
    let by_sample = gate
        .samples
        .filter(|&axis| axis != gate.axis && samples > 0 && x.sizes[axis].is_multiple_of(samples));
    let Some(axis) = by_sample else {
        let others: Vec<usize> = (0..x.rank()).filter(|&other| other != gate.axis).collect();
        let sum = emit.sum(&product, &others, false);
        return emit.reshape(&sum, &[1, positions]);
    };
    // Samples are the outer part of their axis.
    let mut sizes = x.sizes.clone();
    sizes[axis] /= samples;
    sizes.insert(axis, samples);
    let split = emit.reshape(&product, &sizes);
    let place = if gate.axis > axis {
        gate.axis + 1
    } else {
        gate.axis
    };
    let others = (0..sizes.len()).filter(|&other| other != axis && other != place);
    let others: Vec<usize> = others.collect();
    let sum = emit.sum(&split, &others, false);
    match place < axis {
        true => emit.transpose(&sum, &[1, 0]),
        false => sum,
    }
}
