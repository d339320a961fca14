//! What is measured of the columns of a layer.

use std::collections::BTreeMap;

use rayon::prelude::*;

use crate::algebra::{Products, folded};
use crate::engine::{Matrices, own_batches};
use crate::layers::Layer;

/// Numbers that are reduced at a time, and rows of them at most, as they are reduced in 32 bits.
const BLOCK: usize = 1 << 17;
const MOST_ROWS: usize = 4096;

/// A reduction of a layer's columns over rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Statistic {
    /// Sums.
    Sums,
    /// Sums of squares.
    Squares,
    /// Sums of products of all pairs: a Gram matrix.
    Products,
    /// The minimum.
    Min,
    /// The maximum.
    Max,
    /// The number of zeros.
    Zeros,
}

impl Statistic {
    /// Numbers per batch of a layer.
    pub(super) fn width(self, layer: &Layer) -> usize {
        match self {
            Statistic::Products => layer.columns() * layer.columns(),
            _ => layer.columns(),
        }
    }

    /// Takes a part into what is known.
    fn join(self, known: &mut f64, part: f64) {
        *known = match self {
            // Not a number stays so: it is found out about at the end.
            Statistic::Min if !part.is_nan() => known.min(part),
            Statistic::Max if !part.is_nan() => known.max(part),
            _ => *known + part,
        }
    }

    fn start(self) -> f64 {
        match self {
            Statistic::Min => f64::INFINITY,
            Statistic::Max => f64::NEG_INFINITY,
            _ => 0.0,
        }
    }

    /// What rows give by column; of products nothing.
    fn reduced(self, rows: &[f32], columns: usize) -> Vec<f32> {
        let sum = |of: fn(f32) -> f32| folded(rows, columns, 0.0, |sum, x| sum + of(x));
        match self {
            Statistic::Sums => sum(|x| x),
            Statistic::Squares => sum(|x| x * x),
            Statistic::Zeros => sum(|x| f32::from(u8::from(x == 0.0))),
            Statistic::Min => folded(rows, columns, f32::INFINITY, f32::min),
            Statistic::Max => folded(rows, columns, f32::NEG_INFINITY, f32::max),
            Statistic::Products => Vec::new(),
        }
    }
}

/// Statistics of the columns of one value while batches of samples come in.
#[derive(Default)]
pub(super) struct Measured {
    pub(super) rows: u64,
    reduced: BTreeMap<Statistic, Vec<f64>>,
    products: Vec<Products>,
}

impl Measured {
    /// Takes the rows of a batch of samples in.
    pub(super) fn add(&mut self, matrices: &Matrices<'_>, wanted: &[Statistic]) {
        let &Matrices {
            batches,
            rows,
            columns,
            ..
        } = matrices;
        self.rows += rows as u64;
        if wanted.contains(&Statistic::Products) {
            self.products.resize_with(batches, Products::default);
            let each = self.products.par_iter_mut().enumerate();
            each.for_each(|(batch, products)| products.add_own(matrices.matrix(batch), rows));
        }
        let others = wanted.iter().copied();
        let others: Vec<Statistic> = others.filter(|&of| of != Statistic::Products).collect();
        for &statistic in &others {
            let start = || vec![statistic.start(); batches * columns];
            self.reduced.entry(statistic).or_insert_with(start);
        }
        let width = columns.max(1);
        let block = (BLOCK / width).clamp(1, MOST_ROWS) * width;
        let reduced = |rows: &[f32]| -> Vec<Vec<f32>> {
            let each = others.iter();
            each.map(|statistic| statistic.reduced(rows, columns))
                .collect()
        };
        // Many small batches are no task each.
        let together = (BLOCK / (rows * width).max(1)).max(1);
        let all = (0..batches).into_par_iter().with_min_len(together);
        let parts = all.flat_map(|batch| {
            let blocks = matrices.matrix(batch).par_chunks(block);
            blocks.map(move |rows| (batch, reduced(rows)))
        });
        let parts: Vec<(usize, Vec<Vec<f32>>)> = parts.collect();
        for (batch, parts) in &parts {
            for (statistic, part) in others.iter().zip(parts) {
                let known = self.reduced.get_mut(statistic).map(Vec::as_mut_slice);
                let known = known.unwrap_or_default();
                let pairs = known[batch * columns..].iter_mut().zip(part);
                pairs.for_each(|(known, &part)| statistic.join(known, f64::from(part)));
            }
        }
    }

    /// The numbers of a statistic, by batch.
    fn numbers(&self, statistic: Statistic, width: usize) -> Vec<Vec<f64>> {
        match statistic {
            Statistic::Products => {
                let each = self.products.iter();
                each.map(Products::symmetric_numbers).collect()
            }
            _ => {
                let numbers = self.reduced.get(&statistic).into_iter().flatten();
                let numbers: Vec<f64> = numbers.copied().collect();
                let chunks = numbers.chunks(width.max(1));
                chunks.map(<[f64]>::to_vec).collect()
            }
        }
    }
}

/// What was measured of the columns of a layer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Statistics {
    /// Number of rows that were reduced: samples times places.
    pub(crate) rows: u64,
    /// By batch of the layer; Gram matrices row by row.
    pub(crate) found: BTreeMap<Statistic, Vec<Vec<f64>>>,
}

impl Statistics {
    /// The numbers of a statistic by batch of the layer; empty if it was not measured.
    pub(crate) fn of(&self, statistic: Statistic) -> &[Vec<f64>] {
        self.found.get(&statistic).map_or(&[], Vec::as_slice)
    }

    /// As [`Statistics::of`], moved out.
    pub(crate) fn take(&mut self, statistic: Statistic) -> Vec<Vec<f64>> {
        self.found.remove(&statistic).unwrap_or_default()
    }

    /// True if all are numbers.
    pub(super) fn are_finite(&self) -> bool {
        let mut all = self.found.values().flatten().flatten();
        all.all(|number| number.is_finite())
    }

    /// Joins what was measured of one use of the layer; data that its batches share counts for each.
    pub(super) fn join(&mut self, part: &Measured, wanted: &[Statistic], layer: &Layer) {
        self.rows += part.rows;
        for &statistic in wanted {
            let numbers = part.numbers(statistic, statistic.width(layer));
            let own = own_batches(layer);
            let Some(known) = self.found.get_mut(&statistic) else {
                let own = match own.iter().copied().eq(0..numbers.len()) {
                    true => numbers,
                    false => own.iter().map(|&batch| numbers[batch].clone()).collect(),
                };
                self.found.insert(statistic, own);
                continue;
            };
            for (known, batch) in known.iter_mut().zip(own) {
                let pairs = known.iter_mut().zip(&numbers[batch]);
                pairs.for_each(|(known, &part)| statistic.join(known, part));
            }
        }
    }
}
