//! Solving the units of one front after the other, and keeping what they became.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use faer::Mat;
use serde::Serialize;

use super::fold::{FOLD, folded};
use super::solve::{ALPHAS, Problem, Solution, aimed, together, variation};
use super::units::{Member, Plan};
use super::{Means, Recovered, Recovery, flushed};
use crate::calibrate::{Evidence, Outcome, Sums, Trial, Unit};
use crate::dead::Constant;
use crate::dimensions::Analysis;
use crate::error::Result;
use crate::onnx::{ElementType, to_f32};
use crate::rewrite::Edit;

/// How often layers before an activation are solved again.
const ROUNDS: usize = 5;
/// An error below this share of what the target varies by is none.
const NEGLIGIBLE: f64 = 1e-9;

/// By layer its bias in the pruned model: the initializer, its numbers and element type.
pub(super) type Sites = HashMap<String, (String, Vec<f32>, i32)>;

/// What a layer got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
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
    /// Times that it was solved again for what the activation behind it lets pass.
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
pub(super) struct Front<'a> {
    analysis: &'a Analysis,
    means: &'a Means<'a>,
    plans: &'a [Plan<'a>],
    units: &'a [Unit<'a>],
    sites: Sites,
    edits: BTreeMap<crate::graph::ValueId, Vec<f32>>,
    constants: Vec<Constant>,
    layers: Vec<RecoveredLayer>,
}

/// What was found best for a unit so far.
struct Chosen {
    place: usize,
    problems: Vec<Problem>,
    evidence: Evidence,
    method: Method,
    ridge: f64,
    rounds: usize,
    /// By matrix, fitted to the samples that are not held out.
    solutions: Vec<Solution>,
    /// The sums that it is fitted to.
    aims: Option<Evidence>,
    before: f64,
    after: f64,
}

