//! Zero points that stand several to a byte, in rows that start in bytes of their own.

use std::collections::HashMap;

use crate::axes::Kept;
use crate::dimensions::Analysis;
use crate::graph::ValueId;
use crate::onnx::{pack, unpacked};
use crate::ops::{BlockCodes, ZeroCodes};

/// What stays of rows of codes.
pub(super) struct CodeRows {
    /// Codes of a row, and bits of one.
    row: usize,
    bits: u32,
    kept: Vec<u32>,
}

impl CodeRows {
    /// The rows in bytes, without what does not stay.
    pub(super) fn packed(&self, bytes: &[u8]) -> Vec<u8> {
        let width = (self.row * self.bits as usize).div_ceil(8).max(1);
        let rows = bytes.chunks_exact(width).flat_map(|row| {
            let codes = unpacked(row, self.bits, self.row);
            let kept = self.kept.iter().filter_map(|&at| codes.get(at as usize));
            pack(&kept.copied().collect::<Vec<u8>>(), self.bits)
        });
        rows.collect()
    }

    /// The dims of a tensor of so many bytes, that had these but for the codes which went; the last is that of the bytes.
    pub(super) fn dims(&self, mut dims: Vec<usize>, bytes: usize) -> Vec<usize> {
        if let Some(last) = dims.pop() {
            let rows: usize = dims.iter().product();
            dims.push(bytes.checked_div(rows).unwrap_or(last));
        }
        dims
    }
}

/// The zero points that lose codes, by value.
pub(super) fn repacked(analysis: &Analysis, kept: &Kept) -> HashMap<ValueId, CodeRows> {
    let codes = analysis.state.block_codes().iter();
    codes
        .filter_map(|codes| lost(analysis, kept, codes))
        .collect()
}

fn lost(analysis: &Analysis, kept: &Kept, codes: &BlockCodes) -> Option<(ValueId, CodeRows)> {
    let ZeroCodes::Repacked(slot, row) = codes.zeros else {
        return None;
    };
    let types = &analysis.state.types;
    let (axis, block) = codes.block;
    let numbers = codes.axes.get(axis)?;
    if !types.is_pruned(numbers, kept) {
        return None;
    }
    let value = analysis.graph().node(codes.node).input(slot)?;
    let places = types.kept_positions(numbers, kept).into_iter();
    let block = u32::try_from(block).ok().filter(|&block| block > 0)?;
    let mut blocks: Vec<u32> = places.map(|place| place / block).collect();
    blocks.dedup();
    let bits = u32::try_from(codes.codes.1?).ok()?;
    let rows = CodeRows {
        row,
        bits,
        kept: blocks,
    };
    Some((value, rows))
}
