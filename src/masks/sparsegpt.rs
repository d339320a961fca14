//! SparseGPT (Frantar and Alistarh 2023): weights go column by column, and those to the right of each make
//! up for its error as well as the inputs allow.
//!
//! With the Gram matrix H of a layer's inputs and the upper triangular U of `H^-1 = U^T U`, removing `w_j`
//! costs `(w_j / U_jj)^2` and changes the rest of its row by `-(w_j / U_jj) U_j`. Rows are independent, so they are
//! solved in parallel in pieces of fixed size: the result does not depend on the number of threads.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use rayon::prelude::*;

use super::select::{clear_group, clear_lowest};
use super::settings::Pattern;
use crate::algebra::{DAMPING, InverseFactor};
use crate::layers::Layer;

/// Columns between updates of all columns to the right.
const BLOCK: usize = 128;
/// Rows that one task solves.
const ROWS: usize = 64;

/// A solved layer.
pub(crate) struct Solved {
    /// The weights by batch, row and column, masked ones at zero.
    pub(crate) matrix: Vec<f32>,
    /// Which stay.
    pub(crate) kept: Vec<bool>,
    /// The damping that made H positive definite, in units of its mean diagonal.
    pub(crate) damping: f64,
    /// Inputs that are always zero, over all batches.
    pub(crate) dead: usize,
}

/// Solves a layer for `zeros` zeros, or those of an N:M pattern. `grams` has one matrix of the inputs'
/// second moments per batch, row by row; they are used up.
pub(crate) fn solve(
    layer: &Layer,
    matrix: Vec<f32>,
    grams: Vec<Vec<f64>>,
    zeros: usize,
    pattern: Pattern,
) -> Solved {
    let columns = layer.columns();
    let order = Order::of(layer, pattern);
    let before = matrix.iter().filter(|w| **w == 0.0).count();
    let more = zeros.saturating_sub(before);
    let alive = matrix.len() - before;
    let mut solved = Solved {
        kept: matrix.iter().map(|w| *w != 0.0).collect(),
        matrix,
        damping: DAMPING,
        dead: 0,
    };
    let size = (layer.rows() * columns).max(1);
    let batches = solved
        .matrix
        .chunks_mut(size)
        .zip(solved.kept.chunks_mut(size));
    let mut share = Share {
        more,
        alive,
        seen: 0,
        given: 0,
    };
    for ((matrix, kept), gram) in batches.zip(grams) {
        let factor = InverseFactor::of(gram, &order.columns);
        solved.damping = solved.damping.max(factor.damping);
        solved.dead += factor.dead.iter().filter(|dead| **dead).count();
        let mut batch = MatrixBatch {
            weights: permuted(matrix, &order.columns),
            kept: kept
                .chunks_exact(columns)
                .flat_map(|row| order.columns.iter().map(|&c| row[c]))
                .collect(),
            inverse: factor.upper(),
            dead: &factor.dead,
            columns,
        };
        for block in &order.blocks {
            batch.solve(block, pattern, &mut share);
        }
        batch.write(&order.columns, matrix, kept);
    }
    solved
}

/// The order in which columns are solved: groups of a pattern stand together.
struct Order {
    columns: Vec<usize>,
    blocks: Vec<ColumnBlock>,
}

struct ColumnBlock {
    start: usize,
    end: usize,
    /// First column and size of each group of the pattern.
    groups: Vec<(usize, usize)>,
}

impl Order {
    fn of(layer: &Layer, pattern: Pattern) -> Order {
        let Pattern::Grouped { of, .. } = pattern else {
            let columns = layer.columns();
            let block = |start: usize| ColumnBlock {
                start,
                end: (start + BLOCK).min(columns),
                groups: Vec::new(),
            };
            return Order {
                columns: (0..columns).collect(),
                blocks: (0..columns).step_by(BLOCK).map(block).collect(),
            };
        };
        let lanes = layer.lanes();
        let mut order = Order {
            columns: Vec::new(),
            blocks: Vec::new(),
        };
        for group in lanes.iter().flat_map(|lane| lane.chunks(of)) {
            let start = order.columns.len();
            order.columns.extend(group);
            let end = order.columns.len();
            match order.blocks.last_mut() {
                Some(block) if block.end - block.start + group.len() <= BLOCK => {
                    block.end = end;
                    block.groups.push((start, group.len()));
                }
                _ => order.blocks.push(ColumnBlock {
                    start,
                    end,
                    groups: vec![(start, group.len())],
                }),
            }
        }
        order
    }
}

/// Gives every block its part of the zeros that are still to come, in proportion to its weights.
struct Share {
    more: usize,
    alive: usize,
    seen: usize,
    given: usize,
}

impl Share {
    fn of(&mut self, weights: usize) -> usize {
        self.seen += weights;
        let exact = self.more as f64 * self.seen as f64 / self.alive.max(1) as f64;
        let own = (exact.round() as usize)
            .saturating_sub(self.given)
            .min(weights);
        self.given += own;
        own
    }
}

