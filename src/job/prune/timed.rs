//! A budget of time: channels chosen by the times that are expected, and what is left of the model timed, until it takes as
//! long as was asked for.

use std::collections::BTreeSet;

use super::options::PruneOptions;
use super::voice::Voice;
use crate::dimensions::Analysis;
use crate::error::{Error, Result};
use crate::events::Events;
use crate::graph::Graph;
use crate::job::options::RuntimeOptions;
use crate::job::quantised::prepared;
use crate::latency::{Clock, LatencyModel, MeasuredShare, TimedForm};
use crate::onnx::Model;
use crate::plan::{Decision, Selection};
use crate::quantise::{QuantiseSettings, without_data};
use crate::report::LatencyRow;
use crate::rewrite::prune_to;
use crate::runtime::{Provider, Runtime};
use crate::search::{Effects, Ranking};

/// Choices of channels that are made and timed at most for what is written, and for what other rounds follow.
pub(super) const ATTEMPTS: [usize; 2] = [4, 1];
/// A result may take this much longer than was asked for, as a share of that: runs of the same model differ by as much.
const ABOVE: f64 = 0.02;
/// A result that takes this much less leaves time unused.
const BELOW: f64 = 0.04;

/// What is known of a model's times, once for all budgets.
pub(in crate::job) struct TimedModel<'a> {
    analysis: &'a Analysis,
    runtime: Runtime,
    provider: Provider,
    /// Whether results are going to have products of codes.
    coded: Option<&'a QuantiseSettings>,
    model: LatencyModel,
}

/// A choice of channels that was timed.
struct Attempt {
    selection: Selection,
    predicted: f64,
    got: MeasuredShare,
}

