//! What changes of a model cost, as its outputs on held-out samples say: all local errors may be small where one of them is
//! nearly the whole loss.

use std::collections::BTreeMap;

use ndarray::ArrayD;

use crate::data::{Batch, first_held_out};
use crate::dimensions::Analysis;
use crate::engine::Pass;
use crate::error::Result;
use crate::events::Events;
use crate::metrics::divergence;
use crate::onnx::Model;
use crate::rewrite::{RoundedValue, with_switches};
use crate::runtime::{Session, Tensor};

/// Samples that outputs are compared on, at least and at most.
const SAMPLES: [usize; 2] = [8, 64];
/// Multiply-accumulate operations of all runs together, where more samples than the least take part.
const OPERATIONS: u64 = 200_000_000_000;

type Tensors = Vec<(String, Tensor)>;

/// Held-out samples with what a model makes of them.
pub(super) struct HeldOutTrial<'a> {
    pass: Pass<'a>,
    seen: Vec<(Batch, Tensors)>,
}

impl<'a> HeldOutTrial<'a> {
    /// On as many samples as so many runs can afford.
    ///
    /// # Errors
    /// Data that cannot be read, or a provider that refuses the model.
    pub(super) fn new(
        analysis: &Analysis,
        runs: usize,
        pass: Pass<'a>,
    ) -> Result<HeldOutTrial<'a>> {
        let graph = analysis.graph();
        let sample = analysis.macs_of_sample().max(1);
        let samples = OPERATIONS / sample.saturating_mul(runs.max(1) as u64).max(1);
        let mut plain = pass.session(graph.model(), "the model")?;
        let mut seen = Vec::new();
        let batches = pass.data.batches();
        let most = samples.clamp(SAMPLES[0] as u64, SAMPLES[1] as u64) as usize;
        let (mut number, mut left) = (first_held_out(pass.data), most);
        number = number.min(batches.saturating_sub(1));
        while number < batches && left > 0 {
            let batch = pass.data.start_of(number, left)?;
            left -= batch.samples.min(left);
            let outputs = batch.run(&mut plain)?;
            seen.push((batch, outputs));
            number += 1;
        }
        Ok(HeldOutTrial { pass, seen })
    }

    /// How far the outputs of another model are, per sample.
    pub(super) fn of(&self, model: &Model) -> Result<f64> {
        let mut session = self.pass.session(model, "the changed model")?;
        self.divergence(&mut |batch| batch.run(&mut session))
    }

    fn divergence(&self, run: &mut dyn FnMut(&Batch) -> Result<Tensors>) -> Result<f64> {
        let (mut sum, mut samples) = (0.0, 0);
        for (batch, expected) in &self.seen {
            sum += divergence(expected, &run(batch)?, batch.samples);
            samples += batch.samples;
        }
        Ok(sum / samples.max(1) as f64)
    }
}

/// A model whose values can be rounded one by one, with weights that are not.
pub(super) struct Switched<'a> {
    trial: HeldOutTrial<'a>,
    session: Session,
    /// By class of values.
    switches: BTreeMap<usize, String>,
}

impl<'a> Switched<'a> {
    pub(super) fn new(
        analysis: &Analysis,
        rounded: &[RoundedValue],
        pass: Pass<'a>,
    ) -> Result<Switched<'a>> {
        let (model, switches) = with_switches(analysis.graph(), rounded)?;
        Ok(Switched {
            trial: HeldOutTrial::new(analysis, switches.len(), pass)?,
            session: pass.session(&model, "the model with values that may be rounded")?,
            switches,
        })
    }

    /// The divergence of the outputs, per sample, with all values rounded.
    pub(super) fn all(&mut self) -> Result<f64> {
        self.divergence(&|_| true)
    }

    /// By class the same with its values alone.
    pub(super) fn each(&mut self, events: &mut dyn Events) -> Result<BTreeMap<usize, f64>> {
        let classes: Vec<usize> = self.switches.keys().copied().collect();
        let mut costs = BTreeMap::new();
        for (done, &class) in classes.iter().enumerate() {
            events.progress("rounding one by one", done, classes.len());
            costs.insert(class, self.divergence(&|other| other == class)?);
        }
        Ok(costs)
    }

    fn divergence(&mut self, is_on: &dyn Fn(usize) -> bool) -> Result<f64> {
        let (session, switches) = (&mut self.session, &self.switches);
        self.trial.divergence(&mut |batch| {
            let mut inputs = batch.inputs.clone();
            for (&class, name) in switches {
                let on = Tensor::Bool(ArrayD::from_elem(Vec::new(), is_on(class)));
                inputs.push((name.clone(), on));
            }
            session.run(&inputs)
        })
    }
}
