//! What is solved in lockstep, and what is known of it.

use std::sync::Arc;

use faer::Mat;

use crate::graph::ValueId;
use crate::layers::Layer;

/// Layers that add up to one target.
#[derive(Clone, Debug)]
pub(crate) struct Unit<'a> {
    /// Layers of the pruned model, with one use each; several share no batches.
    pub(crate) members: Vec<&'a Layer>,
    /// What they are to make.
    pub(crate) target: Target<'a>,
    /// Bounds of an activation that is applied to what they make, and to nothing else.
    pub(crate) clamp: Option<[f32; 2]>,
}

/// The rows of a target.
#[derive(Clone, Debug)]
pub(crate) enum Target<'a> {
    /// A value of the dense model, less values of the pruned one.
    Value {
        /// The dense value.
        dense: ValueId,
        /// The pruned values that are added to what the layers make.
        others: Vec<ValueId>,
        /// The axis of the rows.
        axis: usize,
        /// By axis of the value that lost positions those that the pruned model has.
        kept: Vec<(usize, Vec<u32>)>,
    },
    /// What the dense layer makes of its own inputs: weights by batch, rows as the pruned layer has them.
    Product {
        /// The layer in the dense model.
        layer: &'a Layer,
        /// By batch, rows by columns.
        weights: Vec<Mat<f64>>,
        /// By axis of its data that lost positions, but for those it sums over, the positions that the pruned
        /// model has.
        kept: Vec<(usize, Vec<u32>)>,
        /// The groups of its data that the pruned model has, if it lost any.
        groups: Option<Vec<u32>>,
    },
}

/// Moments over rows of a unit's inputs x and targets t.
#[derive(Clone, Debug, Default)]
pub(crate) struct Moments {
    /// Number of rows.
    pub(crate) rows: f64,
    /// `sum x x^T` by batch.
    pub(crate) gram: Arc<Vec<Mat<f64>>>,
    /// `sum x` by batch.
    pub(crate) inputs: Vec<Vec<f64>>,
    /// `sum t x^T` by batch.
    pub(crate) cross: Vec<Mat<f64>>,
    /// `sum t` by batch.
    pub(crate) targets: Vec<Vec<f64>>,
    /// `sum t^2` by batch.
    pub(crate) energy: Vec<Vec<f64>>,
}

/// What is known of a unit: from the samples that it is fitted to, and from those held out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Evidence {
    pub(crate) fit: Moments,
    pub(crate) held: Moments,
}

/// Weights and constants of a unit that are tried.
#[derive(Clone, Debug)]
pub(crate) struct Trial {
    pub(crate) unit: usize,
    /// By batch, rows by columns of all members.
    pub(crate) weights: Vec<Mat<f64>>,
    /// By batch and row.
    pub(crate) constants: Vec<Vec<f64>>,
}

/// What a trial gives behind the activation.
#[derive(Clone, Debug, Default)]
pub(crate) struct TrialResult {
    /// The targets that the activation leaves free to follow the trial, as sums like [`Moments`]; `gram`,
    /// `inputs` and `energy` are left out.
    pub(crate) moved: Evidence,
    /// Squared error behind the activation on the samples held out.
    pub(crate) error: f64,
}