impl<'a> TimedModel<'a> {
    /// Times the model on a provider, with one thread, unless that is known on this machine; with products of codes where
    /// results are going to be `coded`.
    ///
    /// # Errors
    /// No onnxruntime, or a provider that refuses the model.
    pub(in crate::job) fn of(
        analysis: &'a Analysis,
        runtime: &RuntimeOptions,
        provider: &Provider,
        coded: Option<&'a QuantiseSettings>,
        events: &mut dyn Events,
    ) -> Result<TimedModel<'a>> {
        let runtime = runtime.load_for(std::slice::from_ref(provider), events)?;
        let make = |model| formed(analysis, model, coded, &runtime);
        let form = coded.map(|settings| TimedForm {
            name: format!("{:?}", settings.settled()),
            make: &make,
        });
        let clock = Clock {
            runtime: &runtime,
            provider,
            form: form.as_ref(),
        };
        Ok(TimedModel {
            model: LatencyModel::of(analysis, clock, events)?,
            analysis,
            runtime,
            provider: provider.clone(),
            coded,
        })
    }

    /// What `options` need; none where they ask for no time.
    pub(super) fn asked_for(
        analysis: &'a Analysis,
        options: &'a PruneOptions,
        voice: &mut Voice,
    ) -> Result<Option<TimedModel<'a>>> {
        if options.plan.is_some() || !options.settings.asks_for_time() {
            return Ok(None);
        }
        let calibration = options.calibration.as_ref();
        let provider = calibration.map_or(Provider::Cpu, |of| of.provider.clone());
        let Voice { watch, events } = voice;
        let coded = options.quantise.as_ref();
        let timing = || TimedModel::of(analysis, &options.runtime, &provider, coded, *events);
        watch.stage("latency", timing).map(Some)
    }

    /// What is expected of times, for a search of its own.
    pub(in crate::job) fn model(&self) -> &LatencyModel {
        &self.model
    }

    /// The channels that stay where about `asked` of the time may be taken. Where what is left takes another time than
    /// was expected, expectations are corrected and it is chosen anew, this often at most.
    ///
    /// # Errors
    /// Those of a selection, or what is left does not run.
    pub(super) fn selected(
        &self,
        (asked, dropped, most): (f64, &BTreeSet<usize>, usize),
        ranking: &dyn Fn() -> Result<Ranking<'a>>,
        effects: &mut Effects,
    ) -> Result<(Selection, LatencyRow)> {
        let mut model = self.model().clone();
        let mut attempts: Vec<Attempt> = Vec::new();
        while attempts.len() < most {
            effects.latency = Some(model.clone());
            let selection = match ranking()?.select(effects) {
                Err(Error::Budget { .. }) if !attempts.is_empty() => break,
                selection => selection?,
            };
            let same = |attempt: &Attempt| attempt.selection.decisions == selection.decisions;
            if attempts.iter().any(same) {
                break;
            }
            let channels = self.channels(&selection);
            let left = self.analysis.nodes_left(dropped);
            let got = self.measured(&self.left(&selection, dropped)?)?;
            // What the law alone says: a correction knows of results.
            let (predicted, share) = (self.model.share(&channels, &left), got.share);
            tracing::debug!("latency: asked {asked:.3}, predicted {predicted:.3}, got {share:.3}");
            attempts.push(Attempt {
                predicted,
                selection,
                got,
            });
            if (1.0 - BELOW..=1.0 + ABOVE).contains(&(share / asked)) {
                break;
            }
            model = model.corrected(&channels, &left, share);
        }
        let tried = attempts.len();
        let fits = |of: &Attempt| of.got.share <= (1.0 + ABOVE) * asked;
        // The one that takes most of what was asked for, else the fastest.
        let rank = |of: &Attempt| match fits(of) {
            true => (1, of.got.share),
            false => (0, -of.got.share),
        };
        let best = attempts.into_iter().max_by(|a, b| {
            let (a, b) = (rank(a), rank(b));
            a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))
        });
        let best = best.ok_or_else(|| Error::Usage("nothing was chosen".to_owned()))?;
        let row = self.row(asked, &best, tried);
        Ok((best.selection, row))
    }

    fn row(&self, asked: f64, of: &Attempt, tried: usize) -> LatencyRow {
        LatencyRow {
            provider: self.provider.to_string(),
            threads: LatencyModel::THREADS,
            original_ms: of.got.whole_ms,
            asked,
            predicted: of.predicted,
            got: of.got.share,
            interval: of.got.interval,
            timed: self.model.choices(),
            known: self.model.is_known(),
            attempts: tried,
        }
    }

    /// Times the result that was made; says so where it takes longer than was asked for.
    ///
    /// # Errors
    /// It does not run.
    pub(super) fn confirm(&self, row: &mut LatencyRow, result: &Model) -> Result<Option<String>> {
        let got = self.measured(result)?;
        (row.got, row.interval, row.original_ms) = (got.share, got.interval, got.whole_ms);
        let missed = got.interval[0] > (1.0 + ABOVE) * row.asked;
        Ok(missed.then(|| {
            format!(
                "the result takes {:.3} of the original's time, where at most {:.3} was asked for: other programs may have slowed it down; if not, ask for less",
                row.got, row.asked
            )
        }))
    }

    /// How long runs of a model take, as a share of those of the whole one, timed in turn.
    ///
    /// # Errors
    /// It does not run.
    pub(in crate::job) fn measured(&self, model: &Model) -> Result<MeasuredShare> {
        let clock = Clock {
            runtime: &self.runtime,
            provider: &self.provider,
            form: None,
        };
        self.model.measured(self.analysis, model, clock)
    }

    fn channels(&self, selection: &Selection) -> Vec<usize> {
        let pairs = self.analysis.dimensions().iter().zip(&selection.decisions);
        let count = pairs.map(|(dimension, decision)| match decision {
            Decision::Prune(kept) => kept.len(),
            Decision::Leave(_) => dimension.size,
        });
        count.collect()
    }

    /// What a selection leaves of the model, in the form of a result.
    fn left(&self, selection: &Selection, dropped: &BTreeSet<usize>) -> Result<Model> {
        let mut kept = selection.kept(self.analysis);
        dropped.iter().for_each(|&block| kept.drop_part(block));
        let model = prune_to(self.analysis, &kept)?;
        formed(self.analysis, model, self.coded, &self.runtime)
    }
}

/// What is left of a model in the form of a result.
fn formed(
    analysis: &Analysis,
    left: Model,
    coded: Option<&QuantiseSettings>,
    runtime: &Runtime,
) -> Result<Model> {
    let Some(settings) = coded else {
        return Ok(left);
    };
    let part = Analysis::of_edit(Graph::new(&left.settled())?, analysis);
    without_data(&prepared(&part, runtime)?, settings)
}
