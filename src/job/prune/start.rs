//! Where cuts start: from the dense model, or from what rounds have left of it.

use crate::dimensions::Analysis;
use crate::plan::{Decision, Left, Plan, Selection};
use crate::report::RoundRow;
use crate::search::places;

/// What the rounds so far have left of a model.
pub(super) struct Remains {
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
}
