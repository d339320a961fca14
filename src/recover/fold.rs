//! The fold of removed channels into those kept, by the dense model's statistics alone: with the
//! covariance S of what a layer reads, the kept columns K get `W S[:, K] (S[K, K] + lambda I)^-1` (CORP).

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};

use faer::{Mat, Scale};

use super::Recovered;
use crate::algebra::{Damped, columns, part, square};
use crate::axes::VarId;
use crate::dimensions::Analysis;
use crate::error::Result;
use crate::graph::ValueId;
use crate::layers::Addition;
use crate::layers::Layer;
use crate::onnx::{ElementType, packed};
use crate::rewrite::{Edit, rows_with_constants};
use crate::statistics::Stats;

/// Ridge in mean diagonals.
pub(super) const FOLD: f64 = 1e-3;
/// Bytes of inverses that are kept for other dimensions and sizes.
const MOST_WAITING: usize = 512 << 20;

/// Weights of the columns that stay which come nearest to all columns: rows by columns kept.
pub(super) fn folded(weights: &Mat<f64>, covariance: &Mat<f64>, kept: &[usize]) -> Mat<f64> {
    let cross = weights * columns(covariance.as_ref(), kept);
    let damped = Damped::new(square(covariance.as_ref(), kept).as_ref(), FOLD);
    let right = cross + columns(weights.as_ref(), kept) * Scale(damped.lambda);
    damped.solve(right.as_ref())
}

/// Folds of single dimensions. With `P = (S + lambda I)^-1`, once for all dimensions and sizes, the fold of columns
/// G into K is `W_K - W_G (P_GG)^-1 P_GK`.
pub(crate) struct Folds<'a> {
    analysis: &'a Analysis,
    layers: &'a [Layer],
    stats: &'a Stats,
    /// By layer and batch.
    inverses: HashMap<(ValueId, usize), Mat<f64>>,
    bytes: usize,
}

impl<'a> Folds<'a> {
    pub(crate) fn new(analysis: &'a Analysis, layers: &'a [Layer], stats: &'a Stats) -> Folds<'a> {
        Folds {
            analysis,
            layers,
            stats,
            inverses: HashMap::new(),
            bytes: 0,
        }
    }

    /// What the layers that read a dimension become when only the channels `kept` of it stay.
    ///
    /// # Errors
    /// Statistics of other layers, or weights that are no numbers.
    pub(crate) fn of(&mut self, dimension: VarId, kept: &[u32]) -> Result<Recovered> {
        let analysis = self.analysis;
        let kept: HashSet<u32> = kept.iter().copied().collect();
        let mut recovered = Recovered {
            edits: BTreeMap::new(),
            constants: Vec::new(),
            layers: Vec::new(),
        };
        for layer in self.layers {
            let axes = analysis.state.axes(layer.value).unwrap_or_default();
            let has = |ty| analysis.state.types.vars(ty).contains(&dimension);
            if !axes.iter().any(has) {
                continue;
            }
            let labels = layer.column_channels(analysis, dimension);
            if labels.iter().flatten().all(Option::is_none) {
                continue;
            }
            let (weights, added) = self.layer(layer, &labels, &kept)?;
            enter(analysis, layer, &weights, added, &mut recovered);
        }
        Ok(recovered)
    }

    /// The weights by batch, and what is added to the rows.
    fn layer(
        &mut self,
        layer: &Layer,
        labels: &[Vec<Option<u32>>],
        kept: &HashSet<u32>,
    ) -> Result<(Vec<Mat<f64>>, Vec<f32>)> {
        let mut weights = layer.matrices(self.analysis.graph())?;
        let means = self.stats.layer(layer)?.mean;
        let mut added = Vec::with_capacity(layer.batches() * layer.rows());
        for (batch, labels) in labels.iter().enumerate() {
            let stays = |label: &Option<u32>| label.is_none_or(|channel| kept.contains(&channel));
            let all = 0..labels.len();
            let (stay, gone): (Vec<usize>, Vec<usize>) = all.partition(|&c| stays(&labels[c]));
            if gone.is_empty() || stay.is_empty() {
                added.extend(vec![0.0; layer.rows()]);
                continue;
            }
            let inverse = self.inverse(layer, batch)?;
            let old = &mut weights[batch];
            let new = without(old, inverse, &stay, &gone);
            let mean = &means[batch];
            let sums = |matrix: &Mat<f64>, row: usize, at: &[usize]| -> f64 {
                let numbers = at.iter().enumerate();
                numbers.map(|(j, &c)| matrix[(row, j)] * mean[c]).sum()
            };
            let every: Vec<usize> = (0..labels.len()).collect();
            for row in 0..old.nrows() {
                added.push((sums(old, row, &every) - sums(&new, row, &stay)) as f32);
            }
            for (at, &column) in stay.iter().enumerate() {
                old.col_mut(column).copy_from(new.col(at));
            }
        }
        Ok((weights, added))
    }

    fn inverse(&mut self, layer: &Layer, batch: usize) -> Result<&Mat<f64>> {
        let key = (layer.value, batch);
        if !self.inverses.contains_key(&key) {
            let size = 8 * layer.columns() * layer.columns();
            if self.bytes + size > MOST_WAITING {
                self.inverses.clear();
                self.bytes = 0;
            }
            self.bytes += size;
        }
        match self.inverses.entry(key) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(free) => {
                let covariance = self.stats.covariance(layer, batch)?;
                Ok(free.insert(Damped::new(covariance.as_ref(), FOLD).inverse()))
            }
        }
    }
}

