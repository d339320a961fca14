//! A node as a call of its body.

use std::sync::Arc;

use prost::Message;

use super::library::{Body, body_of};
use crate::graph::{CalledGraph, Graph, NodeId, ValueId, called, int};
use crate::onnx::proto::{AttributeProto, FunctionProto, NodeProto};
use crate::ops::state::State;
use crate::ops::typing::{Ruling, Unsupported};

/// What is known of an input as an attribute of the call.
const SIZE: &str = "__size_";
const ELEMENT: &str = "__element_";

/// The body of one node as a graph.
pub(super) struct Call {
    pub(super) body: &'static Body,
    pub(super) node: NodeId,
    pub(super) called: Arc<CalledGraph>,
    /// Attributes of the node, what follows its inputs included.
    pub(super) attributes: Vec<AttributeProto>,
    /// By input of the body's graph the slot of the node.
    slots: Vec<usize>,
}

/// What a number in a body is that follows the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reference {
    /// An attribute of the node.
    Attribute(&'static str),
    /// The size of an axis of an input.
    Size { slot: usize, axis: usize },
    /// The element type of an input.
    Element(usize),
}

impl Reference {
    fn of(name: &'static str) -> Option<Reference> {
        if let Some(place) = name.strip_prefix(SIZE) {
            let (slot, axis) = place.split_once('_')?;
            let (slot, axis) = (slot.parse().ok()?, axis.parse().ok()?);
            return Some(Reference::Size { slot, axis });
        }
        match name.strip_prefix(ELEMENT) {
            Some(slot) => slot.parse().ok().map(Reference::Element),
            None => Some(Reference::Attribute(name)),
        }
    }
}

/// The function that a node calls in the state that its inputs are in, with the attributes of the call.
///
/// # Errors
/// Why there is none.
pub(crate) fn call_of(
    graph: &Graph,
    state: &State,
    node: NodeId,
) -> Ruling<(&'static FunctionProto, Vec<AttributeProto>)> {
    let body = body_of(graph, state, node)?;
    let attributes = attributes(graph, state, node, body)?;
    Ok((&body.function, attributes))
}

impl Call {
    pub(super) fn new(graph: &Graph, state: &mut State, node: NodeId) -> Ruling<Call> {
        let body = body_of(graph, state, node)?;
        let attributes = attributes(graph, state, node, body)?;
        let connections = graph.node(node);
        let there = |values: &[Option<ValueId>]| -> Vec<bool> {
            values.iter().map(Option::is_some).collect()
        };
        let inputs = there(&connections.inputs);
        // What an operator makes it makes of inputs that fit, whether anybody reads it or not.
        let mut outputs = there(&connections.outputs);
        outputs.iter_mut().take(1).for_each(|made| *made = true);
        let slots = (0..inputs.len()).filter(|&slot| inputs[slot]).collect();
        let key = key(body, &attributes, [&inputs, &outputs]);
        let called = match state.made.get(&key) {
            Some(known) => known.clone(),
            None => {
                let given = attributes.clone();
                let made = called(graph, &body.function, given, [&inputs, &outputs]);
                let why = Unsupported("what the operator does is no valid graph");
                let made = Arc::new(made.map_err(|_| why)?);
                state.made.insert(key, made.clone());
                made
            }
        };
        Ok(Call {
            body,
            node,
            called,
            attributes,
            slots,
        })
    }

    /// The node's slot that an input of the body stands for.
    pub(super) fn slot(&self, input: usize) -> Option<usize> {
        self.slots.get(input).copied()
    }

    /// What an attribute of a node of the body follows.
    pub(super) fn reference(&self, node: NodeId, attribute: &str) -> Option<Reference> {
        let place = *self.called.places.get(node.index())?;
        let mut attributes = self.body.function.node.get(place)?.attribute.iter();
        let found = attributes.find(|held| held.name() == attribute)?;
        match found.ref_attr_name() {
            "" => None,
            name => Reference::of(name),
        }
    }

    /// The number that an attribute of the call is.
    pub(super) fn number(&self, attribute: &str) -> Option<i64> {
        let mut given = self.attributes.iter();
        let given = given.find(|given| given.name() == attribute);
        given
            .or_else(|| {
                let mut defaults = self.body.function.attribute_proto.iter();
                defaults.find(|default| default.name() == attribute)
            })?
            .i
    }
}

/// What the graph of a call follows from.
fn key(body: &Body, attributes: &[AttributeProto], there: [&[bool]; 2]) -> Vec<u8> {
    let function = &body.function;
    let mut key = format!(
        "{}.{} {} {there:?}",
        function.domain(),
        function.name(),
        function.overload()
    )
    .into_bytes();
    for attribute in attributes {
        key.extend(attribute.encode_length_delimited_to_vec());
    }
    key
}

/// The attributes of a node, and what the body wants to know of the inputs.
fn attributes(
    graph: &Graph,
    state: &State,
    node: NodeId,
    body: &'static Body,
) -> Ruling<Vec<AttributeProto>> {
    let mut attributes = graph.node_proto(node).attribute.clone();
    let input = |slot: usize| graph.node(node).input(slot);
    for name in references(&body.function.node) {
        let number = match Reference::of(name) {
            Some(Reference::Size { slot, axis }) => {
                let axes = input(slot).and_then(|value| state.axes(value));
                let size = axes.and_then(|axes| axes.get(axis));
                let size = size.and_then(|ty| state.types.extent(ty).known());
                size.ok_or(Unsupported("a size that must be known is dynamic"))?
            }
            Some(Reference::Element(slot)) => {
                let element = input(slot).and_then(|value| state.elements[value.index()]);
                let element =
                    element.ok_or(Unsupported("the element type of an input is unknown"))?;
                element.number().into()
            }
            Some(Reference::Attribute(_)) | None => continue,
        };
        if attributes.iter().all(|known| known.name() != name) {
            attributes.push(int(name, number));
        }
    }
    Ok(attributes)
}

/// What attributes of nodes refer to, in graphs inside of them too.
fn references(nodes: &'static [NodeProto]) -> Vec<&'static str> {
    let (mut out, mut open) = (Vec::new(), vec![nodes]);
    while let Some(nodes) = open.pop() {
        for held in nodes.iter().flat_map(|node| &node.attribute) {
            if !held.ref_attr_name().is_empty() {
                out.push(held.ref_attr_name());
            }
            let graphs = held.g.iter().chain(&held.graphs);
            open.extend(graphs.map(|graph| &graph.node[..]));
        }
    }
    out
}
