//! Where the weights of a pruned layer stand in the dense one.

use crate::axes::Kept;
use crate::dimensions::Analysis;
use crate::error::Result;
use crate::layers::Layer;
use crate::rewrite::kept_elements;

/// One matrix of a pruned layer: its matrix, rows and columns in the dense layer.
#[derive(Clone, Debug)]
pub(super) struct Places {
    pub(super) batch: usize,
    pub(super) rows: Vec<usize>,
    pub(super) columns: Vec<usize>,
}

/// By matrix of `pruned` its place in `dense`, and by element of the pruned initializer its place in the dense
/// one.
pub(super) fn places(
    analysis: &Analysis,
    kept: &Kept,
    dense: &Layer,
    pruned: &Layer,
) -> Result<Option<(Vec<Places>, Vec<u32>)>> {
    let axes = analysis.state.axes(dense.value).unwrap_or_default();
    let elements = kept_elements(&dense.dims, axes, &analysis.state.types, kept)?;
    let numbered = u32::try_from(dense.len());
    let (true, Ok(count)) = (
        elements.len() == pruned.len() && !pruned.is_empty(),
        numbered,
    ) else {
        return Ok(None);
    };
    let offsets: Vec<u32> = (0..count).collect();
    let mut coordinates = vec![0; dense.len()];
    for (place, &offset) in dense.gather(&offsets).iter().enumerate() {
        coordinates[offset as usize] = place;
    }
    let (rows, columns) = (dense.rows(), dense.columns());
    let order = pruned.gather(&elements);
    let own = (pruned.rows(), pruned.columns());
    let matrices = order.chunks_exact(own.0 * own.1).map(|matrix| {
        let place = |element: u32| coordinates[element as usize];
        let first = matrix.iter().step_by(own.1).map(|&element| place(element));
        Places {
            batch: place(matrix[0]) / (rows * columns),
            rows: first.map(|at| at / columns % rows).collect(),
            columns: matrix[..own.1]
                .iter()
                .map(|&element| place(element) % columns)
                .collect(),
        }
    });
    Ok(Some((matrices.collect(), elements)))
}
