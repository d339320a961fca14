//! Layers with their masks, and what is said about them.

use fixedbitset::FixedBitSet;

use crate::layers::Layer;
use crate::masks::{Mask, Weights};
use crate::report::{CalibrationRow, LeftRow};
use crate::rewrite::Edit;

/// A layer with its mask.
pub(super) struct Masked {
    pub(super) layer: Layer,
    pub(super) weights: Weights,
    pub(super) mask: Mask,
    pub(super) edit: Edit,
}

impl Masked {
    pub(super) fn plain(layer: &Layer, weights: &Weights, mask: Mask) -> Masked {
        Masked {
            layer: layer.clone(),
            weights: weights.clone(),
            edit: Edit::Mask(mask.clone()),
            mask,
        }
    }

    /// Name, shape and bits, for a file.
    pub(super) fn bits(&self) -> (&str, &[usize], FixedBitSet) {
        (
            &self.layer.name,
            &self.layer.dims,
            self.weights.kept(&self.mask),
        )
    }
}

/// Masks and what is to be said about them.
pub(super) struct Found {
    pub(super) masked: Vec<Masked>,
    pub(super) left: Vec<LeftRow>,
    pub(super) calibration: Option<CalibrationRow>,
    /// Version of the onnxruntime that measured.
    pub(super) onnxruntime: Option<String>,
    pub(super) warnings: Vec<String>,
}
