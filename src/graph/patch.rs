//! New nodes among old ones: the one place where nodes are made.
//!
//! A [`Patch`] is a change as a value: new nodes with their places, new initializers, inputs and outputs, and
//! what old nodes read instead. [`Patch::apply`] brings it about. Operators are written as the model's version
//! of the operator set has them (7 to the newest), and made names are names that nothing has, no value and no
//! node, in no body either.

use std::collections::HashSet;
use std::sync::Arc;

use super::attributes::int;
use super::bodies::Bodies;
pub(crate) use super::places::PatchPlace;
use super::places::insert;
use super::reads::read_instead;
use super::{BodyId, Graph, Names, NodeId, numbered};
use crate::onnx::proto::{AttributeProto, GraphProto, NodeProto, TensorProto, ValueInfoProto};
use crate::onnx::{ElementType, Model, from_raw};

/// A change of a graph.
pub(crate) struct Patch {
    names: Names,
    bodies: Arc<Bodies>,
    spot: PatchPlace,
    nodes: Vec<(PatchPlace, NodeProto)>,
    initializers: Vec<TensorProto>,
    inputs: Vec<ValueInfoProto>,
    outputs: Vec<ValueInfoProto>,
    /// Values that all old nodes read as others: name, the other's.
    read_as: Vec<(String, String)>,
    /// What old nodes read instead: node, slot, name.
    connections: Vec<(NodeId, usize, String)>,
    /// Old nodes that go.
    removed: Vec<NodeId>,
    /// What old nodes make instead.
    renamed: Vec<(NodeId, usize, String)>,
    /// Outputs of the graph that are another value: name, new name of what was there, the other value.
    replaced: Vec<(String, String, String)>,
    /// What bodies give back instead: body, place among its outputs, name.
    given_back: Vec<(BodyId, usize, String)>,
}

impl Patch {
    /// A change of `graph` with new nodes at its end.
    pub(crate) fn of(graph: &Graph) -> Patch {
        Patch {
            names: Names::of(graph),
            bodies: graph.bodies.clone(),
            spot: PatchPlace::END,
            nodes: Vec::new(),
            initializers: Vec::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            read_as: Vec::new(),
            connections: Vec::new(),
            removed: Vec::new(),
            renamed: Vec::new(),
            replaced: Vec::new(),
            given_back: Vec::new(),
        }
    }

    /// From now on new nodes stand before all old ones; returns where they stood until now.
    pub(crate) fn at_start(&mut self) -> PatchPlace {
        std::mem::replace(&mut self.spot, PatchPlace::START)
    }

    /// From now on new nodes stand behind all old ones.
    pub(crate) fn at_end(&mut self) {
        self.spot = PatchPlace::END;
    }

    /// From now on new nodes stand where they stood at another time.
    pub(crate) fn back_to(&mut self, spot: PatchPlace) {
        self.spot = spot;
    }

    /// From now on new nodes stand before this one.
    pub(crate) fn before(&mut self, node: NodeId) {
        let (body, place) = self.bodies.place(node);
        self.spot = PatchPlace { body, place };
    }

    /// From now on new nodes stand directly behind this one.
    pub(crate) fn behind(&mut self, node: NodeId) {
        let (body, place) = self.bodies.place(node);
        let place = place.saturating_add(1);
        self.spot = PatchPlace { body, place };
    }

    /// From now on new nodes stand at the end of this body.
    pub(crate) fn at_end_of(&mut self, body: BodyId) {
        let body = Some(body);
        self.spot = PatchPlace {
            body,
            ..PatchPlace::END
        };
    }

    /// Moves the new node that makes `output` so that it stands before `node`, which is in the same body, as well.
    pub(crate) fn advance(&mut self, output: &str, node: NodeId) {
        let made = self
            .nodes
            .iter_mut()
            .find(|(_, new)| new.output[0] == output);
        if let Some((spot, _)) = made {
            spot.place = self.bodies.place(node).1.min(spot.place);
        }
    }

    /// A name like `base` that nothing has.
    pub(crate) fn fresh(&mut self, base: &str) -> String {
        self.names.fresh(base)
    }

    /// What an old node reads at a slot; an earlier change of it counts.
    pub(crate) fn reads(&self, graph: &Graph, node: NodeId, slot: usize) -> Option<String> {
        let changes = self.connections.iter().rev();
        let mut changes = changes.filter(|(of, at, _)| (*of, *at) == (node, slot));
        match changes.next() {
            Some((.., name)) => Some(name.clone()),
            None => {
                let name = graph.node_proto(node).input.get(slot)?;
                (!name.is_empty()).then(|| name.clone())
            }
        }
    }

