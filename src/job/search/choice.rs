//! What was found of all models, and which of them is chosen.

use std::cmp::Ordering;

use super::descent::{Ended, ShareVerdict};
use super::workshop::{MadeModel, SearchStep, StepResult};
use crate::dimensions::{Analysis, Totals};
use crate::plan::{Cost, Plan};
use crate::report::SearchPoint;
use crate::search::SearchGoal;

/// A model with its plan.
pub(super) struct Candidate {
    pub(super) attempt: SearchStep,
    pub(super) plan: Plan,
    pub(super) made: MadeModel,
    /// The share of the cost that it has.
    got: f64,
    /// Whether all goals hold by what the search has looked at.
    holds: bool,
}

/// All models so far, in the order of what they cost.
pub(super) struct Findings {
    goals: Vec<SearchGoal>,
    before: Totals,
    /// Bytes of the original's files.
    bytes: u64,
    /// What is minimised.
    cost: Cost,
    candidates: Vec<Candidate>,
    looked: usize,
    ended: Option<Ended>,
    /// The place of the chosen one.
    chosen: Option<usize>,
}

impl Findings {
    /// Nothing so far of this model.
    pub(super) fn new(goals: Vec<SearchGoal>, original: &Analysis, cost: Cost) -> Findings {
        Findings {
            goals,
            before: original.model_totals(),
            bytes: original.graph().model().source_bytes(),
            cost,
            candidates: Vec::new(),
            looked: 0,
            ended: None,
            chosen: None,
        }
    }

    /// Adds what became of an attempt.
    pub(super) fn add(&mut self, attempt: SearchStep, outcome: StepResult) -> ShareVerdict {
        self.looked += 1;
        let Some(plan) = outcome.plan else {
            return ShareVerdict::Unreachable;
        };
        let mut found = ShareVerdict::Fails;
        for made in outcome.made {
            let mut goals = self.goals.iter();
            let holds = goals.all(|goal| goal.verdict(&made.judged).holds);
            if holds {
                found = ShareVerdict::Holds;
            }
            let same = |of: &Candidate| {
                of.made.coded == made.coded
                    && of.plan.dimensions == plan.dimensions
                    && of.plan.dropped_blocks == plan.dropped_blocks
            };
            if !self.candidates.iter().any(same) {
                self.candidates.push(Candidate {
                    got: self.share(&made),
                    attempt,
                    plan: plan.clone(),
                    made,
                    holds,
                });
            }
        }
        self.candidates.sort_by(by_cost);
        found
    }

    /// The share of what is minimised that a model has.
    fn share(&self, made: &MadeModel) -> f64 {
        let counted = match self.cost {
            // What codes save is no matter of shapes.
            Cost::Bytes => Some((made.bytes, self.bytes)),
            cost => cost.of(&made.after).zip(cost.of(&self.before)),
        };
        let counted = counted.map(|(after, before)| after as f64 / before.max(1) as f64);
        counted.or(made.time).unwrap_or(1.0)
    }

    /// Shares that were looked at.
    pub(super) fn looked(&self) -> usize {
        self.looked
    }

    pub(super) fn end(&mut self, ended: Ended) {
        self.ended = Some(ended);
    }

    /// The places of models that hold by a standard error, the smallest first.
    pub(super) fn safe(&self) -> Vec<usize> {
        let all = self.candidates.iter().enumerate();
        let is_safe = |of: &Candidate| {
            let mut goals = self.goals.iter();
            goals.all(|goal| goal.verdict(&of.made.judged).is_safe())
        };
        all.filter(|(_, of)| of.holds && is_safe(of))
            .map(|(place, _)| place)
            .collect()
    }

    /// Whether any model holds by what was judged.
    pub(super) fn holds_any(&self) -> bool {
        self.candidates.iter().any(|of| of.holds)
    }

    pub(super) fn candidate(&self, place: usize) -> &Candidate {
        &self.candidates[place]
    }

    /// A model is chosen, with the time that it was found to take at last.
    pub(super) fn choose(&mut self, place: usize, time: Option<f64>) {
        self.chosen = Some(place);
        let candidate = &mut self.candidates[place];
        if let (Some(time), Cost::Latency) = (time, self.cost) {
            candidate.made.time = Some(time);
            candidate.got = time;
        }
    }

    pub(super) fn chosen(&self) -> Option<usize> {
        self.chosen
    }

    /// The models for the record.
    pub(super) fn points(&self) -> Vec<SearchPoint> {
        let point = |(place, of): (usize, &Candidate)| SearchPoint {
            asked: of.attempt.share,
            got: of.got,
            exchanged: of.attempt.exchanged,
            dropped: of.plan.dropped_blocks.clone(),
            coded: of.made.coded,
            after: of.made.after,
            bytes: of.made.bytes,
            time: of.made.time,
            judged: of.made.judged.clone(),
            holds: of.holds,
            on_front: self.is_on_front(place),
        };
        self.candidates.iter().enumerate().map(point).collect()
    }

    /// Models that no other one is both smaller and better than.
    pub(super) fn front(&self) -> impl Iterator<Item = &Candidate> {
        let all = self.candidates.iter().enumerate();
        all.filter(|(place, _)| self.is_on_front(*place))
            .map(|(_, of)| of)
    }

    fn is_on_front(&self, place: usize) -> bool {
        let own = &self.candidates[place];
        let divergence = |of: &Candidate| of.made.judged.divergence.value;
        let mut others = self.candidates.iter().enumerate();
        !others.any(|(other, of)| {
            let better = divergence(of) < divergence(own);
            let equal = divergence(of) == divergence(own);
            other != place
                && of.got <= own.got
                && of.made.bytes <= own.made.bytes
                && (better || (equal && other < place))
        })
    }

    /// Why the search ended.
    pub(super) fn ended(&self) -> String {
        let why = match self.ended {
            Some(Ended::Narrowed) | None => {
                "what is a little smaller no longer holds on the samples that judge"
            }
            Some(Ended::Smallest) => "the model cannot be made smaller with these settings",
            Some(Ended::Interrupted) => "it was interrupted; a run with `results` can go on",
            Some(Ended::OutOfTime) => "the time was over; a run with `results` can go on",
            Some(Ended::Shared) => "the share of this process is made; `merge` goes on from there",
        };
        format!("the search ended after {} step(s): {why}", self.looked)
    }
}

fn by_cost(a: &Candidate, b: &Candidate) -> Ordering {
    let costs = a
        .got
        .total_cmp(&b.got)
        .then(a.made.bytes.cmp(&b.made.bytes));
    costs.then(a.attempt.share.total_cmp(&b.attempt.share))
}
