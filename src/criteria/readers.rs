//! Who reads a dimension's channels: the columns of layers.

use std::collections::BTreeMap;

use crate::dimensions::{Analysis, Dimension};
use crate::layers::Layer;

/// One matrix of a layer whose columns read a dimension.
pub(super) struct ReaderMatrix<'a> {
    pub(super) layer: &'a Layer,
    pub(super) batch: usize,
    /// The channels that it reads.
    pub(super) channels: Vec<u32>,
    /// By channel of these the columns that read it.
    pub(super) columns: Vec<Vec<usize>>,
    /// By channel of these the rows that make it: they go with it, so what happens to them is no loss.
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
            let columns = by_channel(columns);
            let mut rows = by_channel(rows);
            if !columns.is_empty() {
                let channels: Vec<u32> = columns.keys().copied().collect();
                let own = channels.iter().map(|channel| rows.remove(channel));
                out.push(ReaderMatrix {
                    layer,
                    batch,
                    rows: own.map(Option::unwrap_or_default).collect(),
                    channels,
                    columns: columns.into_values().collect(),
                });
            }
        }
    }
    out
}

fn by_channel(labels: &[Option<u32>]) -> BTreeMap<u32, Vec<usize>> {
    let mut out: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (place, label) in labels.iter().enumerate() {
        if let Some(label) = label {
            out.entry(*label).or_default().push(place);
        }
    }
    out
}
