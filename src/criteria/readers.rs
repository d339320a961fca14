//! Who reads a dimension's channels: the columns of layers.

use crate::dimensions::{Analysis, Dimension};
use crate::layers::Layer;

/// One matrix of a layer whose columns read a dimension.
pub(super) struct ReaderMatrix<'a> {
    pub(super) layer: &'a Layer,
    pub(super) batch: usize,
    /// By channel the columns that read it.
    pub(super) columns: Vec<Vec<usize>>,
    /// By channel the rows that make it: they go with it, so what happens to them is no loss.
    pub(super) rows: Vec<Vec<usize>>,
}

/// The matrices that read `dimension`.
pub(super) fn readers<'a>(
    analysis: &Analysis,
    layers: &[&'a Layer],
    dimension: &Dimension,
) -> Vec<ReaderMatrix<'a>> {
    let mut out = Vec::new();
    for &layer in layers {
        let axes = analysis.state.axes(layer.value).unwrap_or_default();
        let vars = |ty| analysis.state.types.vars(ty);
        if !axes.iter().any(|ty| vars(ty).contains(&dimension.var)) {
            continue;
        }
        let columns = layer.column_channels(analysis, dimension.var);
        let rows = layer.row_channels(analysis, dimension.var);
        for (batch, (columns, rows)) in columns.iter().zip(&rows).enumerate() {
            if columns.iter().any(Option::is_some) {
                out.push(ReaderMatrix {
                    layer,
                    batch,
                    columns: by_channel(columns, dimension.size),
                    rows: by_channel(rows, dimension.size),
                });
            }
        }
    }
    out
}

fn by_channel(labels: &[Option<u32>], channels: usize) -> Vec<Vec<usize>> {
    let mut out = vec![Vec::new(); channels];
    for (place, label) in labels.iter().enumerate() {
        if let Some(label) = label {
            out[*label as usize].push(place);
        }
    }
    out
}
