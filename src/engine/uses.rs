//! The data that layers read, as names inside a segment.

use std::collections::BTreeMap;

use super::columns::Columns;
use super::taps::Taps;
use crate::dimensions::Analysis;
use crate::graph::{NodeId, ValueId};
use crate::layers::Layer;
use crate::ops::{Linear, Operand, Role};

/// The values that have to be there to see the data of a use: what a node makes itself is seen at a copy.
pub(crate) fn needs(analysis: &Analysis, linear: &Linear) -> Vec<ValueId> {
    let node = analysis.graph().node(linear.node);
    match linear.data {
        Some(Operand::Input(slot)) => node.input(slot).into_iter().collect(),
        Some(Operand::Output(_) | Operand::Joined) => node.reads().collect(),
        None => Vec::new(),
    }
}

/// Copies of nodes whose own outputs are data, each made once.
#[derive(Default)]
pub(crate) struct Copies(BTreeMap<NodeId, Vec<String>>);

impl Copies {
    /// Name of the data of a use of `layer`, and how its columns are made of it.
    pub(crate) fn data(
        &mut self,
        analysis: &Analysis,
        layer: &Layer,
        linear: &Linear,
        taps: &mut Taps,
    ) -> Option<(String, Columns)> {
        let graph = analysis.graph();
        let (name, rank) = match linear.data? {
            Operand::Input(slot) => {
                let value = graph.node(linear.node).input(slot)?;
                let rank = analysis.state.axes(value)?.len();
                (graph.value(value).name.clone(), rank)
            }
            Operand::Output(slot) => {
                let copied = self.0.entry(linear.node);
                let copied = copied.or_insert_with(|| taps.copied(linear.node));
                // The features are the last axis of what a node makes.
                let axes = linear.roles.iter().filter_map(|role| match role {
                    Role::Reduction(axis) => Some(*axis),
                    Role::Batch(_) | Role::Row(_) | Role::Kernel => None,
                });
                (copied.get(slot)?.clone(), axes.max()? + 1)
            }
            Operand::Joined => {
                let joined = linear.joined.as_ref()?;
                let node = graph.node(linear.node);
                let inputs = joined.slots.iter().map(|&slot| node.input(slot));
                let names = inputs.map(|value| Some(graph.value(value?).name.as_str()));
                let names: Vec<&str> = names.collect::<Option<_>>()?;
                (taps.joint(&names, &joined.equation), joined.axes.len())
            }
        };
        Some((name, Columns::of(layer, linear, rank)))
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
