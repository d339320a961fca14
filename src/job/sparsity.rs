//! Inspecting the zeros of a model.

use std::path::Path;

use rayon::prelude::*;

use super::{Shapes, analyse};
use crate::dimensions::Analysis;
use crate::error::Result;
use crate::layers::{Layer, Layers};
use crate::masks::{Weights, dead, holds};
use crate::onnx::Model;
use crate::ops::CutRules;
use crate::report::{SparsityReport, SparsityRow};

/// Version of the JSON document.
const SCHEMA: &str = "secateur.sparsity/1";
/// N:M patterns that are looked for.
const PATTERNS: [(usize, usize); 5] = [(1, 2), (2, 4), (1, 4), (4, 8), (2, 8)];
/// Powers of two in the histogram of magnitudes.
const BUCKETS: usize = 12;

/// Counts the zeros of the model at `path`, initializer by initializer.
///
/// # Errors
/// The file is no valid model.
pub fn sparsity(path: &Path) -> Result<SparsityReport> {
    let model = Model::load(path)?;
    let analysis = analyse(&model, &Shapes::default(), CutRules::default())?;
    let Layers { layers, left } = Layers::of(&analysis);
    let others = left
        .iter()
        .filter_map(|weight| Layer::flat(&analysis, weight.value));
    let mut all: Vec<Layer> = layers.into_iter().chain(others).collect();
    all.sort_by_key(|layer| layer.value);
    let rows = all.par_iter().map(|layer| row(&analysis, layer));
    let initializers: Vec<SparsityRow> = rows.collect::<Result<_>>()?;
    let sum = |of: fn(&SparsityRow) -> usize| initializers.iter().map(|row| of(row) as u64).sum();
    Ok(SparsityReport {
        schema: SCHEMA,
        model: path.display().to_string(),
        weights: sum(|row| row.weights),
        zeros: sum(|row| row.zeros),
        initializers,
    })
}

fn row(analysis: &Analysis, layer: &Layer) -> Result<SparsityRow> {
    let tensor = analysis
        .graph()
        .constant(layer.value)
        .cloned()
        .unwrap_or_default();
    let weights = Weights::of(&tensor)?;
    let zeros = weights.zeros();
    let is_zero = |place| weights.is_zero(place);
    let fits = |of: usize| zeros > 0 && layer.reduction() >= of;
    let patterns = PATTERNS
        .iter()
        .filter(|&&(kept, of)| fits(of) && holds(layer, is_zero, kept, of));
    let patterns = patterns.map(|(kept, of)| format!("{kept}:{of}")).collect();
    let (dead_rows, dead_columns) = match zeros {
        0 => (0, 0),
        _ => dead(layer, is_zero),
    };
    let (histogram, largest) = weights.histogram(BUCKETS);
    Ok(SparsityRow {
        name: layer.name.clone(),
        operator: layer.operator.clone(),
        shape: layer.dims.clone(),
        weights: weights.len(),
        zeros,
        rows: layer.batches() * layer.rows(),
        dead_rows,
        columns: layer.batches() * layer.columns(),
        dead_columns,
        patterns,
        histogram,
        largest,
    })
}
