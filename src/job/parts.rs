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
/// Batches of the samples that recovery gets, where there are enough: it holds the last ones out.
const BATCHES: usize = 10;

/// Data in parts.
pub(super) struct DealtData<'a> {
    /// What layers are measured and recovered on.
    pub(super) opened: Opened<'a>,
    /// What candidates are judged on.
    pub(super) judged: DataSet<'a>,
    /// What the result is checked on; none where no part was asked for.
    pub(super) checked: Option<DataSet<'a>>,
    /// All but what recovery gets.
    pub(super) rest: DataSet<'a>,
    /// All of it.
    pub(super) whole: DataSet<'a>,
}

impl Calibration {
    /// Opens the data and deals it in an order that `seed` says: at most [`Calibration::SAMPLES`] and at most half of it for
    /// recovery, the rest to judge on, half of that to check the result on where that is asked for.
    ///
    /// # Errors
    /// Data that cannot be read or is too little, or no onnxruntime.
    pub(super) fn dealt<'a>(
        &self,
        (analysis, layers): (&'a Analysis, &[Layer]),
        (seed, with_check): (u64, bool),
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
        let samples = whole.samples();
        let recovery = Calibration::SAMPLES.min(samples / 2);
        let rest = samples - recovery;
        let checked = if with_check { rest / 2 } else { 0 };
        let batch = batch_size(analysis, layers.iter());
        let mut dealt = whole
            .dealt(analysis, seed, &[recovery, rest - checked, checked])
            .into_iter();
        let mut next = |most: usize| {
            let part = dealt.next().unwrap_or_else(|| whole.clone());
            part.in_batches(batch.min(most.max(1)))
        };
        let first = next(recovery / BATCHES);
        let (judged, last) = (next(rest), next(rest));
        let both = whole.dealt(analysis, seed, &[recovery, rest]).into_iter();
        let provider = self.provider.clone();
        Ok(DealtData {
            opened: Opened {
                data: first,
                runtime: runtime.load_for(std::slice::from_ref(&provider), events)?,
                provider,
            },
            judged,
            rest: both
                .last()
                .unwrap_or_else(|| whole.clone())
                .in_batches(batch),
            checked: with_check.then_some(last),
            whole,
        })
    }
}
