//! What is measured of the columns of a layer.

use std::collections::BTreeMap;

use crate::engine::{Taps, own_batches};
use crate::layers::Layer;
use crate::runtime::Tensor;

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
    /// Name of what nodes make of `matrix`, `[batches, rows, columns]`: `[batches, columns]`, or
    /// `[batches, columns, columns]` for products.
    pub(super) fn tap(self, taps: &mut Taps, matrix: &str) -> String {
        taps.shared(&format!("{matrix} {self:?}"), |taps| match self {
            Statistic::Sums => taps.reduce("ReduceSum", matrix),
            Statistic::Squares => taps.reduce("ReduceSumSquare", matrix),
            Statistic::Min => taps.reduce("ReduceMin", matrix),
            Statistic::Max => taps.reduce("ReduceMax", matrix),
            Statistic::Products => taps.products(matrix, matrix),
            Statistic::Zeros => {
                let zeros = taps.zeros(matrix);
                taps.reduce("ReduceSum", &zeros)
            }
        })
    }

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

    /// Joins what a batch of samples gave to what is known.
    pub(super) fn accumulate(self, known: &mut Vec<f64>, part: &Tensor) {
        let Tensor::Float(part) = part else { return };
        known.resize(part.len(), self.start());
        for (known, &part) in known.iter_mut().zip(part) {
            self.join(known, f64::from(part));
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

    /// Joins a statistic of one use of the layer; data that its batches share counts for each.
    pub(super) fn join(&mut self, statistic: Statistic, part: &[f64], layer: &Layer) {
        let width = statistic.width(layer);
        let start = || vec![vec![statistic.start(); width]; layer.batches()];
        let known = self.found.entry(statistic).or_insert_with(start);
        for (known, place) in known.iter_mut().zip(own_batches(layer)) {
            for (known, &part) in known.iter_mut().zip(&part[place * width..][..width]) {
                statistic.join(known, part);
            }
        }
    }
}
