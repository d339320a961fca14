//! Data dealt into parts that know nothing of each other: what models are recovered with, and what they are judged on.

use super::options::{Calibration, Opened, RuntimeOptions};
use crate::data::{DataSet, declared_inputs};
use crate::dimensions::Analysis;
use crate::error::{Error, Result};
use crate::events::Events;
use crate::layers::Layer;
use crate::statistics::batch_size;

/// Samples at least.
const LEAST: usize = 20;
/// What recovery gets at least: whole batches of a model that fixes them.
const FEWEST: usize = 5;
/// Batches of the samples that recovery gets, where there are enough: it holds the last ones out.
const BATCHES: usize = 10;

/// Data in parts.
pub(super) struct DealtData<'a> {
    /// What layers are measured and recovered on.
    pub(super) opened: Opened<'a>,
    /// What candidates are judged on.
    pub(super) judged: DataSet<'a>,
    /// What the result is checked on; nothing where no part was asked for.
    pub(super) checked: DataSet<'a>,
    /// All but what recovery gets.
    pub(super) rest: DataSet<'a>,
    /// All of it.
    pub(super) whole: DataSet<'a>,
}

impl Calibration {
    /// Opens the data and deals it in an order that `seed` says: at most [`Calibration::SAMPLES`] and at most half of it for
    /// recovery, the rest to judge on, of which one in `checked` is to check the result on; none where that is 0. All are whole
    /// batches where the model fixes them.
    ///
    /// # Errors
    /// Data that cannot be read or is too little, or no onnxruntime.
    pub(super) fn dealt<'a>(
        &self,
        (analysis, layers): (&'a Analysis, &[Layer]),
        (seed, checked): (u64, usize),
        runtime: &RuntimeOptions,
        events: &mut dyn Events,
    ) -> Result<DealtData<'a>> {
        let whole = DataSet::open(&self.data, &declared_inputs(analysis), analysis, 1)?;
        let whole = whole.first(self.samples);
        let items = whole.samples() / whole.samples_per_item();
        if items < LEAST {
            return Err(Error::data(
                whole.describe(),
                format!(
                    "it is too little to be split: {items} of what the model takes at once are there, and {LEAST} are needed, half for recovery and the rest to judge on"
                ),
            ));
        }
        let unit = whole.samples_per_item();
        let recovery = (Calibration::SAMPLES / unit).clamp(FEWEST, items / 2);
        let rest = items - recovery;
        let last = rest.checked_div(checked).unwrap_or(0);
        let batch = batch_size(analysis, layers.iter());
        let part = |from: usize, count: usize, most: usize| {
            let part = whole.dealt(analysis, seed, from..from + count);
            part.in_batches(batch.min(most.max(1)))
        };
        let provider = self.provider.clone();
        Ok(DealtData {
            opened: Opened {
                data: part(0, recovery, recovery / BATCHES),
                runtime: runtime.load_for(std::slice::from_ref(&provider), events)?,
                provider,
            },
            judged: part(recovery, rest - last, rest),
            checked: part(items - last, last, rest),
            rest: part(recovery, rest, rest),
            whole,
        })
    }
}