/// The weights of the columns that stay once the others are folded into them, given the inverse for all.
fn without(weights: &Mat<f64>, inverse: &Mat<f64>, stay: &[usize], gone: &[usize]) -> Mat<f64> {
    let inverse = inverse.as_ref();
    let own = Damped::new(square(inverse, gone).as_ref(), 0.0);
    let moved = own.solve(columns(weights.as_ref(), gone).as_ref());
    columns(weights.as_ref(), stay) - moved * part(inverse, gone, stay)
}

fn enter(
    analysis: &Analysis,
    layer: &Layer,
    weights: &[Mat<f64>],
    added: Vec<f32>,
    recovered: &mut Recovered,
) {
    let element = analysis.graph().element(layer.value);
    let numbers: Vec<f32> = weights
        .iter()
        .flat_map(|matrix| {
            let rows = 0..matrix.nrows();
            rows.flat_map(move |i| (0..matrix.ncols()).map(move |j| matrix[(i, j)] as f32))
        })
        .collect();
    let bytes: bytes::Bytes = packed(
        &layer.scatter(&numbers),
        element.unwrap_or(ElementType::Float),
    )
    .into();
    recovered.edits.insert(layer.value, Edit::Bytes(bytes));
    if let ([linear], Some(_)) = (&layer.uses[..], rows_with_constants(analysis, layer)) {
        recovered.constants.push(Addition {
            linear: linear.clone(),
            added,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_to_fold_agree() {
        let entry = |i: usize, j: usize| ((i * 31 + j * 17) % 11) as f64 / 11.0 - 0.4;
        let data = Mat::from_fn(40, 6, |i, j| entry(i, j) + f64::from(i == j));
        let covariance = data.transpose() * &data;
        let weights = Mat::from_fn(3, 6, |i, j| entry(j, i + 3));
        let (stay, gone) = ([0, 2, 5], [1, 3, 4]);
        let inverse = Damped::new(covariance.as_ref(), 1e-9).inverse();
        let new = without(&weights, &inverse, &stay, &gone);
        let right = &weights * columns(covariance.as_ref(), &stay);
        let left = &new * square(covariance.as_ref(), &stay);
        for j in 0..3 {
            for i in 0..3 {
                assert!((left[(i, j)] - right[(i, j)]).abs() < 1e-6, "{i} {j}");
            }
        }
    }
}
