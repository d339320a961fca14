//! How a model is trained, with everything said.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::augment::AugmentSettings;
use super::parameters::Trainable;

/// How a model is trained.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct TrainOptions {
    pub(crate) steps: usize,
    /// Samples per step.
    pub(crate) batch: usize,
    /// The highest learning rate.
    pub(crate) rate: f64,
    pub(crate) decay: f64,
    pub(crate) seed: u64,
    pub(crate) choice: Trainable,
    pub(crate) augment: AugmentSettings,
    /// Whether right answers count.
    pub(crate) labels: bool,
    /// Time for all steps: their number follows from it.
    #[serde(skip)]
    pub(crate) time_budget: Option<Duration>,
    /// Bytes of memory that training may take; the number of parts of a batch follows from it, which counts.
    #[serde(skip)]
    pub(crate) memory: Option<u64>,
    /// Where the state is kept, and whether it is gone on from.
    #[serde(skip)]
    pub(crate) checkpoints: Option<(PathBuf, bool)>,
}
