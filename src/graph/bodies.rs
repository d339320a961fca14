//! The bodies of If, Loop and Scan: graphs in attributes, whose nodes and values have handles as those around them do.
//!
//! Handles of the graph itself come first, so that what knows nothing of bodies sees the graph as if it had none: its order, its
//! consumers and its outputs are its own.

use std::collections::HashMap;

use super::{Graph, Node, NodeId, ValueId, numbered};
use crate::onnx::proto::{GraphProto, NodeProto};

/// A body, by the order in which bodies are entered: one that is around others comes before them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BodyId(pub(crate) u32);

impl BodyId {
    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

/// A graph in an attribute of a node.
#[derive(Clone, Debug)]
pub(crate) struct BodyGraph {
    /// The node that runs it.
    pub(crate) owner: NodeId,
    /// The name of the attribute.
    pub(crate) attribute: String,
    /// Its inputs in their order.
    pub(crate) inputs: Vec<ValueId>,
    /// What it gives back, in order; a value may be one of a graph around.
    pub(crate) outputs: Vec<ValueId>,
    /// All values that it makes.
    pub(super) values: Vec<ValueId>,
    /// Its own nodes in topological order.
    pub(crate) order: Vec<NodeId>,
}

/// Where the nodes of all bodies are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bodies {
    /// Number of nodes of the graph itself.
    pub(super) own: usize,
    pub(super) all: Vec<BodyGraph>,
    /// By node behind those of the graph itself: its body, and its place in the body's message.
    pub(super) places: Vec<(BodyId, usize)>,
    /// By node its bodies.
    pub(super) of: HashMap<NodeId, Vec<BodyId>>,
}

impl Bodies {
    /// The body that a node stands in, and its place in the message of that, or of the graph.
    pub(super) fn place(&self, node: NodeId) -> (Option<BodyId>, usize) {
        match node.index().checked_sub(self.own) {
            None => (None, node.index()),
            Some(inner) => match self.places.get(inner) {
                Some(&(body, place)) => (Some(body), place),
                // No node: behind all.
                None => (None, usize::MAX),
            },
        }
    }

    /// The message of a body in that of the graph.
    pub(super) fn message<'a>(
        &self,
        graph: &'a GraphProto,
        body: BodyId,
    ) -> Option<&'a GraphProto> {
        let body = &self.all[body.index()];
        let (around, place) = self.place(body.owner);
        let around = match around {
            None => graph,
            Some(outer) => self.message(graph, outer)?,
        };
        let mut attributes = around.node.get(place)?.attribute.iter();
        let held = attributes.find(|own| own.name() == body.attribute && own.g.is_some())?;
        held.g.as_ref()
    }

    /// As [`Bodies::message`], to be changed; the graph itself without a body.
    pub(super) fn message_mut<'a>(
        &self,
        graph: &'a mut GraphProto,
        body: Option<BodyId>,
    ) -> Option<&'a mut GraphProto> {
        let Some(body) = body else {
            return Some(graph);
        };
        let body = &self.all[body.index()];
        let (around, place) = self.place(body.owner);
        let around = self.message_mut(graph, around)?;
        let mut attributes = around.node.get_mut(place)?.attribute.iter_mut();
        let held = attributes.find(|own| own.name() == body.attribute && own.g.is_some())?;
        held.g.as_mut()
    }

    /// A node in messages, to be changed.
    pub(super) fn node_mut<'a>(
        &self,
        graph: &'a mut GraphProto,
        node: NodeId,
    ) -> Option<&'a mut NodeProto> {
        let (body, place) = self.place(node);
        self.message_mut(graph, body)?.node.get_mut(place)
    }
}

