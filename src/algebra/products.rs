//! Sums of products over rows of 32-bit numbers: in 32 bits over blocks of rows, in 64 bits over all.

use faer::{Mat, MatMut, MatRef};
use rayon::prelude::*;

use super::damped::mirror;
use super::panels::{add_lower_product, add_product};

/// Rows whose products are summed in 32 bits.
const BLOCK: usize = 4096;

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

impl Products {
    /// Adds the products of rows of `left` with the same rows of `right`, both row after row.
    pub(crate) fn add(&mut self, left: &[f32], right: &[f32], rows: usize) {
        self.blocks(left, right, rows, add_product);
    }

    /// Adds the products of rows with themselves; only the lower half of the sums is made.
    pub(crate) fn add_own(&mut self, rows_of: &[f32], rows: usize) {
        self.blocks(rows_of, rows_of, rows, add_lower_product);
    }

    fn blocks(
        &mut self,
        left: &[f32],
        right: &[f32],
        rows: usize,
        add: impl Fn(MatMut<'_, f32>, MatRef<'_, f32>, MatRef<'_, f32>, f32),
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
            let left = MatRef::from_row_major_slice(left, rows, tall).transpose();
            let right = MatRef::from_row_major_slice(right, rows, wide);
            add(self.block.as_mut(), left, right, 1.0);
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

    /// The sums of rows with themselves.
    pub(crate) fn symmetric(self) -> Mat<f64> {
        let mut total = self.total();
        mirror(total.as_mut(), true);
        total
    }

    /// The same, row after row.
    pub(crate) fn symmetric_numbers(&self) -> Vec<f64> {
        let size = self.total.ncols();
        let mut out = vec![0.0; size * size];
        let rows = out.par_chunks_exact_mut(size.max(1)).enumerate();
        rows.for_each(|(j, row)| {
            let sums = self.total.col(j).iter().zip(self.block.col(j).iter());
            for (out, (total, block)) in row.iter_mut().zip(sums).skip(j) {
                *out = total + f64::from(*block);
            }
        });
        let below = MatMut::from_column_major_slice_mut(&mut out, size, size);
        mirror(below, true);
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
        add_product(target, weights, right, 1.0);
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
        let numbers = own.symmetric_numbers();
        let (own, cross) = (own.symmetric(), cross.total());
        for j in 0..3 {
            for i in 0..3 {
                let expected = product(&x, &x, [3, 3], [i, j]);
                assert!((own[(i, j)] - expected).abs() < 1e-2, "{i} {j}");
                assert_eq!(numbers[3 * i + j], own[(i, j)]);
            }
            for i in 0..2 {
                let expected = product(&y, &x, [2, 3], [i, j]);
                assert!((cross[(i, j)] - expected).abs() < 1e-2, "{i} {j}");
            }
        }
    }
}
