//! Which axes of weights make a dimension's channels: those of filters and neurons, not those of what reads them.

use std::collections::HashMap;

use crate::axes::Type;
use crate::dimensions::Analysis;
use crate::graph::ValueId;
use crate::layers::{Layer, Layers};

/// The layers of a model by their weights.
pub(super) struct Makers {
    layers: HashMap<ValueId, Layer>,
}

impl Makers {
    pub(super) fn of(analysis: &Analysis) -> Makers {
        let layers = Layers::of(analysis).layers.into_iter();
        Makers {
            layers: layers.map(|layer| (layer.value, layer)).collect(),
        }
    }

    /// Whether the positions of an axis have weights that make them: it is one of several, and no layer sums over it.
    pub(super) fn makes(&self, value: ValueId, axes: &[Type], axis: usize) -> bool {
        let layer = self.layers.get(&value);
        axes.len() > 1 && !layer.is_some_and(|layer| layer.sums_over(axis))
    }
}
