//! Where cuts start: from the dense model, or from what rounds have left of it.

use std::collections::HashMap;

use crate::dimensions::Analysis;
use crate::plan::{Decision, Left, Plan, Selection};
use crate::report::RoundRow;
use crate::search::places;

/// What the rounds so far have left of a model.
pub(in crate::job) struct Remains {
    /// All that they removed.
    pub(super) plan: Plan,
    /// The whole model with the weights that they recovered and trained.
    pub(super) whole: Analysis,
    /// What the plan leaves of that.
    pub(super) part: Analysis,
    pub(super) rows: Vec<RoundRow>,
}

/// Where cuts are made from.
#[derive(Clone, Copy)]
pub(super) struct Start<'a> {
    /// The dense model, which teaches.
    pub(super) dense: &'a Analysis,
    pub(super) remains: Option<&'a Remains>,
}

impl<'a> Start<'a> {
    /// The whole model, with the weights of the rounds before.
    pub(super) fn whole(self) -> &'a Analysis {
        self.remains.map_or(self.dense, |remains| &remains.whole)
    }

    /// What is left of it.
    pub(super) fn part(self) -> &'a Analysis {
        self.remains.map_or(self.dense, |remains| &remains.part)
    }

    /// What a plan of the whole model means for what is left of it.
    pub(super) fn rest(self, plan: &Plan) -> Plan {
        let Some(remains) = self.remains else {
            return plan.clone();
        };
        let part = &remains.part;
        let decisions = part.dimensions().iter().map(|dimension| {
            let of = |plan: &Plan| {
                let mut all = plan.dimensions.iter();
                let found = all.find(|planned| planned.name == dimension.name);
                found.map(|planned| planned.kept.clone())
            };
            let before = of(&remains.plan).unwrap_or_else(|| dimension.channels());
            let now = of(plan).map(|kept| places(&kept, &before));
            match now.filter(|now| now.len() < dimension.size) {
                Some(now) => Decision::Prune(now),
                None => Decision::Leave(Left::forced("all that is left of it stays")),
            }
        });
        let selection = Selection {
            decisions: decisions.collect(),
        };
        let scores: Vec<Vec<f64>> = vec![Vec::new(); part.dimensions().len()];
        let dropped = plan.dropped_blocks.iter();
        let dropped = dropped.filter(|&name| !remains.plan.dropped_blocks.contains(name));
        Plan::new(part, &selection, &scores, &plan.settings)
            .dropping(part, dropped.cloned().collect())
    }

    /// Scores of all channels of the whole model; those that are gone come last.
    pub(super) fn merged(self, known: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
        let Some(remains) = self.remains else {
            return known;
        };
        let by_name: HashMap<&str, &Vec<f64>> = (remains.part.dimensions().iter())
            .zip(&known)
            .map(|(dimension, scores)| (dimension.name.as_str(), scores))
            .collect();
        let kept: HashMap<&str, &Vec<u32>> = (remains.plan.dimensions.iter())
            .map(|planned| (planned.name.as_str(), &planned.kept))
            .collect();
        let dimensions = self.dense.dimensions().iter();
        let merged = dimensions.map(|dimension| {
            let name = dimension.name.as_str();
            let all = dimension.channels();
            let kept = kept.get(name).map_or(&all, |kept| *kept);
            let new = by_name.get(name).map(|new| &new[..]);
            match new {
                // Nothing is said of it.
                Some([]) => Vec::new(),
                new => merged(dimension.size, kept, new),
            }
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
mod tests {
    use super::merged;

    #[test]
    fn removed_channels_come_last() {
        let scores = merged(4, &[1, 3], Some(&[0.0, 2.0]));
        assert!(scores[0] < scores[1] && scores[2] < scores[1] && scores[3] == 2.0);
        assert_eq!(merged(2, &[1], None)[1], 1.0);
    }
}
