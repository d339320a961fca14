//! What rounding values costs, all together and each alone: all local errors may be small where one of them is nearly
//! the whole loss.

use std::collections::BTreeMap;

use ndarray::ArrayD;

use crate::data::{Batch, first_held_out};
use crate::engine::Pass;
use crate::error::Result;
use crate::events::Events;
use crate::graph::Graph;
use crate::metrics::divergence;
use crate::rewrite::{RoundedValue, with_switches};
use crate::runtime::{Session, Tensor};

/// Samples that outputs are compared on.
const SAMPLES: usize = 64;

/// A model whose values can be rounded one by one, with weights that are not.
pub(super) struct Trial {
    session: Session,
    /// By class of values.
    switches: BTreeMap<usize, String>,
    /// Held-out samples with what the model makes of them.
    seen: Vec<(Batch, Vec<(String, Tensor)>)>,
}

impl Trial {
    pub(super) fn new(graph: &Graph, rounded: &[RoundedValue], pass: Pass) -> Result<Trial> {
        let (model, switches) = with_switches(graph, rounded)?;
        let session = pass.session(&model, "the model with values that may be rounded")?;
        let mut plain = pass.session(graph.model(), "the model")?;
        let mut seen = Vec::new();
        let (mut number, mut left) = (first_held_out(pass.data), SAMPLES);
        number = number.min(pass.data.batches().saturating_sub(1));
        while number < pass.data.batches() && left > 0 {
            let batch = pass.data.start_of(number, left)?;
            left -= batch.samples.min(left);
            let outputs = batch.run(&mut plain)?;
            seen.push((batch, outputs));
            number += 1;
        }
        Ok(Trial {
            session,
            switches,
            seen,
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
        let (mut sum, mut samples) = (0.0, 0);
        for (batch, expected) in &self.seen {
            let mut inputs = batch.inputs.clone();
            for (&class, name) in &self.switches {
                let on = Tensor::Bool(ArrayD::from_elem(Vec::new(), is_on(class)));
                inputs.push((name.clone(), on));
            }
            let outputs = self.session.run(&inputs)?;
            sum += divergence(expected, &outputs, batch.samples);
            samples += batch.samples;
        }
        Ok(sum / samples.max(1) as f64)
    }
}
