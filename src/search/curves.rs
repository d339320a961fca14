//! Divergence of the outputs by the size of one dimension, its readers refitted.
//!
//! Each dimension is cut alone; the layers that read it get the fold of what was removed, so that what is
//! measured is what recovery cannot repair either.

use std::sync::Arc;

use super::allocate::Curve;
use super::outputs::{LEAST_SAMPLES, Outputs, Tensors};
use super::select::Ranking;
use super::sizes::Adjustable;
use crate::dimensions::Dimension;
use crate::error::{Error, Result};
use crate::events::Events;
use crate::metrics::divergence;
use crate::onnx::Model;
use crate::recover::{Folds, Recovered};
use crate::rewrite::prune_to;

/// Sizes per dimension: this many equal steps, fewer for a model that is expensive to run.
const STEPS: [usize; 2] = [8, 4];
/// Models that are made with the larger number of steps.
const MOST_MODELS: usize = 160;

/// By dimension of the model that is run its curve; empty for one that may not be pruned. That model is the ranked one, or
/// what is left of it.
///
/// # Errors
/// Data that cannot be read, or a provider that refuses the model.
pub(crate) fn curves(
    runs: &Outputs,
    ranking: &Ranking,
    events: &mut dyn Events,
) -> Result<Vec<Curve>> {
    let dimensions = runs.analysis.dimensions();
    let (plans, samples) = plans(runs, ranking);
    let total = plans.iter().map(Vec::len).sum::<usize>().max(1);
    let mut dense = Vec::new();
    runs.run(
        runs.analysis.graph().model(),
        samples,
        &mut |_, _, outputs| {
            dense.push(outputs);
        },
    )?;
    let mut done = 0;
    let mut out = Vec::new();
    for (dimension, plans) in dimensions.iter().zip(plans) {
        let mut curve = Curve::new();
        let mut adjustable = None;
        let (sizes, kept): (Vec<usize>, Vec<Vec<u32>>) = plans.into_iter().unzip();
        let mut folds = Folds::of(runs.analysis, runs.layers, runs.stats, dimension.var, &kept);
        for (number, (size, kept)) in sizes.into_iter().zip(kept).enumerate() {
            let folded = folds.next()?;
            if number == 0 && dimension.mixing.is_none() {
                adjustable = Adjustable::new(runs, dimension, &folded, samples)?;
            }
            let (mut sum, mut rows) = (0.0, 0);
            let mut each = |number: usize, samples: usize, outputs: Tensors| {
                if let Some(dense) = dense.get(number) {
                    sum += divergence(dense, &outputs, samples);
                    rows += samples;
                }
            };
            match &mut adjustable {
                Some(model) => model.run(runs.analysis, &kept, &folded, &mut each)?,
                None => match pruned(runs, dimension, kept, &folded)? {
                    Some(model) => runs.run(&model, samples, &mut each)?,
                    None => continue,
                },
            }
            curve.push((size, sum / rows.max(1) as f64));
            done += 1;
            events.progress("search", done, total);
        }
        out.push(curve);
    }
    Ok(out)
}

/// By dimension the sizes that are measured, with what stays, and the samples that each model is run on.
type Sizes = Vec<Vec<(usize, Vec<u32>)>>;

fn plans(runs: &Outputs, ranking: &Ranking) -> (Sizes, usize) {
    let dimensions = runs.analysis.dimensions();
    let levels = |steps: usize| -> Sizes {
        let all = dimensions.iter();
        all.map(|dimension| ranking.levels(dimension, steps))
            .collect()
    };
    let mut plans = levels(STEPS[0]);
    let count = |plans: &[Vec<_>]| plans.iter().map(Vec::len).sum::<usize>().max(1);
    if count(&plans) > MOST_MODELS || runs.affordable(count(&plans)) <= 2 * LEAST_SAMPLES {
        plans = levels(STEPS[1]);
    }
    let samples = runs.affordable(count(&plans));
    (plans, samples)
}

/// Multiply-accumulate operations of all runs that [`curves`] would make.
pub(crate) fn curve_operations(runs: &Outputs, ranking: &Ranking) -> u64 {
    let (plans, samples) = plans(runs, ranking);
    let models = plans.iter().map(Vec::len).sum::<usize>() as u64;
    let samples = samples.min(runs.data.samples()) as u64;
    let one = runs.analysis.model_totals().macs;
    one.saturating_mul(samples).saturating_mul(models)
}

/// The model without the channels that do not stay; none where it would not fit together.
fn pruned(
    runs: &Outputs,
    dimension: &Dimension,
    kept: Vec<u32>,
    folded: &Recovered,
) -> Result<Option<Model>> {
    let mut positions = runs.analysis.everything();
    positions.insert(dimension.var, Arc::from(kept));
    let edited = folded.applied(runs.analysis)?;
    match prune_to(&edited, &edited.carried(runs.analysis, &positions)) {
        Err(Error::Plan { .. }) => Ok(None),
        pruned => pruned.map(Some),
    }
}