    /// Lets all old nodes, in bodies as well, read another value; where one was connected, that counts.
    pub(crate) fn read_as(&mut self, old: &str, new: &str) {
        self.read_as.push((old.to_owned(), new.to_owned()));
    }

    /// Lets an old node read another value at a slot.
    pub(crate) fn connect(&mut self, node: NodeId, slot: usize, name: &str) {
        self.connections.push((node, slot, name.to_owned()));
    }

    /// Lets an old node make an output under this name, also one that it has left out.
    pub(crate) fn rename_output(&mut self, node: NodeId, slot: usize, name: &str) {
        self.renamed.push((node, slot, name.to_owned()));
    }

    /// Takes an old node away; a new one has to make what it made.
    pub(crate) fn remove(&mut self, node: NodeId) {
        self.removed.push(node);
    }

    /// Lets the output of the graph with this name be another value. All nodes, old and new, go on with what
    /// had the name.
    pub(crate) fn replace_output(&mut self, name: &str, with: &str) {
        let moved = self.fresh(&format!("{name}.replaced"));
        self.replaced
            .push((name.to_owned(), moved, with.to_owned()));
    }

    /// Lets a body give back another value at a place.
    pub(crate) fn give_back(&mut self, body: BodyId, place: usize, name: &str) {
        self.given_back.push((body, place, name.to_owned()));
    }

    /// A new node with one output, whose name is like `base`; returns that name.
    pub(crate) fn node(
        &mut self,
        base: &str,
        operator: &str,
        inputs: &[&str],
        attributes: Vec<AttributeProto>,
    ) -> String {
        let output = self.fresh(base);
        self.node_as(&output, operator, inputs, attributes);
        output
    }

    /// A new node that makes the value called `output`.
    pub(crate) fn node_as(
        &mut self,
        output: &str,
        operator: &str,
        inputs: &[&str],
        attributes: Vec<AttributeProto>,
    ) {
        let name = format!("{output}.{operator}");
        self.node_called(&name, output, operator, inputs, attributes);
    }

    /// A new node of a name like `base` that makes the value called `output`.
    pub(crate) fn node_called(
        &mut self,
        base: &str,
        output: &str,
        operator: &str,
        inputs: &[&str],
        attributes: Vec<AttributeProto>,
    ) {
        let name = self.names.fresh(base);
        let node = NodeProto {
            op_type: Some(operator.to_owned()),
            name: Some(name),
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output: vec![output.to_owned()],
            attribute: attributes,
            ..NodeProto::default()
        };
        self.nodes.push((self.spot, node));
    }

    /// Puts the node that was made last into another set of operators.
    pub(crate) fn of_domain(&mut self, domain: &str) {
        if let Some((_, node)) = self.nodes.last_mut() {
            node.domain = Some(domain.to_owned());
        }
    }

    /// Number of new nodes.
    pub(super) fn made(&self) -> usize {
        self.nodes.len()
    }

    /// Takes back all new nodes but the first `count`.
    pub(super) fn take_back(&mut self, count: usize) {
        self.nodes.truncate(count);
    }

    /// An old node once more, under new names; returns those of its outputs.
    pub(crate) fn copy(&mut self, base: &str, node: &NodeProto) -> Vec<String> {
        let count = node.output.len().max(1);
        let outputs: Vec<String> = (0..count).map(|_| self.fresh(base)).collect();
        let copied = NodeProto {
            name: Some(self.fresh(base)),
            output: outputs.clone(),
            ..node.clone()
        };
        self.nodes.push((self.spot, copied));
        outputs
    }

    /// A new initializer from packed bytes.
    pub(crate) fn constant(
        &mut self,
        base: &str,
        element: ElementType,
        dims: &[usize],
        bytes: Vec<u8>,
    ) -> String {
        let name = self.fresh(base);
        self.initializers
            .push(from_raw(&name, element, dims, bytes));
        name
    }

    /// A new initializer of 64-bit integers.
    pub(crate) fn integers(&mut self, base: &str, numbers: &[i64]) -> String {
        let bytes = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
        self.constant(base, ElementType::Int64, &[numbers.len()], bytes)
    }

    /// A new graph input; its name has to be fresh.
    pub(crate) fn input(&mut self, declared: ValueInfoProto) {
        self.inputs.push(declared);
    }

    /// A further graph output, each once.
    pub(crate) fn output(&mut self, declared: ValueInfoProto) {
        let known = self.outputs.iter().any(|o| o.name == declared.name);
        if !known {
            self.outputs.push(declared);
        }
    }

