//! Whole plans tried on data without solving them anew: what every layer becomes at what is left of the dimensions that it
//! reads is found once, and put together for plan after plan.

use std::cell::RefCell;
use std::collections::HashMap;

use super::curves::originals;
use super::outputs::{Outputs, Tensors};
use crate::axes::Kept;
use crate::error::{Error, Result};
use crate::layers::Layer;
use crate::metrics::divergence;
use crate::recover::{Recovered, fold_to};
use crate::rewrite::prune_to;

/// Samples that plans are tried on at most.
const SAMPLES: usize = 256;
/// Bytes of solved layers that are kept.
const MOST_KEPT: usize = 512 << 20;

/// Layers as they were solved, by what stays of their columns.
type Solved = HashMap<(usize, Vec<Vec<usize>>), Recovered>;

/// Plans of one model, tried.
pub(crate) struct PlanLibrary<'a> {
    runs: Outputs<'a>,
    dense: Vec<Tensors>,
    samples: usize,
    solved: RefCell<(Solved, usize)>,
}

impl<'a> PlanLibrary<'a> {
    /// For about so many plans.
    ///
    /// # Errors
    /// Data that cannot be read, or a provider that refuses the model.
    pub(crate) fn new(runs: Outputs<'a>, plans: usize) -> Result<PlanLibrary<'a>> {
        let samples = runs.affordable(plans).min(SAMPLES);
        Ok(PlanLibrary {
            dense: originals(&runs, samples)?,
            samples,
            solved: RefCell::default(),
            runs,
        })
    }

    /// The divergence of the outputs, per sample, where `kept` stays and every layer makes up for what it no longer reads; none
    /// where the model would not fit together.
    ///
    /// # Errors
    /// Data that cannot be read, or a provider that refuses the model.
    pub(crate) fn divergence(&self, kept: &Kept) -> Result<Option<f64>> {
        let analysis = self.runs.analysis;
        let mut whole = Recovered::default();
        for (number, layer) in self.runs.layers.iter().enumerate() {
            self.solve((number, layer), kept, &mut whole)?;
        }
        let edited = whole.applied(analysis)?;
        let model = match prune_to(&edited, &edited.carried(analysis, kept)) {
            Err(Error::Plan { .. }) => return Ok(None),
            pruned => pruned?,
        };
        let (mut sum, mut seen) = (0.0, 0);
        self.runs
            .run(&model, self.samples, &mut |number, samples, outputs| {
                if let Some(dense) = self.dense.get(number) {
                    sum += divergence(dense, &outputs, samples);
                    seen += samples;
                }
            })?;
        Ok(Some(sum / seen.max(1) as f64))
    }

    /// Adds what a layer becomes.
    fn solve(
        &self,
        (number, layer): (usize, &Layer),
        kept: &Kept,
        whole: &mut Recovered,
    ) -> Result<()> {
        let analysis = self.runs.analysis;
        let columns = layer.kept_columns(analysis, kept);
        if columns.iter().all(|own| own.len() == layer.columns()) {
            return Ok(());
        }
        let key = (number, columns);
        if let Some(known) = self.solved.borrow().0.get(&key) {
            whole.edits.extend(known.edits.clone());
            whole.constants.extend(known.constants.iter().cloned());
            return Ok(());
        }
        let new = fold_to(analysis, layer, self.runs.stats, &key.1)?;
        whole.edits.extend(new.edits.clone());
        whole.constants.extend(new.constants.iter().cloned());
        let (solved, bytes) = &mut *self.solved.borrow_mut();
        let own = 4 * layer.dims.iter().product::<usize>();
        if *bytes + own <= MOST_KEPT {
            *bytes += own;
            solved.insert(key, new);
        }
        Ok(())
    }
}
