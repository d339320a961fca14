//! Matrices rounded to multiples of steps, so that products with data change as little as possible.
//!
//! With the covariance S of the inputs, rounding a row by `e` changes what it makes by `e^T S e`. GPTQ (Frantar and
//! others 2023) rounds column by column, those that vary most first, and lets the columns to come make up for each
//! error: with `S^-1 = U^T U` an error `e_j` changes them by `-(e_j / U_jj) U_j`.

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatMut, MatRef, Par};
use rayon::prelude::*;

use super::InverseFactor;

/// Columns between updates of all columns to come.
const BLOCK: usize = 96;
/// Rows that one task rounds.
const ROWS: usize = 32;

/// Codes from `-limit` to `limit`, and what steps are tried for them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Codes {
    pub(crate) limit: i32,
}

impl Codes {
    /// The code of a number at this step.
    pub(crate) fn code(self, number: f64, step: f64) -> f64 {
        let limit = f64::from(self.limit);
        (number / step).round_ties_even().clamp(-limit, limit)
    }

    /// The number that a number becomes at this step; itself where there is no step.
    pub(crate) fn rounded(self, number: f64, step: f64) -> f64 {
        match step > 0.0 {
            true => self.code(number, step) * step,
            false => number,
        }
    }

    /// The number that the code of a number stands for, in 32 bits as runtimes compute it.
    pub(crate) fn stands_for(self, number: f32, step: f32) -> f32 {
        self.code(f64::from(number), f64::from(step)) as f32 * step
    }

    /// Shares of the step that represents all numbers: a smaller one cuts off the largest.
    fn shares(self) -> impl Iterator<Item = f64> {
        let (count, least) = match self.limit {
            ..=3 => (24, 0.2),
            4..16 => (16, 0.4),
            _ => (6, 0.8),
        };
        (0..count).map(move |i| 1.0 - (1.0 - least) * f64::from(i) / f64::from(count - 1))
    }

    /// The step of a row whose columns count the same.
    pub(crate) fn even_step(self, row: &[f32]) -> f32 {
        let row: Vec<f64> = row.iter().map(|&w| f64::from(w)).collect();
        self.step(&row, &vec![1.0; row.len()]) as f32
    }

    /// The step, a 32-bit number, with the least squared error of a row whose columns count this much. A row of zeros has
    /// 1.
    pub(crate) fn step(self, row: &[f64], counts: &[f64]) -> f64 {
        let most = row.iter().fold(0.0, |most: f64, w| most.max(w.abs()));
        let whole = most / f64::from(self.limit);
        if !(whole as f32).is_normal() {
            return 1.0;
        }
        let error = |step: f64| {
            let pairs = row.iter().zip(counts);
            let errors = pairs.map(|(&w, &count)| count * (w - self.rounded(w, step)).powi(2));
            errors.sum::<f64>()
        };
        let steps = self.shares().map(|share| f64::from((whole * share) as f32));
        let tried = steps.map(|step| (error(step), step));
        let best = tried.min_by(|a, b| a.0.total_cmp(&b.0));
        best.map_or(whole, |(_, step)| step)
    }
}

/// What each element of a matrix is rounded to: steps by row and column, codes by column; columns without codes stay.
pub(crate) struct Steps {
    pub(crate) steps: Mat<f64>,
    pub(crate) codes: Vec<Option<Codes>>,
    /// By element, row by row, the least and the largest code where it has bounds of its own.
    pub(crate) ranges: Vec<Option<[f32; 2]>>,
}

impl Steps {
    fn rounded(&self, row: usize, column: usize, number: f64) -> f64 {
        let own = self.ranges.get(row * self.codes.len() + column);
        match self.codes[column] {
            Some(_) if let Some(&Some([low, high])) = own => {
                let step = self.steps[(row, column)];
                let code = (number / step).round_ties_even();
                code.clamp(f64::from(low), f64::from(high)) * step
            }
            Some(codes) => codes.rounded(number, self.steps[(row, column)]),
            None => number,
        }
    }

    /// Each element rounded to what is nearest.
    pub(crate) fn nearest(&self, weights: MatRef<'_, f64>) -> Mat<f64> {
        Mat::from_fn(weights.nrows(), weights.ncols(), |i, j| {
            self.rounded(i, j, weights[(i, j)])
        })
    }

