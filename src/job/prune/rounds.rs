//! Pruning in rounds: scores are made anew on what the rounds before leave.

use std::collections::HashMap;

use super::calibrated::Calibrated;
use super::options::PruneOptions;
use super::proven::Voice;
use crate::criteria::scores;
use crate::dimensions::Analysis;
use crate::error::Result;
use crate::graph::Graph;
use crate::plan::{CostBudget, Plan, Scope, Selection, Settings};
use crate::rewrite;
use crate::search::{Effects, Ranking};

/// What planning needs beside the model and the settings.
pub(super) struct Planner<'a> {
    pub(super) analysis: &'a Analysis,
    pub(super) settings: Settings,
    pub(super) calibrated: Option<&'a Calibrated<'a>>,
    pub(super) options: &'a PruneOptions,
}

impl Planner<'_> {
    /// The plan after all rounds, with the selection that it comes from.
    pub(super) fn plan(mut self, voice: &mut Voice) -> Result<(Plan, Selection)> {
        let rounds = self.settings.iterations.max(1);
        let mut scores = self.scores(self.analysis, self.calibrated, voice)?;
        if self.is_too_large_for_curves(&scores, voice)? {
            self.settings.scope = Some(Scope::Fisher);
        }
        for round in 1..rounds {
            let (plan, _) = self.round(round as f64 / rounds as f64, &scores, voice)?;
            scores = self.scores_after(&plan, &scores, voice)?;
        }
        self.round(1.0, &scores, voice)
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

    /// The plan of a round that has come this far, from 0 to 1.
    fn round(
        &self,
        done: f64,
        scores: &[Vec<f64>],
        voice: &mut Voice,
    ) -> Result<(Plan, Selection)> {
        let settings = self.share(done);
        let ranking = Ranking::new(self.analysis, scores, &settings)?;
        let stage = match settings.scope() {
            Scope::Allocated => Some("curves"),
            Scope::Fisher => Some("gradients"),
            Scope::Uniform | Scope::Global | Scope::Isomorphic => None,
        };
        let effects = match (stage, self.calibrated) {
            (Some(stage), Some(calibrated)) => {
                let Voice { watch, events } = voice;
                let effects = || calibrated.effects(&ranking, &settings, *events);
                watch.stage(stage, effects)?
            }
            _ => Effects::default(),
        };
        let selection = voice.watch.stage("plan", || ranking.select(&effects))?;
        let plan = Plan::new(self.analysis, &selection, scores, &self.settings);
        Ok((plan, selection))
    }

    /// The settings of a round that has come this far, from 0 to 1: sizes are counted against the whole model.
    fn share(&self, done: f64) -> Settings {
        let mut settings = self.settings.clone();
        settings.ratio *= done;
        for (_, ratio) in &mut settings.ratio_for {
            *ratio *= done;
        }
        if let Some(CostBudget { share, .. }) = &mut settings.budget {
            *share = 1.0 - (1.0 - *share) * done;
        }
        settings
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

    /// Scores on what `plan` leaves, recovered as the result will be; removed channels come last.
    fn scores_after(
        &self,
        plan: &Plan,
        before: &[Vec<f64>],
        voice: &mut Voice,
    ) -> Result<Vec<Vec<f64>>> {
        let mut left = rewrite::prune(self.analysis, plan)?;
        if let Some(calibrated) = self.calibrated.filter(|of| of.recovers()) {
            let Voice { watch, events } = voice;
            let recover = || calibrated.recover(self.analysis, plan, &left, *events);
            let repaired = watch.stage("recover", recover)?;
            if repaired.row.kept {
                left = repaired.model;
            }
        }
        let graph = Graph::new(&left.settled())?;
        let left = Analysis::of_edit(graph, self.analysis);
        let calibrated = match &self.options.calibration {
            // A file of statistics is of the whole model.
            Some(calibration) => {
                let Voice { watch, events } = voice;
                let open = || Calibrated::open(&left, self.options, calibration, None, *events);
                Some(watch.stage("calibrate", open)?)
            }
            None => None,
        };
        let now = self.scores(&left, calibrated.as_ref(), voice)?;
        let by_name: HashMap<&str, &Vec<f64>> = left
            .dimensions()
            .iter()
            .zip(&now)
            .map(|(dimension, scores)| (dimension.name.as_str(), scores))
            .collect();
        let kept: HashMap<&str, &Vec<u32>> = plan
            .dimensions
            .iter()
            .map(|planned| (planned.name.as_str(), &planned.kept))
            .collect();
        let dimensions = self.analysis.dimensions().iter().zip(before);
        let merged = dimensions.map(|(dimension, before)| {
            let new = by_name.get(dimension.name.as_str());
            match (kept.get(dimension.name.as_str()), new) {
                (Some(kept), new) => merged(dimension.size, kept, new.map(|new| new.as_slice())),
                (None, Some(new)) if new.len() == dimension.size => (*new).clone(),
                (None, _) => before.clone(),
            }
        });
        Ok(merged.collect())
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
mod tests {
    use super::merged;

    #[test]
    fn removed_channels_come_last() {
        let scores = merged(4, &[1, 3], Some(&[0.0, 2.0]));
        assert!(scores[0] < scores[1] && scores[2] < scores[1] && scores[3] == 2.0);
        assert_eq!(merged(2, &[1], None)[1], 1.0);
    }
}
