//! Divergence of the outputs by the size of one dimension, its readers refitted.
//!
//! Each dimension is cut alone; the layers that read it get the fold of what was removed, so that what is
//! measured is what recovery cannot repair either.

use std::sync::Arc;

use super::divergence::divergence;
use crate::axes::Kept;
use crate::calibrate::Stats;
use crate::data::DataSet;
use crate::dimensions::{Analysis, DimensionId};
use crate::error::Result;
use crate::layers::Layer;
use crate::onnx::Model;
use crate::plan::{Curve, Ranking};
use crate::recover::fold_dimension;
use crate::rewrite::prune_to;
use crate::runtime::{Provider, Runtime, SessionOptions, Tensor};

/// Sizes per dimension: this many equal steps, fewer for a model that is expensive to run.
const STEPS: [usize; 2] = [8, 4];
/// Samples that outputs are compared on.
const MOST_SAMPLES: usize = 256;
const LEAST_SAMPLES: usize = 16;
/// Multiply-accumulate operations that all runs together may take.
const BUDGET: f64 = 1.5e12;
/// Numbers in the dense model's outputs that are held at a time.
const MOST_OUTPUTS: usize = 32 << 20;

/// With what models are measured.
pub(crate) struct Bench<'a> {
    pub(crate) analysis: &'a Analysis,
    pub(crate) layers: &'a [Layer],
    pub(crate) stats: &'a Stats,
    pub(crate) runtime: &'a Runtime,
    pub(crate) provider: &'a Provider,
    pub(crate) data: &'a DataSet<'a>,
}

type Outputs = Vec<(String, Tensor)>;

/// By dimension its curve; empty for one that may not be pruned.
///
/// # Errors
/// Data that cannot be read, or a provider that refuses the model.
pub(crate) fn curves(
    bench: &Bench,
    ranking: &Ranking,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Vec<Curve>> {
    let dimensions = bench.analysis.dimensions();
    let levels = |steps: usize| -> Vec<Vec<(usize, Vec<u32>)>> {
        let all = (0..dimensions.len()).map(|place| ranking.levels(DimensionId(place), steps));
        all.collect()
    };
    let mut plans = levels(STEPS[0]);
    let count = |plans: &[Vec<_>]| plans.iter().map(Vec::len).sum::<usize>().max(1);
    let macs = bench.analysis.model_totals().macs.max(1) as f64;
    let batch = bench.analysis.sizes().get("batch").unwrap_or(1).max(1) as f64;
    let affordable = |plans: &[Vec<_>]| (BUDGET * batch / macs / count(plans) as f64) as usize;
    if affordable(&plans) < 2 * LEAST_SAMPLES {
        plans = levels(STEPS[1]);
    }
    let samples = affordable(&plans).clamp(LEAST_SAMPLES, MOST_SAMPLES);
    let mut dense = Vec::new();
    bench.run(
        bench.analysis.graph().model(),
        samples,
        &mut |_, outputs| {
            dense.push(outputs);
        },
    )?;
    let total = count(&plans);
    let mut done = 0;
    let mut out = Vec::new();
    for (dimension, plans) in dimensions.iter().zip(plans) {
        let mut curve = Curve::new();
        for (size, kept) in plans {
            let folded = fold_dimension(
                bench.analysis,
                bench.layers,
                bench.stats,
                dimension.var,
                &kept,
            )?;
            let mut positions = Kept::default();
            positions.insert(dimension.var, Arc::from(kept));
            let edited = folded.applied(bench.analysis)?;
            let pruned = prune_to(&edited, &positions)?;
            let (mut sum, mut rows) = (0.0, 0);
            bench.run(&pruned, samples, &mut |number, outputs| {
                if let Some(dense) = dense.get(number) {
                    sum += divergence(dense, &outputs);
                    rows += first_axis(dense);
                }
            })?;
            curve.push((size, sum / rows.max(1) as f64));
            done += 1;
            progress(done, total);
        }
        out.push(curve);
    }
    Ok(out)
}

fn first_axis(outputs: &Outputs) -> usize {
    let first = outputs
        .first()
        .and_then(|(_, tensor)| tensor.shape().first());
    first.copied().unwrap_or(1)
}

impl Bench<'_> {
    /// Runs a model on the first samples.
    fn run(
        &self,
        model: &Model,
        samples: usize,
        each: &mut dyn FnMut(usize, Outputs),
    ) -> Result<()> {
        let options = SessionOptions {
            provider: self.provider.clone(),
            ..SessionOptions::default()
        };
        let mut session = self.runtime.session_with(model, "the model", &options)?;
        let names: Vec<String> = session.inputs().into_iter().map(|i| i.name).collect();
        let (mut seen, mut numbers) = (0, 0);
        for number in 0..self.data.batches() {
            if seen >= samples || numbers >= MOST_OUTPUTS {
                break;
            }
            let batch = self.data.batch(number)?;
            seen += batch.samples;
            let inputs = batch.inputs.into_iter();
            let inputs: Vec<_> = inputs.filter(|(name, _)| names.contains(name)).collect();
            let outputs = session.run(&inputs)?;
            let lengths = outputs
                .iter()
                .map(|(_, t)| t.shape().iter().product::<usize>());
            numbers += lengths.sum::<usize>();
            each(number, outputs);
        }
        Ok(())
    }
}
