//! A function as a graph of its own, which is what one call of it does, and nodes that become calls.

use std::collections::{BTreeMap, HashSet};

use super::build::outer_names;
use super::declare::declaration;
use super::inline::inlined;
use super::{Graph, NodeId};
use crate::error::Result;
use crate::onnx::Model;
use crate::onnx::proto::{AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto};

/// What one call of a function does.
#[derive(Clone, Debug)]
pub(crate) struct CalledGraph {
    /// Its inputs are those that the call has, `i` and the slot; its outputs those that are read, `o` and the slot.
    pub(crate) graph: Graph,
    /// By node its place in the function; nodes that only hand an input on have none.
    pub(crate) places: Vec<usize>,
}

/// The graph of one call, in the operator sets of the graph that it is in.
///
/// # Errors
/// A function that is no valid graph.
pub(crate) fn called(
    around: &Graph,
    function: &FunctionProto,
    attributes: Vec<AttributeProto>,
    [inputs, outputs]: [&[bool]; 2],
) -> Result<CalledGraph> {
    let (function, places) = read_part(function, outputs);
    let names = |letter: &str, there: &[bool]| -> Vec<String> {
        let names = there.iter().enumerate();
        let name = |(slot, there): (usize, &bool)| match there {
            true => format!("{letter}{slot}"),
            false => String::new(),
        };
        names.map(name).collect()
    };
    let call = NodeProto {
        op_type: function.name.clone(),
        domain: function.domain.clone(),
        overload: function.overload.clone(),
        input: names("i", inputs),
        output: names("o", outputs),
        attribute: attributes,
        ..NodeProto::default()
    };
    let declared = |names: &[String]| {
        let names = names.iter().filter(|name| !name.is_empty());
        names.map(|name| declaration(name, None, None)).collect()
    };
    let graph = GraphProto {
        input: declared(&call.input),
        output: declared(&call.output),
        node: vec![call],
        ..GraphProto::default()
    };
    let around = around.model();
    let proto = ModelProto {
        graph: Some(graph),
        functions: vec![function],
        opset_import: around.proto.opset_import.clone(),
        ..ModelProto::default()
    };
    let model = inlined(&around.with(proto, BTreeMap::new()))?;
    let graph = Graph::verified(model, "the body of an operator")?;
    Ok(CalledGraph { graph, places })
}

/// The function with what outputs that are read depend on, and the places that its nodes had.
fn read_part(function: &FunctionProto, outputs: &[bool]) -> (FunctionProto, Vec<usize>) {
    let names = function.output.iter().zip(outputs);
    let mut read: HashSet<String> = names
        .filter(|(_, read)| **read)
        .map(|(name, _)| name.clone())
        .collect();
    let mut places = Vec::new();
    for (place, node) in function.node.iter().enumerate().rev() {
        if node.output.iter().any(|name| read.contains(name)) {
            places.push(place);
            read.extend(node.input.iter().cloned());
            read.extend(outer_names(node));
        }
    }
    places.reverse();
    let nodes = places.iter().map(|&place| {
        let mut node = function.node[place].clone();
        let unread = node.output.iter_mut().filter(|name| !read.contains(*name));
        unread.for_each(String::clear);
        while node.output.last().is_some_and(String::is_empty) {
            node.output.pop();
        }
        node
    });
    let part = FunctionProto {
        node: nodes.collect(),
        opset_import: Vec::new(),
        ..function.clone()
    };
    (part, places)
}

/// The model with some nodes replaced by what functions do. Values that there were keep their names.
///
/// # Errors
/// A function that cannot be inlined.
pub(crate) fn with_calls(
    graph: &Graph,
    calls: Vec<(NodeId, &FunctionProto, Vec<AttributeProto>)>,
) -> Result<Model> {
    let mut proto = graph.model().proto.clone();
    for (node, function, attributes) in calls {
        let overload = proto.functions.len().to_string();
        let Some(call) = (proto.graph.as_mut()).and_then(|own| graph.node_mut(own, node)) else {
            continue;
        };
        let outputs: Vec<bool> = call.output.iter().map(|name| !name.is_empty()).collect();
        let (mut function, _) = read_part(function, &outputs);
        function.overload = Some(overload);
        call.overload.clone_from(&function.overload);
        call.attribute = attributes;
        proto.functions.push(function);
    }
    let model = graph.model().with(proto, graph.model().lazy.clone());
    inlined(&model)
}
