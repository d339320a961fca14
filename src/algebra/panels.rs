//! Products of matrices, shared out to threads by columns of the result.
//!
//! Each thread takes the next panel when it is done with one, so that another program on the machine does not make
//! the others wait.

use faer::linalg::matmul::matmul;
use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::traits::ComplexField;
use faer::{Accum, Mat, MatMut, MatRef, Par};
use rayon::prelude::*;

use super::inner;

/// Multiplications that are worth more than one thread.
const THREADED: usize = 1 << 21;
/// Columns of a panel, and panels that there are if these bounds allow.
const PANEL: [usize; 2] = [32, 384];
const PANELS: usize = 8;

/// Columns that one thread takes at a time.
pub(super) fn panel_width(columns: usize, multiplications: usize) -> usize {
    match multiplications > THREADED {
        true => (columns.div_ceil(PANELS).next_multiple_of(16)).clamp(PANEL[0], PANEL[1]),
        false => columns.max(1),
    }
}

/// Adds `alpha left right` to `target`.
pub(crate) fn add_product<T: ComplexField + Send + Sync>(
    target: MatMut<'_, T>,
    left: MatRef<'_, T>,
    right: MatRef<'_, T>,
    alpha: T,
) {
    let width = panel_width(right.ncols(), left.nrows() * left.ncols() * right.ncols());
    let panels = target.par_col_chunks_mut(width).enumerate();
    panels.for_each(|(number, panel)| {
        let right = right.subcols(number * width, panel.ncols());
        matmul(panel, Accum::Add, left, right, alpha.clone(), Par::Seq);
    });
}

/// Adds `alpha left right` to the square `target` on and below its diagonal; what stands above is not touched.
pub(crate) fn add_lower_product<T: ComplexField + Send + Sync>(
    target: MatMut<'_, T>,
    left: MatRef<'_, T>,
    right: MatRef<'_, T>,
    alpha: T,
) {
    let size = right.ncols();
    // Small ones in panels as well: half of the products are not made.
    let width = panel_width(size, (left.nrows() * left.ncols() * size).max(THREADED + 1));
    let panels = target.par_col_chunks_mut(width).enumerate();
    panels.for_each(|(number, panel)| {
        let (from, wide) = (number * width, panel.ncols());
        let right = right.subcols(from, wide);
        let left = left.subrows(from, size - from);
        let panel = panel.subrows_mut(from, size - from);
        let (diagonal, below) = panel.split_at_row_mut(wide);
        let (own, rest) = left.split_at_row(wide);
        triangular::matmul(
            diagonal,
            BlockStructure::TriangularLower,
            Accum::Add,
            own,
            BlockStructure::Rectangular,
            right,
            BlockStructure::Rectangular,
            alpha.clone(),
            Par::Seq,
        );
        matmul(below, Accum::Add, rest, right, alpha.clone(), Par::Seq);
    });
}

/// `tr(weights matrix weights^T)` of a symmetric matrix, of which what stands on and below the diagonal is read.
pub(crate) fn energy(weights: MatRef<'_, f64>, matrix: MatRef<'_, f64>) -> f64 {
    let size = matrix.ncols();
    let width = panel_width(size, weights.nrows() * size * size);
    let panels: Vec<usize> = (0..size).step_by(width).collect();
    let part = |from: usize| {
        let wide = width.min(size - from);
        let below = from + wide;
        let block = matrix.submatrix(from, from, wide, wide);
        let block = Mat::from_fn(wide, wide, |i, j| block[(i.max(j), i.min(j))]);
        let own = weights.subcols(from, wide);
        let mut made = own * block;
        // What stands below the block counts once more above the diagonal.
        let rest = weights.subcols(below, size - below);
        let beside = matrix.submatrix(below, from, size - below, wide);
        matmul(made.as_mut(), Accum::Add, rest, beside, 2.0, Par::Seq);
        inner(made.as_ref(), own)
    };
    let parts: Vec<f64> = panels.into_par_iter().map(part).collect();
    parts.into_iter().sum()
}

/// `left right`
pub(crate) fn product(left: MatRef<'_, f64>, right: MatRef<'_, f64>) -> Mat<f64> {
    let mut out = Mat::zeros(left.nrows(), right.ncols());
    add_product(out.as_mut(), left, right, 1.0);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panels_give_what_whole_products_do() {
        let entry = |i: usize, j: usize| ((i * 31 + j * 17) % 101) as f64 / 101.0 - 0.5;
        let (left, right) = (Mat::from_fn(300, 150, entry), Mat::from_fn(150, 300, entry));
        let whole = &left * &right;
        let made = product(left.as_ref(), right.as_ref());
        assert!((&made - &whole).norm_max() < 1e-10);
        let mut lower = Mat::zeros(300, 300);
        add_lower_product(lower.as_mut(), left.as_ref(), right.as_ref(), -1.0);
        let below = |i: usize, j: usize| match i < j {
            true => lower[(i, j)] == 0.0,
            false => (lower[(i, j)] + whole[(i, j)]).abs() < 1e-10,
        };
        assert!((0..300).all(|j| (0..300).all(|i| below(i, j))));
        let symmetric = &left * left.transpose();
        let weights = Mat::from_fn(70, 300, entry);
        let expected = inner((&weights * &symmetric).as_ref(), weights.as_ref());
        let found = energy(weights.as_ref(), symmetric.as_ref());
        assert!((found - expected).abs() < 1e-9 * expected);
    }
}
