//! The data that layers read, as names inside a segment.

use std::collections::BTreeMap;

use super::columns::Columns;
use crate::dimensions::Analysis;
use crate::graph::{NodeId, ValueId};
use crate::layers::Layer;
use crate::onnx::proto::{GraphProto, NodeProto};
use crate::ops::{Linear, Operand, Role};

/// The values that have to be there to see the data of a use: what a node makes itself is seen at a copy.
pub(crate) fn needs(analysis: &Analysis, linear: &Linear) -> Vec<ValueId> {
    let node = analysis.graph().node(linear.node);
    match linear.data {
        Some(Operand::Input(slot)) => node.input(slot).into_iter().collect(),
        Some(Operand::Output(_)) => node.reads().collect(),
        None => Vec::new(),
    }
}

/// Copies of nodes whose own outputs are data, each made once.
#[derive(Default)]
pub(crate) struct Copies(BTreeMap<NodeId, NodeProto>);

impl Copies {
    /// Name of the data of a use of `layer`, and how its columns are made of it.
    pub(crate) fn data(
        &mut self,
        analysis: &Analysis,
        layer: &Layer,
        linear: &Linear,
        proto: &mut GraphProto,
    ) -> Option<(String, Columns)> {
        let graph = analysis.graph();
        let (name, rank) = match linear.data? {
            Operand::Input(slot) => {
                let value = graph.node(linear.node).input(slot)?;
                let rank = analysis.state.axes(value)?.len();
                (graph.value(value).name.clone(), rank)
            }
            Operand::Output(slot) => {
                let copied = self.0.entry(linear.node).or_insert_with(|| {
                    let copied = copy(graph.node_proto(linear.node), analysis);
                    proto.node.push(copied.clone());
                    copied
                });
                // The features are the last axis of what a node makes.
                let axes = linear.roles.iter().filter_map(|role| match role {
                    Role::Reduction(axis) => Some(*axis),
                    Role::Batch(_) | Role::Row(_) | Role::Kernel => None,
                });
                (copied.output.get(slot)?.clone(), axes.max()? + 1)
            }
        };
        Some((name, Columns::of(layer, linear, rank)))
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

/// For every batch of a layer the batch of its data.
pub(crate) fn own_batches(layer: &Layer) -> Vec<usize> {
    let Some(linear) = layer.uses.first() else {
        return Vec::new();
    };
    let mut own = Vec::new();
    if linear.groups > 1 {
        own.push(true);
    }
    own.extend(linear.roles.iter().filter_map(|role| match role {
        Role::Batch(axis) => Some(axis.is_some()),
        Role::Row(_) | Role::Reduction(_) | Role::Kernel => None,
    }));
    let axes = layer.batches.iter().zip(own);
    axes.fold(vec![0], |outer, (axis, own)| {
        let inner =
            |&at: &usize| (0..axis.size).map(move |i| if own { at * axis.size + i } else { at });
        outer.iter().flat_map(inner).collect()
    })
}
