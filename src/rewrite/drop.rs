//! Leaving out residual branches: what read their sums reads what the branches read.

use crate::axes::Kept;
use crate::dimensions::Analysis;
use crate::error::Result;
use crate::graph::{Graph, Patch, Producer};

/// The graph without the blocks that `kept` drops of the analysed model, of which `after` is what was made so far: values
/// have the same names there. What nothing reads any more is still in it.
///
/// # Errors
/// The result is no valid graph.
pub(super) fn without_blocks(analysis: &Analysis, kept: &Kept, after: Graph) -> Result<Graph> {
    if kept.dropped().is_empty() {
        return Ok(after);
    }
    let name = |value| &analysis.graph().value(value).name;
    let mut patch = Patch::of(&after);
    for &place in kept.dropped() {
        let Some(block) = analysis.blocks().get(place) else {
            continue;
        };
        let with = name(analysis.stand_in(block.reads, kept));
        let Some(made) = after.find(name(block.makes)) else {
            continue;
        };
        let known = after.value(made);
        for &(node, slot) in &known.consumers {
            patch.connect(node, slot, with);
        }
        // What is known outside the nodes keeps its name.
        let outside = known.is_output || after.is_captured(made);
        if let Producer::Node(sum, _) = known.producer
            && outside
        {
            patch.remove(sum);
            patch.before(sum);
            patch.node_as(&known.name, "Identity", &[with], Vec::new());
        }
    }
    let model = patch.applied(after.model());
    Graph::verified(model, "the model without blocks")
}
