//! A part of a model as a model of its own.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;

use super::spill::Waiting;
use super::stages::{Stages, When};
use super::taps::{Columns, Taps};
use super::walk::Wanted;
use crate::dimensions::Analysis;
use crate::graph::{Node, NodeId, Producer, ValueId};
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
    /// Values that it makes for later segments.
    pub(super) makes: Vec<String>,
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

/// Builds segment `number`; `changes` are the weights that have been changed so far.
pub(super) fn build(
    analysis: &Analysis,
    layers: &[&Layer],
    stages: &Stages,
    number: usize,
    wanted: Wanted,
    waiting: &[Waiting],
    changes: &Changes,
) -> Segment {
    let graph = analysis.graph();
    let mut proto = GraphProto {
        name: Some(format!("segment {number}")),
        ..GraphProto::default()
    };
    let own = |node: &NodeId| stages.when[node.index()] == Some(When::In(number));
    let mut nodes: BTreeSet<NodeId> = graph.order().iter().copied().filter(own).collect();
    let measured = stages.measured.get(number).map_or(&[][..], Vec::as_slice);
    let copied: BTreeSet<NodeId> = measured
        .iter()
        .filter(|m| matches!(m.linear.data, Some(Operand::Output(_))))
        .map(|m| m.linear.node)
        .collect();
    let connected = |node: &NodeId| -> &Node { graph.node(*node) };
    let mut read: BTreeSet<ValueId> = BTreeSet::new();
    for connections in nodes.iter().chain(&copied).map(connected) {
        read.extend(connections.reads());
    }
    let datas = measured.iter().filter_map(|m| match m.linear.data? {
        Operand::Input(slot) => graph
            .node(m.linear.node)
            .inputs
            .get(slot)
            .copied()
            .flatten(),
        Operand::Output(_) => None,
    });
    read.extend(datas);
    let mut queue: Vec<ValueId> = read.iter().copied().collect();
    while let Some(value) = queue.pop() {
        let Producer::Node(node, _) = graph.value(value).producer else {
            continue;
        };
        if stages.when[node.index()] == Some(When::Anywhere) && nodes.insert(node) {
            let connections = graph.node(node);
            let inputs = connections.reads();
            for input in inputs {
                read.insert(input);
                queue.push(input);
            }
        }
    }
    let mut segment = Segment {
        model: graph.model().clone(),
        taps: Vec::new(),
        inputs: BTreeSet::new(),
        reads: BTreeSet::new(),
        makes: Vec::new(),
    };
    let in_order = graph.order().iter().filter(|node| nodes.contains(node));
    proto.node = in_order
        .map(|&node| graph.node_proto(node).clone())
        .collect();
    for &value in &read {
        let name = &graph.value(value).name;
        match graph.value(value).producer {
            Producer::Initializer(index) => {
                let mut tensor = graph.proto().initializer[index].clone();
                if let Some(bytes) = changes.get(name) {
                    tensor = TensorProto {
                        raw_data: Some(bytes.clone()),
                        ..cleared(&tensor)
                    };
                }
                proto.initializer.push(tensor);
            }
            Producer::SparseInitializer(index) => {
                proto
                    .sparse_initializer
                    .push(graph.proto().sparse_initializer[index].clone());
            }
            Producer::Input(index) => {
                segment.inputs.insert(name.clone());
                proto.input.push(graph.proto().input[index].clone());
            }
            Producer::Node(maker, _) if !nodes.contains(&maker) => {
                if let Some((_, element, rank)) = waiting.iter().find(|(known, ..)| known == name) {
                    segment.reads.insert(name.clone());
                    proto.input.push(info(name, Some(*element), Some(*rank)));
                }
            }
            Producer::Node(..) | Producer::Missing => {}
        }
    }
    let mut copies: BTreeMap<NodeId, NodeProto> = BTreeMap::new();
    for node in copied {
        let copy = copy(graph.node_proto(node), analysis);
        proto.node.push(copy.clone());
        copies.insert(node, copy);
    }
    let mut taps = Taps::new(graph, &mut proto);
    for m in measured {
        let Some((data, rank)) = data_name(analysis, &m.linear, &copies) else {
            continue;
        };
        let columns = Columns::of(layers[m.layer], &m.linear, rank);
        let (statistic, shape) = taps.tap(&data, &columns, wanted);
        segment.taps.push(Tap {
            layer: m.layer,
            statistic,
            shape,
        });
    }
    let mut outputs: BTreeMap<String, ElementType> = BTreeMap::new();
    for tap in &segment.taps {
        outputs.insert(tap.statistic.clone(), ElementType::Float);
        outputs.insert(tap.shape.clone(), ElementType::Int64);
    }
    for (name, element) in outputs {
        proto.output.push(info(&name, Some(element), None));
    }
    for value in stages.front(analysis, number) {
        let made = matches!(graph.value(value).producer, Producer::Node(node, _) if own(&node));
        if made {
            let name = graph.value(value).name.clone();
            proto
                .output
                .push(info(&name, analysis.state.elements[value.index()], None));
            segment.makes.push(name);
        }
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
            let value = analysis
                .graph()
                .node(linear.node)
                .inputs
                .get(slot)
                .copied()
                .flatten()?;
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