impl<'a> Front<'a> {
    pub(super) fn new(
        analysis: &'a Analysis,
        means: &'a Means<'a>,
        plans: &'a [Plan<'a>],
        units: &'a [Unit<'a>],
        sites: Sites,
    ) -> Front<'a> {
        Front {
            analysis,
            means,
            plans,
            units,
            sites,
            edits: BTreeMap::new(),
            constants: Vec::new(),
            layers: Vec::new(),
        }
    }

    /// Solves the units of a front; returns new bytes of initializers of the pruned model.
    pub(super) fn solve(
        &mut self,
        evidence: Vec<(usize, Evidence)>,
        attempt: &mut dyn FnMut(&[Trial]) -> Result<Vec<Outcome>>,
    ) -> Result<Vec<(String, Bytes)>> {
        let mut chosen = Vec::new();
        for (place, evidence) in evidence {
            chosen.push(self.choose(place, evidence)?);
        }
        self.follow_activations(&mut chosen, attempt)?;
        let mut changes = Vec::new();
        for unit in chosen {
            let solutions = unit.refitted();
            self.store(&unit, &solutions, &mut changes)?;
            self.report(&unit);
        }
        Ok(changes)
    }

    /// The candidate with the least error on the samples held out.
    fn choose(&self, place: usize, evidence: Evidence) -> Result<Chosen> {
        let plan = &self.plans[place];
        let batches = plan.members[0].places.len();
        let problems: Vec<Problem> = (0..batches)
            .map(|batch| self.problem(plan, batch))
            .collect();
        // With nothing held out the fit is all there is to judge by.
        let judged = match evidence.held.rows > 0.0 {
            true => &evidence.held,
            false => &evidence.fit,
        };
        let scale = variation(judged).max(f64::MIN_POSITIVE);
        let error = |solutions: &[Solution]| -> f64 {
            let pairs = problems.iter().zip(solutions).enumerate();
            let errors =
                pairs.map(|(batch, (problem, solution))| problem.error(solution, judged, batch));
            errors.sum::<f64>() / scale
        };
        let sliced: Vec<Solution> = problems.iter().map(|p| p.sliced.clone()).collect();
        let before = error(&sliced);
        let mut best = (before, Method::None, 0.0, sliced.clone());
        let mut consider = |method: Method, ridge: f64, solutions: Vec<Solution>| {
            let error = error(&solutions);
            if error < best.0 {
                best = (error, method, ridge, solutions);
            }
        };
        if before > NEGLIGIBLE {
            let with_constants = |weights: Vec<Mat<f64>>| -> Vec<Solution> {
                let all = problems.iter().zip(weights).enumerate();
                let all = all.map(|(batch, (problem, weights))| {
                    problem.with_constants(weights, &evidence.fit, batch)
                });
                all.collect()
            };
            let weights = |solutions: &[Solution]| -> Vec<Mat<f64>> {
                solutions.iter().map(|s| s.weights.clone()).collect()
            };
            consider(Method::Bias, 0.0, with_constants(weights(&sliced)));
            if self.means.recovery >= Recovery::Fold {
                let folded: Result<Vec<Mat<f64>>> =
                    (0..batches).map(|batch| self.folded(plan, batch)).collect();
                consider(Method::Fold, FOLD, with_constants(folded?));
            }
            if self.means.recovery == Recovery::Solve {
                let mut by_ridge: Vec<Vec<Solution>> = ALPHAS.iter().map(|_| Vec::new()).collect();
                for (batch, problem) in problems.iter().enumerate() {
                    let solved = problem.solve(&evidence.fit, batch, &ALPHAS);
                    for (list, solution) in by_ridge.iter_mut().zip(solved) {
                        list.push(solution);
                    }
                }
                for (ridge, solutions) in ALPHAS.into_iter().zip(by_ridge) {
                    consider(Method::Solve, ridge, solutions);
                }
            }
        }
        let (after, method, ridge, solutions) = best;
        Ok(Chosen {
            place,
            problems,
            evidence,
            method,
            ridge,
            rounds: 0,
            solutions,
            aims: None,
            before,
            after,
        })
    }

    /// Slicing, as it stands before the target.
    fn problem(&self, plan: &Plan, batch: usize) -> Problem {
        let members = plan.members.iter();
        let weights: Vec<Mat<f64>> = members.map(|member| scaled(member, batch)).collect();
        let rows = plan.members[0].shift[batch].len();
        let constants = (0..rows).map(|row| {
            let shifts = plan.members.iter().map(|member| member.shift[batch][row]);
            shifts.sum()
        });
        Problem {
            sliced: Solution {
                weights: beside(&weights),
                constants: constants.collect(),
            },
            constants: plan.members.iter().any(|member| member.constants),
        }
    }

    /// The fold of what the dense model's columns have in common (ALGORITHMS F4).
    fn folded(&self, plan: &Plan, batch: usize) -> Result<Mat<f64>> {
        let mut parts = Vec::new();
        for member in &plan.members {
            let of = &member.places[batch];
            let covariance = self.means.stats.covariance(member.dense, of.batch)?;
            let weights = member.dense.matrices(self.analysis.graph())?;
            let from = &weights[of.batch];
            let whole = Mat::from_fn(of.rows.len(), from.ncols(), |i, j| from[(of.rows[i], j)]);
            let mut folded = folded(&whole, &covariance, &of.columns);
            for (row, &scale) in member.scale[batch].iter().enumerate() {
                folded
                    .row_mut(row)
                    .iter_mut()
                    .for_each(|weight| *weight *= scale);
            }
            parts.push(folded);
        }
        Ok(beside(&parts))
    }

    /// Solves units before an activation again, for targets that the activation lets move.
    fn follow_activations(
        &self,
        chosen: &mut [Chosen],
        attempt: &mut dyn FnMut(&[Trial]) -> Result<Vec<Outcome>>,
    ) -> Result<()> {
        let eligible =
            |unit: &Chosen| self.units[unit.place].clamp.is_some() && unit.method == Method::Solve;
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
            let trials: Vec<Trial> = places
                .iter()
                .zip(&current)
                .map(|(&n, solutions)| Trial {
                    unit: chosen[n].place,
                    weights: solutions.iter().map(|s| s.weights.clone()).collect(),
                    constants: solutions.iter().map(|s| s.constants.clone()).collect(),
                })
                .collect();
            let outcomes = attempt(&trials)?;
            for (index, outcome) in outcomes.into_iter().enumerate() {
                let unit = &mut chosen[places[index]];
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
                let ridge = [unit.ridge];
                current[index] = (0..unit.problems.len())
                    .flat_map(|batch| unit.problems[batch].solve(&aimed_at.fit, batch, &ridge))
                    .collect();
                aims[index] = Some(aimed_at);
            }
        }
        Ok(())
    }

    /// Puts solutions into the weights and biases of both models.
    fn store(
        &mut self,
        unit: &Chosen,
        solutions: &[Solution],
        changes: &mut Vec<(String, Bytes)>,
    ) -> Result<()> {
        if unit.method == Method::None {
            return Ok(());
        }
        let plan = &self.plans[unit.place];
        let mut from = 0;
        let last = plan.members.iter().rposition(|member| member.constants);
        for (place, member) in plan.members.iter().enumerate() {
            let width = member.pruned.columns();
            if unit.method != Method::Bias {
                self.store_weights(member, solutions, from, changes)?;
            }
            from += width;
            if Some(place) == last {
                self.store_constants(member, unit, solutions, changes);
            }
        }
        Ok(())
    }

    fn store_weights(
        &mut self,
        member: &Member,
        solutions: &[Solution],
        from: usize,
        changes: &mut Vec<(String, Bytes)>,
    ) -> Result<()> {
        let graph = self.analysis.graph();
        let Some(tensor) = graph.constant(member.dense.value) else {
            return Ok(());
        };
        let element = ElementType::of(tensor.data_type()).unwrap_or(ElementType::Float);
        let mut matrix: Vec<f32> = Vec::with_capacity(member.pruned.len());
        for (batch, solution) in solutions.iter().enumerate() {
            for (row, &scale) in member.scale[batch].iter().enumerate() {
                for column in 0..member.pruned.columns() {
                    let old = member.weights[batch][(row, column)];
                    let new = solution.weights[(row, from + column)] / scale;
                    // A row that is scaled to nothing has no weights that would matter.
                    let usable = new.is_finite() && (new as f32).is_finite();
                    matrix.push(if usable { new } else { old } as f32);
                }
            }
        }
        let elements = member.pruned.scatter(&matrix);
        let whole = match self.edits.entry(member.dense.value) {
            std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::btree_map::Entry::Vacant(free) => free.insert(to_f32(tensor)?),
        };
        for (&at, &number) in member.elements.iter().zip(&elements) {
            whole[at as usize] = number;
        }
        changes.push((member.pruned.name.clone(), flushed(elements, element)));
        Ok(())
    }

    fn store_constants(
        &mut self,
        member: &Member,
        unit: &Chosen,
        solutions: &[Solution],
        changes: &mut Vec<(String, Bytes)>,
    ) {
        let sites = self.sites.get_mut(&member.dense.name);
        let (Some((name, bias, element)), Some(linear)) = (sites, member.dense.uses.first()) else {
            return;
        };
        let size = member.dense.rows() * member.dense.batches();
        let mut added = vec![0.0; size];
        let rows = member.pruned.rows();
        for (batch, solution) in solutions.iter().enumerate() {
            let before = &unit.problems[batch].sliced.constants;
            let of = &member.places[batch];
            for (row, constant) in solution.constants.iter().enumerate() {
                let change = (constant - before[row]) / member.bias_scale[batch][row];
                if change.is_finite() {
                    added[of.batch * member.dense.rows() + of.rows[row]] = change as f32;
                    bias[batch * rows + row] += change as f32;
                }
            }
        }
        let element = ElementType::of(*element).unwrap_or(ElementType::Float);
        changes.push((
            format!("{}.{name}", crate::rewrite::PRUNED),
            flushed(bias.clone(), element),
        ));
        self.constants.push(Constant {
            linear: linear.clone(),
            added,
        });
    }

    fn report(&mut self, unit: &Chosen) {
        let members = &self.plans[unit.place].members;
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
                after: unit.after,
                rows: rows as u64,
                columns: members.iter().map(|member| member.pruned.columns()).sum(),
                left: None,
            });
        }
    }

    /// The edits of the dense model.
    pub(super) fn finish(self) -> Result<Recovered> {
        let element = |value| {
            let tensor = self.analysis.graph().constant(value);
            tensor
                .and_then(|tensor| ElementType::of(tensor.data_type()))
                .unwrap_or(ElementType::Float)
        };
        let edits = self
            .edits
            .into_iter()
            .map(|(value, numbers)| (value, Edit::Bytes(flushed(numbers, element(value)))));
        Ok(Recovered {
            edits: edits.collect(),
            constants: self.constants,
            layers: self.layers,
        })
    }
}