    /// The elements in another type.
    pub(crate) fn cast(&mut self, base: &str, x: &str, to: ElementType) -> String {
        self.node(base, "Cast", &[x], vec![int("to", to.number().into())])
    }

    /// The model of the graph with the change.
    pub(crate) fn applied(self, model: &Model) -> Model {
        let mut proto = model.proto.clone();
        self.apply(proto.graph.get_or_insert_default());
        model.with(proto, model.lazy.clone())
    }

    /// Puts the change into the messages of the graph, or of a part of it where only new nodes matter. Of
    /// several nodes before one the first made comes first.
    pub(crate) fn apply(mut self, graph: &mut GraphProto) {
        for (old, new) in &self.read_as {
            read_instead(graph, old, new);
        }
        for (node, slot, name) in std::mem::take(&mut self.connections) {
            let Some(node) = self.bodies.node_mut(graph, node) else {
                continue;
            };
            let inputs = &mut node.input;
            inputs.resize(inputs.len().max(slot + 1), String::new());
            inputs[slot] = name;
        }
        for (node, slot, name) in std::mem::take(&mut self.renamed) {
            let Some(node) = self.bodies.node_mut(graph, node) else {
                continue;
            };
            let outputs = &mut node.output;
            outputs.resize(outputs.len().max(slot + 1), String::new());
            outputs[slot] = name;
        }
        self.replace_outputs(graph);
        self.give(graph);
        self.insert(graph);
        graph.initializer.append(&mut self.initializers);
        graph.input.append(&mut self.inputs);
        for output in self.outputs {
            if graph.output.iter().all(|known| known.name != output.name) {
                graph.output.push(output);
            }
        }
    }

    fn give(&mut self, graph: &mut GraphProto) {
        for (body, place, name) in std::mem::take(&mut self.given_back) {
            let message = self.bodies.message_mut(graph, Some(body));
            if let Some(output) = message.and_then(|message| message.output.get_mut(place)) {
                output.name = Some(name);
            }
        }
    }

    /// Puts the new nodes in. Bodies inside others come first: the places of those around them hold until then.
    fn insert(&mut self, graph: &mut GraphProto) {
        let bodies = (0..self.bodies.all.len()).rev();
        let bodies = bodies
            .map(|body| Some(BodyId(numbered(body))))
            .chain([None]);
        let mut nodes = std::mem::take(&mut self.nodes);
        for body in bodies {
            let own: Vec<(PatchPlace, NodeProto)> = nodes
                .extract_if(.., |(spot, _)| spot.body == body)
                .collect();
            let removed = self.removed.iter().map(|&node| self.bodies.place(node));
            let removed = removed
                .filter(|(of, _)| *of == body)
                .map(|(_, place)| place);
            let removed: HashSet<usize> = removed.collect();
            if own.is_empty() && removed.is_empty() {
                continue;
            }
            if let Some(message) = self.bodies.message_mut(graph, body) {
                let own = own.into_iter().map(|(spot, node)| (spot.place, node));
                insert(message, own.collect(), &removed);
            }
        }
    }

    fn replace_outputs(&mut self, graph: &mut GraphProto) {
        let replaced = std::mem::take(&mut self.replaced);
        let bodies = &self.bodies;
        let own: HashSet<(Option<BodyId>, String)> = replaced
            .iter()
            .flat_map(|(old, ..)| {
                let makes = |body: &BodyId| {
                    let message = bodies.message(graph, *body);
                    let mut nodes = message.into_iter().flat_map(|message| &message.node);
                    nodes.any(|node| node.output.contains(old))
                };
                let all = (0..bodies.all.len()).map(|body| BodyId(numbered(body)));
                let inside: Vec<BodyId> = all.filter(makes).collect();
                (inside.into_iter()).map(|body| (Some(body), old.clone()))
            })
            .collect();
        let new = self.nodes.iter_mut().map(|(spot, node)| (spot.body, node));
        let old = graph.node.iter_mut().map(|node| (None, node));
        for (body, node) in old.chain(new) {
            for name in node.input.iter_mut().chain(&mut node.output) {
                let moved = replaced.iter().find(|(old, ..)| old == name);
                // A body may call something of its own so.
                let moved = moved.filter(|(old, ..)| !own.contains(&(body, old.clone())));
                if let Some((_, moved, _)) = moved {
                    name.clone_from(moved);
                }
            }
        }
        self.spot = PatchPlace::END;
        for (name, _, with) in &replaced {
            self.node_as(name, "Identity", &[with], Vec::new());
        }
    }
}
