//! How much memory a run takes, by the sizes of its values: what is alive at once, in the order in which onnxruntime runs
//! the nodes.

use crate::graph::{Graph, NodeId, Producer, ValueId};

/// Bytes that runs take for each that is counted: kernels take memory for themselves, and some lies between values.
const TAKEN: f64 = 1.8;
/// Bytes that a session takes for a node.
const PER_NODE: u64 = 4 << 10;
/// Bytes that onnxruntime takes before.
const BESIDE: u64 = 10 << 20;

/// Bytes that sessions of so many nodes and their runs take for which so many are counted.
pub(super) fn expected(counted: u64, nodes: usize) -> u64 {
    (counted as f64 * TAKEN) as u64 + PER_NODE * nodes as u64 + BESIDE
}

/// Bytes of constants, inputs and outputs of the graph, and of the other values that are alive at once at most. Values
/// whose bytes are not known count as nothing; what kernels take for themselves is not in it.
pub(crate) fn of_run(graph: &Graph, bytes: &dyn Fn(&str) -> Option<u64>) -> u64 {
    let of = |value: ValueId| bytes(&graph.value(value).name).unwrap_or(0);
    let stays = |value: ValueId| {
        let value = graph.value(value);
        value.is_output || !matches!(value.producer, Producer::Node(..))
    };
    let is_constant = |value: ValueId| {
        let producer = graph.value(value).producer;
        !matches!(producer, Producer::Node(..) | Producer::Input(_))
    };
    let kept = graph.value_ids().filter(|&value| stays(value));
    let kept: u64 = kept.filter(|&value| !is_constant(value)).map(of).sum();
    let order = run_order(graph);
    let mut last = vec![0; graph.value_ids().count()];
    for (place, &node) in order.iter().enumerate() {
        let node = graph.node(node);
        let made = node.outputs.iter().flatten().copied();
        for value in node.reads().chain(made) {
            last[value.index()] = place;
        }
    }
    let (mut alive, mut most) = (0, 0);
    let mut ends: Vec<Vec<ValueId>> = vec![Vec::new(); order.len()];
    for value in graph.value_ids().filter(|&value| !stays(value)) {
        if let Some(ends) = ends.get_mut(last[value.index()]) {
            ends.push(value);
        }
    }
    for (&node, ends) in order.iter().zip(ends) {
        let made = graph.node(node).outputs.iter().flatten().copied();
        alive += made.filter(|&value| !stays(value)).map(of).sum::<u64>();
        most = most.max(alive);
        alive -= ends.into_iter().map(of).sum::<u64>();
    }
    graph.model().weight_bytes() as u64 + kept + most
}

/// The order in which onnxruntime runs nodes by default: depth first from the last results, of a node's inputs first what
/// the latest node makes. Weights' gradients come late in it.
fn run_order(graph: &Graph) -> Vec<NodeId> {
    let count = graph.node_count();
    let mut nodes = graph.order().to_vec();
    nodes.sort_by_key(|node| node.index());
    let mut stack: Vec<(NodeId, bool)> = nodes
        .into_iter()
        .filter(|&node| graph.successors(node).next().is_none())
        .map(|node| (node, false))
        .collect();
    let mut order = Vec::with_capacity(count);
    let mut seen = vec![false; count];
    while let Some((node, is_done)) = stack.pop() {
        if is_done {
            order.push(node);
            continue;
        }
        if std::mem::replace(&mut seen[node.index()], true) {
            continue;
        }
        stack.push((node, true));
        let made = graph.node(node).reads();
        let made = made.filter_map(|value| match graph.value(value).producer {
            Producer::Node(node, _) => Some(node),
            _ => None,
        });
        let mut before: Vec<NodeId> = made.filter(|node| !seen[node.index()]).collect();
        before.sort_by_key(|node| node.index());
        stack.extend(before.into_iter().map(|node| (node, false)));
    }
    order
}
