//! Sums of products over rows of 32-bit numbers: in 32 bits over blocks of rows, in 64 bits over all.

use faer::linalg::matmul::matmul;
use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::{Accum, Mat, MatMut, MatRef, Par};

/// Rows whose products are summed in 32 bits.
const BLOCK: usize = 4096;
/// Multiplications that are worth more than one thread.
const THREADED: usize = 1 << 22;

/// `sum y x^T` over rows x and y.
#[derive(Debug)]
pub(crate) struct Products {
    total: Mat<f64>,
    block: Mat<f32>,
    rows: usize,
}

impl Default for Products {
    fn default() -> Products {
        Products {
            total: Mat::zeros(0, 0),
            block: Mat::zeros(0, 0),
            rows: 0,
        }
    }
}

fn parallelism(multiplications: usize) -> Par {
    match multiplications > THREADED {
        true => Par::rayon(0),
        false => Par::Seq,
    }
}

impl Products {
    /// Adds the products of rows of `left` with the same rows of `right`, both row after row.
    pub(crate) fn add(&mut self, left: &[f32], right: &[f32], rows: usize) {
        self.blocks(left, right, rows, |block, left, right, par| {
            let left = left.transpose();
            matmul(block.as_mut(), Accum::Add, left, right, 1.0, par);
        });
    }

    /// Adds the products of rows with themselves; only the lower half of the sums is made.
    pub(crate) fn add_own(&mut self, rows_of: &[f32], rows: usize) {
        self.blocks(rows_of, rows_of, rows, |block, left, right, par| {
            triangular::matmul(
                block.as_mut(),
                BlockStructure::TriangularLower,
                Accum::Add,
                left.transpose(),
                BlockStructure::Rectangular,
                right,
                BlockStructure::Rectangular,
                1.0,
                par,
            );
        });
    }

    fn blocks(
        &mut self,
        left: &[f32],
        right: &[f32],
        rows: usize,
        add: impl Fn(&mut Mat<f32>, MatRef<'_, f32>, MatRef<'_, f32>, Par),
    ) {
        let (tall, wide) = match rows {
            0 => return,
            rows => (left.len() / rows, right.len() / rows),
        };
        if self.block.nrows() != tall || self.block.ncols() != wide {
            self.block = Mat::zeros(tall, wide);
            self.total = Mat::zeros(tall, wide);
        }
        if tall == 0 || wide == 0 {
            return;
        }
        let blocks = left.chunks(BLOCK * tall).zip(right.chunks(BLOCK * wide));
        for (left, right) in blocks {
            let rows = left.len() / tall;
            if self.rows + rows > BLOCK {
                self.settle();
            }
            let par = parallelism(rows * tall * wide);
            let left = MatRef::from_row_major_slice(left, rows, tall);
            let right = MatRef::from_row_major_slice(right, rows, wide);
            add(&mut self.block, left, right, par);
            self.rows += rows;
        }
    }

    fn settle(&mut self) {
        for (j, block) in self.block.col_iter_mut().enumerate() {
            let total = self.total.col_mut(j).iter_mut();
            for (total, block) in total.zip(block.iter_mut()) {
                *total += f64::from(*block);
                *block = 0.0;
            }
        }
        self.rows = 0;
    }

    /// The sums: rows by the columns of `left`, columns by those of `right`.
    pub(crate) fn total(mut self) -> Mat<f64> {
        self.settle();
        self.total
    }

    /// The sums of rows with themselves, row after row.
    pub(crate) fn symmetric(&self) -> Vec<f64> {
        let size = self.total.ncols();
        let mut out = vec![0.0; size * size];
        for j in 0..size {
            for i in j..size {
                let sum = self.total[(i, j)] + f64::from(self.block[(i, j)]);
                out[i * size + j] = sum;
                out[j * size + i] = sum;
            }
        }
        out
    }
}

/// What `join` makes of the numbers of each column, from `start` on.
pub(crate) fn folded(
    rows: &[f32],
    columns: usize,
    start: f32,
    join: impl Fn(f32, f32) -> f32,
) -> Vec<f32> {
    let mut out = vec![start; columns];
    for row in rows.chunks_exact(columns.max(1)) {
        for (out, &number) in out.iter_mut().zip(row) {
            *out = join(*out, number);
        }
    }
    out
}

/// Adds what `of` makes of the numbers of each column to `sums`.
pub(crate) fn add_columns(sums: &mut [f64], rows: &[f32], of: impl Fn(f32) -> f32) {
    let columns = sums.len().max(1);
    for block in rows.chunks(BLOCK * columns) {
        let part = folded(block, columns, 0.0, |sum, number| sum + of(number));
        for (sum, part) in sums.iter_mut().zip(part) {
            *sum += f64::from(part);
        }
    }
}

/// Rows times the transposed `weights`, plus `constants`, row after row.
pub(crate) fn transformed(
    rows_of: &[f32],
    rows: usize,
    weights: MatRef<'_, f32>,
    constants: &[f32],
) -> Vec<f32> {
    let (made, width) = (weights.nrows(), weights.ncols());
    let mut out: Vec<f32> = constants.repeat(rows);
    if rows > 0 && made > 0 && width > 0 {
        let target = MatMut::from_column_major_slice_mut(&mut out, made, rows);
        let right = MatRef::from_column_major_slice(rows_of, width, rows);
        let par = parallelism(rows * made * width);
        matmul(target, Accum::Add, weights, right, 1.0, par);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_single_products() {
        let rows = 2 * BLOCK + 17;
        let number = |i: usize| ((i * 7919 % 1013) as f32 - 500.0) / 512.0;
        let x: Vec<f32> = (0..3 * rows).map(number).collect();
        let y: Vec<f32> = (0..2 * rows).map(|i| number(i + 5)).collect();
        let product = |a: &[f32], b: &[f32], widths: [usize; 2], at: [usize; 2]| -> f64 {
            let pairs = a.chunks(widths[0]).zip(b.chunks(widths[1]));
            pairs
                .map(|(a, b)| f64::from(a[at[0]]) * f64::from(b[at[1]]))
                .sum()
        };
        let (mut own, mut cross) = (Products::default(), Products::default());
        let cut = 3 * 100;
        own.add_own(&x[..cut], 100);
        own.add_own(&x[cut..], rows - 100);
        cross.add(&y, &x, rows);
        let (own, cross) = (own.symmetric(), cross.total());
        for j in 0..3 {
            for i in 0..3 {
                let expected = product(&x, &x, [3, 3], [i, j]);
                assert!((own[3 * i + j] - expected).abs() < 1e-2, "{i} {j}");
            }
            for i in 0..2 {
                let expected = product(&y, &x, [2, 3], [i, j]);
                assert!((cross[(i, j)] - expected).abs() < 1e-2, "{i} {j}");
            }
        }
    }
}
