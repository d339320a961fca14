//! Weights and constants of a unit from sums over its inputs and targets.

use std::sync::Arc;

use faer::{ColRef, Mat, RowRef, Scale};

use super::unit::{Evidence, Moments};
use crate::algebra::{Damped, add_product, energy, inner};

/// Ridges that are tried, in mean diagonals.
pub(super) const ALPHAS: [f64; 4] = [1e-3, 1e-2, 1e-1, 1.0];

/// Weights and constants of one matrix.
#[derive(Clone, Debug)]
pub(super) struct Solution {
    pub(super) weights: Mat<f64>,
    pub(super) constants: Vec<f64>,
}

/// The least squares problem of one matrix of a unit.
pub(super) struct Problem {
    /// The weights that plain slicing leaves.
    pub(super) sliced: Solution,
    /// Whether constants may be added to rows.
    pub(super) constants: bool,
}

fn mean(sums: &[f64], rows: f64) -> Vec<f64> {
    sums.iter().map(|sum| sum / rows).collect()
}

/// Takes `a b^T` from a matrix.
fn subtract_outer(from: &mut Mat<f64>, a: &[f64], b: &[f64]) {
    let (a, b) = (ColRef::from_slice(a), RowRef::from_slice(b));
    add_product(from.as_mut(), a.as_mat(), b.as_mat(), -1.0);
}

impl Problem {
    /// What is known of a batch's inputs, with a ridge of `alpha` mean diagonals, decomposed.
    pub(super) fn system(&self, sums: &Moments, batch: usize, alpha: f64) -> Damped {
        Damped::new(self.covariance(sums, batch), alpha)
    }

    /// The covariance of a batch's inputs, or second moments without constants.
    pub(super) fn covariance(&self, sums: &Moments, batch: usize) -> Mat<f64> {
        let rows = sums.rows.max(1.0);
        let mut gram = &sums.gram[batch] * Scale(1.0 / rows);
        if self.constants {
            let inputs = mean(&sums.inputs[batch], rows);
            subtract_outer(&mut gram, &inputs, &inputs);
        }
        gram
    }

    /// The same of targets with inputs.
    fn cross(&self, sums: &Moments, batch: usize) -> Mat<f64> {
        let rows = sums.rows.max(1.0);
        let mut cross = &sums.cross[batch] * Scale(1.0 / rows);
        if self.constants {
            let targets = mean(&sums.targets[batch], rows);
            subtract_outer(&mut cross, &targets, &mean(&sums.inputs[batch], rows));
        }
        cross
    }

    /// The constants that make up for the means with these weights.
    pub(super) fn with_constants(
        &self,
        weights: Mat<f64>,
        sums: &Moments,
        batch: usize,
    ) -> Solution {
        if !self.constants {
            return Solution {
                constants: self.sliced.constants.clone(),
                weights,
            };
        }
        let rows = sums.rows.max(1.0);
        let inputs = mean(&sums.inputs[batch], rows);
        let targets = mean(&sums.targets[batch], rows);
        let constants = (0..weights.nrows()).map(|i| {
            let made: f64 = (0..inputs.len()).map(|j| weights[(i, j)] * inputs[j]).sum();
            targets[i] - made
        });
        Solution {
            constants: constants.collect(),
            weights,
        }
    }

    /// Least squares with a ridge towards the sliced weights V, `(cov(t, x) + lambda V) (cov(x, x) + lambda I)^-1`,
    /// given the system of these inputs.
    pub(super) fn solve(&self, sums: &Moments, batch: usize, system: &Damped) -> Solution {
        let right = self.cross(sums, batch) + &self.sliced.weights * Scale(system.lambda);
        self.with_constants(system.solve(right.as_ref()), sums, batch)
    }

    /// Squared error of a solution.
    pub(super) fn error(&self, solution: &Solution, sums: &Moments, batch: usize) -> f64 {
        let Solution { weights, constants } = solution;
        let quadratic = energy(weights.as_ref(), sums.gram[batch].as_ref());
        let linear = inner(sums.cross[batch].as_ref(), weights.as_ref());
        let inputs = &sums.inputs[batch];
        let mut error = quadratic - 2.0 * linear;
        for (i, &constant) in constants.iter().enumerate() {
            let reached: f64 = (0..inputs.len()).map(|j| weights[(i, j)] * inputs[j]).sum();
            error += sums.energy[batch][i] - 2.0 * constant * sums.targets[batch][i]
                + 2.0 * constant * reached
                + constant * constant * sums.rows;
        }
        error.max(0.0)
    }
}

/// What a row varies by, summed: the error of the best constants.
pub(super) fn variation(sums: &Moments) -> f64 {
    let rows = sums.rows.max(1.0);
    let pairs = sums
        .energy
        .iter()
        .flatten()
        .zip(sums.targets.iter().flatten());
    pairs
        .map(|(energy, sum)| energy - sum * sum / rows)
        .sum::<f64>()
        .max(0.0)
}

/// The sums of both parts of the samples together.
pub(super) fn together(evidence: &Evidence) -> Moments {
    let Evidence { fit, held } = evidence;
    if held.rows == 0.0 && held.cross.is_empty() {
        return fit.clone();
    }
    let matrices = |a: &[Mat<f64>], b: &[Mat<f64>]| a.iter().zip(b).map(|(a, b)| a + b).collect();
    let vectors = |a: &[Vec<f64>], b: &[Vec<f64>]| {
        let pairs = a.iter().zip(b);
        let sum = |(a, b): (&Vec<f64>, &Vec<f64>)| a.iter().zip(b).map(|(a, b)| a + b).collect();
        pairs.map(sum).collect()
    };
    Moments {
        rows: fit.rows + held.rows,
        gram: Arc::new(matrices(&fit.gram, &held.gram)),
        inputs: vectors(&fit.inputs, &held.inputs),
        cross: matrices(&fit.cross, &held.cross),
        targets: vectors(&fit.targets, &held.targets),
        energy: vectors(&fit.energy, &held.energy),
    }
}

/// Moments of several runs, the earlier ones counting for less.
pub(super) fn blended(before: &Moments, now: &Moments, share: f64) -> Moments {
    let less = |matrices: &[Mat<f64>]| matrices.iter().map(|m| m * Scale(share)).collect();
    let fewer = |vectors: &[Vec<f64>]| {
        let scaled = vectors
            .iter()
            .map(|v| v.iter().map(|x| x * share).collect());
        scaled.collect()
    };
    let fit = Moments {
        rows: before.rows * share,
        gram: Arc::new(less(&before.gram)),
        inputs: fewer(&before.inputs),
        cross: less(&before.cross),
        targets: fewer(&before.targets),
        energy: fewer(&before.energy),
    };
    together(&Evidence {
        fit,
        held: now.clone(),
    })
}

/// The same inputs with other targets.
pub(super) fn aimed(sums: &Moments, moved: Moments) -> Moments {
    Moments {
        cross: moved.cross,
        targets: moved.targets,
        ..sums.clone()
    }
}
