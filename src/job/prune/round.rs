//! Rounds: how far each goes, and how much of the training it gets.

use std::fmt;

use super::start::Remains;
use crate::events::Events;
use crate::plan::{CostBudget, Plan, Selection, Settings};
use crate::report::LatencyRow;
use crate::train::TrainOptions;

/// Steps of a round that others follow, as a share of those of the last.
const EARLIER: f64 = 0.7;

/// Multiply-accumulate operations of a sample up to which models train longer in rounds, up to [`LONGER`] times as long.
const SMALL: f64 = 2e6;
const LONGER: f64 = 2.0;

/// A round, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Round {
    pub(super) number: usize,
    pub(super) of: usize,
}

/// The plan after all rounds.
pub(super) struct FinalPlan {
    pub(super) plan: Plan,
    /// What it comes from.
    pub(super) selection: Selection,
    /// What the rounds before left; none where there were none.
    pub(super) remains: Option<Remains>,
    /// What became of a budget of time.
    pub(super) latency: Option<LatencyRow>,
}

impl Round {
    /// The only one.
    pub(super) const ALONE: Round = Round { number: 1, of: 1 };

    /// The last of so many.
    pub(super) fn last(of: usize) -> Round {
        Round { number: of, of }
    }

    /// The settings of this round: what it leaves of the whole model. Each keeps the same share of what the one
    /// before left.
    pub(super) fn settings(self, all: &Settings) -> Settings {
        let done = self.number as f64 / self.of as f64;
        let gone = |ratio: f64| 1.0 - (1.0 - ratio).powf(done);
        let mut settings = all.clone();
        if self.number == self.of {
            return settings;
        }
        settings.ratio = gone(settings.ratio);
        for (_, ratio) in &mut settings.ratio_for {
            *ratio = gone(*ratio);
        }
        if let Some(CostBudget { share, .. }) = &mut settings.budget {
            *share = share.powf(done);
        }
        settings
    }

    /// How many times as many steps a model that costs so much takes in rounds, where none were asked for: what is left
    /// of a small one learns for longer, and steps cost little.
    pub(super) fn patience(self, macs: u64) -> f64 {
        match self.of {
            1 => 1.0,
            _ => (SMALL / macs.max(1) as f64).clamp(1.0, LONGER),
        }
    }

    /// Gives a training this round's part: of steps, of the time, and a folder of its own.
    pub(super) fn take_part(self, options: &mut TrainOptions) {
        if self.of == 1 {
            return;
        }
        let part = if self.number < self.of { EARLIER } else { 1.0 };
        let all = EARLIER * (self.of - 1) as f64 + 1.0;
        options.steps = ((options.steps as f64 * part).round() as usize).max(1);
        options.time_budget = options.time_budget.map(|time| time.mul_f64(part / all));
        if let Some((folder, _)) = &mut options.checkpoints {
            *folder = folder.join(format!("round-{}-of-{}", self.number, self.of));
        }
    }
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "round {} of {}", self.number, self.of)
    }
}

/// Says which round goes on.
pub(super) struct InRound<'a> {
    round: Round,
    events: &'a mut dyn Events,
}

impl<'a> InRound<'a> {
    pub(super) fn new(round: Round, events: &'a mut dyn Events) -> InRound<'a> {
        InRound { round, events }
    }
}

impl Events for InRound<'_> {
    fn say(&mut self, line: &str) {
        self.events.say(line);
    }

    fn progress(&mut self, step: &'static str, done: usize, total: usize) {
        self.events.progress(step, done, total);
    }

    fn detail(&mut self, text: &str) {
        match self.round {
            Round::ALONE => self.events.detail(text),
            round => self.events.detail(&format!("{round} {text}")),
        }
    }

    fn is_enough(&self) -> bool {
        self.events.is_enough()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Cost;

    #[test]
    fn rounds_keep_the_same_share_each_and_the_last_what_was_asked_for() {
        let all = Settings::keeping(Cost::Macs, 0.1);
        let share = |number| {
            let settings = Round { number, of: 2 }.settings(&all);
            settings.budget.map_or(0.0, |budget| budget.share)
        };
        assert!((share(1) - 0.1_f64.sqrt()).abs() < 1e-12);
        assert_eq!(share(2), 0.1);
        assert_eq!(Round::ALONE.settings(&all), all);
    }

    #[test]
    fn small_models_train_longer_in_rounds() {
        let patience = |macs| Round::last(2).patience(macs);
        assert_eq!([0, 1_000_000, 4_000_000].map(patience), [2.0, 2.0, 1.0]);
        assert!((patience(1_600_000) - 1.25).abs() < 1e-12);
        assert_eq!(Round::ALONE.patience(0), 1.0);
    }
}