fn permuted(matrix: &[f32], order: &[usize]) -> Vec<f64> {
    let rows = matrix.chunks_exact(order.len().max(1));
    rows.flat_map(|row| order.iter().map(|&column| f64::from(row[column])))
        .collect()
}

/// The matrix of one batch while it is solved, columns in the order of solving.
struct MatrixBatch<'a> {
    weights: Vec<f64>,
    kept: Vec<bool>,
    /// U.
    inverse: MatRef<'a, f64>,
    dead: &'a [bool],
    columns: usize,
}

impl MatrixBatch<'_> {
    /// Puts what was solved back in the order of the layer.
    fn write(&self, order: &[usize], matrix: &mut [f32], kept: &mut [bool]) {
        let rows = self.weights.chunks_exact(self.columns);
        let rows = rows.zip(self.kept.chunks_exact(self.columns));
        for (row, (weights, flags)) in rows.enumerate() {
            for (place, &column) in order.iter().enumerate() {
                let at = row * self.columns + column;
                kept[at] = flags[place];
                matrix[at] = if flags[place] {
                    weights[place] as f32
                } else {
                    0.0
                };
            }
        }
    }

    fn solve(&mut self, block: &ColumnBlock, pattern: Pattern, share: &mut Share) {
        if !matches!(pattern, Pattern::Grouped { .. }) {
            self.choose(block, share);
        }
        let width = block.end - block.start;
        let own = self
            .inverse
            .submatrix(block.start, block.start, width, width);
        let factor: Vec<f64> = (0..width)
            .flat_map(|i| (0..width).map(move |j| (i, j)))
            .map(|at| own[at])
            .collect();
        let rest = self
            .inverse
            .submatrix(block.start, block.end, width, self.columns - block.end);
        let (columns, dead) = (self.columns, self.dead);
        let pieces = self.weights.par_chunks_mut(ROWS * columns);
        pieces
            .zip(self.kept.par_chunks_mut(ROWS * columns))
            .for_each(|(weights, kept)| {
                let rows = weights.len() / columns;
                let mut errors = vec![0.0; rows * width];
                let each = weights
                    .chunks_exact_mut(columns)
                    .zip(kept.chunks_exact_mut(columns));
                for ((weights, kept), errors) in each.zip(errors.chunks_exact_mut(width)) {
                    let own = block.start..block.end;
                    let row = WeightRow {
                        weights: &mut weights[own.clone()],
                        kept: &mut kept[own.clone()],
                        dead: &dead[own],
                    };
                    row.solve(block, &factor, pattern, errors);
                }
                let errors = MatRef::from_row_major_slice(&errors, rows, width);
                let after = MatMut::from_row_major_slice_mut(weights, rows, columns);
                let after = after.subcols_mut(block.end, columns - block.end);
                matmul(after, Accum::Add, errors, rest, -1.0, Par::Seq);
            });
    }

    /// Marks the cheapest weights of a block, over all rows.
    fn choose(&mut self, block: &ColumnBlock, share: &mut Share) {
        let mut places = Vec::new();
        let mut keys = Vec::new();
        for row in 0..self.weights.len() / self.columns {
            for column in block.start..block.end {
                let place = row * self.columns + column;
                if self.kept[place] {
                    let cost = self.weights[place] / self.inverse[(column, column)];
                    places.push(place);
                    keys.push(if self.dead[column] {
                        0
                    } else {
                        (cost.abs() as f32).to_bits() + 1
                    });
                }
            }
        }
        let mut kept = vec![true; keys.len()];
        clear_lowest(&keys, &mut kept, share.of(keys.len()));
        for (place, kept) in places.into_iter().zip(kept) {
            self.kept[place] = kept;
        }
    }
}

/// A row's part in a block.
struct WeightRow<'a> {
    weights: &'a mut [f64],
    kept: &'a mut [bool],
    dead: &'a [bool],
}

impl WeightRow<'_> {
    fn solve(self, block: &ColumnBlock, factor: &[f64], pattern: Pattern, errors: &mut [f64]) {
        let width = self.weights.len();
        let mut groups = block.groups.iter().peekable();
        for column in 0..width {
            if let (Some(&(start, size)), Pattern::Grouped { kept, .. }) = (
                groups.next_if(|(start, _)| start - block.start == column),
                pattern,
            ) {
                let first = start - block.start;
                let cost = |c: usize| match self.kept[c] {
                    false => -1.0,
                    true if self.dead[c] => 0.0,
                    true => (self.weights[c] / factor[c * width + c]).abs(),
                };
                let costs: Vec<f64> = (first..first + size).map(cost).collect();
                let group: Vec<usize> = (0..size).collect();
                let mut flags = vec![true; size];
                clear_group(&group, &costs, &mut flags, kept);
                (0..size).for_each(|i| self.kept[first + i] &= flags[i]);
            }
            if self.kept[column] {
                continue;
            }
            let row = &factor[column * width..(column + 1) * width];
            let error = self.weights[column] / row[column];
            errors[column] = error;
            self.weights[column] = 0.0;
            let after = self.weights[column + 1..]
                .iter_mut()
                .zip(&row[column + 1..]);
            after.for_each(|(weight, &u)| *weight -= error * u);
        }
    }
}
