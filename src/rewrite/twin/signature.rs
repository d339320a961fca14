//! A twin with the signature of the pruned model, where that may be another than the original's: what is fed of a changed input
//! is spread to its old places, and of a changed output the places that stay are given.

use crate::axes::Kept;
use crate::dimensions::Analysis;
use crate::graph::{Graph, Patch, Producer, ValueId, int};
use crate::onnx::Model;
use crate::onnx::proto::{GraphProto, tensor_shape_proto::dimension, type_proto};

/// Gives the twin of `analysis` the inputs and outputs that `kept` leaves of them.
pub(in crate::rewrite) fn narrowed(analysis: &Analysis, kept: &Kept, twin: Graph) -> Model {
    let graph = analysis.graph();
    let changed = |value: &ValueId| analysis.is_pruned(*value, kept);
    let is_input = |value: &ValueId| matches!(graph.value(*value).producer, Producer::Input(_));
    let inputs = graph.value_ids().filter(is_input).filter(changed);
    // What goes through as it is fed is narrow already.
    let outputs = graph.value_ids().filter(|id| !is_input(id));
    let outputs = outputs
        .filter(|&id| graph.value(id).is_output)
        .filter(changed);
    let (inputs, outputs): (Vec<_>, Vec<_>) = (inputs.collect(), outputs.collect());
    if inputs.is_empty() && outputs.is_empty() {
        return twin.into_model();
    }
    let mut patch = Patch::of(&twin);
    patch.at_start();
    for &value in &inputs {
        let whole = spread(analysis, kept, value, &mut patch);
        patch.read_as(&graph.value(value).name, &whole);
    }
    patch.at_end();
    for &value in &outputs {
        let name = graph.value(value).name.as_str();
        let given = chosen(analysis, kept, (value, name), &mut patch);
        patch.replace_output(name, &given);
    }
    let model = twin.into_model();
    let lazy = model.lazy.clone();
    let mut proto = model.proto.clone();
    let target = proto.graph.get_or_insert_default();
    patch.apply(target);
    for &value in inputs.iter().chain(&outputs) {
        declared_narrow(analysis, kept, value, target);
    }
    model.with(proto, lazy)
}

/// By axis that loses positions those that stay, and how many there were.
pub(in crate::rewrite) fn narrow_axes(
    analysis: &Analysis,
    kept: &Kept,
    value: ValueId,
) -> Vec<(usize, Vec<u32>, usize)> {
    let types = &analysis.state.types;
    let axes = analysis.state.axes(value).unwrap_or_default().iter();
    let cut = axes.enumerate().filter(|(_, ty)| types.is_pruned(ty, kept));
    cut.map(|(axis, ty)| {
        (
            axis,
            types.kept_positions(ty, kept),
            types.size(ty) as usize,
        )
    })
    .collect()
}

/// What is fed at the places that stay, and at the others what is fed at the first of them: nobody reads that.
fn spread(analysis: &Analysis, kept: &Kept, value: ValueId, patch: &mut Patch) -> String {
    let mut name = analysis.graph().value(value).name.clone();
    for (axis, stay, size) in narrow_axes(analysis, kept, value) {
        let mut places = vec![0_i64; size];
        for (place, &position) in stay.iter().enumerate() {
            places[position as usize] = place as i64;
        }
        name = gathered(patch, &name, axis, &places);
    }
    name
}

/// The places of a value that stay.
pub(in crate::rewrite) fn chosen(
    analysis: &Analysis,
    kept: &Kept,
    (value, name): (ValueId, &str),
    patch: &mut Patch,
) -> String {
    let mut name = name.to_owned();
    for (axis, stay, _) in narrow_axes(analysis, kept, value) {
        let places: Vec<i64> = stay.into_iter().map(i64::from).collect();
        name = gathered(patch, &name, axis, &places);
    }
    name
}

pub(in crate::rewrite) fn gathered(
    patch: &mut Patch,
    name: &str,
    axis: usize,
    places: &[i64],
) -> String {
    let index = patch.integers("secateur.places", places);
    let along = vec![int("axis", axis as i64)];
    patch.node(&format!("{name}.places"), "Gather", &[name, &index], along)
}

/// Declares an input or output with the sizes that are left.
pub(in crate::rewrite) fn declared_narrow(
    analysis: &Analysis,
    kept: &Kept,
    value: ValueId,
    graph: &mut GraphProto,
) {
    let name = &analysis.graph().value(value).name;
    let lists = graph.input.iter_mut().chain(&mut graph.output);
    for info in lists.filter(|info| info.name() == name) {
        let kind = info.r#type.as_mut().and_then(|kind| kind.value.as_mut());
        let Some(type_proto::Value::TensorType(tensor)) = kind else {
            continue;
        };
        for (axis, stay, _) in narrow_axes(analysis, kept, value) {
            let shape = tensor.shape.as_mut();
            if let Some(dim) = shape.and_then(|shape| shape.dim.get_mut(axis)) {
                dim.value = Some(dimension::Value::DimValue(stay.len() as i64));
            }
        }
    }
}
