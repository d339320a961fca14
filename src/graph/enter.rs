//! Building what bodies of nodes are made of, each with the names around it in sight.

use std::collections::{HashMap, HashSet};

use petgraph::algo::toposort;
use petgraph::graph::{DiGraph, NodeIndex};

use super::bodies::{Bodies, BodyGraph, BodyId};
use super::build::{GraphBuilder, describe, outer_names};
use super::{Node, NodeId, Producer, Value, ValueId, numbered};
use crate::error::Fault;
use crate::onnx::proto::{GraphProto, NodeProto};

/// Values of bodies by their names there.
pub(super) type InnerNames = HashMap<(BodyId, String), ValueId>;

/// What has been entered so far.
#[derive(Default)]
pub(super) struct Entered {
    pub(super) bodies: Bodies,
    pub(super) inner: Vec<Node>,
    pub(super) names: InnerNames,
}

/// Names in sight inside a body, from those of the graph itself to its own.
type Sight<'a> = Vec<HashMap<&'a str, ValueId>>;

impl GraphBuilder {
    /// Enters the bodies of the nodes of the graph itself.
    pub(super) fn enter(&mut self, proto: &GraphProto) -> Entered {
        let mut entered = Entered::default();
        entered.bodies.own = proto.node.len();
        for (index, node) in proto.node.iter().enumerate() {
            self.enter_node(
                (NodeId(numbered(index)), node),
                &mut Vec::new(),
                &mut entered,
            );
        }
        entered
    }

    fn enter_node<'a>(
        &mut self,
        (owner, node): (NodeId, &'a NodeProto),
        sight: &mut Sight<'a>,
        entered: &mut Entered,
    ) {
        let mut attributes = HashSet::new();
        for attribute in &node.attribute {
            if let Some(graph) = &attribute.g
                && attributes.insert(attribute.name())
            {
                let body = BodyGraph {
                    owner,
                    attribute: attribute.name().to_owned(),
                    inputs: Vec::new(),
                    outputs: Vec::new(),
                    values: Vec::new(),
                    order: Vec::new(),
                };
                let id = BodyId(numbered(entered.bodies.all.len()));
                entered.bodies.all.push(body);
                entered.bodies.of.entry(owner).or_default().push(id);
                self.enter_body((id, graph), sight, entered);
            }
        }
    }

    fn enter_body<'a>(
        &mut self,
        (id, graph): (BodyId, &'a GraphProto),
        sight: &mut Sight<'a>,
        entered: &mut Entered,
    ) {
        sight.push(HashMap::new());
        let nodes = self.declare_body((id, graph), sight, entered);
        let mut flow = DiGraph::<NodeId, ()>::new();
        for &node in &nodes {
            flow.add_node(node);
        }
        for (place, (&node, message)) in nodes.iter().zip(&graph.node).enumerate() {
            let connections = self.connect_inner((id, node), message, sight);
            for value in connections
                .inputs
                .iter()
                .flatten()
                .chain(&connections.captured)
            {
                let known = &self.values[value.index()];
                if let Producer::Node(from, _) = known.producer
                    && known.body == Some(id)
                {
                    let from = from.index() - nodes[0].index();
                    flow.add_edge(NodeIndex::new(from), NodeIndex::new(place), ());
                }
            }
            let known = &mut entered.inner[node.index() - entered.bodies.own];
            known.inputs = connections.inputs;
            known.captured = connections.captured;
        }
        entered.bodies.all[id.index()].order = self.inner_order(&flow, graph);
        for (node, message) in nodes.iter().zip(&graph.node) {
            self.enter_node((*node, message), sight, entered);
        }
        sight.pop();
    }

    /// Makes the values and nodes of a body; returns its nodes.
    fn declare_body<'a>(
        &mut self,
        (id, graph): (BodyId, &'a GraphProto),
        sight: &mut Sight<'a>,
        entered: &mut Entered,
    ) -> Vec<NodeId> {
        for (index, tensor) in graph.initializer.iter().enumerate() {
            self.produce_inner((id, tensor.name()), Producer::Initializer(index), sight);
        }
        for (index, sparse) in graph.sparse_initializer.iter().enumerate() {
            let name = sparse.values.as_ref().map_or("", |values| values.name());
            self.produce_inner((id, name), Producer::SparseInitializer(index), sight);
        }
        for (index, input) in graph.input.iter().enumerate() {
            // As outside, an initializer may be listed among the inputs.
            let known = sight.last().and_then(|own| own.get(input.name()).copied());
            let is_initializer = |value: &ValueId| {
                let producer = self.values[value.index()].producer;
                !matches!(producer, Producer::BodyInput(_))
            };
            let value = match known.filter(is_initializer) {
                Some(value) => value,
                None => self.produce_inner((id, input.name()), Producer::BodyInput(index), sight),
            };
            entered.bodies.all[id.index()].inputs.push(value);
        }
        let nodes = self.declare_nodes((id, graph), sight, entered);
        self.note_names((id, graph), sight, entered);
        nodes
    }

