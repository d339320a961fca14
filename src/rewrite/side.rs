//! Two models in one graph, fed with the same inputs.

use std::collections::{BTreeMap, HashSet};

use crate::error::Result;
use crate::graph::{Graph, Names, prefixed};
use crate::onnx::Model;

/// Two models in one graph.
pub(crate) struct Side {
    pub(crate) graph: Graph,
    /// Stands, with a dot, before all names of the pruned model but those of the graph inputs.
    pub(crate) prefix: String,
}

/// The dense model and the pruned one as one graph over the same inputs, with the outputs of both.
///
/// # Errors
/// The result is no valid graph.
pub(crate) fn side_by_side(dense: &Graph, pruned: &Model) -> Result<Side> {
    let prefix = Names::of(dense).prefix("secateur.pruned");
    let (dense, pruned) = (dense.model().clone().settled(), pruned.clone().settled());
    let mut proto = dense.proto.clone();
    let target = proto.graph.get_or_insert_default();
    let known: HashSet<&str> = target.input.iter().map(|input| input.name()).collect();
    if let Some(graph) = &pruned.proto.graph {
        let graph = prefixed(graph, &prefix);
        let new = |name: &str| !known.contains(name);
        let inputs: Vec<_> = graph.input.into_iter().filter(|i| new(i.name())).collect();
        target.input.extend(inputs);
        target.node.extend(graph.node);
        target.initializer.extend(graph.initializer);
        target.sparse_initializer.extend(graph.sparse_initializer);
        target.value_info.extend(graph.value_info);
        target.output.extend(graph.output);
    }
    let both = dense.with(proto, BTreeMap::new());
    let graph = Graph::verified(both, "both models in one graph")?;
    Ok(Side { graph, prefix })
}
