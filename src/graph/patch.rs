//! New nodes among old ones, and names for them.

use std::collections::HashSet;

use super::Graph;
use crate::onnx::proto::{GraphProto, NodeProto};

/// Nodes to stand before the old node with a given index; those past the last one stand at the end.
#[derive(Default)]
pub(crate) struct Insertions(Vec<(usize, NodeProto)>);

impl Insertions {
    pub(crate) fn before(&mut self, place: usize, node: NodeProto) {
        self.0.push((place, node));
    }

    /// Moves the node that makes `output` so that it stands before `place` as well.
    pub(crate) fn advance(&mut self, output: &str, place: usize) {
        let made = self.0.iter_mut().find(|(_, node)| node.output[0] == output);
        if let Some((before, _)) = made {
            *before = place.min(*before);
        }
    }

    pub(crate) fn nodes_mut(&mut self) -> impl Iterator<Item = &mut NodeProto> {
        self.0.iter_mut().map(|(_, node)| node)
    }

    /// Puts the nodes into `graph`; of several before one node the first made comes first.
    pub(crate) fn apply(mut self, graph: &mut GraphProto) {
        self.0.sort_by_key(|&(place, _)| place);
        let mut inserted = self.0.into_iter().peekable();
        let old = std::mem::take(&mut graph.node);
        for (place, node) in old.into_iter().enumerate() {
            while let Some((_, new)) = inserted.next_if(|&(before, _)| before == place) {
                graph.node.push(new);
            }
            graph.node.push(node);
        }
        graph.node.extend(inserted.map(|(_, node)| node));
    }
}

/// Makes names; the same requests give the same names.
pub(crate) struct Names(HashSet<String>);

impl Names {
    pub(crate) fn of(graph: &Graph) -> Names {
        let values = graph.value_ids().map(|id| graph.value(id).name.clone());
        Names(values.collect())
    }

    /// `base`, or `base` with the first number that makes it new.
    pub(crate) fn fresh(&mut self, base: &str) -> String {
        let mut name = base.to_owned();
        let mut number = 1;
        while !self.0.insert(name.clone()) {
            number += 1;
            name = format!("{base}.{number}");
        }
        name
    }
}
