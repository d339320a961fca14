//! What a search can be told.

use std::path::PathBuf;
use std::time::Duration;

use crate::dimensions::Analysis;
use crate::error::{Error, Result};
use crate::events::Events;
use crate::job::prune::TimedModel;
use crate::job::{Calibration, Overwrite, RuntimeOptions, Shapes};
use crate::plan::{Cost, Settings};
use crate::quantise::QuantiseSettings;
use crate::recover::Recovery;
use crate::results::Shard;
use crate::search::SearchGoal;

/// How the smallest model is sought.
#[derive(Clone, Debug)]
pub struct SearchOptions {
    /// The data, where it runs, and samples at most. It is dealt into three parts: for recovery, to judge on, and to check the
    /// result on.
    pub data: Calibration,
    /// What every model must meet; at least one.
    pub goals: Vec<SearchGoal>,
    /// What is to be smallest.
    pub minimise: Cost,
    /// Which dimensions, how channels are scored, and to which widths they are rounded; ratios and budgets are the search's.
    pub settings: Settings,
    /// How far recovery goes.
    pub recovery: Recovery,
    /// Each model is weighed with products of 8-bit codes as well.
    pub quantise: Option<QuantiseSettings>,
    /// No further model is begun after this time.
    pub time_budget: Option<Duration>,
    /// Where evaluations are kept and shared.
    pub results: Option<PathBuf>,
    /// Whether that folder must hold evaluations to go on from.
    pub resume: bool,
    /// Which share of the evaluations this process makes, and no model; all of them, as far as they are wanted, without.
    pub shard: Option<Shard>,
    /// Sizes and sample axes of inputs.
    pub shapes: Shapes,
    /// Which onnxruntime.
    pub runtime: RuntimeOptions,
}

impl SearchOptions {
    /// Samples at most, unless told otherwise: all that there are.
    pub const SAMPLES: usize = usize::MAX;

    /// For the fewest operations on all of this data; all else has its default.
    pub fn new(data: impl Into<Calibration>, goals: Vec<SearchGoal>) -> SearchOptions {
        SearchOptions {
            data: Calibration {
                samples: SearchOptions::SAMPLES,
                ..data.into()
            },
            goals,
            minimise: Cost::Macs,
            settings: Settings::default(),
            recovery: Recovery::default(),
            quantise: None,
            time_budget: None,
            results: None,
            resume: false,
            shard: None,
            shapes: Shapes::default(),
            runtime: RuntimeOptions::default(),
        }
    }

    /// What is known of the model's times; none where they are no matter.
    ///
    /// # Errors
    /// A provider that refuses the model.
    pub(super) fn timed<'a>(
        &'a self,
        analysis: &'a Analysis,
        events: &mut dyn Events,
    ) -> Result<Option<TimedModel<'a>>> {
        if self.minimise != Cost::Latency {
            return Ok(None);
        }
        let (runtime, provider) = (&self.runtime, &self.data.provider);
        let timed = TimedModel::of(analysis, runtime, provider, self.quantise.as_ref(), events);
        timed.map(Some)
    }

    /// These options with the hash of the file of scores that they name.
    ///
    /// # Errors
    /// It cannot be read, or is another than is asked for.
    pub(super) fn with_hash(&self) -> Result<SearchOptions> {
        Ok(SearchOptions {
            settings: self.settings.clone().with_hash()?,
            ..self.clone()
        })
    }

    /// # Errors
    /// Settings that contradict each other.
    pub(super) fn check(&self) -> Result<()> {
        let usage = |text: &str| Err(Error::Usage(text.to_owned()));
        if self.goals.is_empty() {
            return usage(
                "a search needs a bound: give `floor`, `max_drop`, `max_kl` or `min_agreement`",
            );
        }
        if self.shard.is_some() && self.results.is_none() {
            return usage("a shard's evaluations are for others: name their folder with `results`");
        }
        Ok(())
    }
}

/// How a file is searched for a smaller one.
#[derive(Clone, Debug)]
pub struct SearchFileOptions {
    /// How the smallest model is sought.
    pub search: SearchOptions,
    /// Where the model goes; its plan, the record, the table and the picture of the trade-off go beside it.
    pub output: Option<PathBuf>,
    /// A folder for every model that no other one is both smaller and better than.
    pub keep_front: Option<PathBuf>,
    /// Whether files that the run reads may be replaced.
    pub overwrite: Overwrite,
}
