//! The same model in other orders of computation: with weights moved by rounding, in a wider type, with values
//! in between as outputs.

use std::collections::HashSet;

use bytes::Bytes;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::error::Result;
use crate::graph::Attributes;
use crate::onnx::proto::attribute_proto::AttributeType;
use crate::onnx::proto::{AttributeProto, GraphProto, NodeProto, TensorProto, type_proto};
use crate::onnx::{
    ElementType, LazyBytes, Model, cleared, element_count, from_raw, packed, packed_bytes, to_f32,
};
use crate::ops::measured;

/// Constants of fewer elements, but for scales of codes, are limits, scales and sizes of windows, where a unit can change a shape.
const FEWEST: usize = 16;
/// Attributes that name the element type of a node's output.
const TYPES: [&str; 2] = ["to", "dtype"];

/// Distance from 1 to the next number of an element type.
pub(super) fn unit(element: ElementType) -> f64 {
    match element {
        ElementType::Float16 => 2.0_f64.powi(-10),
        ElementType::Bfloat16 => 2.0_f64.powi(-7),
        _ => 2.0_f64.powi(-23),
    }
}

/// The model with every weight moved up or down by one unit in the last place, made when it is written. Each turn moves
/// them otherwise.
///
/// # Errors
/// A tensor that cannot be read.
pub(super) fn nudged(model: &Model, turn: u64) -> Result<Model> {
    let mut proto = model.proto.clone();
    let mut lazy = model.lazy.clone();
    let graph = proto.graph.get_or_insert_default();
    let scales: HashSet<&str> = graph.node.iter().flat_map(scales_of).collect();
    let scales: HashSet<String> = scales.into_iter().map(str::to_owned).collect();
    for (seed, tensor) in graph.initializer.iter_mut().enumerate() {
        let fewest = match scales.contains(tensor.name()) {
            true => 1,
            false => FEWEST,
        };
        let element = weight_of(tensor, fewest);
        let Some(element) = element else { continue };
        let source = tensor.clone();
        let known = lazy.get(tensor.name()).cloned();
        let length = match &known {
            Some(known) => known.length(),
            None => packed_bytes(tensor)?.len(),
        };
        let make = move || {
            let bytes = match &known {
                Some(known) => Ok(known.bytes()),
                None => packed_bytes(&source),
            };
            let bytes = bytes.unwrap_or_default();
            nudge(&source, bytes, element, [seed as u64, turn])
        };
        *tensor = cleared(tensor);
        lazy.insert(tensor.name().to_owned(), LazyBytes::whole(length, make));
    }
    nudge_nodes(graph, turn)?;
    Ok(model.with(proto, lazy))
}

/// By what share a turn moves weights: by one unit at first, and further each time where units are small. A long sum in another
/// order moves by several, and what a model rounds to codes shows a step as rarely as it is moved little.
fn reach(element: ElementType, turn: u64) -> f32 {
    let units = match element {
        ElementType::Float16 | ElementType::Bfloat16 => 1,
        _ => 1_u32 << turn.min(8),
    };
    unit(element) as f32 * units as f32
}

/// The same for what stands in nodes, and in their bodies.
fn nudge_nodes(graph: &mut GraphProto, turn: u64) -> Result<()> {
    for (seed, node) in graph.node.iter_mut().enumerate() {
        for tensor in node.attribute.iter_mut().filter_map(|a| a.t.as_mut()) {
            nudge_held(tensor, [seed as u64, turn])?;
        }
        for body in node.bodies_mut() {
            for (seed, tensor) in body.initializer.iter_mut().enumerate() {
                nudge_held(tensor, [seed as u64, turn])?;
            }
            nudge_nodes(body, turn)?;
        }
    }
    Ok(())
}

fn nudge_held(tensor: &mut TensorProto, seeds: [u64; 2]) -> Result<()> {
    if let Some(element) = weight_of(tensor, FEWEST) {
        let bytes = nudge(tensor, packed_bytes(tensor)?, element, seeds);
        *tensor = TensorProto {
            raw_data: Some(bytes),
            ..cleared(tensor)
        };
    }
    Ok(())
}

/// The scales of codes that a node reads.
fn scales_of(node: &NodeProto) -> impl Iterator<Item = &str> {
    let slots = measured(node).iter();
    slots.filter_map(|&slot| node.input.get(slot).map(String::as_str))
}

/// The element type of a tensor of real numbers that has as many elements as weights, or as scales.
fn weight_of(tensor: &TensorProto, fewest: usize) -> Option<ElementType> {
    let element = ElementType::of(tensor.data_type()).filter(|element| element.is_float())?;
    let count = element_count(tensor).ok()?;
    (count >= fewest).then_some(element)
}

