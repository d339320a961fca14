//! What is timed: what is left of a model at chosen numbers of channels, its nodes named after those of the original.

use crate::axes::Kept;
use crate::dimensions::Analysis;
use crate::error::{Error, Result};
use crate::graph::{Graph, NodeId, Producer};
use crate::onnx::Model;
use crate::rewrite::{prune_to, stale};

/// What nodes are named after in models that are timed.
const TOKEN: &str = "secateur#";
/// What onnxruntime adds to the name of a value that it computes in blocks of channels; the node is named so.
const BLOCKED: &str = "_nchwc";

/// A model to be timed.
pub(super) struct TimedChoice {
    pub(super) channels: Vec<usize>,
    pub(super) model: Model,
}

/// What is left at each of these choices, as near as the model allows; those that are the same once.
///
/// # Errors
/// The model cannot be cut at all.
pub(super) fn subjects(
    analysis: &Analysis,
    choices: Vec<Vec<usize>>,
    form: &dyn Fn(Model) -> Result<Model>,
) -> Result<Vec<TimedChoice>> {
    let mut out: Vec<TimedChoice> = Vec::new();
    for channels in choices {
        let new = subject(analysis, &channels, form)?;
        let new = new.filter(|new| out.iter().all(|of| of.channels != new.channels));
        out.extend(new);
    }
    Ok(out)
}

/// What is left at these numbers of channels, as near as the model allows; none where it cannot be cut so.
fn subject(
    analysis: &Analysis,
    channels: &[usize],
    form: &dyn Fn(Model) -> Result<Model>,
) -> Result<Option<TimedChoice>> {
    let mut kept = first(analysis, channels);
    match stale(analysis, &kept) {
        Ok(found) => {
            for var in found.iter().flat_map(|found| &found.vars) {
                kept.remove(*var);
            }
        }
        Err(Error::Plan { .. }) => return Ok(None),
        Err(fault) => return Err(fault),
    }
    let mut model = match prune_to(analysis, &kept) {
        Ok(model) => form(model)?,
        Err(Error::Plan { .. }) => return Ok(None),
        Err(fault) => return Err(fault),
    };
    name_nodes(analysis, &mut model);
    Ok(Some(TimedChoice {
        channels: analysis.channels(&kept),
        model,
    }))
}

/// The choice of the first channels of each dimension, of every block.
fn first(analysis: &Analysis, channels: &[usize]) -> Kept {
    let mut kept = analysis.everything();
    for (of, &count) in analysis.dimensions().iter().zip(channels) {
        if count < of.size {
            let blocks = of.blocks.max(1);
            let all = of.channels();
            let each = all.chunks((of.size / blocks).max(1));
            let first = each.flat_map(|block| &block[..count / blocks]);
            kept.insert(of.var, first.copied().collect());
        }
    }
    kept
}

/// Names every node after the original's that it was, which kernels then are named after.
fn name_nodes(analysis: &Analysis, model: &mut Model) {
    let graph = analysis.graph();
    let Some(left) = model.proto.graph.as_mut() else {
        return;
    };
    for node in &mut left.node {
        let origin = node.output.iter().find_map(|name| made_by(graph, name));
        node.name = Some(match origin {
            Some(id) => format!("{TOKEN}{}", id.index()),
            None => String::new(),
        });
    }
}

/// The node that makes a value.
fn made_by(graph: &Graph, name: &str) -> Option<NodeId> {
    match graph.value(graph.find(name)?).producer {
        Producer::Node(node, _) => Some(node),
        _ => None,
    }
}

/// The original's node that a kernel is of; none where onnxruntime gave it a name of its own.
pub(super) fn node_of(graph: &Graph, kernel: &str) -> Option<usize> {
    if let Some((_, rest)) = kernel.split_once(TOKEN) {
        let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
        return digits.parse().ok();
    }
    let value = kernel.strip_suffix(BLOCKED)?;
    made_by(graph, value).map(NodeId::index)
}
