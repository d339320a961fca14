//! A part of a model as a model of its own.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;

use super::sampling::Positions;
use super::spill::Waiting;
use super::stages::{Stages, When};
use crate::dimensions::Analysis;
use crate::graph::{NodeId, Producer, ValueId, declaration};
use crate::onnx::proto::{GraphProto, ModelProto, NodeProto, TensorProto};
use crate::onnx::{Model, cleared};

/// New bytes of initializers by name.
pub(crate) type Changes = HashMap<String, Bytes>;

/// A part of a model as a model of its own.
pub(crate) struct Segment {
    pub(crate) model: Model,
    /// The graph inputs that it reads.
    pub(crate) inputs: BTreeSet<String>,
    /// The waiting values that it reads.
    pub(crate) reads: BTreeSet<String>,
    /// The values that later segments need, made here or before.
    pub(crate) front: BTreeSet<String>,
    /// Inputs that say which places are looked at.
    pub(crate) positions: Vec<Positions>,
}

/// What a segment is cut from.
pub(crate) struct Cutting<'a> {
    pub(crate) analysis: &'a Analysis,
    pub(crate) stages: &'a Stages,
    /// The weights that have been changed so far.
    pub(crate) changes: &'a Changes,
    /// Whether what later segments need is made an output.
    pub(crate) hands_on: bool,
}

impl Cutting<'_> {
    /// Builds segment `number`; `waiting` are the values that earlier segments left, `needs` those that
    /// `append` reads in what it adds at the end.
    pub(crate) fn segment(
        &self,
        number: usize,
        waiting: &[Waiting],
        needs: &[ValueId],
        append: &mut dyn FnMut(&mut GraphProto) -> Vec<Positions>,
    ) -> Segment {
        let graph = self.analysis.graph();
        let own = |node: &NodeId| self.stages.when[node.index()] == Some(When::In(number));
        let nodes: BTreeSet<NodeId> = graph.order().iter().copied().filter(own).collect();
        let (nodes, read) = self.with_constants(nodes, needs);
        let mut proto = GraphProto {
            name: Some(format!("segment {number}")),
            ..GraphProto::default()
        };
        let in_order = graph.order().iter().filter(|node| nodes.contains(node));
        proto.node = in_order.map(|&node| self.node(node)).collect();
        let mut segment = Segment {
            model: graph.model().clone(),
            inputs: BTreeSet::new(),
            reads: BTreeSet::new(),
            front: BTreeSet::new(),
            positions: Vec::new(),
        };
        self.declare(&read, &nodes, waiting, &mut proto, &mut segment);
        segment.positions = append(&mut proto);
        if self.hands_on {
            segment.front = self.hand_on(number, &nodes, &mut proto);
        }
        let source = graph.model();
        let whole = ModelProto {
            graph: Some(proto),
            ..without_graph(&source.proto)
        };
        segment.model = source.with(whole, BTreeMap::new());
        segment.model.external = false;
        segment
    }

    /// The nodes with those that only depend on constants and are needed, and all values that are read.
    fn with_constants(
        &self,
        mut nodes: BTreeSet<NodeId>,
        needs: &[ValueId],
    ) -> (BTreeSet<NodeId>, BTreeSet<ValueId>) {
        let graph = self.analysis.graph();
        let mut read: BTreeSet<ValueId> = needs.iter().copied().collect();
        for &node in &nodes {
            read.extend(graph.node(node).reads());
        }
        let mut queue: Vec<ValueId> = read.iter().copied().collect();
        while let Some(value) = queue.pop() {
            let Producer::Node(node, _) = graph.value(value).producer else {
                continue;
            };
            if self.stages.when[node.index()] == Some(When::Anywhere) && nodes.insert(node) {
                read.extend(graph.node(node).reads());
                queue.extend(graph.node(node).reads());
            }
        }
        (nodes, read)
    }

    /// A node; a changed weight that stands in it is replaced.
    fn node(&self, node: NodeId) -> NodeProto {
        let mut proto = self.analysis.graph().node_proto(node).clone();
        let changed = proto.output.first().and_then(|name| self.changes.get(name));
        if let Some(bytes) = changed {
            let tensors = proto.attribute.iter_mut().filter_map(|a| a.t.as_mut());
            tensors.for_each(|tensor| *tensor = with_data(tensor, bytes));
        }
        proto
    }

    /// Declares everything that is read from outside the segment.
    fn declare(
        &self,
        read: &BTreeSet<ValueId>,
        nodes: &BTreeSet<NodeId>,
        waiting: &[Waiting],
        proto: &mut GraphProto,
        segment: &mut Segment,
    ) {
        let graph = self.analysis.graph();
        for &value in read {
            let name = &graph.value(value).name;
            match graph.value(value).producer {
                Producer::Initializer(index) => {
                    let tensor = &graph.proto().initializer[index];
                    let changed = self.changes.get(name);
                    let tensor =
                        changed.map_or_else(|| tensor.clone(), |bytes| with_data(tensor, bytes));
                    proto.initializer.push(tensor);
                }
                Producer::SparseInitializer(index) => {
                    let tensor = graph.proto().sparse_initializer[index].clone();
                    proto.sparse_initializer.push(tensor);
                }
                Producer::Input(index) => {
                    segment.inputs.insert(name.clone());
                    proto.input.push(graph.proto().input[index].clone());
                }
                Producer::Node(maker, _) if !nodes.contains(&maker) => {
                    let stored = waiting.iter().find(|(known, ..)| known == name);
                    if let Some((_, element, rank)) = stored {
                        segment.reads.insert(name.clone());
                        let shape = self.analysis.known_sizes(value, *rank);
                        proto
                            .input
                            .push(declaration(name, Some(*element), Some(&shape)));
                    }
                }
                // Only what stands in the graph itself is read here.
                Producer::Node(..) | Producer::BodyInput(_) | Producer::Missing => {}
            }
        }
    }

    /// Declares what later segments need of this one as outputs; returns all that they need.
    fn hand_on(
        &self,
        number: usize,
        nodes: &BTreeSet<NodeId>,
        proto: &mut GraphProto,
    ) -> BTreeSet<String> {
        let graph = self.analysis.graph();
        let mut front = BTreeSet::new();
        for value in self.stages.front(self.analysis, number) {
            let name = &graph.value(value).name;
            let producer = graph.value(value).producer;
            if matches!(producer, Producer::Node(node, _) if nodes.contains(&node)) {
                let element = self.analysis.state.elements[value.index()];
                proto.output.push(declaration(name, element, None));
            }
            front.insert(name.clone());
        }
        front
    }
}

/// The tensor with other packed bytes.
fn with_data(tensor: &TensorProto, bytes: &Bytes) -> TensorProto {
    TensorProto {
        raw_data: Some(bytes.clone()),
        ..cleared(tensor)
    }
}

fn without_graph(proto: &ModelProto) -> ModelProto {
    ModelProto {
        ir_version: proto.ir_version,
        opset_import: proto.opset_import.clone(),
        ..ModelProto::default()
    }
}
