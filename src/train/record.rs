//! What a training did.

use serde::{Deserialize, Serialize};

/// Points of the loss curve at most.
const POINTS: usize = 100;

/// How good the weights of a step were.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// Steps that were done before.
    pub step: usize,
    /// The loss per sample on samples that were held out; none where it is no number.
    pub loss: Option<f64>,
}

/// Why a training ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Stopped {
    /// All steps were done.
    #[default]
    Done,
    /// Somebody wanted the best so far.
    Asked {
        /// Steps that were done.
        step: usize,
    },
    /// The loss or a gradient was no number.
    NoNumber {
        /// At this step.
        step: usize,
        /// The first weight whose gradient was none.
        weight: Option<String>,
    },
}

/// Why a batch is run in parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum PartsFor {
    /// At once it would take more memory than is allowed.
    Memory,
    /// The model takes a fixed number of samples.
    FixedBatch,
}

/// A point of the loss curve: means over some steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct LossPoint {
    /// The first of these steps.
    pub step: usize,
    /// Loss per sample on what was trained on.
    pub loss: f64,
    /// Norm of the gradient before it is clipped.
    pub norm: f64,
    #[serde(skip)]
    count: usize,
}

/// A real constant that stayed as it was.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FrozenRow {
    /// The initializer.
    pub name: String,
    /// Why it was not trained.
    pub reason: String,
}

/// What a training did.
#[derive(Clone, Debug, Default, Serialize)]
pub struct TrainingRecord {
    /// What it was trained on.
    pub data: String,
    /// Steps that were planned.
    pub steps: usize,
    /// Samples per step.
    pub batch: usize,
    /// Parts of equal size that they are run in, their gradients being added up.
    pub parts: usize,
    /// Why, where there are several.
    pub split: Option<PartsFor>,
    /// Bytes of memory that this takes, as estimated.
    pub memory: u64,
    /// Samples that were trained on.
    pub seen: usize,
    /// Samples that were held out.
    pub held_out: usize,
    /// What was done to inputs, by input.
    pub augmentation: Vec<String>,
    /// Numbers that were trained.
    pub trained: usize,
    /// Tensors that they are in.
    pub tensors: usize,
    /// Tensors whose zeros stayed zeros.
    pub masked: usize,
    /// Real constants that stayed as they are, with the reason.
    pub frozen: Vec<FrozenRow>,
    /// Nodes that no gradient went through, with the reason.
    pub stops: Vec<String>,
    /// The losses of the steps.
    pub losses: Vec<LossPoint>,
    /// Judgements, the first before the first step.
    pub judgements: Vec<Judgement>,
    /// The step whose weights were taken; 0 where the start was best.
    pub best_step: usize,
    /// Why it ended.
    pub stopped: Stopped,
    /// How long it took.
    pub seconds: f64,
}

impl TrainingRecord {
    /// Adds the loss and the gradient's norm of a step.
    pub(super) fn note(&mut self, step: usize, loss: f64, norm: f64) {
        let width = self.steps.div_ceil(POINTS).max(1);
        if step.is_multiple_of(width) {
            self.losses.push(LossPoint {
                step,
                ..LossPoint::default()
            });
        }
        if let Some(point) = self.losses.last_mut() {
            let share = 1.0 / (point.count + 1) as f64;
            point.loss += (loss - point.loss) * share;
            point.norm += (norm - point.norm) * share;
            point.count += 1;
        }
    }

    /// The loss on held-out samples before the first step and of the weights that were taken.
    pub fn before_and_after(&self) -> [Option<f64>; 2] {
        let of = |step: usize| {
            let mut found = self.judgements.iter();
            found.find(|judged| judged.step == step)?.loss
        };
        [of(0), of(self.best_step)]
    }
}
