//! Which axes of weights make a dimension's channels: those of filters and neurons, not those of what reads them.

use std::collections::{HashMap, HashSet};

use super::codes::NumberedWeight;
use crate::dimensions::Analysis;
use crate::graph::ValueId;
use crate::layers::{Layer, Layers, summed_codes};

/// The layers of a model by their weights.
pub(super) struct Makers {
    layers: HashMap<ValueId, Layer>,
    /// Axes of constants of codes that are summed over.
    codes: HashSet<(ValueId, usize)>,
}

impl Makers {
    pub(super) fn of(analysis: &Analysis) -> Makers {
        let layers = Layers::of(analysis).layers.into_iter();
        Makers {
            layers: layers.map(|layer| (layer.value, layer)).collect(),
            codes: summed_codes(analysis),
        }
    }

    /// Whether the positions of an axis have weights that make them: it is one of several, and nothing sums over it.
    pub(super) fn makes(&self, weight: &NumberedWeight, axis: usize) -> bool {
        let layer = self.layers.get(&weight.value);
        let summed = layer.is_some_and(|layer| layer.sums_over(axis))
            || self.codes.contains(&(weight.value, axis))
            || weight.sums_over(axis);
        weight.axes.len() > 1 && !summed
    }
}