impl Graph {
    /// The bodies of a node, in the order of its attributes.
    pub(crate) fn bodies_of(
        &self,
        node: NodeId,
    ) -> impl Iterator<Item = (BodyId, &BodyGraph)> + '_ {
        let own = self.bodies.of.get(&node).into_iter().flatten();
        own.map(|&id| (id, &self.bodies.all[id.index()]))
    }

    /// The nodes of a body in topological order.
    pub(crate) fn body_order(&self, body: BodyId) -> &[NodeId] {
        &self.bodies.all[body.index()].order
    }

    /// The body that a node stands in; none of the graph itself.
    pub(crate) fn body_of(&self, node: NodeId) -> Option<BodyId> {
        self.bodies.place(node).0
    }

    /// The node of the graph itself that a node is, or in whose bodies it stands.
    pub(crate) fn outermost(&self, node: NodeId) -> NodeId {
        match self.body_of(node) {
            None => node,
            Some(body) => self.outermost(self.bodies.all[body.index()].owner),
        }
    }

    /// What the bodies of a node give back: body, place and value.
    pub(crate) fn given_back(&self, node: NodeId) -> Vec<(BodyId, usize, ValueId)> {
        let bodies = self.bodies_of(node);
        let given = bodies.flat_map(|(id, body)| {
            let outputs = body.outputs.iter().enumerate();
            outputs.map(move |(place, &value)| (id, place, value))
        });
        given.collect()
    }

    /// All values of the bodies of a node, and of bodies in these.
    pub(crate) fn inside(&self, node: NodeId) -> Vec<ValueId> {
        let mut out = Vec::new();
        for (_, body) in self.bodies_of(node) {
            out.extend(&body.values);
            out.extend(body.order.iter().flat_map(|&inner| self.inside(inner)));
        }
        out
    }

    /// All nodes: those of bodies before the node that runs them, else in the order of the graph.
    pub(crate) fn order_with_bodies(&self) -> Vec<NodeId> {
        let mut out = Vec::with_capacity(self.node_count());
        self.order
            .iter()
            .for_each(|&node| self.walk(node, &mut out));
        out
    }

    fn walk(&self, node: NodeId, out: &mut Vec<NodeId>) {
        for (_, body) in self.bodies_of(node) {
            body.order.iter().for_each(|&inner| self.walk(inner, out));
        }
        out.push(node);
    }

    /// The graph itself, and all bodies.
    pub(crate) fn parts(&self) -> impl Iterator<Item = Option<BodyId>> + use<> {
        let bodies = (0..self.bodies.all.len()).map(|body| Some(BodyId(numbered(body))));
        [None].into_iter().chain(bodies)
    }

    /// A part of messages that this graph was built from, to be changed.
    pub(crate) fn part_mut<'a>(
        &self,
        graph: &'a mut GraphProto,
        part: Option<BodyId>,
    ) -> Option<&'a mut GraphProto> {
        self.bodies.message_mut(graph, part)
    }

    /// The node that runs a body.
    pub(crate) fn owner(&self, body: BodyId) -> NodeId {
        self.bodies.all[body.index()].owner
    }

    /// The value in an edit of this graph that is what one is here: of the same name, in the same body.
    pub(crate) fn find_in(&self, edited: &Graph, value: ValueId) -> Option<ValueId> {
        let known = self.value(value);
        edited.find_of(known.body, &known.name)
    }

    /// The value of this name that a body makes, or the graph itself.
    pub(crate) fn find_of(&self, body: Option<BodyId>, name: &str) -> Option<ValueId> {
        match body {
            None => self.find(name),
            Some(body) => self.inner_names.get(&(body, name.to_owned())).copied(),
        }
    }

    pub(super) fn inner_node(&self, id: NodeId) -> &Node {
        &self.inner[id.index() - self.bodies.own]
    }

    /// The message of a body.
    pub(super) fn body_proto(&self, body: BodyId) -> &GraphProto {
        static EMPTY: std::sync::OnceLock<GraphProto> = std::sync::OnceLock::new();
        let message = self.bodies.message(self.proto(), body);
        message.unwrap_or_else(|| EMPTY.get_or_init(GraphProto::default))
    }
}
