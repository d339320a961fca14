//! What is known of channels by model and by way of scoring, put together.

use std::collections::{HashMap, HashSet};

use crate::dimensions::Analysis;
use crate::graph::ValueId;
use crate::layers::{Layers, LeftWeight, summed_codes};
use crate::search::GateScores;

/// What is known by dimension of one model, by dimension of another in which they have the same names.
pub(super) fn by_name<T: Clone + Default>(
    of: &Analysis,
    known: Vec<T>,
    wanted: &Analysis,
) -> Vec<T> {
    let names = of.dimensions().iter().map(|of| of.name.as_str());
    let known: HashMap<&str, T> = names.zip(known).collect();
    let found = wanted.dimensions().iter();
    let found = found.map(|of| known.get(of.name.as_str()).cloned().unwrap_or_default());
    found.collect()
}

/// Channel by channel the product of both scores, or what is known of them.
pub(super) fn product(obs: Option<Vec<f64>>, fisher: Option<&[f64]>) -> Option<Vec<f64>> {
    match (obs, fisher) {
        (Some(obs), Some(fisher)) => Some(obs.iter().zip(fisher).map(|(a, b)| a * b).collect()),
        (Some(one), None) => Some(one),
        (None, other) => other.map(<[f64]>::to_vec),
    }
}

/// That weights of codes stay as they are, but for what is removed.
pub(super) fn not_recovered(analysis: &Analysis) -> Option<String> {
    let graph = analysis.graph();
    // Tables that are looked up are not recovered either where they are real numbers.
    let blocks = analysis.state.block_codes().iter();
    let blocks = blocks.filter(|codes| codes.summed);
    let blocks = blocks.filter_map(|codes| graph.node(codes.node).input(codes.codes.0));
    let summed = summed_codes(analysis).into_iter().map(|(value, _)| value);
    let summed: HashSet<ValueId> = summed.chain(blocks).collect();
    let is_weight = |weight: &&LeftWeight| summed.contains(&weight.value);
    let Layers { left, layers } = Layers::of(analysis);
    let coded: Vec<&LeftWeight> = left.iter().filter(is_weight).collect();
    let largest = coded.iter().max_by_key(|weight| weight.len)?;
    let reader = graph.value(largest.value).consumers.first();
    let reader = reader.map_or_else(String::new, |&(node, _)| {
        format!(" (read by {})", graph.node_proto(node).op_type())
    });
    Some(format!(
        "{} of {} weight(s) are codes, '{}'{reader} the largest, that stay as they are but for what is removed: nothing says what their operator makes of the numbers that they stand for, more than one node reads them, or there are more than fit into memory as numbers. Where there is a model before its quantisation, prune that, and quantise what is left (`quantise`)",
        coded.len(),
        coded.len() + layers.len(),
        largest.name,
    ))
}

/// That gradients do not arrive at some dimensions.
pub(super) fn no_gradients(analysis: &Analysis, gates: &GateScores) -> Option<String> {
    const SHOWN: usize = 3;
    let pairs = analysis.dimensions().iter().zip(&gates.fisher);
    let without: Vec<&str> = pairs
        .filter(|(_, known)| known.is_none())
        .map(|(dimension, _)| dimension.name.as_str())
        .collect();
    let first = without.first().filter(|_| !gates.stops.is_empty())?;
    let stops: Vec<&str> = gates.stops.iter().take(SHOWN).map(String::as_str).collect();
    Some(format!(
        "no gradients arrive at {} dimension(s), the first '{first}', which are ranked without them: they stop at {}",
        without.len(),
        stops.join("; ")
    ))
}
