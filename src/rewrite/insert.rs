//! New nodes among old ones.

use crate::onnx::proto::{GraphProto, NodeProto};

/// Nodes to stand before the old node with a given index; those past the last one stand at the end.
#[derive(Default)]
pub(super) struct Insertions(Vec<(usize, NodeProto)>);

impl Insertions {
    pub(super) fn before(&mut self, place: usize, node: NodeProto) {
        self.0.push((place, node));
    }

    /// Moves the node that makes `output` so that it stands before `place` as well.
    pub(super) fn advance(&mut self, output: &str, place: usize) {
        let made = self.0.iter_mut().find(|(_, node)| node.output[0] == output);
        if let Some((before, _)) = made {
            *before = place.min(*before);
        }
    }

    pub(super) fn nodes_mut(&mut self) -> impl Iterator<Item = &mut NodeProto> {
        self.0.iter_mut().map(|(_, node)| node)
    }

    /// Puts the nodes into `graph`; of several before one node the first made comes first.
    pub(super) fn apply(mut self, graph: &mut GraphProto) {
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
