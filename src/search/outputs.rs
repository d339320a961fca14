//! Running models on the first samples of a data set, as many as are affordable.

use crate::data::first_held_out;
use crate::data::{Batch, DataSet};
use crate::dimensions::Analysis;
use crate::engine::Pass;
use crate::error::Result;
use crate::layers::Layer;
use crate::metrics::divergence;
use crate::onnx::Model;
use crate::runtime::{Provider, Runtime, Session, Tensor};
use crate::statistics::Stats;

/// Samples that outputs are compared on.
const MOST_SAMPLES: usize = 256;
pub(super) const LEAST_SAMPLES: usize = 16;
/// Passes over the data that all runs together may take: the more, the fewer operations one is.
const PASSES: [u64; 2] = [3, 10];
/// Multiply-accumulate operations of all runs together.
const OPERATIONS: u64 = 100_000_000_000;
/// Numbers in the dense model's outputs that are held at a time.
pub(super) const MOST_OUTPUTS: usize = 32 << 20;

/// With what models are measured.
pub(crate) struct Outputs<'a> {
    pub(crate) analysis: &'a Analysis,
    pub(crate) layers: &'a [Layer],
    pub(crate) stats: &'a Stats,
    pub(crate) runtime: &'a Runtime,
    pub(crate) provider: &'a Provider,
    pub(crate) data: &'a DataSet<'a>,
}

pub(super) type Tensors = Vec<(String, Tensor)>;

/// The divergence of models from a reference on the samples that are held out, per sample; on all of them if there is only
/// one batch.
///
/// # Errors
/// Data that cannot be read, or a provider that refuses a model.
pub(crate) fn held_out_divergences<const N: usize>(
    pass: Pass,
    reference: &Model,
    models: [&Model; N],
) -> Result<[f64; N]> {
    let mut dense = pass.session(reference, "the model")?;
    let sessions = models.map(|model| pass.session(model, "the model"));
    let mut sessions = sessions.into_iter().collect::<Result<Vec<Session>>>()?;
    let (mut sums, mut samples) = ([0.0; N], 0);
    let batches = pass.data.batches();
    for number in first_held_out(pass.data).min(batches - 1)..batches {
        let batch = pass.data.batch(number)?;
        samples += batch.samples;
        let outputs = batch.run(&mut dense)?;
        for (sum, session) in sums.iter_mut().zip(&mut sessions) {
            *sum += divergence(&outputs, &batch.run(session)?, batch.samples);
        }
    }
    Ok(sums.map(|sum| sum / samples.max(1) as f64))
}

impl Outputs<'_> {
    /// Samples that the model can be run on this many times.
    pub(super) fn affordable(&self, runs: usize) -> usize {
        let samples = self.data.samples();
        let pass = self.analysis.model_totals().macs.max(1);
        let pass = pass.saturating_mul(samples as u64);
        let passes = (OPERATIONS / pass.max(1)).clamp(PASSES[0], PASSES[1]) as usize;
        let samples = passes.saturating_mul(samples) / runs.max(1);
        samples.clamp(LEAST_SAMPLES, MOST_SAMPLES)
    }

    /// A session for a model.
    pub(crate) fn session(&self, model: &Model) -> Result<Session> {
        self.pass().session(model, "the model")
    }

    fn pass(&self) -> Pass<'_> {
        Pass {
            runtime: self.runtime,
            provider: self.provider,
            data: self.data,
        }
    }

    /// The divergence of models from the original on the samples that recovery holds out, per sample; on all of
    /// them if there is only one batch.
    ///
    /// # Errors
    /// Data that cannot be read, or a provider that refuses a model.
    pub(crate) fn held_out_divergences(&self, models: [&Model; 2]) -> Result<[f64; 2]> {
        held_out_divergences(self.pass(), self.analysis.graph().model(), models)
    }

    /// Runs a model on the first samples; `each` gets a batch's number, its number of samples, and the outputs.
    pub(super) fn run(
        &self,
        model: &Model,
        samples: usize,
        each: &mut dyn FnMut(usize, usize, Tensors),
    ) -> Result<()> {
        let mut session = self.session(model)?;
        let mut number = 0;
        self.batches(samples, &mut |batch| {
            let outputs = batch.run(&mut session)?;
            let lengths = outputs.iter().map(|(_, tensor)| tensor.shape().iter());
            let numbers = lengths.map(|sizes| sizes.product::<usize>()).sum();
            each(number, batch.samples, outputs);
            number += 1;
            Ok(numbers)
        })
    }

    /// Gives the first batches, until there were enough samples or numbers that `each` has made of them.
    pub(super) fn batches(
        &self,
        samples: usize,
        each: &mut dyn FnMut(Batch) -> Result<usize>,
    ) -> Result<()> {
        let (mut seen, mut numbers) = (0, 0);
        for number in 0..self.data.batches() {
            if seen >= samples || numbers >= MOST_OUTPUTS {
                break;
            }
            let batch = self.data.start_of(number, samples - seen)?;
            seen += batch.samples;
            numbers += each(batch)?;
        }
        Ok(())
    }
}
