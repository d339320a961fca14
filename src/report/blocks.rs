//! Residual branches: those that can be dropped, and those that were.

use std::fmt;

use serde::Serialize;

use super::table::{percent, table};
use crate::dimensions::Totals;

/// A residual branch that can be dropped whole.
#[derive(Clone, Debug, Serialize)]
pub struct BlockRow {
    /// Stable name, for `--drop-blocks`.
    pub name: String,
    /// The node that adds it.
    pub sum: String,
    /// Nodes in it.
    pub nodes: usize,
    /// Parameters that go with it.
    pub params: u64,
    /// Multiply-accumulate operations that go with it.
    pub macs: u64,
    /// Bytes of weights that go with it.
    pub bytes: u64,
}

/// A residual branch that was dropped.
#[derive(Clone, Debug, Serialize)]
pub struct DroppedRow {
    /// Its name.
    pub name: String,
    /// Nodes in it.
    pub nodes: usize,
    /// Parameters that go with it, were it the only one.
    pub params: u64,
    /// Multiply-accumulate operations that go with it.
    pub macs: u64,
    /// Divergence of the outputs from the original's with it and those dropped before it off, without recovery; none where
    /// it was named.
    pub divergence: Option<f64>,
}

pub(super) fn write_blocks(
    blocks: &[BlockRow],
    totals: &Totals,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    if blocks.is_empty() {
        return Ok(());
    }
    let mut rows = table(
        &["residual block", "added by", "nodes", "params", "MACs"],
        2,
    );
    for row in blocks {
        rows.add_row([
            row.name.clone(),
            row.sum.clone(),
            row.nodes.to_string(),
            percent(row.params, totals.params),
            percent(row.macs, totals.macs),
        ]);
    }
    writeln!(f, "{rows}")
}

pub(super) fn write_dropped(
    dropped: &[DroppedRow],
    before: &Totals,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    if dropped.is_empty() {
        return Ok(());
    }
    let headings = ["dropped block", "nodes", "params", "MACs", "divergence"];
    let mut rows = table(&headings, 1);
    for row in dropped {
        let divergence = row.divergence;
        rows.add_row([
            row.name.clone(),
            row.nodes.to_string(),
            percent(row.params, before.params),
            percent(row.macs, before.macs),
            divergence.map_or("named".to_owned(), |of| format!("{of:.5}")),
        ]);
    }
    writeln!(f, "{rows}")
}
