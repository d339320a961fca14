//! What zeros would save: deflated size from samples, sparse size from counts.

use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::DeflateEncoder;
use rayon::prelude::*;

use crate::masks::Weights;
use crate::rewrite::Edit;

/// Bytes per sample, and samples per tensor: enough for an estimate, little enough for large models.
const SAMPLE: usize = 64 << 10;
const SAMPLES: usize = 4;

/// Estimated bytes of a tensor before and after an edit, deflated.
pub(super) fn deflated(weights: &Weights, edit: &Edit) -> (u64, u64) {
    let pieces = weights.samples(SAMPLE, SAMPLES);
    let sizes = pieces.into_par_iter().map(|range| {
        let before = weights.piece(range.clone());
        let after: Bytes = match edit {
            Edit::Mask(mask) => weights.masked_piece(range.clone(), mask).into(),
            Edit::Bytes(bytes) => weights.piece_of(bytes, range),
        };
        [before.len(), shrunk(&before), shrunk(&after)]
    });
    let sum = |a: [usize; 3], b: [usize; 3]| std::array::from_fn(|i| a[i] + b[i]);
    let [sampled, before, after] = sizes.reduce(|| [0; 3], sum);
    let scale = weights.byte_length() as f64 / sampled.max(1) as f64;
    let whole = |bytes: usize| (bytes as f64 * scale).round() as u64;
    (whole(before), whole(after))
}

/// Number of bytes after deflating; the fastest level, as the gain from zeros hardly depends on it.
fn shrunk(bytes: &[u8]) -> usize {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    // Writing to memory does not fail.
    let written = encoder.write_all(bytes).and_then(|()| encoder.finish());
    written.map_or(bytes.len(), |out| out.len())
}
