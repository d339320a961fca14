//! The graph of a model: nodes connected by values.
//!
//! A [`Graph`] is a view over the messages of a normalised model (local functions inlined). It never changes
//! the messages: analyses read it, the rewriter returns new messages, and a new graph is built from those.
//! What a graph promises, because [`Graph::new`] refuses everything else:
//!
//! - every value has one producer and a name; every name that is read is produced;
//! - there is a topological order, and it is the same for the same file;
//! - the declarations of a value agree about its rank.
//!
//! Bodies of nodes (If, Loop, Scan) have nodes and values of their own (`bodies`); a node that has them lists the outer
//! values that they read as [`Node::captured`].

mod arrange;
mod array;
mod attributes;
mod bodies;
mod build;
mod call;
mod calls;
mod declare;
mod derived;
mod emit;
mod enter;
mod inline;
mod names;
mod patch;
mod places;
mod reads;
mod shadows;
mod spread;
mod text;
mod watched;
mod windows;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::{Dfs, GraphRef, IntoNeighbors, Reversed, Visitable};

use crate::error::{Error, Fault, Result};
use crate::onnx::proto::{GraphProto, NodeProto, TensorProto, type_proto};
use crate::onnx::{ElementType, Model, domain_of};

pub(crate) use arrange::Span;
pub(crate) use array::{Array, broadcast_sizes};
pub(crate) use attributes::{Attributes, float, int, ints, text};
use bodies::Bodies;
pub(crate) use bodies::BodyGraph;
pub use bodies::BodyId;
pub(crate) use call::{CalledGraph, called, with_calls};
pub(crate) use declare::{DeclaredSize, declaration, declaration_of, tapped};
pub(crate) use emit::Emitter;
use enter::InnerNames;
pub(crate) use inline::{inlined, prefixed};
pub(crate) use names::Names;
pub(crate) use patch::Patch;
pub(crate) use reads::bodies_read_instead;
use shadows::without_shadows;
pub(crate) use windows::Slide;

/// A node, by its place in the model's node list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub(crate) u32);

/// A value, by the order of first mention: initializers, inputs, node outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub(crate) u32);

impl NodeId {
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

impl ValueId {
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Producer {
    /// The graph input at this position.
    Input(usize),
    /// The initializer at this position.
    Initializer(usize),
    /// The sparse initializer at this position.
    SparseInitializer(usize),
    /// An output of a node.
    Node(NodeId, usize),
    /// The node that runs a body gives it this input.
    BodyInput(usize),
    /// Nothing: only in a graph that has faults.
    Missing,
}

/// A value of the graph.
#[derive(Clone, Debug)]
pub struct Value {
    /// The name in the model.
    pub name: String,
    /// Where it comes from.
    pub producer: Producer,
    /// The nodes that read it, with the input slot.
    pub consumers: Vec<(NodeId, usize)>,
    /// True if it is an output of the graph.
    pub is_output: bool,
    /// The body that makes it; none of the graph itself.
    pub body: Option<BodyId>,
    pub(crate) declared: Option<Vec<DeclaredSize>>,
    pub(crate) element: Option<ElementType>,
}

/// The connections of a node.
#[derive(Clone, Debug, Default)]
pub struct Node {
    /// By slot; `None` where an optional input is left out.
    pub inputs: Vec<Option<ValueId>>,
    /// By slot; `None` where an optional output is left out.
    pub outputs: Vec<Option<ValueId>>,
    /// Outer values that the node's subgraphs read.
    pub captured: Vec<ValueId>,
}

impl Node {
    /// The value at an input slot, if it is connected.
    pub(crate) fn input(&self, slot: usize) -> Option<ValueId> {
        self.inputs.get(slot).copied().flatten()
    }

    /// The value at an output slot, if it is connected.
    pub(crate) fn output(&self, slot: usize) -> Option<ValueId> {
        self.outputs.get(slot).copied().flatten()
    }

