//! How ids go from an input of the graph to a table.

use crate::graph::{Graph, NodeId, Producer, ValueId};
use crate::ops::find;

/// Where an input of the graph enters what leads to a table and nowhere else.
pub(super) struct WayIn {
    pub(super) input: ValueId,
    pub(super) node: NodeId,
    pub(super) slot: usize,
}

/// The way from one input of the graph to the node that picks by it; none where ids of several meet, or something else reads what
/// is on the way.
pub(super) fn way_in(graph: &Graph, to: (NodeId, usize), index: ValueId) -> Option<WayIn> {
    let (mut value, (mut node, mut slot)) = (index, to);
    loop {
        let known = graph.value(value);
        match known.producer {
            Producer::Input(_) => {
                let input = value;
                return Some(WayIn { input, node, slot });
            }
            Producer::Node(maker, _) => {
                if known.is_output || graph.is_captured(value) || known.consumers.len() != 1 {
                    return None;
                }
                // What else the node makes of the ids has other readers.
                if graph.node(maker).outputs.iter().flatten().count() > 1 {
                    return None;
                }
                let row = find(graph, maker)?;
                let inputs = graph.node(maker).inputs.iter().enumerate();
                let mut carried = inputs.filter(|(place, _)| row.carries_elements_of(*place));
                let (place, from) = carried.next()?;
                if carried.next().is_some() {
                    return None;
                }
                (node, slot) = (maker, place);
                value = (*from)?;
            }
            _ => return None,
        }
    }
}
