//! Moments over batches of samples, and what they are of.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use faer::Mat;

use super::unit::{Moments, Unit};
use crate::algebra::from_rows;
use crate::engine::own_batches;
use crate::runtime::Tensor;

/// TapNames of what is measured of a unit in a segment.
#[derive(Clone, Debug, Default)]
pub(super) struct TapNames {
    pub(super) shape: String,
    pub(super) gram: String,
    pub(super) inputs: String,
    pub(super) cross: String,
    pub(super) targets: String,
    pub(super) energy: String,
}

/// Moments of outputs over batches of samples, by name.
#[derive(Default)]
pub(super) struct TapTotals(BTreeMap<String, Vec<f64>>);

impl TapTotals {
    pub(super) fn add(&mut self, outputs: &HashMap<String, Tensor>) {
        for (name, tensor) in outputs {
            let known = self.0.entry(name.clone()).or_default();
            match tensor {
                Tensor::Float(part) => {
                    known.resize(part.len(), 0.0);
                    let pairs = known.iter_mut().zip(part);
                    pairs.for_each(|(known, &part)| *known += f64::from(part));
                }
                // A shape: its rows add up.
                Tensor::Int64(part) => {
                    known.resize(part.len(), 0.0);
                    let pairs = known.iter_mut().zip(part);
                    pairs.for_each(|(known, &part)| *known += part as f64);
                }
                _ => {}
            }
        }
    }

    pub(super) fn of(&self, name: &str) -> &[f64] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    pub(super) fn sums(&self, unit: &Unit, names: &TapNames) -> Moments {
        let columns: usize = unit.members.iter().map(|layer| layer.columns()).sum();
        let (own, rows) = match unit.members[..] {
            [layer, ..] => (own_batches(layer), layer.rows()),
            [] => return Moments::default(),
        };
        let matrix = |name: &str, batch: usize, rows: usize| {
            let part = self.of(name).get(batch * rows * columns..)?;
            Some(from_rows(rows, columns, part.get(..rows * columns)?))
        };
        let vector = |name: &str, batch: usize, length: usize| {
            let part = self.of(name).get(batch * length..)?;
            Some(part.get(..length)?.to_vec())
        };
        let gram = own.iter().filter_map(|&b| matrix(&names.gram, b, columns));
        let all = 0..own.len();
        Moments {
            rows: self.of(&names.shape).get(1).copied().unwrap_or(0.0),
            gram: Arc::new(gram.collect()),
            inputs: own
                .iter()
                .filter_map(|&b| vector(&names.inputs, b, columns))
                .collect(),
            cross: all
                .clone()
                .filter_map(|b| matrix(&names.cross, b, rows))
                .collect(),
            targets: all
                .clone()
                .filter_map(|b| vector(&names.targets, b, rows))
                .collect(),
            energy: all.filter_map(|b| vector(&names.energy, b, rows)).collect(),
        }
    }
}

/// `[batches, columns, rows]`
pub(super) fn transposed(matrices: &[Mat<f64>]) -> Tensor {
    let (rows, columns) = matrices.first().map_or((0, 0), |m| (m.nrows(), m.ncols()));
    let numbers = matrices.iter().flat_map(|matrix| {
        (0..columns).flat_map(move |j| (0..rows).map(move |i| matrix[(i, j)] as f32))
    });
    float(&[matrices.len(), columns, rows], numbers.collect())
}

/// `[batches, 1, rows]`
pub(super) fn stacked(vectors: &[Vec<f64>]) -> Tensor {
    let rows = vectors.first().map_or(0, Vec::len);
    let numbers = vectors.iter().flatten().map(|&number| number as f32);
    float(&[vectors.len(), 1, rows], numbers.collect())
}

fn float(shape: &[usize], numbers: Vec<f32>) -> Tensor {
    let array = ndarray::ArrayD::from_shape_vec(shape, numbers);
    Tensor::Float(array.unwrap_or_else(|_| ndarray::ArrayD::zeros(ndarray::IxDyn(&[0]))))
}
