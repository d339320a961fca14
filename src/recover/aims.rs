//! Targets before an activation that cuts off: where it makes the same of them, they may move to what the layer makes.

use super::choice::{Fit, solved};
use super::front::Front;
use super::solve::{Problem, Solution, aimed};
use super::unit::{Evidence, Trial};
use crate::error::Result;

/// How often layers before an activation are solved again.
pub(super) const ROUNDS: usize = 5;
/// A gain below this share of the error is worth no further round.
pub(super) const WORTHWHILE: f64 = 0.01;

/// A unit before an activation, whose targets move.
pub(super) struct Aim {
    place: usize,
    problems: Vec<Problem>,
    evidence: Evidence,
    /// The first solution, whose ridge the others have.
    first: Option<Fit>,
    /// By matrix what is tried next.
    current: Vec<Solution>,
    /// The least error behind the activation so far, and the targets as what had it lets them move.
    best: (f64, Evidence),
}

impl Aim {
    /// Starts from what slicing left.
    pub(super) fn new(place: usize, problems: Vec<Problem>, evidence: Evidence) -> Aim {
        Aim {
            place,
            current: problems.iter().map(|of| of.sliced.clone()).collect(),
            problems,
            first: None,
            best: (f64::INFINITY, evidence.clone()),
            evidence,
        }
    }
}

/// By unit its evidence with the targets that solutions without codes come nearest to behind the activation.
///
/// # Errors
/// Rows that cannot be read again.
pub(super) fn moved(mut aims: Vec<Aim>, front: &mut Front) -> Result<Vec<(usize, Evidence)>> {
    for _ in 0..=ROUNDS {
        let trials: Vec<Trial> = aims
            .iter()
            .map(|aim| trial(aim.place, &aim.current))
            .collect();
        let mut better = false;
        for (aim, outcome) in aims.iter_mut().zip(front.attempt(&trials)?) {
            let now = Evidence {
                fit: aimed(&aim.evidence.fit, outcome.moved.fit),
                held: aimed(&aim.evidence.held, outcome.moved.held),
            };
            better |= outcome.error < (1.0 - WORTHWHILE) * aim.best.0;
            let first = aim.first.get_or_insert_with(|| solved(&aim.problems, &now));
            aim.current = first.solved_for(&aim.problems, &now);
            if outcome.error < aim.best.0 {
                aim.best = (outcome.error, now);
            }
        }
        if !better {
            break;
        }
    }
    Ok(aims
        .into_iter()
        .map(|aim| (aim.place, aim.best.1))
        .collect())
}

/// What solutions of a unit are tried as.
pub(super) fn trial(unit: usize, solutions: &[Solution]) -> Trial {
    Trial {
        unit,
        weights: solutions.iter().map(|s| s.weights.clone()).collect(),
        constants: solutions.iter().map(|s| s.constants.clone()).collect(),
    }
}
