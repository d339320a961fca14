//! What the zeros of a layer amount to: patterns that hold, rows and columns that are dead, hardware that
//! could use them.

use super::mask::{Mask, Weights};
use crate::layers::Layer;
use crate::onnx::ElementType;

/// True if no group of `of` weights along the reduction axis has more than `kept` that are not zero. A last,
/// shorter group is taken as padded with zeros.
pub(crate) fn holds(
    layer: &Layer,
    is_zero: impl Fn(usize) -> bool,
    kept: usize,
    of: usize,
) -> bool {
    let columns = layer.column_offsets();
    let lanes = layer.lanes();
    let alive = |row: usize, group: &[usize]| {
        let alive = group
            .iter()
            .filter(|&&column| !is_zero(row + columns[column]));
        alive.count()
    };
    let groups = || lanes.iter().flat_map(|lane| lane.chunks(of));
    let rows = layer.row_offsets().into_iter();
    rows.into_iter()
        .all(|row| groups().all(|group| alive(row, group) <= kept))
}

/// Rows and columns without a weight that is not zero, over all batches.
pub(crate) fn dead(layer: &Layer, is_zero: impl Fn(usize) -> bool) -> (usize, usize) {
    let offsets = layer.column_offsets();
    let rows = layer.row_offsets();
    let width = layer.columns();
    let per_batch = layer.rows().max(1);
    let mut alive_columns = vec![false; layer.batches() * width];
    let mut dead_rows = 0;
    for (number, row) in rows.iter().enumerate() {
        let own = &mut alive_columns[number / per_batch * width..][..width];
        let mut alive = false;
        for (flag, column) in own.iter_mut().zip(&offsets) {
            if !is_zero(row + column) {
                *flag = true;
                alive = true;
            }
        }
        dead_rows += usize::from(!alive);
    }
    let dead_columns = alive_columns.iter().filter(|alive| !**alive).count();
    (dead_rows, dead_columns)
}

/// What keeps a layer from the 2:4 sparse tensor cores of GPUs; none if its zeros could be used there.
/// Sizes are multiples of 32 bytes, as sparse matrix products ask for.
pub(crate) fn tensor_core_obstacle(
    layer: &Layer,
    element: ElementType,
    is_zero: impl Fn(usize) -> bool,
) -> Option<String> {
    let multiple = 256 / element.bits().max(1) as usize;
    if !layer.sparse_kernels {
        return Some(format!("{} is no matrix product", layer.operator));
    }
    if element == ElementType::Double {
        return Some("64-bit weights".to_owned());
    }
    if layer.batches() > 1 {
        return Some("grouped".to_owned());
    }
    if !layer.reduction().is_multiple_of(multiple) {
        return Some(format!(
            "reduction axis of {} is no multiple of {multiple}",
            layer.reduction()
        ));
    }
    if !layer.rows().is_multiple_of(multiple) {
        return Some(format!(
            "{} rows are no multiple of {multiple}",
            layer.rows()
        ));
    }
    match holds(layer, is_zero, 2, 4) {
        true => None,
        false => Some("2:4 does not hold".to_owned()),
    }
}

impl Weights {
    /// Whether each weight is zero once `mask` is applied, by its place.
    pub(crate) fn zero_under<'a>(&'a self, mask: &'a Mask) -> impl Fn(usize) -> bool + 'a {
        move |place| match (self.magnitude(place), mask) {
            (0, _) => true,
            (bits, Mask::Cut(cut)) => bits < cut.limit || (bits == cut.limit && cut.ties > 0),
            (_, Mask::Kept(kept)) => !kept.contains(place),
        }
    }

    /// Number of weights by the power of two of their absolute value, from the largest down; the last
    /// counts all that are smaller but not zero. With the power of the first.
    pub(crate) fn histogram(&self, buckets: usize) -> (Vec<usize>, i32) {
        let counts = self.fold(
            || [0_usize; 256],
            |counts, bits| {
                if bits != 0 {
                    counts[(bits >> 23) as usize] += 1;
                }
            },
        );
        let mut by_exponent = [0; 256];
        for counts in counts {
            by_exponent
                .iter_mut()
                .zip(counts)
                .for_each(|(sum, count)| *sum += count);
        }
        let largest = (0..256).rev().find(|&e| by_exponent[e] > 0).unwrap_or(127);
        let mut out = vec![0; buckets];
        for (exponent, count) in by_exponent.into_iter().enumerate().take(largest + 1) {
            out[(largest - exponent).min(buckets - 1)] += count;
        }
        (out, largest as i32 - 127)
    }
}
