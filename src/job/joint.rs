//! How far a model is pruned before its weights are stored in few bits: divergences of pruning and of rounding add up, so
//! that each share is priced by both, and the best one made.

use super::options::{Calibration, Opened, RuntimeOptions, Shapes};
use super::prune::{PruneOptions, prune_with};
use super::quantised::BATCHES;
use crate::dimensions::Analysis;
use crate::error::{Error, Result};
use crate::events::Events;
use crate::graph::Graph;
use crate::layers::Layers;
use crate::onnx::Model;
use crate::plan::Cost;
use crate::quantise::{FileBudget, QuantiseSettings, WidthForecast, forecast};
use crate::report::PrunedFirst;
use crate::rewrite::with_initializers;

/// Shares of the parameters that are tried.
const SHARES: [f64; 5] = [0.7, 0.5, 0.35, 0.25, 0.15];

/// What is pruned first, and what is asked of the whole.
pub(super) struct Joint<'a> {
    pub(super) model: &'a Model,
    pub(super) settings: &'a QuantiseSettings,
    pub(super) data: &'a Calibration,
    pub(super) shapes: &'a Shapes,
    pub(super) runtime: &'a RuntimeOptions,
}

/// A share with what it costs.
struct Priced {
    pruned: Option<(Model, PrunedFirst)>,
    forecast: WidthForecast,
}

impl Joint<'_> {
    /// The pruned model that costs least; none where it is best not pruned.
    ///
    /// # Errors
    /// Data that cannot be read, or a model that cannot be run.
    pub(super) fn chosen(&self, events: &mut dyn Events) -> Result<Option<(Model, PrunedFirst)>> {
        let mut best = Priced {
            pruned: None,
            forecast: self.price(self.model, 0.0, events)?,
        };
        for share in SHARES {
            let Some((model, first)) = self.pruned(share, events)? else {
                continue;
            };
            // What is pruned further is no better.
            if self.is_hopeless(first.divergence, &best.forecast) {
                break;
            }
            let forecast = self.price(&model, first.divergence, events)?;
            if self.is_better(&forecast, &best.forecast) {
                best = Priced {
                    pruned: Some((model, first)),
                    forecast,
                };
            }
        }
        Ok(best.pruned)
    }

    fn pruned(&self, share: f64, events: &mut dyn Events) -> Result<Option<(Model, PrunedFirst)>> {
        let options = PruneOptions {
            calibration: Some(self.data.clone()),
            shapes: self.shapes.clone(),
            runtime: self.runtime.clone(),
            ..PruneOptions::keeping(Cost::Params, share)
        };
        let pruned = match prune_with(self.model.clone(), &options, events) {
            Ok(pruned) => pruned,
            Err(Error::Budget { .. } | Error::NothingToPrune { .. }) => return Ok(None),
            Err(fault) => return Err(fault),
        };
        let report = &pruned.report;
        let divergence = report.recovery.as_ref().map(|of| of.divergence[1]);
        let first = PrunedFirst {
            parameters: [report.before.params, report.after.params],
            divergence: divergence.unwrap_or_default(),
        };
        Ok(Some((pruned.model.settled(), first)))
    }

    /// What the widths of a model's weights will cost, on top of what pruning has.
    fn price(&self, model: &Model, before: f64, events: &mut dyn Events) -> Result<WidthForecast> {
        let model = with_initializers(&Graph::new(model)?)?;
        let analysis = super::analyse_whole(&model, self.shapes)?;
        let opened = self.open(&analysis, events)?;
        let settings = less(self.settings, before);
        let mut found = forecast(&analysis, &settings, opened.pass(), events)?;
        found.divergence += before;
        Ok(found)
    }

    fn open<'a>(&self, analysis: &'a Analysis, events: &mut dyn Events) -> Result<Opened<'a>> {
        let layers = Layers::of(analysis).layers;
        self.data
            .open(analysis, &layers, (BATCHES, false), self.runtime, events)
    }

    /// True if a divergence leaves nothing to gain.
    fn is_hopeless(&self, divergence: f64, best: &WidthForecast) -> bool {
        match self.settings.max_kl {
            Some(most) => divergence >= most,
            None => best.fits && divergence >= best.divergence,
        }
    }

    /// The smaller file where a divergence is allowed, else the smaller divergence.
    fn is_better(&self, a: &WidthForecast, b: &WidthForecast) -> bool {
        match (a.fits, b.fits) {
            (true, true) if self.settings.budget.is_some() => a.divergence < b.divergence,
            (true, true) => a.bytes < b.bytes,
            (fits, _) => fits,
        }
    }
}

/// The same with a budget in bytes, which does not depend on what is pruned.
pub(super) fn in_bytes(settings: &QuantiseSettings, before: u64) -> QuantiseSettings {
    let budget = settings.budget;
    QuantiseSettings {
        budget: budget.map(|budget| FileBudget::Bytes(budget.bytes(before))),
        ..settings.clone()
    }
}

/// What is asked of the widths alone, where so much of the divergence is gone.
pub(super) fn less(settings: &QuantiseSettings, before: f64) -> QuantiseSettings {
    QuantiseSettings {
        max_kl: settings.max_kl.map(|most| (most - before).max(0.0)),
        ..settings.clone()
    }
}
