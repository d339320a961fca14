//! Which of several ways to recover a unit is best on samples that were held out.

use faer::Mat;

use super::fold::folded;
use super::group::{Group, Member};
use super::solve::{ALPHAS, Problem, Solution, together, variation};
use super::unit::{Evidence, Moments};
use super::{Context, Method, Recovery};
use crate::algebra::Damped;
use crate::dimensions::Analysis;
use crate::error::Result;

/// An error below this share of what the target varies by is none: sums of 32-bit products tell no less.
const NEGLIGIBLE: f64 = 1e-6;

/// What was found best for a unit so far.
pub(super) struct Choice {
    /// The unit.
    pub(super) place: usize,
    /// By matrix.
    pub(super) problems: Vec<Problem>,
    pub(super) evidence: Evidence,
    pub(super) method: Method,
    /// The best ridge, in mean diagonals.
    pub(super) ridge: f64,
    /// By matrix the system with that ridge, where one was solved.
    systems: Vec<Damped>,
    pub(super) rounds: usize,
    /// By matrix, fitted to the samples that are not held out.
    pub(super) solutions: Vec<Solution>,
    /// What they were fitted to, if not to the first evidence.
    pub(super) aims: Option<Evidence>,
    /// Errors on the samples held out, as shares of what the target varies by.
    pub(super) before: f64,
    pub(super) after: f64,
}

/// The samples that solutions are judged on: with nothing held out all there is.
pub(super) fn judged(evidence: &Evidence) -> &Moments {
    match evidence.held.rows > 0.0 {
        true => &evidence.held,
        false => &evidence.fit,
    }
}

/// The error of a unit's solutions as a share of what the target varies by.
pub(super) fn error(problems: &[Problem], solutions: &[Solution], sums: &Moments) -> f64 {
    let pairs = problems.iter().zip(solutions).enumerate();
    let errors = pairs.map(|(batch, (problem, solution))| problem.error(solution, sums, batch));
    errors.sum::<f64>() / variation(sums).max(f64::MIN_POSITIVE)
}

/// Solutions for one ridge.
pub(super) struct Fit {
    pub(super) error: f64,
    pub(super) ridge: f64,
    /// By matrix.
    pub(super) solutions: Vec<Solution>,
    systems: Vec<Damped>,
}

impl Fit {
    fn of(problems: &[Problem], evidence: &Evidence, ridge: f64) -> Fit {
        let fit = &evidence.fit;
        let each = problems.iter().enumerate();
        let pairs = each.map(|(batch, problem)| {
            let system = problem.system(fit, batch, ridge);
            (problem.solve(fit, batch, &system), system)
        });
        let (solutions, systems): (Vec<Solution>, Vec<Damped>) = pairs.unzip();
        Fit {
            error: error(problems, &solutions, judged(evidence)),
            ridge,
            solutions,
            systems,
        }
    }

    /// Solutions for other targets of the same inputs with the same ridge.
    pub(super) fn solved_for(&self, problems: &[Problem], evidence: &Evidence) -> Vec<Solution> {
        solved_by(&self.systems, problems, evidence)
    }
}

/// Solutions for other targets of the same inputs, from the samples that are not held out.
fn solved_by(systems: &[Damped], problems: &[Problem], evidence: &Evidence) -> Vec<Solution> {
    let each = problems.iter().zip(systems).enumerate();
    each.map(|(batch, (problem, system))| problem.solve(&evidence.fit, batch, system))
        .collect()
}

/// Solutions for the ridge with the least error. The error has one minimum: ridges are followed from the second
/// towards it.
pub(super) fn solved(problems: &[Problem], evidence: &Evidence) -> Fit {
    let mut best = Fit::of(problems, evidence, ALPHAS[1]);
    let better = |ridge: f64, best: &mut Fit| {
        let other = Fit::of(problems, evidence, ridge);
        let better = other.error.total_cmp(&best.error).is_lt();
        if better {
            *best = other;
        }
        better
    };
    if !better(ALPHAS[2], &mut best) {
        better(ALPHAS[0], &mut best);
    } else {
        better(ALPHAS[3], &mut best);
    }
    best
}

/// The best of slicing, constants alone, the fold and least squares, as far as recovery goes.
pub(super) fn choose(
    analysis: &Analysis,
    context: &Context,
    group: &Group,
    place: usize,
    evidence: Evidence,
) -> Result<Choice> {
    let problems = problems(group);
    let sliced: Vec<Solution> = problems.iter().map(|p| p.sliced.clone()).collect();
    let before = error(&problems, &sliced, judged(&evidence));
    let mut chosen = Choice {
        place,
        evidence,
        method: Method::None,
        ridge: ALPHAS[1],
        systems: Vec::new(),
        rounds: 0,
        solutions: sliced.clone(),
        aims: None,
        before,
        after: before,
        problems,
    };
    if before <= NEGLIGIBLE {
        return Ok(chosen);
    }
    let weights = sliced.into_iter().map(|solution| solution.weights);
    chosen.consider(Method::Bias, weights.collect());
    if context.recovery == Recovery::Solve {
        let fit = solved(&chosen.problems, &chosen.evidence);
        chosen.ridge = fit.ridge;
        chosen.systems = fit.systems;
        if fit.error < chosen.after {
            chosen.method = Method::Solve;
            chosen.after = fit.error;
            chosen.solutions = fit.solutions;
            return Ok(chosen);
        }
    }
    // The fold's statistics include the samples held out, so it is no match for a solution.
    let measured = |member: &Member| context.stats.has(member.dense);
    if context.recovery >= Recovery::Fold && group.members.iter().all(measured) {
        let batches = 0..chosen.problems.len();
        let whole = whole(analysis, group)?;
        let folds: Result<Vec<Mat<f64>>> = batches
            .map(|batch| folded_unit(context, group, &whole, batch))
            .collect();
        chosen.consider(Method::Fold, folds?);
    }
    Ok(chosen)
}