    /// Rounded column by column; `factor` is of the inputs' covariance with the columns in this order.
    pub(crate) fn compensated(
        &self,
        weights: MatRef<'_, f64>,
        factor: &InverseFactor,
        order: &[usize],
    ) -> Mat<f64> {
        let columns = order.len();
        let rows = weights.nrows();
        let row = |i: usize| order.iter().map(move |&at| weights[(i, at)]);
        let mut work: Vec<f64> = (0..rows).flat_map(row).collect();
        let upper = factor.upper();
        let parts = work.par_chunks_mut((ROWS * columns).max(1)).enumerate();
        parts.for_each(|(number, part)| {
            for start in (0..columns).step_by(BLOCK) {
                self.block(part, (number * ROWS, start), upper, order);
            }
        });
        let mut out = Mat::zeros(rows, columns);
        for (i, row) in work.chunks_exact(columns.max(1)).enumerate() {
            for (&at, &number) in order.iter().zip(row) {
                out[(i, at)] = number;
            }
        }
        out
    }

    /// Rounds one block of columns of some rows, and lets all columns behind it make up for that.
    fn block(
        &self,
        part: &mut [f64],
        (first, start): (usize, usize),
        upper: MatRef<'_, f64>,
        order: &[usize],
    ) {
        let columns = order.len();
        let end = (start + BLOCK).min(columns);
        let (rows, width) = (part.len() / columns, end - start);
        let mut errors = vec![0.0; rows * width];
        let each = part.chunks_exact_mut(columns).enumerate();
        for ((i, row), errors) in each.zip(errors.chunks_exact_mut(width)) {
            for place in start..end {
                let rounded = self.rounded(first + i, order[place], row[place]);
                let error = (row[place] - rounded) / upper[(place, place)];
                row[place] = rounded;
                errors[place - start] = error;
                for later in place + 1..end {
                    row[later] -= error * upper[(place, later)];
                }
            }
        }
        let errors = MatRef::from_row_major_slice(&errors, rows, width);
        let rest = upper.submatrix(start, end, width, columns - end);
        let later = MatMut::from_row_major_slice_mut(part, rows, columns);
        let later = later.subcols_mut(end, columns - end);
        matmul(later, Accum::Add, errors, rest, -1.0, Par::Seq);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algebra::energy;

    #[test]
    fn steps_represent_a_row_and_zeros_have_one() {
        let codes = Codes { limit: 64 };
        let row = [1.0, -0.5, 0.25];
        let step = codes.step(&row, &[1.0; 3]);
        assert!((0.8 / 64.0..=1.0 / 64.0).contains(&step));
        assert_eq!(codes.step(&[0.0; 3], &[1.0; 3]), 1.0);
        assert_eq!(codes.code(2.0, step), 64.0);
        assert_eq!(codes.rounded(-0.3, 0.0), -0.3);
    }

    #[test]
    fn columns_to_come_make_up_for_errors() {
        let size = 200;
        let data = Mat::from_fn(size, 40, |i, j| ((i * 37 + j * 101) % 97) as f64 / 97.0);
        let covariance = &data * data.transpose();
        let weights = Mat::from_fn(50, size, |i, j| {
            ((i * 53 + j * 29) % 83) as f64 / 83.0 - 0.5
        });
        let codes = Codes { limit: 7 };
        let steps = Steps {
            steps: Mat::full(50, size, 0.5 / 7.0),
            codes: vec![Some(codes); size],
            ranges: Vec::new(),
        };
        let order: Vec<usize> = (0..size).rev().collect();
        let gram = (0..size).flat_map(|i| (0..size).map(move |j| (i, j)));
        let gram = gram.map(|at| covariance[at]).collect();
        let factor = InverseFactor::of(gram, &order);
        let error = |rounded: Mat<f64>| energy((rounded - &weights).as_ref(), covariance.as_ref());
        let nearest = error(steps.nearest(weights.as_ref()));
        let compensated = steps.compensated(weights.as_ref(), &factor, &order);
        for (i, j) in [(0, 0), (49, 199), (20, 100)] {
            let code = compensated[(i, j)] / (0.5 / 7.0);
            assert!((code - code.round()).abs() < 1e-9 && code.abs() < 7.1);
        }
        let share = error(compensated) / nearest;
        assert!(share < 0.5, "{share}");
    }
}
