//! Symmetric systems with damping, decomposed in their own memory by blocks.

use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::cholesky::llt::factor::{cholesky_in_place, cholesky_in_place_scratch};
use faer::linalg::matmul::matmul;
use faer::linalg::triangular_solve::{
    solve_lower_triangular_in_place, solve_upper_triangular_in_place,
};
use faer::prelude::default;
use faer::{Accum, Mat, MatMut, MatRef, Par};
use rayon::prelude::*;

use super::panels::{add_lower_product, panel_width};
use super::trace;

/// Damping never grows beyond this many mean diagonals.
const MOST: f64 = 1e6;
/// Rows and columns that are decomposed at a time.
const BLOCK: usize = 192;

/// A symmetric matrix with damping, decomposed.
pub(crate) struct Damped {
    /// L in `L L^T`; what stands above the diagonal is none of it.
    lower: Option<Mat<f64>>,
    size: usize,
    /// What was added to the diagonal: what was asked for, or more where that was not positive definite.
    pub(crate) lambda: f64,
}

/// The mean of a matrix's diagonal; 1 for a matrix without.
fn mean_diagonal(matrix: MatRef<'_, f64>) -> f64 {
    let sum = trace(matrix);
    match sum > 0.0 {
        true => sum / matrix.nrows() as f64,
        false => 1.0,
    }
}

impl Damped {
    /// Decomposes `matrix + lambda I` with `lambda` of `alpha` mean diagonals, ten times more after every
    /// failure.
    pub(crate) fn new(mut matrix: Mat<f64>, alpha: f64) -> Damped {
        let unit = mean_diagonal(matrix.as_ref());
        let size = matrix.nrows();
        let diagonal: Vec<f64> = (0..size).map(|i| matrix[(i, i)]).collect();
        let mut alpha = alpha;
        loop {
            let lambda = alpha * unit;
            (0..size).for_each(|i| matrix[(i, i)] = diagonal[i] + lambda);
            let done = decompose(matrix.as_mut());
            if done || alpha > MOST {
                return Damped {
                    lower: done.then_some(matrix),
                    size,
                    lambda,
                };
            }
            mirror(matrix.as_mut(), false);
            alpha = (alpha * 10.0).max(1e-9);
        }
    }

    /// L in `L L^T = A + lambda I`, with anything above its diagonal; none where no damping was enough.
    pub(super) fn lower(&self) -> Option<MatRef<'_, f64>> {
        self.lower.as_ref().map(Mat::as_ref)
    }

    /// X in `X (A + lambda I) = rows`.
    pub(crate) fn solve(&self, rows: MatRef<'_, f64>) -> Mat<f64> {
        let mut columns = rows.transpose().to_owned();
        let Some(lower) = self.lower() else {
            return rows * faer::Scale(1.0 / self.lambda);
        };
        let width = panel_width(
            columns.ncols(),
            self.size * columns.nrows() * columns.ncols(),
        );
        let panels = columns.par_col_chunks_mut(width);
        panels.for_each(|mut panel| {
            solve_lower_triangular_in_place(lower, panel.as_mut(), Par::Seq);
            solve_upper_triangular_in_place(lower.transpose(), panel, Par::Seq);
        });
        columns.transpose().to_owned()
    }

    /// The inverse of `A + lambda I` on and below its diagonal, with anything above it.
    pub(crate) fn lower_inverse(self) -> Mat<f64> {
        let size = self.size;
        let mut half = Mat::<f64>::identity(size, size);
        let Some(mut out) = self.lower else {
            return half * faer::Scale(1.0 / self.lambda);
        };
        let lower = out.as_ref();
        let width = panel_width(size, size * size * size);
        // Column by column L^-1 begins at its diagonal.
        let panels = half.par_col_chunks_mut(width).enumerate();
        panels.for_each(|(number, panel)| {
            let from = number * width;
            let left = size - from;
            let lower = lower.submatrix(from, from, left, left);
            solve_lower_triangular_in_place(lower, panel.subrows_mut(from, left), Par::Seq);
        });
        let half = half.as_ref();
        let panels = out.par_col_chunks_mut(width).enumerate();
        panels.for_each(|(number, mut panel)| {
            let wide = panel.ncols();
            // L^-1 has nothing above its diagonal.
            for from in (number * width..size).step_by(width) {
                let (tall, left) = (width.min(size - from), size - from);
                let rows = half.submatrix(from, from, left, tall).transpose();
                let columns = half.submatrix(from, number * width, left, wide);
                let target = panel.as_mut().subrows_mut(from, tall);
                matmul(target, Accum::Replace, rows, columns, 1.0, Par::Seq);
            }
        });
        out
    }
}

/// Puts L with `L L^T = matrix` in the place of the lower half; false if there is none. What stands above the diagonal
/// is neither read nor changed.
fn decompose(mut matrix: MatMut<'_, f64>) -> bool {
    let size = matrix.nrows();
    for from in (0..size).step_by(BLOCK) {
        let wide = BLOCK.min(size - from);
        let left = size - from - wide;
        let rest = matrix
            .as_mut()
            .submatrix_mut(from, from, wide + left, wide + left);
        let (mut block, _, below, rest) = rest.split_at_mut(wide, wide);
        let Some(lower) = decomposed(block.as_ref()) else {
            return false;
        };
        block.copy_from_triangular_lower(&lower);
        let mut below = below;
        let width = panel_width(left, left * wide * wide);
        let panels = below.as_mut().par_row_chunks_mut(width);
        panels.for_each(|panel| {
            solve_lower_triangular_in_place(lower.as_ref(), panel.transpose_mut(), Par::Seq);
        });
        add_lower_product(rest, below.as_ref(), below.as_ref().transpose(), -1.0);
    }
    true
}

/// L of a small matrix; none if it is not positive definite.
fn decomposed(matrix: MatRef<'_, f64>) -> Option<Mat<f64>> {
    let mut lower = matrix.to_owned();
    let mut memory = MemBuffer::new(cholesky_in_place_scratch::<f64>(
        lower.nrows(),
        Par::Seq,
        default(),
    ));
    let stack = MemStack::new(&mut memory);
    let done = cholesky_in_place(lower.as_mut(), default(), Par::Seq, stack, default());
    done.is_ok().then_some(lower)
}

/// Columns and rows that are exchanged at a time, so that they stay near.
const TILE: usize = 64;

/// Puts what stands on one side of the diagonal on the other: above it what is `below`, or the reverse.
pub(super) fn mirror(mut matrix: MatMut<'_, f64>, below: bool) {
    let size = matrix.nrows();
    for from in (0..size).step_by(TILE) {
        let wide = TILE.min(size - from);
        for to in (from..size).step_by(TILE) {
            let tall = TILE.min(size - to);
            for j in from..from + wide {
                for i in to.max(j + 1)..to + tall {
                    match below {
                        true => matrix[(j, i)] = matrix[(i, j)],
                        false => matrix[(i, j)] = matrix[(j, i)],
                    }
                }
            }
        }
    }
}
