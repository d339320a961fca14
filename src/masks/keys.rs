//! Scores of weights as integers that sort alike: zeros that are there already come first, equal scores are
//! told apart by their place.

use rand::RngExt;

use super::mask::{INFINITE, Weights, not_a_number};
use super::settings::WeightCriterion;
use crate::error::Result;
use crate::layers::Layer;
use crate::random::generator;

/// The weights of a layer as rows of columns, with a key for each: the lowest go first.
pub(super) struct Keyed {
    /// By batch, row, column.
    pub(super) keys: Vec<u32>,
    pub(super) columns: usize,
}

/// Keys of a layer's weights. `norms` are those of the input features, by batch and column; criteria that do
/// not need them ignore them.
///
/// # Errors
/// A weight that is no number.
pub(super) fn keys(
    layer: &Layer,
    weights: &Weights,
    criterion: WeightCriterion,
    norms: &[f32],
    seed: u64,
) -> Result<Keyed> {
    let values = layer.gather(&weights.values());
    let columns = layer.columns();
    let per_batch = (layer.rows() * columns).max(1);
    let norm = |place: usize| norms[place / per_batch * columns + place % columns];
    let key = |score: f32, value: f32| match value == 0.0 {
        true => 0,
        false => score.abs().to_bits().saturating_add(1),
    };
    let scored = || values.iter();
    let placed = || values.iter().enumerate();
    let keys: Vec<u32> = match criterion {
        WeightCriterion::Magnitude | WeightCriterion::Lamp | WeightCriterion::Sparsegpt => {
            scored().map(|&value| key(value, value)).collect()
        }
        WeightCriterion::Random => {
            let mut generator = generator(&weights.name, seed);
            scored()
                .map(|&value| key(generator.random::<f32>(), value))
                .collect()
        }
        WeightCriterion::Wanda => placed()
            .map(|(place, &value)| key(value * norm(place), value))
            .collect(),
        WeightCriterion::Activation => placed()
            .map(|(place, &value)| key(norm(place), value))
            .collect(),
    };
    match keys.iter().any(|&key| key > INFINITE + 1) || values.iter().any(|v| v.is_nan()) {
        true => Err(not_a_number(&weights.name, "so they cannot be ranked")),
        false => Ok(Keyed { keys, columns }),
    }
}
