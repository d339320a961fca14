//! The fold of removed channels into those kept, by the dense model's statistics alone: with the
//! covariance S of what a layer reads, the kept columns K get `W S[:, K] (S[K, K] + lambda I)^-1` (CORP).

use std::collections::BTreeMap;

use faer::{Mat, Scale};

use super::Recovered;
use crate::algebra::{Damped, columns, square};
use crate::axes::VarId;
use crate::dimensions::Analysis;
use crate::error::Result;
use crate::layers::Addition;
use crate::layers::Layer;
use crate::onnx::{ElementType, packed};
use crate::rewrite::{Edit, rows_with_constants};
use crate::statistics::Stats;

/// Ridge in mean diagonals.
pub(super) const FOLD: f64 = 1e-3;

/// Weights of the columns that stay which come nearest to all columns: rows by columns kept.
pub(super) fn folded(weights: &Mat<f64>, covariance: &Mat<f64>, kept: &[usize]) -> Mat<f64> {
    let cross = weights * columns(covariance.as_ref(), kept);
    let damped = Damped::new(square(covariance.as_ref(), kept).as_ref(), FOLD);
    let right = cross + columns(weights.as_ref(), kept) * Scale(damped.lambda);
    damped.solve(right.as_ref())
}

/// What the layers that read a dimension become when only the channels `kept` of it stay.
///
/// # Errors
/// Statistics of other layers, or weights that are no numbers.
pub(crate) fn fold_dimension(
    analysis: &Analysis,
    layers: &[Layer],
    stats: &Stats,
    dimension: VarId,
    kept: &[u32],
) -> Result<Recovered> {
    let mut recovered = Recovered {
        edits: BTreeMap::new(),
        constants: Vec::new(),
        layers: Vec::new(),
    };
    for layer in layers {
        let axes = analysis.state.axes(layer.value).unwrap_or_default();
        let has = |ty| analysis.state.types.vars(ty).contains(&dimension);
        if !axes.iter().any(has) {
            continue;
        }
        let labels = layer.column_channels(analysis, dimension);
        if labels.iter().flatten().all(Option::is_none) {
            continue;
        }
        fold_layer(analysis, layer, stats, &labels, kept, &mut recovered)?;
    }
    Ok(recovered)
}

fn fold_layer(
    analysis: &Analysis,
    layer: &Layer,
    stats: &Stats,
    labels: &[Vec<Option<u32>>],
    kept: &[u32],
    recovered: &mut Recovered,
) -> Result<()> {
    let mut weights = layer.matrices(analysis.graph())?;
    let means = stats.layer(layer)?.mean;
    let mut added = Vec::with_capacity(layer.batches() * layer.rows());
    for (batch, labels) in labels.iter().enumerate() {
        let stays = |label: &Option<u32>| label.is_none_or(|channel| kept.contains(&channel));
        let columns: Vec<usize> = (0..labels.len()).filter(|&c| stays(&labels[c])).collect();
        if columns.len() == labels.len() || columns.is_empty() {
            added.extend(vec![0.0; layer.rows()]);
            continue;
        }
        let new = folded(&weights[batch], &stats.covariance(layer, batch)?, &columns);
        let old = &mut weights[batch];
        for row in 0..old.nrows() {
            let before: f64 = (0..old.ncols())
                .map(|c| old[(row, c)] * means[batch][c])
                .sum();
            let now = columns.iter().enumerate();
            let after: f64 = now.map(|(at, &c)| new[(row, at)] * means[batch][c]).sum();
            added.push((before - after) as f32);
            for (at, &column) in columns.iter().enumerate() {
                old[(row, column)] = new[(row, at)];
            }
        }
    }
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
    Ok(())
}
