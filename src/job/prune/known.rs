//! What is known of channels by model and by way of scoring, put together.

use std::collections::HashMap;

use crate::dimensions::Analysis;
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
