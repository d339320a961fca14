//! Divergence of the outputs by the size of one dimension, its readers refitted.
//!
//! Each dimension is cut alone; the layers that read it get the fold of what was removed, so that what is
//! measured is what recovery cannot repair either.

use super::allocate::Curve;
use super::outputs::{LEAST_SAMPLES, Outputs, Tensors};
use super::select::Ranking;
use super::sized::{Sized, at_sizes};
use crate::dimensions::Dimension;
use crate::error::Result;
use crate::events::Events;
use crate::metrics::divergence;
use crate::results::{Results, Shard};

/// Sizes per dimension: this many equal steps, fewer for a model that is expensive to run.
const STEPS: [usize; 2] = [8, 4];
/// Models that are made with the larger number of steps.
const MOST_MODELS: usize = 160;

/// What of a measurement is known already, and who makes the rest.
#[derive(Clone, Copy)]
pub(crate) struct SharedWork<'a> {
    pub(crate) results: &'a Results,
    pub(crate) shard: Shard,
}

impl SharedWork<'_> {
    /// All of it is made here, and kept in `results`.
    pub(crate) fn alone(results: &Results) -> SharedWork<'_> {
        let shard = Shard::ALONE;
        SharedWork { results, shard }
    }
}

/// By dimension of the model that is run its curve; empty for one that may not be pruned. That model is the ranked one, or
/// what is left of it.
///
/// # Errors
/// Data that cannot be read, or a provider that refuses the model.
pub(crate) fn curves(
    runs: &Outputs,
    ranking: &Ranking,
    shared: SharedWork,
    events: &mut dyn Events,
) -> Result<Vec<Curve>> {
    let dimensions = runs.analysis.dimensions();
    let (plans, samples) = plans(runs, ranking);
    let total = plans.iter().map(Vec::len).sum::<usize>().max(1);
    let mut dense: Option<Vec<Tensors>> = None;
    let mut done = 0;
    let mut out = vec![Curve::new(); dimensions.len()];
    for place in shared.shard.order(dimensions.len()) {
        let (dimension, sizes) = (&dimensions[place], &plans[place]);
        let key = (&dimension.name, sizes, samples);
        out[place] = match shared.results.get("curve", &key) {
            Some(known) => known,
            None if sizes.is_empty() => Curve::new(),
            None => {
                if dense.is_none() {
                    dense = Some(originals(runs, samples)?);
                }
                let dense = dense.as_deref().unwrap_or_default();
                let mut count = |of: usize| events.progress("search", done + of + 1, total);
                let curve = curve(runs, (dimension, sizes), (dense, samples), &mut count)?;
                shared.results.put("curve", &key, &curve);
                curve
            }
        };
        done += sizes.len();
        events.progress("search", done, total);
    }
    Ok(out)
}

/// What the model makes of the first samples, by batch.
///
/// # Errors
/// Data that cannot be read, or a provider that refuses the model.
pub(crate) fn originals(runs: &Outputs, samples: usize) -> Result<Vec<Tensors>> {
    let mut dense = Vec::new();
    let model = runs.analysis.graph().model();
    runs.run(model, samples, &mut |_, _, outputs| dense.push(outputs))?;
    Ok(dense)
}

fn curve(
    runs: &Outputs,
    (dimension, sizes): (&Dimension, &[Sized]),
    (dense, samples): (&[Tensors], usize),
    count: &mut dyn FnMut(usize),
) -> Result<Curve> {
    let mut sums = vec![(0.0, 0_usize); sizes.len()];
    let mut each = |size: usize, (batch, samples): (usize, usize), outputs: Tensors| {
        if let Some(dense) = dense.get(batch) {
            if batch == 0 {
                count(size);
            }
            sums[size].0 += divergence(dense, &outputs, samples);
            sums[size].1 += samples;
        }
        Ok(())
    };
    let made = at_sizes(runs, dimension, sizes, (true, samples), &mut each)?;
    let points = sizes.iter().zip(sums).zip(made);
    let points = points.filter(|(_, made)| *made);
    Ok(points
        .map(|(((size, _), (sum, samples)), _)| (*size, sum / samples.max(1) as f64))
        .collect())
}

fn plans(runs: &Outputs, ranking: &Ranking) -> (Vec<Vec<Sized>>, usize) {
    let dimensions = runs.analysis.dimensions();
    let levels = |steps: usize| -> Vec<Vec<Sized>> {
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
