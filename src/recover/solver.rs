//! Solving the units of one front after the other.

use bytes::Bytes;
use serde::Serialize;

use super::aims::{ROUNDS, WORTHWHILE, trial};
use super::choice::{Choice, choose, error, folded_solutions, judged, solved};
use super::front::Front;
use super::group::Group;
use super::ledger::Ledger;
use super::solve::{Solution, aimed, blended};
use super::unit::{Evidence, Trial, Unit};
use super::{Context, Recovered, Recovery};
use crate::dimensions::Analysis;
use crate::error::Result;
use crate::ops::Operand;

/// How often layers that read what they make themselves are solved again.
const SIMULATIONS: usize = 5;
/// What earlier runs count for when the next solution is sought: on the last run alone solutions swing.
const REMEMBERED: f64 = 0.8;

/// What a layer got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Method {
    /// Nothing: slicing is best, or recovery cannot treat it.
    None,
    /// Constants in its bias.
    Bias,
    /// Removed channels folded into those kept.
    Fold,
    /// Least squares.
    Solve,
}

/// What became of a layer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RecoveredLayer {
    /// The layer's initializer.
    pub layer: String,
    /// Layers that were solved together with it.
    pub with: Vec<String>,
    /// What it got.
    pub method: Method,
    /// Ridge in mean diagonals, where it was solved.
    pub ridge: Option<f64>,
    /// Times that it was solved again: for what the activation behind it lets pass, or on what it makes.
    pub rounds: usize,
    /// Error of plain slicing on the samples held out, as a share of what the target varies by.
    pub before: f64,
    /// Error of what it got.
    pub after: f64,
    /// Rows that it was solved on.
    pub rows: u64,
    /// Inputs that it sums over.
    pub columns: usize,
    /// Why it was left alone.
    pub left: Option<String>,
}

impl RecoveredLayer {
    pub(super) fn left(layer: String, reason: &str) -> RecoveredLayer {
        RecoveredLayer {
            layer,
            with: Vec::new(),
            method: Method::None,
            ridge: None,
            rounds: 0,
            before: 0.0,
            after: 0.0,
            rows: 0,
            columns: 0,
            left: Some(reason.to_owned()),
        }
    }
}

/// The state of a recovery.
pub(super) struct Solver<'a> {
    analysis: &'a Analysis,
    context: &'a Context<'a>,
    groups: &'a [Group<'a>],
    units: &'a [Unit<'a>],
    ledger: Ledger<'a>,
    layers: Vec<RecoveredLayer>,
}

