//! Whether anything can be trained in a graph with bodies, which no gradient goes through.

use std::collections::HashSet;

use super::parameters::{Parameters, Trainable};
use super::settings::Tuning;
use crate::error::{Error, Result};
use crate::graph::{Graph, NodeId, Producer, ValueId};

/// Nodes that a message names.
const NAMED: usize = 3;

/// Refuses a graph in which bodies stand between every weight that may be trained and the outputs, before anything is run.
///
/// # Errors
/// It is one, or a tensor cannot be read.
pub(crate) fn check_reach(graph: &Graph, tuning: &Tuning) -> Result<()> {
    if graph.parts().nth(1).is_none() {
        return Ok(());
    }
    let choice = Trainable {
        only: tuning.only.clone(),
        freeze: tuning.freeze.clone(),
        ..Trainable::default()
    };
    let candidates = Parameters::candidates(graph, &choice)?;
    let outputs = graph.value_ids().filter(|&id| graph.value(id).is_output);
    let mut open: Vec<ValueId> = outputs.collect();
    let mut seen: HashSet<ValueId> = open.iter().copied().collect();
    let mut bodies: Vec<NodeId> = Vec::new();
    while let Some(value) = open.pop() {
        let Producer::Node(node, _) = graph.value(value).producer else {
            continue;
        };
        match graph.bodies_of(node).next() {
            Some(_) if !bodies.contains(&node) => bodies.push(node),
            Some(_) => {}
            None => {
                let reads = graph.node(node).inputs.iter().flatten().copied();
                open.extend(reads.filter(|&read| seen.insert(read)));
            }
        }
    }
    if bodies.is_empty() || candidates.all.iter().any(|own| seen.contains(&own.value)) {
        return Ok(());
    }
    let named = bodies.iter().take(NAMED).map(|&node| graph.describe(node));
    let named: Vec<String> = named.collect();
    let more = match bodies.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Err(Error::Usage(format!(
        "nothing can be trained: all weights stand in or before bodies of {}{more}, and bodies are not differentiated; prune without training, with calibration data",
        named.join(", ")
    )))
}
