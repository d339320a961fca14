//! Weights sliced, numbers brought up to date and declared shapes corrected, with no judgement on the result.

use std::collections::BTreeMap;

use super::rows::repacked;
use super::shapes::ShapeRewriter;
use super::slice::{TensorSlice, kept_size};
use crate::axes::Kept;
use crate::dimensions::Analysis;
use crate::error::Result;
use crate::graph::{BodyId, DeclaredSize, NodeId, Producer, ValueId};
use crate::onnx::proto::{
    GraphProto, TensorProto, ValueInfoProto, tensor_shape_proto::dimension, type_proto,
};
use crate::onnx::{LazyBytes, Model, cleared};

/// The model sliced and with its numbers up to date, unchecked, and the nodes that read a number that cannot be.
pub(super) fn rewritten(analysis: &Analysis, kept: &Kept) -> Result<(Model, Vec<NodeId>)> {
    let source = analysis.graph();
    let mut proto = source.model().proto.clone();
    let mut lazy = source.model().lazy.clone();
    let graph = proto.graph.get_or_insert_default();
    slice_constants(analysis, kept, graph, &mut lazy)?;
    update_declarations(analysis, kept, graph);
    // From here on nodes stand at other places than in the graph that was analysed.
    let faults = ShapeRewriter::new(analysis, kept).rewrite(graph);
    Ok((source.model().with(proto, lazy), faults))
}

fn slice_constants(
    analysis: &Analysis,
    kept: &Kept,
    graph: &mut GraphProto,
    lazy: &mut BTreeMap<String, LazyBytes>,
) -> Result<()> {
    let by_code = repacked(analysis, kept);
    let touched: Vec<ValueId> = analysis
        .constants()
        .map(|(value, _)| value)
        .filter(|value| analysis.is_pruned(*value, kept) || by_code.contains_key(value))
        .collect();
    for value in touched {
        let axes = analysis.state.axes(value).unwrap_or_default();
        let Some(tensor) = analysis.graph().constant_mut(graph, value) else {
            continue;
        };
        let slice = TensorSlice::new(tensor, axes, &analysis.state.types, kept)?;
        if let Some(rows) = by_code.get(&value) {
            let bytes = rows.packed(&slice.run());
            replace_dims(tensor, rows.dims(slice.dims(), bytes.len()));
            lazy.remove(tensor.name());
            tensor.raw_data = Some(bytes.into());
            continue;
        }
        replace_dims(tensor, slice.dims());
        // What stands in a node, or in its body, is not looked for when the model is written.
        let known = analysis.graph().value(value);
        if known.body.is_some() || !matches!(known.producer, Producer::Initializer(_)) {
            tensor.raw_data = Some(slice.run().into());
            continue;
        }
        let (length, rows) = (slice.length(), slice.rows());
        let make = move |rows, out: &mut Vec<u8>| slice.append(rows, out);
        lazy.insert(
            tensor.name().to_owned(),
            LazyBytes::in_parts(length, rows, make),
        );
    }
    Ok(())
}

/// New dims, and none of the old data in whatever field it stood.
fn replace_dims(tensor: &mut TensorProto, dims: Vec<usize>) {
    *tensor = TensorProto {
        dims: dims.into_iter().map(|dim| dim as i64).collect(),
        ..cleared(tensor)
    };
}

/// Declared shapes of values that lost positions are updated, not dropped, as are those that were wrong before.
fn update_declarations(analysis: &Analysis, kept: &Kept, graph: &mut GraphProto) {
    for part in analysis.graph().parts() {
        let Some(message) = analysis.graph().part_mut(graph, part) else {
            continue;
        };
        let lists = [
            &mut message.value_info,
            &mut message.input,
            &mut message.output,
        ];
        for info in lists.into_iter().flatten() {
            update_declaration(analysis, kept, (part, info));
        }
    }
}

fn update_declaration(
    analysis: &Analysis,
    kept: &Kept,
    (part, info): (Option<BodyId>, &mut ValueInfoProto),
) {
    let value = analysis.graph().find_of(part, info.name());
    let axes = value.and_then(|value| analysis.state.axes(value));
    let shape = declared_mut(info).and_then(|tensor| tensor.shape.as_mut());
    let (Some(axes), Some(shape)) = (axes, shape) else {
        return;
    };
    let types = &analysis.state.types;
    // Of another rank onnxruntime takes no declaration for any.
    if shape.dim.len() != axes.len() {
        return;
    }
    for (dim, ty) in shape.dim.iter_mut().zip(axes) {
        let right = DeclaredSize::of(dim).allows(&types.extent(ty));
        if right && !types.is_pruned(ty, kept) {
            continue;
        }
        if let Some(size) = kept_size(types, ty, kept) {
            dim.value = Some(dimension::Value::DimValue(size));
        }
    }
}

fn declared_mut(info: &mut ValueInfoProto) -> Option<&mut type_proto::Tensor> {
    match info.r#type.as_mut()?.value.as_mut()? {
        type_proto::Value::TensorType(tensor) => Some(tensor),
        _ => None,
    }
}