    /// Everything that it reads: connected inputs, and outer values of its subgraphs.
    pub(crate) fn reads(&self) -> impl Iterator<Item = ValueId> + '_ {
        self.inputs.iter().flatten().chain(&self.captured).copied()
    }
}

/// A verified graph.
#[derive(Clone, Debug)]
pub struct Graph {
    model: Model,
    flow: DiGraph<Node, ValueId>,
    order: Vec<NodeId>,
    values: Vec<Value>,
    names: HashMap<String, ValueId>,
    /// Values that bodies read or give back.
    captured: HashSet<ValueId>,
    bodies: Arc<Bodies>,
    /// The nodes of bodies.
    inner: Vec<Node>,
    inner_names: InnerNames,
}

/// Everything that is wrong with a model's graph; empty for a valid one. Local functions are not entered.
pub fn verify(model: &Model) -> Vec<Fault> {
    build::build(model.clone()).1
}

impl Graph {
    /// The graph of `model`, its local functions inlined.
    ///
    /// # Errors
    /// [`Error::Graph`] with every fault, or a local function that cannot be inlined.
    pub fn new(model: &Model) -> Result<Graph> {
        Graph::verified(without_shadows(inlined(model)?), "the model")
    }

    /// As [`Graph::new`] for a model without local functions; `step` names who made it, for the error.
    pub(crate) fn verified(model: Model, step: &str) -> Result<Graph> {
        let (graph, faults) = build::build(model);
        if faults.is_empty() {
            return Ok(graph);
        }
        Err(Error::Graph {
            step: step.to_owned(),
            faults,
        })
    }

    /// The model that this graph shows.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The model, moved out.
    pub(crate) fn into_model(self) -> Model {
        self.model
    }

    /// All nodes of the graph itself in topological order; ties are in file order.
    pub fn order(&self) -> &[NodeId] {
        &self.order
    }

    /// Number of nodes, with those of bodies.
    pub fn node_count(&self) -> usize {
        self.flow.node_count() + self.inner.len()
    }

    /// All values.
    pub fn value_ids(&self) -> impl Iterator<Item = ValueId> + use<> {
        (0..self.values.len() as u32).map(ValueId)
    }

    /// The connections of a node.
    pub fn node(&self, id: NodeId) -> &Node {
        match id.index() < self.flow.node_count() {
            true => &self.flow[NodeIndex::new(id.index())],
            false => self.inner_node(id),
        }
    }

    /// A value.
    pub fn value(&self, id: ValueId) -> &Value {
        &self.values[id.index()]
    }

    /// The value of the graph itself called `name`.
    pub fn find(&self, name: &str) -> Option<ValueId> {
        self.names.get(name).copied()
    }

    /// The nodes that read what `id` produces, in graph order.
    pub fn successors(&self, id: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        let next = self.flow.neighbors(NodeIndex::new(id.index()));
        next.map(|index| NodeId(index.index() as u32))
    }

    pub(crate) fn proto(&self) -> &GraphProto {
        static EMPTY: std::sync::OnceLock<GraphProto> = std::sync::OnceLock::new();
        let graph = self.model.proto.graph.as_ref();
        graph.unwrap_or_else(|| EMPTY.get_or_init(GraphProto::default))
    }

    pub(crate) fn node_proto(&self, id: NodeId) -> &NodeProto {
        match self.bodies.place(id) {
            (None, place) => &self.proto().node[place],
            (Some(body), place) => &self.body_proto(body).node[place],
        }
    }

