//! Symmetric systems of equations in 64 bits, with damping.
//!
//! All that is solved from calibration data has the form `X (A + lambda I) = B`, with the covariance A of a
//! layer's inputs. Lambda is given in units of the mean diagonal of A, so that it does not depend on scales.

mod products;

use faer::linalg::solvers::{DenseSolveCore, Llt, Solve};
use faer::{Mat, MatRef, Side};

pub(crate) use products::{Products, add_columns, folded, transformed};

/// Damping never grows beyond this many mean diagonals.
const MOST: f64 = 1e6;

/// A symmetric matrix with damping, decomposed.
pub(crate) struct Damped {
    factor: Option<Llt<f64>>,
    size: usize,
    /// What was added to the diagonal: what was asked for, or more where that was not positive definite.
    pub(crate) lambda: f64,
}

/// The mean of a matrix's diagonal; 1 for a matrix without.
pub(crate) fn mean_diagonal(matrix: MatRef<'_, f64>) -> f64 {
    let size = matrix.nrows();
    let sum: f64 = (0..size).map(|i| matrix[(i, i)]).sum();
    match sum > 0.0 {
        true => sum / size as f64,
        false => 1.0,
    }
}

impl Damped {
    /// Decomposes `matrix + lambda I` with `lambda` of `alpha` mean diagonals, ten times more after every
    /// failure.
    pub(crate) fn new(matrix: MatRef<'_, f64>, alpha: f64) -> Damped {
        let unit = mean_diagonal(matrix);
        let size = matrix.nrows();
        let mut alpha = alpha;
        loop {
            let lambda = alpha * unit;
            let mut damped = matrix.to_owned();
            (0..size).for_each(|i| damped[(i, i)] += lambda);
            let factor = damped.llt(Side::Lower).ok();
            if factor.is_some() || alpha > MOST {
                return Damped {
                    factor,
                    size,
                    lambda,
                };
            }
            alpha = (alpha * 10.0).max(1e-9);
        }
    }

    /// X in `X (A + lambda I) = rows`.
    pub(crate) fn solve(&self, rows: MatRef<'_, f64>) -> Mat<f64> {
        match &self.factor {
            Some(factor) => factor.solve(rows.transpose()).transpose().to_owned(),
            None => rows * faer::Scale(1.0 / self.lambda),
        }
    }

    /// The inverse of `A + lambda I`.
    pub(crate) fn inverse(&self) -> Mat<f64> {
        match &self.factor {
            Some(factor) => factor.inverse(),
            None => Mat::<f64>::identity(self.size, self.size) * faer::Scale(1.0 / self.lambda),
        }
    }
}

/// The columns of `matrix` at these places.
pub(crate) fn columns(matrix: MatRef<'_, f64>, places: &[usize]) -> Mat<f64> {
    let mut out = Mat::zeros(matrix.nrows(), places.len());
    for (mut column, &place) in out.col_iter_mut().zip(places) {
        column.copy_from(matrix.col(place));
    }
    out
}

/// The rows and columns of a square `matrix` at these places.
pub(crate) fn square(matrix: MatRef<'_, f64>, places: &[usize]) -> Mat<f64> {
    part(matrix, places, places)
}

/// The entries of `matrix` at these rows and columns.
pub(crate) fn part(matrix: MatRef<'_, f64>, rows: &[usize], columns: &[usize]) -> Mat<f64> {
    let mut out = Mat::zeros(rows.len(), columns.len());
    for (column, &place) in out.col_iter_mut().zip(columns) {
        let from = matrix.col(place);
        for (entry, &row) in column.iter_mut().zip(rows) {
            *entry = from[row];
        }
    }
    out
}

/// A matrix from its rows one after the other.
pub(crate) fn from_rows(rows: usize, columns: usize, numbers: &[f64]) -> Mat<f64> {
    MatRef::from_row_major_slice(&numbers[..rows * columns], rows, columns).to_owned()
}

/// Sum of the products of equal places.
pub(crate) fn inner(a: MatRef<'_, f64>, b: MatRef<'_, f64>) -> f64 {
    let columns = (0..a.ncols()).map(|j| {
        let rows = (0..a.nrows()).map(|i| a[(i, j)] * b[(i, j)]);
        rows.sum::<f64>()
    });
    columns.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn solutions_solve_and_singular_matrices_are_damped_more() {
        let matrix = from_rows(2, 2, &[2.0, 1.0, 1.0, 3.0]);
        let damped = Damped::new(matrix.as_ref(), 0.0);
        let solved = damped.solve(from_rows(1, 2, &[4.0, 7.0]).as_ref());
        assert!((solved[(0, 0)] - 1.0).abs() < 1e-12 && (solved[(0, 1)] - 2.0).abs() < 1e-12);
        let product = matrix * damped.inverse();
        assert!((product[(0, 0)] - 1.0).abs() < 1e-12 && product[(0, 1)].abs() < 1e-12);
        let singular = Damped::new(Mat::<f64>::zeros(3, 3).as_ref(), 0.0);
        assert!(singular.lambda > 0.0);
        let bad = from_rows(2, 2, &[1.0, 2.0, 2.0, 1.0]);
        assert!(Damped::new(bad.as_ref(), 0.01).lambda >= 1.0);
    }
}
