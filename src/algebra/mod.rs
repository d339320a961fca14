//! Symmetric systems of equations in 64 bits, with damping.
//!
//! All that is solved from calibration data has the form `X (A + lambda I) = B`, with the covariance A of a
//! layer's inputs. Lambda is given in units of the mean diagonal of A, so that it does not depend on scales.

mod damped;
mod inverse;
mod nonnegative;
mod panels;
mod products;
mod rounding;
mod shrinking;

use faer::{ColRef, Mat, MatRef};

pub(crate) use damped::Damped;
pub(crate) use inverse::{DAMPING, InverseFactor};
pub(crate) use nonnegative::nonnegative;
pub(crate) use panels::{add_lower_product, add_product, energy, product};
pub(crate) use products::{Products, add_columns, folded, transformed};
pub(crate) use rounding::{Codes, Steps};
pub(crate) use shrinking::Shrinking;

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

/// Sum of the squares.
pub(crate) fn squares(numbers: ColRef<'_, f64>) -> f64 {
    numbers.squared_norm_l2()
}

/// Sum of the diagonal.
pub(crate) fn trace(matrix: MatRef<'_, f64>) -> f64 {
    (0..matrix.nrows()).map(|i| matrix[(i, i)]).sum()
}

#[cfg(test)]
mod tests {
    use super::damped::mirror;
    use super::*;

    fn inverse(damped: Damped) -> Mat<f64> {
        let mut inverse = damped.lower_inverse();
        mirror(inverse.as_mut(), true);
        inverse
    }

    #[test]
    fn solutions_solve_and_singular_matrices_are_damped_more() {
        let matrix = from_rows(2, 2, &[2.0, 1.0, 1.0, 3.0]);
        let damped = Damped::new(matrix.clone(), 0.0);
        let solved = damped.solve(from_rows(1, 2, &[4.0, 7.0]).as_ref());
        assert!((solved[(0, 0)] - 1.0).abs() < 1e-12 && (solved[(0, 1)] - 2.0).abs() < 1e-12);
        let product = matrix * inverse(damped);
        assert!((product[(0, 0)] - 1.0).abs() < 1e-12 && product[(0, 1)].abs() < 1e-12);
        let singular = Damped::new(Mat::<f64>::zeros(3, 3), 0.0);
        assert!(singular.lambda > 0.0);
        let bad = from_rows(2, 2, &[1.0, 2.0, 2.0, 1.0]);
        assert!(Damped::new(bad, 0.01).lambda >= 1.0);
    }

    #[test]
    fn blocks_are_decomposed_one_after_the_other() {
        let size = 500;
        let entry = |i: usize, j: usize| ((i * 31 + j * 17) % 101) as f64 / 101.0 - 0.5;
        let data = Mat::from_fn(size, size, entry);
        let matrix = &data * data.transpose() + Mat::<f64>::identity(size, size);
        let identity = &matrix * inverse(Damped::new(matrix.clone(), 0.0));
        let difference = identity - Mat::<f64>::identity(size, size);
        assert!(difference.norm_max() < 1e-8);
        let rows = Mat::from_fn(7, size, entry);
        let solved = Damped::new(matrix.clone(), 0.0).solve(rows.as_ref());
        assert!((solved * &matrix - rows).norm_max() < 1e-8);
        // Not positive definite at its end: what was done has to be undone.
        let mut bad = matrix.clone();
        bad[(size - 1, size - 1)] = -1.0;
        let damped = Damped::new(bad.clone(), 0.0);
        assert!(damped.lambda > 0.0);
        (0..size).for_each(|i| bad[(i, i)] += damped.lambda);
        let difference = bad * inverse(damped) - Mat::<f64>::identity(size, size);
        assert!(difference.norm_max() < 1e-6);
    }
}
