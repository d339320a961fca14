//! How much a loss changes when a channel is off: the masked twin, one dimension at a time.
//!
//! With labels the loss is cross-entropy for classes and squared error for numbers; without, it is the divergence
//! from the original's outputs.

use std::sync::Arc;

use super::outputs::{Outputs, Tensors};
use crate::data::Labels;
use crate::dimensions::Dimension;
use crate::error::{Error, Result};
use crate::events::Events;
use crate::metrics::{Logs, divergence};
use crate::rewrite::instrument;

/// A batch of samples with what outputs are compared with.
struct Sample {
    inputs: Tensors,
    labels: Option<Labels>,
    samples: usize,
    dense: Tensors,
}

/// By dimension and channel how much the loss grows when the channel is off.
///
/// # Errors
/// Data that cannot be read, labels that do not fit the outputs, or a provider that refuses the model.
pub(crate) fn loss_scores(runs: &Outputs, events: &mut dyn Events) -> Result<Vec<Vec<f64>>> {
    let dimensions = runs.analysis.dimensions();
    let total = dimensions.iter().map(|d| d.size).sum::<usize>();
    let samples = samples(runs, runs.affordable(total))?;
    let mut done = 0;
    let mut out = Vec::new();
    for dimension in dimensions {
        let mut count = || {
            done += 1;
            events.progress("score", done, total);
        };
        out.push(scores(runs, dimension, &samples, &mut count)?);
    }
    Ok(out)
}

fn samples(runs: &Outputs, count: usize) -> Result<Vec<Sample>> {
    let mut out: Vec<Sample> = Vec::new();
    runs.run(
        runs.analysis.graph().model(),
        count,
        &mut |number, samples, dense| {
            if let Ok(batch) = runs.data.start_of(number, samples) {
                out.push(Sample {
                    inputs: batch.inputs,
                    labels: batch.labels,
                    samples,
                    dense,
                });
            }
        },
    )?;
    Ok(out)
}

fn scores(
    runs: &Outputs,
    dimension: &Dimension,
    samples: &[Sample],
    count: &mut dyn FnMut(),
) -> Result<Vec<f64>> {
    let (model, masks) = instrument(runs.analysis, dimension)?;
    let mut session = runs.session(&model)?;
    let names: Vec<String> = session.inputs().into_iter().map(|i| i.name).collect();
    let before: Result<f64> = samples.iter().map(|of| loss(of, &of.dense)).sum();
    let before = before?;
    let mut out = Vec::with_capacity(dimension.size);
    for channel in 0..dimension.size as u32 {
        let mut kept = runs.analysis.everything();
        let others = (0..dimension.size as u32).filter(|&other| other != channel);
        kept.insert(dimension.var, Arc::from_iter(others));
        let mut sum = 0.0;
        for sample in samples {
            let mut inputs = sample.inputs.clone();
            for mask in &masks {
                inputs.push(mask.tensor(runs.analysis, &kept)?);
            }
            inputs.retain(|(name, _)| names.contains(name));
            sum += loss(sample, &session.run(&inputs)?)?;
        }
        out.push(sum - before);
        count();
    }
    Ok(out)
}

/// The loss of outputs on a batch, summed over its samples.
fn loss(sample: &Sample, outputs: &Tensors) -> Result<f64> {
    let Some(labels) = &sample.labels else {
        return Ok(divergence(&sample.dense, outputs, sample.samples));
    };
    let first = outputs.first().map(|(_, tensor)| tensor.to_f64());
    let first = first.unwrap_or_default();
    match labels {
        Labels::Classes(labels) => {
            let classes = first.len() / labels.len().max(1);
            let fits = classes > 1 && classes * labels.len() == first.len();
            let inside = labels.iter().all(|&label| label < classes);
            if !fits || !inside {
                return Err(Error::data(
                    "the labels",
                    format!(
                        "{} labels do not fit a first output of {} numbers; one row of classes per sample is expected, or leave the labels out to compare with the original model",
                        labels.len(),
                        first.len()
                    ),
                ));
            }
            let dense = sample.dense.first().map(|(_, tensor)| tensor.to_f64());
            let logs = Logs::of(&dense.unwrap_or_default(), classes);
            let rows = labels.iter().zip(first.chunks_exact(classes));
            Ok(rows.map(|(&label, row)| -logs.row(row)[label]).sum())
        }
        Labels::Values(values) if values.len() == first.len() => {
            let pairs = values.iter().zip(&first);
            Ok(pairs.map(|(a, b)| (a - b) * (a - b)).sum())
        }
        Labels::Values(values) => Err(Error::data(
            "the labels",
            format!(
                "{} numbers do not fit a first output of {}; leave them out to compare with the original model",
                values.len(),
                first.len()
            ),
        )),
    }
}