    /// Makes the nodes of a body and what they make.
    fn declare_nodes<'a>(
        &mut self,
        (id, graph): (BodyId, &'a GraphProto),
        sight: &mut Sight<'a>,
        entered: &mut Entered,
    ) -> Vec<NodeId> {
        let first = entered.bodies.own + entered.inner.len();
        let nodes: Vec<NodeId> = (0..graph.node.len())
            .map(|place| NodeId(numbered(first + place)))
            .collect();
        for ((place, node), &number) in graph.node.iter().enumerate().zip(&nodes) {
            let outputs = node.output.iter().enumerate().map(|(slot, name)| {
                let producer = Producer::Node(number, slot);
                (!name.is_empty()).then(|| self.produce_inner((id, name), producer, sight))
            });
            let outputs = outputs.collect();
            entered.bodies.places.push((id, place));
            entered.inner.push(Node {
                outputs,
                ..Node::default()
            });
        }
        nodes
    }

    /// Notes the names of a body, what is declared of them, and which of them it gives back.
    fn note_names<'a>(
        &mut self,
        (id, graph): (BodyId, &'a GraphProto),
        sight: &Sight<'a>,
        entered: &mut Entered,
    ) {
        let own = sight.last().into_iter().flatten();
        let own = own.map(|(&name, &value)| ((id, name.to_owned()), value));
        let own: Vec<_> = own.collect();
        let values = &mut entered.bodies.all[id.index()].values;
        values.extend(own.iter().map(|(_, value)| *value));
        values.sort_unstable();
        entered.names.extend(own);
        for info in graph
            .input
            .iter()
            .chain(&graph.output)
            .chain(&graph.value_info)
        {
            if let Some(&value) = sight.last().and_then(|own| own.get(info.name())) {
                self.declare_inner(value, info);
            }
        }
        let body = &mut entered.bodies.all[id.index()];
        for output in &graph.output {
            let value = self.seen(output.name(), sight, || "the outputs of a body".to_owned());
            self.given_back.push(value);
            body.outputs.push(value);
        }
    }

    fn produce_inner<'a>(
        &mut self,
        (id, name): (BodyId, &'a str),
        producer: Producer,
        sight: &mut Sight<'a>,
    ) -> ValueId {
        let known = sight.last().and_then(|own| own.get(name).copied());
        if name.is_empty() {
            self.faults
                .push(Fault::Unnamed("a value of a body".to_owned()));
        } else if let Some(known) = known {
            self.faults.push(Fault::DuplicateName {
                value: name.to_owned(),
                first: "a value of a body".to_owned(),
                second: "another in the same body".to_owned(),
            });
            return known;
        }
        let value = ValueId(numbered(self.values.len()));
        self.values.push(Value {
            name: name.to_owned(),
            producer,
            consumers: Vec::new(),
            is_output: false,
            body: Some(id),
            declared: None,
            element: None,
        });
        if let Some(own) = sight.last_mut() {
            own.insert(name, value);
        }
        value
    }

    /// The value that a name means inside a body.
    fn seen(&mut self, name: &str, sight: &Sight, reader: impl FnOnce() -> String) -> ValueId {
        let inner = sight
            .iter()
            .rev()
            .find_map(|names| names.get(name).copied());
        match inner {
            Some(value) => value,
            None => self.read(name, reader),
        }
    }

    fn connect_inner(
        &mut self,
        (id, node): (BodyId, NodeId),
        message: &NodeProto,
        sight: &Sight,
    ) -> Node {
        let mut connections = Node::default();
        for (slot, name) in message.input.iter().enumerate() {
            let value = (!name.is_empty()).then(|| self.seen(name, sight, || describe(message)));
            if let Some(value) = value {
                let known = &mut self.values[value.index()];
                if known.body == Some(id) {
                    known.consumers.push((node, slot));
                }
            }
            connections.inputs.push(value);
        }
        for name in outer_names(message) {
            let value = self.seen(&name, sight, || {
                format!("a subgraph of {}", describe(message))
            });
            connections.captured.push(value);
        }
        connections
    }

    /// The order of the message, which has to be topological: onnxruntime runs no other body.
    fn inner_order(&mut self, flow: &DiGraph<NodeId, ()>, graph: &GraphProto) -> Vec<NodeId> {
        let in_order = flow
            .raw_edges()
            .iter()
            .all(|edge| edge.source() < edge.target());
        if in_order {
            return flow.node_indices().map(|index| flow[index]).collect();
        }
        let sorted = toposort(flow, None);
        if sorted.is_ok() {
            let mut late = flow
                .raw_edges()
                .iter()
                .map(|edge| (edge.source(), edge.target()));
            let reader = late.find(|(source, target)| source > target);
            let reader = reader.and_then(|(_, target)| graph.node.get(target.index()));
            self.faults.push(Fault::Unordered {
                reader: reader.map_or_else(String::new, describe),
            });
        }
        let order = sorted.unwrap_or_else(|cycle| {
            let member = graph.node.get(cycle.node_id().index()).map(describe);
            self.faults.push(Fault::Cycle {
                nodes: member.into_iter().collect(),
            });
            Vec::new()
        });
        order.into_iter().map(|index| flow[index]).collect()
    }
}