/// The fold with the constants that the dense model's means ask for.
pub(super) fn folded_solutions(
    analysis: &Analysis,
    context: &Context,
    group: &Group,
    unit: &Choice,
) -> Result<Vec<Solution>> {
    let mut out = Vec::new();
    let dense = whole(analysis, group)?;
    for (batch, problem) in unit.problems.iter().enumerate() {
        let weights = folded_unit(context, group, &dense, batch)?;
        let mut constants = problem.sliced.constants.clone();
        let mut from = 0;
        let members = group.members.iter().zip(&dense);
        for (member, dense) in members.filter(|_| problem.constants) {
            let of = &member.places[batch];
            let mean = &context.stats.layer(member.dense)?.mean[of.batch];
            let whole = &dense[of.batch];
            for (row, &at) in of.rows.iter().enumerate() {
                let dense: f64 = mean
                    .iter()
                    .enumerate()
                    .map(|(j, m)| whole[(at, j)] * m)
                    .sum();
                let columns = of.columns.iter().enumerate();
                let kept: f64 = columns
                    .map(|(j, &c)| weights[(row, from + j)] * mean[c])
                    .sum();
                constants[row] += dense * member.scale[batch][row] - kept;
            }
            from += of.columns.len();
        }
        out.push(Solution { weights, constants });
    }
    Ok(out)
}

/// By matrix, with slicing as it stands before the target.
pub(super) fn problems(group: &Group) -> Vec<Problem> {
    let problem = |batch: usize| {
        let weights: Vec<Mat<f64>> = group
            .members
            .iter()
            .map(|member| scaled(&member.weights[batch], &member.scale[batch]))
            .collect();
        let rows = group.members[0].shift[batch].len();
        let constants = (0..rows).map(|row| {
            let shifts = group.members.iter().map(|member| member.shift[batch][row]);
            shifts.sum()
        });
        Problem {
            sliced: Solution {
                weights: beside(&weights),
                constants: constants.collect(),
            },
            constants: group.members.iter().any(|member| member.constants),
        }
    };
    (0..group.members[0].places.len()).map(problem).collect()
}

/// By member the dense weights.
fn whole(analysis: &Analysis, group: &Group) -> Result<Vec<Vec<Mat<f64>>>> {
    let members = group.members.iter();
    members
        .map(|member| member.dense.matrices(analysis.graph()))
        .collect()
}

/// The fold of what the dense model's columns have in common; `dense` are its weights by member.
fn folded_unit(
    context: &Context,
    group: &Group,
    dense: &[Vec<Mat<f64>>],
    batch: usize,
) -> Result<Mat<f64>> {
    let mut parts = Vec::new();
    for (member, dense) in group.members.iter().zip(dense) {
        let of = &member.places[batch];
        let covariance = context.stats.covariance(member.dense, of.batch)?;
        let from = &dense[of.batch];
        let whole = Mat::from_fn(of.rows.len(), from.ncols(), |i, j| from[(of.rows[i], j)]);
        let folded = folded(&whole, &covariance, &of.columns);
        parts.push(scaled(&folded, &member.scale[batch]));
    }
    Ok(beside(&parts))
}

impl Choice {
    /// Takes weights with the best constants if they are better than what there is.
    fn consider(&mut self, method: Method, weights: Vec<Mat<f64>>) {
        let each = self.problems.iter().zip(weights).enumerate();
        let solutions: Vec<Solution> = each
            .map(|(batch, (problem, weights))| {
                problem.with_constants(weights, &self.evidence.fit, batch)
            })
            .collect();
        let error = error(&self.problems, &solutions, judged(&self.evidence));
        if error < self.after {
            self.method = method;
            self.after = error;
            self.solutions = solutions;
        }
    }

    /// The solutions once more, from all samples.
    pub(super) fn refitted(&self) -> Vec<Solution> {
        let sums = together(self.aims.as_ref().unwrap_or(&self.evidence));
        let each = self.problems.iter().zip(&self.solutions).enumerate();
        let refit = each.map(|(batch, (problem, solution))| match self.method {
            Method::None => solution.clone(),
            Method::Bias | Method::Fold => {
                problem.with_constants(solution.weights.clone(), &sums, batch)
            }
            Method::Solve => {
                let system = problem.system(&sums, batch, self.ridge);
                problem.solve(&sums, batch, &system)
            }
        });
        refit.collect()
    }

    /// Solutions for other targets of the same inputs with the same ridge, from the samples that are not held out.
    pub(super) fn solved_for(&mut self, evidence: &Evidence) -> Vec<Solution> {
        let Choice {
            problems,
            systems,
            ridge,
            ..
        } = self;
        if systems.is_empty() {
            let each = problems.iter().enumerate();
            let system = each.map(|(batch, problem)| problem.system(&evidence.fit, batch, *ridge));
            *systems = system.collect();
        }
        solved_by(systems, problems, evidence)
    }

    /// The constants that slicing leaves, by matrix.
    pub(super) fn sliced_constants(&self) -> Vec<Vec<f64>> {
        let all = self.problems.iter();
        all.map(|problem| problem.sliced.constants.clone())
            .collect()
    }
}

/// Rows times their scales.
fn scaled(weights: &Mat<f64>, scale: &[f64]) -> Mat<f64> {
    Mat::from_fn(weights.nrows(), weights.ncols(), |i, j| {
        weights[(i, j)] * scale[i]
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
