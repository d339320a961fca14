//! Linear maps of numbers of which ever fewer are known.

use faer::linalg::triangular_solve::solve_upper_triangular_in_place;
use faer::{Mat, MatRef, Par};
use rayon::prelude::*;

use super::Damped;
use super::panels::{panel_width, product};

/// A linear map of the numbers that are left, the last of which go: what it makes of those that stay comes as near to
/// what it made of all as their covariance allows.
///
/// With the factor L of the damped covariance, `W_G L_GK L_KK^-1` is what the weights of numbers G that go add to those of
/// the numbers K before them; the factor of fewer numbers is the upper left of L.
pub(crate) struct Shrinking {
    damped: Damped,
    weights: Mat<f64>,
    left: usize,
}

impl Shrinking {
    /// A map with rows `weights`, for numbers with this covariance, damped by `alpha` mean diagonals.
    pub(crate) fn new(weights: Mat<f64>, covariance: Mat<f64>, alpha: f64) -> Shrinking {
        Shrinking {
            damped: Damped::new(covariance, alpha),
            left: weights.ncols(),
            weights,
        }
    }

    /// What it takes in memory.
    pub(crate) fn bytes(&self) -> usize {
        let size = self.weights.ncols();
        size_of::<f64>() * size * (size + self.weights.nrows())
    }

    /// The weights when only so many numbers stay.
    pub(crate) fn to(&mut self, stay: usize) -> MatRef<'_, f64> {
        let gone = self.left.saturating_sub(stay);
        if let (Some(lower), true) = (self.damped.lower(), gone > 0) {
            let weights = self.weights.subcols(stay, gone);
            let from = lower.submatrix(stay, 0, gone, stay);
            let mut moved = product(from.transpose(), weights.transpose());
            let upper = lower.submatrix(0, 0, stay, stay).transpose();
            let width = panel_width(moved.ncols(), stay * stay * moved.ncols());
            let panels = moved.par_col_chunks_mut(width);
            panels.for_each(|panel| solve_upper_triangular_in_place(upper, panel, Par::Seq));
            let mut kept = self.weights.subcols_mut(0, stay);
            kept += moved.transpose();
        }
        self.left = self.left.min(stay);
        self.weights.subcols(0, self.left)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{columns, square};
    use super::*;

    #[test]
    fn step_by_step_is_the_same_as_at_once() {
        let entry = |i: usize, j: usize| ((i * 31 + j * 17) % 11) as f64 / 11.0 - 0.4;
        let data = Mat::from_fn(40, 7, |i, j| entry(i, j) + f64::from(i == j));
        let covariance = data.transpose() * &data;
        let weights = Mat::from_fn(3, 7, |i, j| entry(j, i + 3));
        let mut shrinking = Shrinking::new(weights.clone(), covariance.clone(), 1e-9);
        for stay in [7, 6, 3, 3, 1] {
            let kept: Vec<usize> = (0..stay).collect();
            let right = &weights * columns(covariance.as_ref(), &kept);
            let left = shrinking.to(stay) * square(covariance.as_ref(), &kept);
            let difference = left - right;
            assert!(difference.norm_max() < 1e-6, "{stay}");
        }
    }
}
