//! A part of a model as a model of its own.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;

use super::spill::Waiting;
use super::stages::{Measured, Stages, When};
use super::taps::{Columns, Taps};
use super::walk::Wanted;
use crate::dimensions::Analysis;
use crate::graph::{NodeId, Producer, ValueId};
use crate::layers::Layer;
use crate::onnx::proto::{
    GraphProto, ModelProto, NodeProto, TensorProto, TensorShapeProto, TypeProto, ValueInfoProto,
    tensor_shape_proto, type_proto,
};
use crate::onnx::{ElementType, Model, cleared};
use crate::ops::{Linear, Operand, Role};

/// New bytes of initializers by name.
pub(super) type Changes = HashMap<String, Bytes>;

/// A layer's statistic in a segment.
#[derive(Clone, Debug)]
pub(super) struct Tap {
    pub(super) layer: usize,
    pub(super) statistic: String,
    pub(super) shape: String,
}

/// A part of a model as a model of its own.
pub(super) struct Segment {
    pub(super) model: Model,
    pub(super) taps: Vec<Tap>,
    /// The graph inputs that it reads.
    pub(super) inputs: BTreeSet<String>,
    /// The waiting values that it reads.
    pub(super) reads: BTreeSet<String>,
    /// The values that later segments need, made here or before.
    pub(super) front: BTreeSet<String>,
}

fn info(name: &str, element: Option<ElementType>, rank: Option<usize>) -> ValueInfoProto {
    let shape = rank.map(|rank| TensorShapeProto {
        dim: vec![tensor_shape_proto::Dimension::default(); rank],
    });
    let tensor = element.map(|element| type_proto::Tensor {
        elem_type: Some(element.number()),
        shape,
    });
    ValueInfoProto {
        name: Some(name.to_owned()),
        r#type: tensor.map(|tensor| TypeProto {
            value: Some(type_proto::Value::TensorType(tensor)),
            ..TypeProto::default()
        }),
        ..ValueInfoProto::default()
    }
}

/// What a segment is cut from.
pub(super) struct Cut<'a> {
    pub(super) analysis: &'a Analysis,
    pub(super) layers: &'a [&'a Layer],
    pub(super) stages: &'a Stages,
    pub(super) wanted: Wanted,
    /// The weights that have been changed so far.
    pub(super) changes: &'a Changes,
}

impl Cut<'_> {
    /// Builds segment `number`; `waiting` are the values that earlier segments left.
    pub(super) fn segment(&self, number: usize, waiting: &[Waiting]) -> Segment {
        let graph = self.analysis.graph();
        let measured = self
            .stages
            .measured
            .get(number)
            .map_or(&[][..], Vec::as_slice);
        let own = |node: &NodeId| self.stages.when[node.index()] == Some(When::In(number));
        let nodes: BTreeSet<NodeId> = graph.order().iter().copied().filter(own).collect();
        let (nodes, read) = self.with_constants(nodes, measured);
        let mut proto = GraphProto {
            name: Some(format!("segment {number}")),
            ..GraphProto::default()
        };
        let in_order = graph.order().iter().filter(|node| nodes.contains(node));
        proto.node = in_order.map(|&node| self.node(node)).collect();
        let mut segment = Segment {
            model: graph.model().clone(),
            taps: Vec::new(),
            inputs: BTreeSet::new(),
            reads: BTreeSet::new(),
            front: BTreeSet::new(),
        };
        self.declare(&read, &nodes, waiting, &mut proto, &mut segment);
        segment.taps = self.taps(measured, &mut proto);
        segment.front = self.hand_on(number, &nodes, &mut proto);
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
        measured: &[Measured],
    ) -> (BTreeSet<NodeId>, BTreeSet<ValueId>) {
        let graph = self.analysis.graph();
        let mut read: BTreeSet<ValueId> = BTreeSet::new();
        for &node in &nodes {
            read.extend(graph.node(node).reads());
        }
        for Measured { linear, .. } in measured {
            let node = graph.node(linear.node);
            match linear.data {
                Some(Operand::Input(slot)) => read.extend(node.input(slot)),
                Some(Operand::Output(_)) => read.extend(node.reads()),
                None => {}
            }
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
                        proto.input.push(info(name, Some(*element), Some(*rank)));
                    }
                }
                Producer::Node(..) | Producer::Missing => {}
            }
        }
    }

    /// Appends the statistics of the layers that are measured here.
    fn taps(&self, measured: &[Measured], proto: &mut GraphProto) -> Vec<Tap> {
        let graph = self.analysis.graph();
        let mut copies: BTreeMap<NodeId, NodeProto> = BTreeMap::new();
        for Measured { linear, .. } in measured {
            if matches!(linear.data, Some(Operand::Output(_))) {
                let copied = || copy(graph.node_proto(linear.node), self.analysis);
                copies.entry(linear.node).or_insert_with(copied);
            }
        }
        proto.node.extend(copies.values().cloned());
        let mut taps = Taps::new(graph, proto);
        let mut out = Vec::new();
        for Measured { layer, linear } in measured {
            let Some((data, rank)) = data_name(self.analysis, linear, &copies) else {
                continue;
            };
            let columns = Columns::of(self.layers[*layer], linear, rank);
            let (statistic, shape) = taps.tap(&data, &columns, self.wanted);
            let layer = *layer;
            out.push(Tap {
                layer,
                statistic,
                shape,
            });
        }
        let mut outputs: BTreeMap<&str, ElementType> = BTreeMap::new();
        for tap in &out {
            outputs.insert(&tap.statistic, ElementType::Float);
            outputs.insert(&tap.shape, ElementType::Int64);
        }
        for (name, element) in outputs {
            proto.output.push(info(name, Some(element), None));
        }
        out
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
                proto.output.push(info(name, element, None));
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

/// A node once more, all of its outputs under new names.
fn copy(node: &NodeProto, analysis: &Analysis) -> NodeProto {
    let fresh = |slot: usize| {
        let base = format!("secateur.copy.{}.{slot}", node.name());
        let taken = |name: &str| analysis.graph().find(name).is_some();
        let mut names = std::iter::successors(Some(base), |name| Some(format!("{name}.")));
        names.find(|name| !taken(name)).unwrap_or_default()
    };
    NodeProto {
        output: (0..node.output.len().max(1)).map(fresh).collect(),
        name: Some(fresh(usize::MAX)),
        ..node.clone()
    }
}

/// Name and rank of a use's data.
fn data_name(
    analysis: &Analysis,
    linear: &Linear,
    copies: &BTreeMap<NodeId, NodeProto>,
) -> Option<(String, usize)> {
    match linear.data? {
        Operand::Input(slot) => {
            let value = analysis.graph().node(linear.node).input(slot)?;
            let rank = analysis.state.axes(value)?.len();
            Some((analysis.graph().value(value).name.clone(), rank))
        }
        Operand::Output(slot) => {
            let name = copies.get(&linear.node)?.output.get(slot)?.clone();
            // The features are the last axis of what a node makes.
            let axes = linear.roles.iter().filter_map(|role| match role {
                Role::Reduction(axis) => Some(*axis),
                Role::Batch(_) | Role::Row(_) | Role::Kernel => None,
            });
            Some((name, axes.max()? + 1))
        }
    }
}
