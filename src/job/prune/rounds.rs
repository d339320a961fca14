//! Pruning in rounds: each starts from what the rounds before left, recovered and trained, with scores made anew on it.
//! What is gone does not come back.

use std::collections::HashMap;

use super::calibrated::Calibrated;
use super::cut::{Cutter, Remains, Start};
use super::options::PruneOptions;
use super::proven::Voice;
use super::round::Round;
use crate::criteria::scores;
use crate::dimensions::Analysis;
use crate::error::Result;
use crate::plan::{Plan, Scope, Selection, Settings};
use crate::search::{Effects, Ranking};

/// What planning needs beside the model and the settings.
pub(super) struct Planner<'a> {
    pub(super) analysis: &'a Analysis,
    pub(super) settings: Settings,
    pub(super) calibrated: Option<&'a Calibrated<'a>>,
    pub(super) options: &'a PruneOptions,
}

/// A plan.
pub(super) struct Chosen {
    pub(super) plan: Plan,
    /// What it comes from.
    pub(super) selection: Selection,
    /// What the rounds before left; none where there were none.
    pub(super) remains: Option<Remains>,
}

/// What a round plans with.
struct Bench<'a> {
    start: Start<'a>,
    /// Measured on what is left.
    calibrated: Option<&'a Calibrated<'a>>,
    round: Round,
}

