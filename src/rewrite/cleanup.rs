//! Removing what a rewrite left without readers. What was dead before stays: it is not ours to judge.

use std::collections::HashSet;

use crate::graph::{Graph, Producer};
use crate::onnx::Model;

/// Names of values that an output depends on.
fn live_values(graph: &Graph) -> HashSet<String> {
    let live = graph.live_nodes();
    let nodes = graph.order().iter().filter(|node| live[node.index()]);
    let read = nodes.flat_map(|&node| graph.node(node).reads());
    let outputs = graph.value_ids().filter(|&id| graph.value(id).is_output);
    let names = read.chain(outputs).map(|id| graph.value(id).name.clone());
    names.collect()
}

/// Adds to `live` what nodes read that were dead in `before`: they stay.
fn keep_read_by_dead(
    before: &Graph,
    was: &HashSet<String>,
    after: &Graph,
    live: &mut HashSet<String>,
) {
    for &node in after.order().iter().rev() {
        let connections = after.node(node);
        let mut outputs = connections.outputs.iter().flatten();
        let stays = outputs.any(|&output| {
            let name = &after.value(output).name;
            live.contains(name) || (before.find(name).is_some() && !was.contains(name))
        });
        if stays {
            live.extend(connections.reads().map(|id| after.value(id).name.clone()));
        }
    }
}

/// The model of `after` without the nodes, initializers and value infos that were live in `before` and are dead
/// now.
pub(crate) fn without_newly_dead(before: &Graph, after: Graph) -> Model {
    let (was, mut is) = (live_values(before), live_values(&after));
    keep_read_by_dead(before, &was, &after, &mut is);
    let dead = |name: &str| was.contains(name) && !is.contains(name);
    let fresh = |name: &str| before.find(name).is_none() && !is.contains(name);
    let gone = |name: &str| dead(name) || fresh(name);
    // In old models initializers are listed among the inputs as well.
    let is_initializer = |name: &str| {
        let id = before.find(name);
        id.is_some_and(|id| matches!(before.value(id).producer, Producer::Initializer(_)))
    };
    let mut model = after.into_model();
    let graph = model.proto.graph.get_or_insert_default();
    graph.node.retain(|node| {
        let named: Vec<&String> = node.output.iter().filter(|name| !name.is_empty()).collect();
        let any_gone = named.iter().any(|name| gone(name));
        let none_live = named.iter().all(|name| !is.contains(*name));
        !(any_gone && none_live)
    });
    graph.initializer.retain(|tensor| !gone(tensor.name()));
    graph.value_info.retain(|info| !gone(info.name()));
    graph
        .input
        .retain(|input| !(is_initializer(input.name()) && gone(input.name())));
    model.lazy.retain(|name, _| !gone(name));
    model
}