impl<'a> Solver<'a> {
    pub(super) fn new(
        analysis: &'a Analysis,
        context: &'a Context<'a>,
        groups: &'a [Group<'a>],
        units: &'a [Unit<'a>],
        ledger: Ledger<'a>,
    ) -> Solver<'a> {
        Solver {
            analysis,
            context,
            groups,
            units,
            ledger,
            layers: Vec::new(),
        }
    }

    /// Solves the units of a front; returns new bytes of initializers of the pruned model.
    pub(super) fn solve(
        &mut self,
        evidence: Vec<(usize, Evidence)>,
        front: &mut Front,
    ) -> Result<Vec<(String, Bytes)>> {
        let mut chosen = Vec::new();
        for (place, evidence) in evidence {
            let group = &self.groups[place];
            chosen.push(choose(self.analysis, self.context, group, place, evidence)?);
        }
        self.follow_activations(&mut chosen, front)?;
        // What such a layer reads depends on all other weights of its node.
        chosen.sort_by_key(|unit| self.reads_itself(unit.place));
        let mut changes = Vec::new();
        for mut unit in chosen {
            if self.reads_itself(unit.place) && unit.method != Method::None {
                self.simulate(&mut unit, &changes, front)?;
            }
            if unit.method != Method::None {
                let solutions = unit.refitted();
                let entry = self.entry(&unit, unit.method, &solutions);
                changes.extend(self.ledger.enter(entry)?);
            }
            self.report(&unit);
        }
        Ok(changes)
    }

    fn entry(
        &self,
        unit: &Choice,
        method: Method,
        solutions: &[Solution],
    ) -> super::ledger::Change {
        let group = &self.groups[unit.place];
        let with_weights = method != Method::Bias;
        self.ledger
            .entry(group, &unit.sliced_constants(), solutions, with_weights)
    }

    /// True if the data of a unit is what its own node makes.
    fn reads_itself(&self, place: usize) -> bool {
        let members = &self.groups[place].members;
        let mut uses = members.iter().flat_map(|member| &member.dense.uses);
        uses.any(|linear| matches!(linear.data, Some(Operand::Output(_))))
    }

    /// Solves units before an activation again, for targets that the activation lets move.
    fn follow_activations(&self, chosen: &mut [Choice], front: &mut Front) -> Result<()> {
        let eligible = |unit: &Choice| {
            let solved = matches!(unit.method, Method::Fold | Method::Solve);
            self.units[unit.place].clamp.is_some() && solved
        };
        let places: Vec<usize> = (0..chosen.len())
            .filter(|&n| eligible(&chosen[n]))
            .collect();
        if places.is_empty() || chosen[places[0]].evidence.held.rows == 0.0 {
            return Ok(());
        }
        let mut current: Vec<Vec<Solution>> = places
            .iter()
            .map(|&n| chosen[n].solutions.clone())
            .collect();
        let mut aims: Vec<Option<Evidence>> = vec![None; places.len()];
        let mut best: Vec<f64> = vec![f64::INFINITY; places.len()];
        for round in 0..=ROUNDS {
            let trials = places.iter().zip(&current);
            let trials: Vec<Trial> = trials
                .map(|(&n, solutions)| trial(chosen[n].place, solutions))
                .collect();
            let mut better = false;
            for (index, outcome) in front.attempt(&trials)?.into_iter().enumerate() {
                let unit = &mut chosen[places[index]];
                better |= outcome.error < (1.0 - WORTHWHILE) * best[index];
                if outcome.error < best[index] {
                    best[index] = outcome.error;
                    unit.rounds = round;
                    unit.solutions.clone_from(&current[index]);
                    unit.aims = aims[index].take();
                }
                let aimed_at = Evidence {
                    fit: aimed(&unit.evidence.fit, outcome.moved.fit),
                    held: aimed(&unit.evidence.held, outcome.moved.held),
                };
                current[index] = unit.solved_for(&aimed_at);
                aims[index] = Some(aimed_at);
            }
            if !better {
                break;
            }
        }
        for &n in &places {
            if chosen[n].rounds > 0 {
                chosen[n].method = Method::Solve;
            }
        }
        Ok(())
    }

    /// Solves a unit that reads what its own node makes: every solution changes what it reads, so each is run
    /// before it is believed, and the next is solved on what it gave.
    fn simulate(
        &self,
        unit: &mut Choice,
        changes: &[(String, Bytes)],
        front: &mut Front,
    ) -> Result<()> {
        let group = &self.groups[unit.place];
        let (mut solutions, mut method) = match self.context.recovery {
            Recovery::Fold | Recovery::Solve => {
                let folded = folded_solutions(self.analysis, self.context, group, unit)?;
                (folded, Method::Fold)
            }
            _ => (unit.solutions.clone(), unit.method),
        };
        let (mut aims, mut ridge) = (None, unit.ridge);
        let mut known: Option<Evidence> = None;
        let mut best = unit.before;
        unit.method = Method::None;
        for round in 0..=SIMULATIONS {
            let mut tried = changes.to_vec();
            tried.extend(self.entry(unit, method, &solutions).changes);
            let mut evidence = front.again(&[unit.place], tried)?;
            let Some((_, evidence)) = evidence.pop() else {
                break;
            };
            let reached = error(&unit.problems, &solutions, judged(&evidence));
            if reached < best {
                best = reached;
                unit.method = method;
                unit.rounds = round;
                unit.after = reached;
                unit.ridge = ridge;
                unit.solutions.clone_from(&solutions);
                // What was not solved on a run takes its constants from the last one.
                unit.aims = aims.take().or_else(|| Some(evidence.clone()));
            }
            if self.context.recovery < Recovery::Solve {
                break;
            }
            let all = match &known {
                None => evidence,
                Some(known) => Evidence {
                    fit: blended(&known.fit, &evidence.fit, REMEMBERED),
                    held: blended(&known.held, &evidence.held, REMEMBERED),
                },
            };
            let fit = solved(&unit.problems, &all);
            (ridge, solutions) = (fit.ridge, fit.solutions);
            method = Method::Solve;
            aims = Some(all.clone());
            known = Some(all);
        }
        Ok(())
    }

    fn report(&mut self, unit: &Choice) {
        let members = &self.groups[unit.place].members;
        for member in members {
            let others = members
                .iter()
                .filter(|other| other.dense.name != member.dense.name);
            let rows = unit.evidence.fit.rows + unit.evidence.held.rows;
            self.layers.push(RecoveredLayer {
                layer: member.dense.name.clone(),
                with: others.map(|other| other.dense.name.clone()).collect(),
                method: unit.method,
                ridge: (unit.method == Method::Solve).then_some(unit.ridge),
                rounds: unit.rounds,
                before: unit.before,
                after: match unit.method {
                    Method::None => unit.before,
                    _ => unit.after,
                },
                rows: rows as u64,
                columns: members.iter().map(|member| member.pruned.columns()).sum(),
                left: None,
            });
        }
    }

    /// What the dense model has to become.
    pub(super) fn finish(self) -> Recovered {
        self.ledger.finish(self.layers)
    }
}
