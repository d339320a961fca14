//! What a model declares of its inputs and outputs, and whether arrays fit that.

use crate::dimensions::Analysis;
use crate::graph::{DeclaredSize, Producer, Value, ValueId};
use crate::onnx::ElementType;
use crate::ops::declared_shape;
use crate::runtime::{Signature, UnreadOutput};

/// The inputs of a model as it declares them; -1 for a dynamic size.
pub(crate) fn declared_inputs(analysis: &Analysis) -> Vec<Signature> {
    let graph = analysis.graph();
    let inputs = graph.value_ids().map(|id| (id, graph.value(id)));
    let inputs = inputs.filter(|(_, value)| matches!(value.producer, Producer::Input(_)));
    let size = |size: &DeclaredSize| match size {
        DeclaredSize::Known(size) => *size,
        DeclaredSize::Named(_) | DeclaredSize::Unknown => -1,
    };
    let signature = |(id, value): (ValueId, &Value)| Signature {
        name: value.name.clone(),
        element: graph.element(id),
        shape: declared_shape(graph, id)
            .iter()
            .flatten()
            .map(size)
            .collect(),
    };
    inputs.map(signature).collect()
}

/// The outputs that a model declares to be no tensors of numbers: nothing compares them.
pub(crate) fn unread_outputs(analysis: &Analysis) -> Vec<UnreadOutput> {
    use crate::onnx::proto::type_proto::Value as Kind;
    let kind = |value: &Kind| match value {
        Kind::SequenceType(_) => Some("sequence"),
        Kind::MapType(_) => Some("map"),
        Kind::OptionalType(_) => Some("optional"),
        Kind::SparseTensorType(_) => Some("sparse tensor"),
        Kind::OpaqueType(_) => Some("opaque"),
        Kind::TensorType(tensor) => {
            let element = ElementType::of(tensor.elem_type());
            (element == Some(ElementType::String)).then_some("tensor of strings")
        }
    };
    let outputs = analysis.graph().proto().output.iter();
    let unread = outputs.filter_map(|output| {
        Some(UnreadOutput {
            name: output.name().to_owned(),
            kind: kind(output.r#type.as_ref()?.value.as_ref()?)?.to_owned(),
        })
    });
    unread.collect()
}

/// By axis of an input the name of its size, where it has one of its own and counts no samples.
pub(super) fn declared_names(analysis: &Analysis, input: &str) -> Vec<Option<String>> {
    let value = analysis.graph().find(input);
    let shape = value.and_then(|id| declared_shape(analysis.graph(), id));
    let counted = analysis.sizes().samples().axis(input);
    let name = |(axis, size): (usize, DeclaredSize)| match size {
        DeclaredSize::Named(name) if !name.is_empty() && Some(axis) != counted => Some(name),
        _ => None,
    };
    shape.into_iter().flatten().enumerate().map(name).collect()
}

/// What is wrong with an array of this type and shape for an input; nothing if it fits. The number of samples
/// along `axis` is free.
pub(super) fn misfit(
    input: &Signature,
    axis: Option<usize>,
    element: Option<ElementType>,
    shape: &[usize],
) -> Option<String> {
    let Some(wanted) = input.element else {
        return Some(format!(
            "the input '{}' is no tensor of numbers: data cannot be given",
            input.name
        ));
    };
    let Some(element) = element else {
        return Some(format!(
            "'{}' holds bytes without a type, as bfloat16 is written, but the model takes {wanted}",
            input.name
        ));
    };
    let kinds = [wanted, element].map(|e| (e.is_float(), e == ElementType::Bool));
    if kinds[0] != kinds[1] {
        return Some(format!(
            "'{}' has type {element}, the model takes {wanted}",
            input.name
        ));
    }
    if shape.len() != input.shape.len() {
        return Some(format!(
            "'{}' has rank {}, the model takes {input}",
            input.name,
            shape.len()
        ));
    }
    let mut pairs = shape.iter().zip(&input.shape).enumerate();
    let (place, size) = pairs.find_map(|(place, (&size, &wanted))| {
        let wrong = wanted > 0 && size as i64 != wanted && Some(place) != axis;
        wrong.then_some((place, size))
    })?;
    Some(format!(
        "'{}' has shape {shape:?}, of size {size} along axis {place}; the model takes {input}",
        input.name
    ))
}
