//! Importance of channels: from the weights alone, or from what layers read on calibration data.
//!
//! Weights: every site of a dimension contributes the norm of each channel's slice, divided by the mean over
//! the channels, so that large tensors and small ones count alike; the contributions of all sites add up
//! (group magnitude, as in DepGraph, Fang et al. 2023). Data: the layers that read a dimension say what its
//! channels mean to them.

mod activity;
mod codes;
mod criterion;
mod distances;
mod given;
mod magnitude;
mod making;
mod obs;
mod readers;
mod scales;
mod theatre;

use rand::RngExt;

use crate::dimensions::{Analysis, Dimension};
use crate::error::{Error, Result};
use crate::events::Events;
use crate::layers::Layer;
use crate::random::generator;
use crate::statistics::Stats;

use magnitude::Norm;
use obs::Rest;
use theatre::Theatre;

pub use criterion::{Criterion, Needs};
pub(crate) use given::file_hash;

/// A score per channel for every dimension of `analysis`, in their order, from the weights, or a file, alone. Higher is
/// more important; a dimension of which the criterion says nothing has no scores.
///
/// # Errors
/// Weights whose values cannot be read as numbers, or are NaN; a file of scores that does not fit; a criterion that
/// needs data, or that says nothing of any dimension.
pub fn scores(analysis: &Analysis, criterion: Criterion, seed: u64) -> Result<Vec<Vec<f64>>> {
    criterion.check()?;
    match criterion {
        Criterion::L1 => magnitude::scores(analysis, Norm::L1),
        Criterion::L2 => magnitude::scores(analysis, Norm::L2),
        Criterion::Linf => magnitude::scores(analysis, Norm::Largest),
        Criterion::Lp(power) => magnitude::scores(analysis, Norm::Power(power)),
        Criterion::Threshold(_) => magnitude::making_norms(analysis),
        Criterion::Fpgm => distances::scores(analysis),
        Criterion::BnScale => scales::scores(analysis),
        Criterion::Scores(path) => given::scores(analysis, &path),
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
    criterion: &Criterion,
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