impl Chosen {
    /// The solutions once more, from all samples.
    fn refitted(&self) -> Vec<Solution> {
        let evidence = self.aims.as_ref().unwrap_or(&self.evidence);
        let sums: Sums = together(evidence);
        let each = self.problems.iter().zip(&self.solutions).enumerate();
        let refit = each.map(|(batch, (problem, solution))| match self.method {
            Method::None => solution.clone(),
            Method::Bias | Method::Fold => {
                problem.with_constants(solution.weights.clone(), &sums, batch)
            }
            Method::Solve => {
                let mut solved = problem.solve(&sums, batch, &[self.ridge]);
                solved.pop().unwrap_or_else(|| solution.clone())
            }
        });
        refit.collect()
    }
}

/// A member's sliced weights as they stand before the target.
fn scaled(member: &Member, batch: usize) -> Mat<f64> {
    let weights = &member.weights[batch];
    Mat::from_fn(weights.nrows(), weights.ncols(), |i, j| {
        weights[(i, j)] * member.scale[batch][i]
    })
}

/// Matrices of equally many rows side by side.
fn beside(parts: &[Mat<f64>]) -> Mat<f64> {
    let rows = parts.first().map_or(0, Mat::nrows);
    let mut out = Mat::zeros(rows, parts.iter().map(Mat::ncols).sum());
    let mut from = 0;
    for part in parts {
        out.subcols_mut(from, part.ncols()).copy_from(part);
        from += part.ncols();
    }
    out
}
