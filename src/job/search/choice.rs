//! What was found of all models, and which of them is chosen.

use std::cmp::Ordering;

use super::descent::{Ended, Found};
use super::workshop::{Made, Outcome};
use crate::plan::Plan;
use crate::report::SearchPoint;
use crate::search::{Goal, GoalRow};

/// A model with its plan.
#[derive(Clone)]
pub(super) struct Candidate {
    pub(super) plan: Plan,
    pub(super) made: Made,
}

/// All models so far, in the order of what they cost.
#[derive(Default)]
pub(super) struct Findings {
    candidates: Vec<Candidate>,
    looked: usize,
    ended: Option<Ended>,
    /// The place of the chosen one.
    chosen: Option<usize>,
}

impl Findings {
    /// Adds what became of an attempt.
    pub(super) fn add(&mut self, outcome: Outcome) -> Found {
        self.looked += 1;
        let Some(plan) = outcome.plan else {
            return Found::Unreachable;
        };
        let holds = outcome.made.iter().any(|made| made.point.holds);
        for made in outcome.made {
            let plan = plan.clone();
            self.candidates.push(Candidate { plan, made });
        }
        self.candidates.sort_by(|a, b| by_cost(a, b));
        match holds {
            true => Found::Holds,
            false => Found::Fails,
        }
    }

    /// Shares that were looked at.
    pub(super) fn looked(&self) -> usize {
        self.looked
    }

    pub(super) fn end(&mut self, ended: Ended) {
        self.ended = Some(ended);
    }

    /// Chooses the smallest model that holds on the samples that were looked at and on those that were not, and where none does
    /// on the latter, the one whose interval there reaches furthest into the bounds.
    pub(super) fn choose(&mut self, goals: &[Goal]) {
        let checked = |of: &Candidate| -> Vec<GoalRow> {
            let rows = goals.iter().map(|goal| goal.verdict(&of.made.checked));
            rows.collect()
        };
        let holding = || {
            let all = self.candidates.iter().enumerate();
            all.filter(|(_, of)| of.made.point.holds)
        };
        let sure = holding().find(|(_, of)| checked(of).iter().all(|row| row.holds));
        let unsure = || holding().filter(|(_, of)| checked(of).iter().all(|row| !row.refuted));
        // Of those that the noise leaves open the largest is the safest.
        self.chosen = sure.or_else(|| unsure().last()).map(|(place, _)| place);
    }

    pub(super) fn candidate(&self) -> Option<&Candidate> {
        self.candidates.get(self.chosen?)
    }

    pub(super) fn chosen(&self) -> Option<usize> {
        self.chosen
    }

    /// Demands on the samples that nothing has looked at, for the chosen model.
    pub(super) fn verdict(&self, goals: &[Goal]) -> Vec<GoalRow> {
        let chosen = self.candidate().into_iter();
        chosen
            .flat_map(|of| goals.iter().map(|goal| goal.verdict(&of.made.checked)))
            .collect()
    }

    /// The models for the record; those on the front are marked.
    pub(super) fn points(&self) -> Vec<SearchPoint> {
        let points = self.candidates.iter().map(|of| &of.made.point);
        let point = |(place, point): (usize, &SearchPoint)| SearchPoint {
            on_front: self.is_on_front(place),
            ..point.clone()
        };
        points.enumerate().map(point).collect()
    }

    /// Models that no other one is both smaller and better than.
    pub(super) fn front(&self) -> impl Iterator<Item = &Candidate> {
        let all = self.candidates.iter().enumerate();
        all.filter(|(place, _)| self.is_on_front(*place))
            .map(|(_, of)| of)
    }

    fn is_on_front(&self, place: usize) -> bool {
        let own = &self.candidates[place].made.point;
        let mut others = self.candidates.iter().enumerate();
        !others.any(|(other, of)| {
            let of = &of.made.point;
            let better = of.judged.divergence.value < own.judged.divergence.value;
            let equal = of.judged.divergence.value == own.judged.divergence.value;
            other != place
                && (of.got, of.bytes) <= (own.got, own.bytes)
                && (better || (equal && other < place))
        })
    }

    /// Why the search ended.
    pub(super) fn ended(&self) -> String {
        let why = match self.ended {
            Some(Ended::Narrowed) | None => "what is a little smaller no longer holds",
            Some(Ended::Smallest) => "the model cannot be made smaller with these settings",
            Some(Ended::Interrupted) => {
                "it was interrupted; run it again with the same `results` to go on"
            }
            Some(Ended::OutOfTime) => {
                "the time was over; run it again with the same `results` to go on"
            }
            Some(Ended::Shared) => "the share of this process is made; `merge` goes on from there",
        };
        format!("the search ended after {} share(s): {why}", self.looked)
    }
}

fn by_cost(a: &Candidate, b: &Candidate) -> Ordering {
    let (a, b) = (&a.made.point, &b.made.point);
    let costs = a.got.total_cmp(&b.got).then(a.bytes.cmp(&b.bytes));
    costs.then(a.asked.total_cmp(&b.asked))
}
