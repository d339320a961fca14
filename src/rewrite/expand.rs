//! Nodes replaced by what their operators do, so that masks can be put where a dimension is read inside.

use crate::axes::Kept;
use crate::dimensions::Analysis;
use crate::error::Result;
use crate::graph::{Graph, NodeId, with_calls};
use crate::ops::call_of;

/// The model in which every node that was typed by its body, and that a choice touches, is that body, analysed, with the
/// choice carried over; none where there is no such node. Values that the model has keep their names.
///
/// # Errors
/// A body that makes no valid graph.
pub(super) fn expanded(analysis: &Analysis, kept: &Kept) -> Result<Option<(Analysis, Kept)>> {
    let graph = analysis.graph();
    let nodes = analysis.state.bodied.iter().copied();
    let touched = nodes.filter(|&node| is_touched(analysis, kept, node));
    let calls = touched.filter_map(|node| {
        let (function, attributes) = call_of(graph, &analysis.state, node).ok()?;
        Some((node, function, attributes))
    });
    let calls: Vec<_> = calls.collect();
    if calls.is_empty() {
        return Ok(None);
    }
    let model = with_calls(graph, calls)?;
    let graph = Graph::verified(model, "the model with bodies")?;
    let expanded = Analysis::of_edit(graph, analysis);
    let kept = expanded.carried(analysis, kept);
    Ok(Some((expanded, kept)))
}

/// True if the node reads or makes what loses positions.
fn is_touched(analysis: &Analysis, kept: &Kept, node: NodeId) -> bool {
    let connections = analysis.graph().node(node);
    let mut values = connections
        .reads()
        .chain(connections.outputs.iter().flatten().copied());
    values.any(|value| analysis.is_pruned(value, kept))
}