fn nudge(
    tensor: &TensorProto,
    bytes: Bytes,
    element: ElementType,
    [place, turn]: [u64; 2],
) -> Bytes {
    let filled = TensorProto {
        raw_data: Some(bytes.clone()),
        ..cleared(tensor)
    };
    let Ok(mut numbers) = to_f32(&filled) else {
        return bytes;
    };
    let mut generator = ChaCha8Rng::seed_from_u64(place);
    generator.set_stream(turn);
    let unit = reach(element, turn);
    for number in &mut numbers {
        let up = generator.random::<bool>();
        *number *= if up { 1.0 + unit } else { 1.0 - unit };
    }
    packed(&numbers, element).into()
}

/// The model in a wider element type: weights, inputs, outputs, and what nodes are told to make. None where a
/// part of it cannot be turned; whether onnxruntime has the kernels shows when it is opened.
pub(super) fn widened(model: &Model, to: ElementType) -> Option<Model> {
    let settled = model.clone().settled();
    let mut proto = settled.proto.clone();
    widen_graph(proto.graph.as_mut()?, to)?;
    Some(settled.with(proto, Default::default()))
}

fn widen_graph(graph: &mut GraphProto, to: ElementType) -> Option<()> {
    graph.value_info.clear();
    for tensor in &mut graph.initializer {
        *tensor = wide(tensor, to)?;
    }
    if !graph.sparse_initializer.is_empty() {
        return None;
    }
    let declared = graph.input.iter_mut().chain(&mut graph.output);
    for info in declared {
        let tensor = info.r#type.as_mut().and_then(|kind| kind.value.as_mut());
        if let Some(type_proto::Value::TensorType(tensor)) = tensor {
            tensor.elem_type = tensor.elem_type.map(|number| wide_number(number, to));
        }
    }
    for node in &mut graph.node {
        widen_node(node, to)?;
    }
    Some(())
}

fn wide_number(number: i32, to: ElementType) -> i32 {
    match ElementType::of(number).is_some_and(ElementType::is_float) {
        true => to.number(),
        false => number,
    }
}

fn widen_node(node: &mut NodeProto, to: ElementType) -> Option<()> {
    for body in node.bodies_mut() {
        widen_graph(body, to)?;
    }
    for attribute in &mut node.attribute {
        if TYPES.contains(&attribute.name()) {
            let number = attribute.i.and_then(|number| i32::try_from(number).ok());
            attribute.i = number.map(|number| i64::from(wide_number(number, to)));
        }
        if let Some(tensor) = &attribute.t {
            attribute.t = Some(wide(tensor, to)?);
        }
        widen_constant(attribute, to);
    }
    Some(())
}

/// Numbers that stand in an attribute of their own become a tensor.
fn widen_constant(attribute: &mut AttributeProto, to: ElementType) {
    let (numbers, dims): (Vec<f32>, Vec<usize>) = match attribute.name() {
        "value_float" => (attribute.f.into_iter().collect(), Vec::new()),
        "value_floats" => (attribute.floats.clone(), vec![attribute.floats.len()]),
        _ => return,
    };
    *attribute = AttributeProto {
        name: Some("value".to_owned()),
        r#type: Some(AttributeType::Tensor as i32),
        t: Some(from_raw("", to, &dims, packed(&numbers, to))),
        ..AttributeProto::default()
    };
}

/// A tensor of real numbers in another element type; others as they are.
fn wide(tensor: &TensorProto, to: ElementType) -> Option<TensorProto> {
    let element = ElementType::of(tensor.data_type())?;
    if !element.is_float() || element == to {
        return Some(tensor.clone());
    }
    let numbers = to_f32(tensor).ok()?;
    Some(TensorProto {
        data_type: Some(to.number()),
        raw_data: Some(packed(&numbers, to).into()),
        ..cleared(tensor)
    })
}

/// Whether a model holds at most this many numbers, so that it may be held once more.
pub(super) fn is_small(graph: &GraphProto, most: usize) -> bool {
    numbers(graph).is_some_and(|sum| sum <= most)
}

/// The numbers in the initializers of a graph and its bodies.
fn numbers(graph: &GraphProto) -> Option<usize> {
    let bodies = graph.node.iter().flat_map(Attributes::bodies);
    let own = graph.initializer.iter().map(|t| element_count(t).ok());
    let mut counts = own.chain(bodies.map(numbers));
    counts.try_fold(0_usize, |sum, count| sum.checked_add(count?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_turns_move_weights_further_where_units_are_small() {
        let by_turn = |element| [0, 1, 2, 3, 4].map(|turn| f64::from(reach(element, turn)));
        let small = [1.0, 2.0, 4.0, 8.0, 16.0].map(|units| units * unit(ElementType::Float));
        assert_eq!(by_turn(ElementType::Float), small);
        let half = unit(ElementType::Float16);
        assert_eq!(by_turn(ElementType::Float16), [half; 5]);
    }
}