impl Planner<'_> {
    /// The plan after all rounds; those before the last are cut, recovered and trained for it.
    pub(super) fn plan(mut self, voice: &mut Voice) -> Result<Chosen> {
        let rounds = self.settings.rounds();
        let mut known = Some(self.scores(self.analysis, self.calibrated, voice)?);
        if self.is_too_large_for_curves(known.as_deref().unwrap_or_default(), voice)? {
            self.settings.scope = Some(Scope::Fisher);
        }
        let mut remains: Option<Remains> = None;
        for number in 1..rounds {
            let round = Round { number, of: rounds };
            remains = self.after(round, remains, known.take(), voice)?;
            // The budget holds all the same: what is left to cut is cut in the last round.
            if voice.events.is_enough() {
                break;
            }
        }
        let start = self.start(remains.as_ref());
        let opened = start.opened(self.options, voice)?;
        let bench = Bench {
            start,
            calibrated: opened.as_ref().or(self.calibrated),
            round: Round::last(rounds),
        };
        let (plan, selection) = self.round(&bench, known, voice)?;
        drop(opened);
        Ok(Chosen {
            plan,
            selection,
            remains,
        })
    }

    fn start<'b>(&'b self, remains: Option<&'b Remains>) -> Start<'b> {
        Start {
            dense: self.analysis,
            remains,
        }
    }

    /// What a round leaves.
    fn after(
        &self,
        round: Round,
        remains: Option<Remains>,
        known: Option<Vec<Vec<f64>>>,
        voice: &mut Voice,
    ) -> Result<Option<Remains>> {
        let next = {
            let start = self.start(remains.as_ref());
            let opened = start.opened(self.options, voice)?;
            let bench = Bench {
                start,
                calibrated: opened.as_ref().or(self.calibrated),
                round,
            };
            let (plan, selection) = self.round(&bench, known, voice)?;
            let any = selection.pruned().next().is_some();
            // Where nothing is trained, recovery is best from the dense model.
            let (start, calibrated) = match self.options.tuning {
                Some(_) => (start, bench.calibrated),
                None => (self.start(None), self.calibrated),
            };
            let cutter = Cutter {
                start,
                calibrated,
                options: self.options,
                round,
            };
            let rows = remains.as_ref().map_or(Vec::new(), |of| of.rows.clone());
            any.then(|| cutter.remains(plan, rows, voice)).transpose()?
        };
        Ok(next.or(remains))
    }

    /// True if nothing was said of the scope and the best one would take long.
    fn is_too_large_for_curves(&self, scores: &[Vec<f64>], voice: &mut Voice) -> Result<bool> {
        let open = self.options.settings.scope.is_none();
        let Some(calibrated) = self.calibrated.filter(|_| open) else {
            return Ok(false);
        };
        let ranking = Ranking::new(self.analysis, scores, &self.settings)?;
        if !calibrated.takes_long(&ranking) {
            return Ok(false);
        }
        let (Voice { watch, events }, seed) = (voice, self.settings.seed);
        let found = || calibrated.has_gradients(self.analysis, seed, *events);
        Ok(watch.stage("gradients", found))
    }

    /// The plan of a round; `known` are the scores of what is left, where they are known.
    fn round(
        &self,
        bench: &Bench,
        known: Option<Vec<Vec<f64>>>,
        voice: &mut Voice,
    ) -> Result<(Plan, Selection)> {
        let part = bench.start.part();
        let known = match known {
            Some(known) => known,
            None => self.scores(part, bench.calibrated, voice)?,
        };
        let scores = self.merged(bench.start, known);
        let settings = bench.round.settings(&self.settings);
        let left = bench.start.remains.map(|remains| &remains.plan.dimensions);
        let left = left.into_iter().flatten();
        let left: HashMap<&str, &[u32]> = left
            .map(|planned| (planned.name.as_str(), planned.kept.as_slice()))
            .collect();
        let ranking = Ranking::among(self.analysis, &scores, &settings, &left)?;
        let stage = match settings.scope() {
            Scope::Allocated => Some("curves"),
            Scope::Fisher => Some("gradients"),
            Scope::Uniform | Scope::Global | Scope::Isomorphic => None,
        };
        let effects = match (stage, bench.calibrated) {
            (Some(stage), Some(calibrated)) => {
                let Voice { watch, events } = voice;
                let effects = || calibrated.effects(part, &ranking, &settings, *events);
                watch.stage(stage, effects)?
            }
            _ => Effects::default(),
        };
        let selection = voice.watch.stage("plan", || ranking.select(&effects))?;
        let plan = Plan::new(self.analysis, &selection, &scores, &self.settings);
        Ok((plan, selection))
    }

    fn scores(
        &self,
        analysis: &Analysis,
        calibrated: Option<&Calibrated>,
        voice: &mut Voice,
    ) -> Result<Vec<Vec<f64>>> {
        let Voice { watch, events } = voice;
        watch.stage("score", || match calibrated {
            Some(calibrated) => calibrated.scores(analysis, &self.settings, *events),
            None => scores(analysis, self.settings.criterion(), self.settings.seed),
        })
    }

    /// Scores of all channels of the whole model; those that are gone come last.
    fn merged(&self, start: Start, known: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
        let Some(remains) = start.remains else {
            return known;
        };
        let by_name: HashMap<&str, &Vec<f64>> = (remains.part.dimensions().iter())
            .zip(&known)
            .map(|(dimension, scores)| (dimension.name.as_str(), scores))
            .collect();
        let kept: HashMap<&str, &Vec<u32>> = (remains.plan.dimensions.iter())
            .map(|planned| (planned.name.as_str(), &planned.kept))
            .collect();
        let dimensions = self.analysis.dimensions().iter();
        let merged = dimensions.map(|dimension| {
            let name = dimension.name.as_str();
            let all: Vec<u32> = (0..dimension.size as u32).collect();
            let kept = kept.get(name).map_or(&all, |kept| *kept);
            merged(dimension.size, kept, by_name.get(name).map(|new| &new[..]))
        });
        merged.collect()
    }
}

/// Scores of all channels from those of the kept ones: removed channels lie below all others. A dimension that
/// is none any more has one channel left, which stays.
fn merged(size: usize, kept: &[u32], new: Option<&[f64]>) -> Vec<f64> {
    let ones = vec![1.0; kept.len()];
    let new = new.filter(|new| new.len() == kept.len()).unwrap_or(&ones);
    let least = new.iter().copied().fold(0.0, f64::min);
    let scale = new.iter().map(|score| score.abs()).fold(1e-12, f64::max);
    let mut out = vec![least - 1e-9 * scale; size];
    for (&channel, &score) in kept.iter().zip(new) {
        out[channel as usize] = score;
    }
    out
}

#[cfg(test)]
mod tests;
