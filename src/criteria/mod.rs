//! Importance of channels: from the weights alone, or from what layers read on calibration data.
//!
//! Weights: every site of a dimension contributes the norm of each channel's slice, divided by the mean over
//! the channels, so that large tensors and small ones count alike; the contributions of all sites add up
//! (group magnitude, as in DepGraph, Fang et al. 2023). Data: the layers that read a dimension say what its
//! channels mean to them.

mod activity;
mod magnitude;
mod obs;
mod readers;
mod theatre;

use std::fmt;
use std::str::FromStr;

use rand::RngExt;
use serde::{Deserialize, Serialize};

use crate::dimensions::{Analysis, Dimension};
use crate::error::{Error, Result};
use crate::events::Events;
use crate::layers::Layer;
use crate::random::generator;
use crate::statistics::Stats;

use obs::Rest;
use theatre::Theatre;

/// How channels are scored; the least important go first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Criterion {
    /// Sum of absolute values.
    L1,
    /// Euclidean norm.
    #[default]
    L2,
    /// Uniform random numbers from a seed.
    Random,
    /// Structured optimal brain surgeon on the covariance of what the readers read (OSSCAR, Meng et al. 2024).
    Obs,
    /// How badly a channel follows from those kept, by ridge regression, as its readers weigh it (GRAIL).
    Reconstruction,
    /// Sum over readers of `|w| * ||x||` (Sun et al. 2023).
    Wanda,
    /// Absolute mean activation.
    ActMean,
    /// Largest activation.
    ActMax,
    /// Absolute least activation.
    ActMin,
    /// Variance of the activation.
    ActVar,
    /// Share of activations that are not zero (APoZ, Hu et al. 2016).
    ActZero,
    /// How much a loss changes when the channel is off.
    Loss,
    /// Absolute mean of the gradient of the channel's mask (Molchanov et al. 2019).
    Taylor,
    /// Mean square of the gradient of the channel's mask, for answers that the model draws itself (Theis et al. 2018).
    Fisher,
    /// [`Criterion::Obs`] times [`Criterion::Fisher`].
    ObsFisher,
}

/// What a criterion needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Needs {
    /// The model.
    Weights,
    /// Statistics of what layers read on calibration data.
    Statistics,
    /// Runs of the model on calibration data.
    Runs,
    /// Gradients of the model on calibration data.
    Gradients,
}

impl Criterion {
    /// All criteria.
    pub const ALL: [Criterion; 15] = [
        Criterion::L1,
        Criterion::L2,
        Criterion::Random,
        Criterion::Obs,
        Criterion::Reconstruction,
        Criterion::Wanda,
        Criterion::ActMean,
        Criterion::ActMax,
        Criterion::ActMin,
        Criterion::ActVar,
        Criterion::ActZero,
        Criterion::Loss,
        Criterion::Taylor,
        Criterion::Fisher,
        Criterion::ObsFisher,
    ];

    /// What it needs.
    pub fn needs(self) -> Needs {
        match self {
            Criterion::L1 | Criterion::L2 | Criterion::Random => Needs::Weights,
            Criterion::Loss => Needs::Runs,
            Criterion::Taylor | Criterion::Fisher | Criterion::ObsFisher => Needs::Gradients,
            _ => Needs::Statistics,
        }
    }
}

impl fmt::Display for Criterion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Criterion::L1 => "l1",
            Criterion::L2 => "l2",
            Criterion::Random => "random",
            Criterion::Obs => "obs",
            Criterion::Reconstruction => "reconstruction",
            Criterion::Wanda => "wanda",
            Criterion::ActMean => "act-mean",
            Criterion::ActMax => "act-max",
            Criterion::ActMin => "act-min",
            Criterion::ActVar => "act-var",
            Criterion::ActZero => "act-zero",
            Criterion::Loss => "loss",
            Criterion::Taylor => "taylor",
            Criterion::Fisher => "fisher",
            Criterion::ObsFisher => "obs-fisher",
        })
    }
}

impl FromStr for Criterion {
    type Err = Error;

    fn from_str(text: &str) -> Result<Criterion> {
        let known = Criterion::ALL.into_iter().find(|c| c.to_string() == text);
        known.ok_or_else(|| {
            let names: Vec<String> = Criterion::ALL.iter().map(Criterion::to_string).collect();
            Error::Usage(format!(
                "there is no criterion '{text}'; choose one of {}",
                names.join(", ")
            ))
        })
    }
}

/// A score per channel for every dimension of `analysis`, in their order, from the weights alone. Higher is
/// more important.
///
/// # Errors
/// Weights whose values cannot be read as numbers, or are NaN; a criterion that needs data.
pub fn scores(analysis: &Analysis, criterion: Criterion, seed: u64) -> Result<Vec<Vec<f64>>> {
    match criterion {
        Criterion::L1 => magnitude::scores(analysis, magnitude::Norm::L1),
        Criterion::L2 => magnitude::scores(analysis, magnitude::Norm::L2),
        Criterion::Random => Ok(analysis
            .dimensions()
            .iter()
            .map(|dimension| random(&dimension.name, dimension.size, seed))
            .collect()),
        _ => Err(Error::Usage(format!(
            "the criterion {criterion} needs calibration data: give some with `calibration`"
        ))),
    }
}

/// Scores from statistics of `layers`, by dimension; none for a dimension that no layer reads.
///
/// # Errors
/// Weights that are no numbers, or statistics of another model.
pub(crate) fn calibrated_scores(
    analysis: &Analysis,
    layers: &[&Layer],
    criterion: Criterion,
    stats: &Stats,
    events: &mut dyn Events,
) -> Result<Vec<Option<Vec<f64>>>> {
    let dimensions = analysis.dimensions();
    let mut theatre = Theatre::new(analysis, layers, stats);
    let mut score = |dimension: &Dimension| match criterion {
        Criterion::Obs => obs::scores(layers, dimension, &mut theatre, Rest::Updated),
        Criterion::Reconstruction => obs::scores(layers, dimension, &mut theatre, Rest::Fixed),
        _ => activity::scores(analysis, layers, dimension, stats, criterion),
    };
    let scored = dimensions.iter().enumerate().map(|(place, dimension)| {
        let scores = score(dimension);
        events.progress("score", place + 1, dimensions.len());
        scores
    });
    scored.collect()
}

/// Scores that depend on the seed and the dimension's name alone, not on what else the model holds.
fn random(name: &str, count: usize, seed: u64) -> Vec<f64> {
    let mut generator = generator(name, seed);
    (0..count).map(|_| generator.random::<f64>()).collect()
}