    /// A node in messages that this graph was built from, to be changed.
    pub(crate) fn node_mut<'a>(
        &self,
        graph: &'a mut GraphProto,
        id: NodeId,
    ) -> Option<&'a mut NodeProto> {
        self.bodies.node_mut(graph, id)
    }

    /// The tensor behind a constant value in messages that this graph was built from, to be changed.
    pub(crate) fn constant_mut<'a>(
        &self,
        graph: &'a mut GraphProto,
        id: ValueId,
    ) -> Option<&'a mut TensorProto> {
        match self.value(id).producer {
            Producer::Initializer(index) => {
                let holder = self.bodies.message_mut(graph, self.value(id).body)?;
                holder.initializer.get_mut(index)
            }
            Producer::Node(node, _) => {
                let attributes = &mut self.node_mut(graph, node)?.attribute;
                let value = attributes.iter_mut().find(|a| a.name() == "value");
                value.and_then(|attribute| attribute.t.as_mut())
            }
            Producer::Input(_)
            | Producer::SparseInitializer(_)
            | Producer::BodyInput(_)
            | Producer::Missing => None,
        }
    }

    /// `Operator 'name'`, with the first output where the node has no name.
    pub(crate) fn describe(&self, id: NodeId) -> String {
        build::describe(self.node_proto(id))
    }

    /// The tensor behind a constant value: an initializer or the output of a Constant node.
    pub(crate) fn constant(&self, id: ValueId) -> Option<&TensorProto> {
        match self.value(id).producer {
            Producer::Initializer(index) => match self.value(id).body {
                None => self.proto().initializer.get(index),
                Some(body) => self.body_proto(body).initializer.get(index),
            },
            Producer::Node(node, 0) => {
                let node = self.node_proto(node);
                let is_constant =
                    node.op_type() == "Constant" && domain_of(node.domain()).is_empty();
                let tensor = |a: &'_ crate::onnx::proto::AttributeProto| a.name() == "value";
                let attribute = node.attribute.iter().find(|a| is_constant && tensor(a))?;
                attribute.t.as_ref()
            }
            _ => None,
        }
    }

    /// By node: whether it depends on constants only. Nodes of bodies count as if they depended on data.
    pub(crate) fn fixed_nodes(&self) -> Vec<bool> {
        let reads_data = |value: ValueId| {
            let producer = self.value(value).producer;
            matches!(producer, Producer::Input(_) | Producer::Missing)
        };
        let sources = self.flow.node_indices();
        let sources = sources.filter(|&index| self.flow[index].reads().any(reads_data));
        let mut fixed = self.reached(&self.flow, sources);
        fixed.iter_mut().for_each(|reached| *reached = !*reached);
        fixed.resize(self.node_count(), false);
        fixed
    }

    /// By node: whether an output of the graph depends on it; of bodies, whether one depends on who runs them.
    pub(crate) fn live_nodes(&self) -> Vec<bool> {
        let outputs = self.values.iter().filter(|value| value.is_output);
        let makers = outputs.filter_map(|value| match value.producer {
            Producer::Node(node, _) => Some(NodeIndex::new(node.index())),
            _ => None,
        });
        let mut live = self.reached(Reversed(&self.flow), makers);
        let inner = (live.len()..self.node_count()).map(|node| NodeId(numbered(node)));
        let inner: Vec<bool> = inner
            .map(|node| live[self.outermost(node).index()])
            .collect();
        live.extend(inner);
        live
    }

    /// By node of the graph itself: whether it can be reached from `sources`, these included.
    fn reached<G>(&self, graph: G, sources: impl Iterator<Item = NodeIndex>) -> Vec<bool>
    where
        G: GraphRef + IntoNeighbors + Visitable<NodeId = NodeIndex>,
    {
        let mut reached = vec![false; self.flow.node_count()];
        let mut search = Dfs::empty(graph);
        for source in sources {
            search.move_to(source);
            while let Some(index) = search.next(graph) {
                reached[index.index()] = true;
            }
        }
        reached
    }

    /// True if a value depends on constants only; `nodes` are those of [`Graph::fixed_nodes`].
    pub(crate) fn is_fixed(&self, value: ValueId, nodes: &[bool]) -> bool {
        match self.value(value).producer {
            Producer::Initializer(_) | Producer::SparseInitializer(_) => true,
            Producer::Node(node, _) => nodes[node.index()],
            Producer::Input(_) | Producer::BodyInput(_) | Producer::Missing => false,
        }
    }

    /// True if a body reads the value, or gives it back.
    pub(crate) fn is_captured(&self, value: ValueId) -> bool {
        self.captured.contains(&value)
    }

    /// Element type of a value where the model says it.
    pub(crate) fn element(&self, id: ValueId) -> Option<ElementType> {
        let constant = || self.constant(id).map(|tensor| tensor.data_type());
        self.value(id)
            .element
            .or_else(|| constant().and_then(ElementType::of))
    }
}

/// The number of a handle; no file has as many things as there are numbers.
fn numbered(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}

/// The declared shape and element type of a tensor type.
pub(crate) fn declared_tensor(
    declared: Option<&crate::onnx::proto::TypeProto>,
) -> Option<&type_proto::Tensor> {
    match declared?.value.as_ref()? {
        type_proto::Value::TensorType(tensor) => Some(tensor),
        _ => None,
    }
}
