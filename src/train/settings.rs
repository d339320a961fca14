//! How a model is trained, as the user says it.

use std::path::PathBuf;
use std::time::Duration;

use super::augment::{AugmentKind, AugmentSettings};
use super::options::TrainOptions;
use super::parameters::Trainable;
use crate::data::Batch;
use crate::error::{Error, Result};

/// Steps and samples per step for images and rows of numbers.
const OF_NUMBERS: [usize; 2] = [1000, 64];
/// The same for tokens.
const OF_TOKENS: [usize; 2] = [300, 32];

/// Whether samples are changed while training.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Augment {
    /// As each input's form and type tell: images and rows are shifted, images mirrored, tokens exchanged between samples.
    #[default]
    Auto,
    /// As `Auto`, with noise on inputs of no known kind.
    Noise,
    /// Not at all.
    None,
}

/// Standard deviation of noise, in standard deviations of the data.
const NOISE: f64 = 0.1;

/// How a model is trained. The default is the recipe of `docs/training.md`.
#[derive(Clone, Debug)]
pub struct Tuning {
    /// Steps; without, 1000, and 300 where all inputs are integers.
    pub steps: Option<usize>,
    /// Samples per step; without, 64, and 32 where all inputs are integers.
    pub batch: Option<usize>,
    /// The highest learning rate of AdamW.
    pub rate: f64,
    /// Share of the weights that a step at rate 1 takes away.
    pub decay: f64,
    /// Seed of the order of samples and of what is done to them.
    pub seed: u64,
    /// Trains only weights whose name matches one of these globs.
    pub only: Vec<String>,
    /// Trains no weight whose name matches one of these globs.
    pub freeze: Vec<String>,
    /// Whether samples are changed.
    pub augment: Augment,
    /// Whether right answers in the data count, as much as the teacher.
    pub labels: bool,
    /// Time that training may take: it does as many steps as fit.
    pub time_budget: Option<Duration>,
    /// Bytes of memory that training may take: where a batch needs more, it is run in parts whose gradients are added up.
    /// Without, half of what is available where the processor trains.
    pub memory: Option<u64>,
    /// A folder that the state is kept in.
    pub checkpoints: Option<PathBuf>,
    /// Whether training goes on from the state in that folder.
    pub resume: bool,
}

impl Default for Tuning {
    fn default() -> Tuning {
        Tuning {
            steps: None,
            batch: None,
            rate: 1e-3,
            decay: 0.0,
            seed: 0,
            only: Vec::new(),
            freeze: Vec::new(),
            augment: Augment::Auto,
            labels: false,
            time_budget: None,
            memory: None,
            checkpoints: None,
            resume: false,
        }
    }
}

impl Tuning {
    /// # Errors
    /// A number that is out of its range.
    pub(crate) fn check(&self) -> Result<()> {
        let fault = if self.steps == Some(0) || self.batch == Some(0) {
            "`steps` and `batch` are at least 1"
        } else if !(self.rate > 0.0 && self.rate <= 1.0) {
            "`rate` is above 0 and at most 1"
        } else if !(0.0..1.0).contains(&self.decay) {
            "`decay` is at least 0 and below 1"
        } else if self.resume && self.checkpoints.is_none() {
            "`resume` needs the folder of `checkpoints`"
        } else if self.resume && self.time_budget.is_some() {
            "a training that goes on has the number of steps that it began with: say `steps` instead of a time"
        } else {
            return Ok(());
        };
        Err(Error::Usage(fault.to_owned()))
    }

    /// The settings in force for data that looks like this.
    pub(crate) fn resolved(&self, shown: &Batch, labels: bool) -> TrainOptions {
        let mut inputs = shown.inputs.iter();
        let numbers = inputs.any(|(_, tensor)| tensor.element().is_float());
        let [steps, batch] = if numbers { OF_NUMBERS } else { OF_TOKENS };
        TrainOptions {
            steps: self.steps.unwrap_or(steps),
            batch: self.batch.unwrap_or(batch),
            rate: self.rate,
            decay: self.decay,
            seed: self.seed,
            choice: Trainable {
                only: self.only.clone(),
                freeze: self.freeze.clone(),
                ..Trainable::default()
            },
            augment: AugmentSettings {
                kind: match self.augment {
                    Augment::None => AugmentKind::None,
                    _ => AugmentKind::Auto,
                },
                noise: match self.augment {
                    Augment::Noise => NOISE,
                    _ => 0.0,
                },
            },
            labels,
            time_budget: self.time_budget,
            memory: self.memory,
            checkpoints: self.checkpoints.clone().map(|folder| (folder, self.resume)),
        }
    }
}
