//! Where new nodes stand among old ones.

use std::collections::HashSet;

use super::BodyId;
use crate::onnx::proto::{GraphProto, NodeProto};

/// Where new nodes stand: in a body or the graph itself, before the old node of this place in its message; behind the last one
/// at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PatchPlace {
    pub(super) body: Option<BodyId>,
    pub(super) place: usize,
}

impl PatchPlace {
    pub(super) const END: PatchPlace = PatchPlace {
        body: None,
        place: usize::MAX,
    };
    pub(super) const START: PatchPlace = PatchPlace {
        body: None,
        place: 0,
    };
}

/// Puts nodes before the old ones of a given place, those past the last one at the end, and leaves old ones out.
pub(super) fn insert(
    graph: &mut GraphProto,
    mut nodes: Vec<(usize, NodeProto)>,
    removed: &HashSet<usize>,
) {
    nodes.sort_by_key(|&(place, _)| place);
    let mut inserted = nodes.into_iter().peekable();
    let old = std::mem::take(&mut graph.node);
    for (place, node) in old.into_iter().enumerate() {
        while let Some((_, new)) = inserted.next_if(|&(before, _)| before == place) {
            graph.node.push(new);
        }
        if !removed.contains(&place) {
            graph.node.push(node);
        }
    }
    graph.node.extend(inserted.map(|(_, node)| node));
}
