//! Which weights of a layer go: the lowest keys, as a scope or pattern groups them. `true` means kept.

use rayon::prelude::*;

use super::keys::Keyed;
use super::settings::Pattern;
use crate::layers::Layer;

/// The nearest number of zeros to a share of `count` weights; halves go to the even number, as in numpy.
pub(super) fn quota(count: usize, share: f64) -> usize {
    ((count as f64 * share).round_ties_even() as usize).min(count)
}

/// Clears the flags of the `zeros` lowest keys; of equal ones the earliest.
pub(super) fn clear_lowest(keys: &[u32], kept: &mut [bool], zeros: usize) {
    if zeros == 0 {
        return;
    }
    if zeros >= keys.len() {
        kept.fill(false);
        return;
    }
    let mut sorted = keys.to_vec();
    let limit = *sorted.select_nth_unstable(zeros - 1).1;
    let below = keys.iter().filter(|key| **key < limit).count();
    let mut ties = zeros - below;
    for (kept, &key) in kept.iter_mut().zip(keys) {
        let tie = key == limit && ties > 0;
        ties -= usize::from(tie);
        *kept = key > limit || (key == limit && !tie);
    }
}

/// The `zeros` lowest of the whole layer.
pub(super) fn in_layer(keyed: &Keyed, zeros: usize) -> Vec<bool> {
    let mut kept = vec![true; keyed.keys.len()];
    clear_lowest(&keyed.keys, &mut kept, zeros);
    kept
}

/// The `zeros` lowest of several layers together.
pub(super) fn in_all(layers: &[Keyed], zeros: usize) -> Vec<Vec<bool>> {
    let keys: Vec<u32> = layers
        .iter()
        .flat_map(|keyed| &keyed.keys)
        .copied()
        .collect();
    let mut kept = vec![true; keys.len()];
    clear_lowest(&keys, &mut kept, zeros);
    let mut rest = kept.as_slice();
    let part = |keyed: &Keyed| {
        let (own, after) = rest.split_at(keyed.keys.len());
        rest = after;
        own.to_vec()
    };
    layers.iter().map(part).collect()
}

/// The lowest of each row, `zeros` in all: rows differ by at most one.
pub(super) fn in_rows(keyed: &Keyed, zeros: usize) -> Vec<bool> {
    let mut kept = vec![true; keyed.keys.len()];
    let rows = keyed.keys.len() / keyed.columns.max(1);
    let up_to = |row: usize| (zeros as u128 * row as u128 / rows.max(1) as u128) as usize;
    kept.par_chunks_mut(keyed.columns.max(1))
        .zip(keyed.keys.par_chunks(keyed.columns.max(1)))
        .enumerate()
        .for_each(|(row, (kept, keys))| clear_lowest(keys, kept, up_to(row + 1) - up_to(row)));
    kept
}

/// The lowest `of - kept` of every `of` weights along the reduction axis. A last, shorter group keeps at
/// most as many as a full one, so that the pattern holds when the axis is padded with zeros.
pub(super) fn in_groups(layer: &Layer, keyed: &Keyed, kept: usize, of: usize) -> Vec<bool> {
    let lanes = layer.lanes();
    let mut out = vec![true; keyed.keys.len()];
    out.par_chunks_mut(keyed.columns.max(1))
        .zip(keyed.keys.par_chunks(keyed.columns.max(1)))
        .for_each(|(flags, keys)| {
            for group in lanes.iter().flat_map(|lane| lane.chunks(of)) {
                clear_group(group, keys, flags, kept);
            }
        });
    out
}

/// Clears all of a group but the `kept` highest; of equal keys the later stays.
pub(super) fn clear_group<K: PartialOrd>(
    group: &[usize],
    keys: &[K],
    flags: &mut [bool],
    kept: usize,
) {
    for (place, &column) in group.iter().enumerate() {
        let later = |(other, &rival): (usize, &usize)| {
            keys[rival] > keys[column] || (keys[rival] == keys[column] && other > place)
        };
        let better = group.iter().enumerate().filter(|&(o, c)| later((o, c)));
        flags[column] = better.count() < kept;
    }
}

/// A block of weights: its mean key, and its elements.
pub(super) struct WeightBlock {
    pub(super) score: f64,
    pub(super) places: Vec<usize>,
}

/// The blocks of a layer; those at the rims are smaller.
pub(super) fn blocks(
    layer: &Layer,
    keyed: &Keyed,
    rows: usize,
    columns: usize,
) -> Vec<WeightBlock> {
    let lanes = layer.lanes();
    let per_batch = layer.rows();
    let mut out = Vec::new();
    for batch in 0..layer.batches() {
        for first in (0..per_batch).step_by(rows) {
            let band = first..(first + rows).min(per_batch);
            for group in lanes.iter().flat_map(|lane| lane.chunks(columns)) {
                let start = |row: usize| (batch * per_batch + row) * keyed.columns;
                let places: Vec<usize> = band
                    .clone()
                    .flat_map(|row| group.iter().map(move |column| start(row) + column))
                    .collect();
                let sum: f64 = places.iter().map(|&p| score(keyed.keys[p])).sum();
                out.push(WeightBlock {
                    score: sum / places.len() as f64,
                    places,
                });
            }
        }
    }
    out
}

/// The score that a key was made of.
fn score(key: u32) -> f64 {
    match key {
        0 => 0.0,
        key => f64::from(f32::from_bits(key - 1)),
    }
}

/// Clears the lowest blocks of several layers while they bring the number of zeros nearer to `zeros`.
pub(super) fn in_blocks(
    layers: &[Vec<WeightBlock>],
    sizes: &[usize],
    zeros: usize,
) -> Vec<Vec<bool>> {
    let mut order: Vec<(usize, &WeightBlock)> = layers
        .iter()
        .enumerate()
        .flat_map(|(layer, blocks)| blocks.iter().map(move |block| (layer, block)))
        .collect();
    order.sort_by(|(_, a), (_, b)| a.score.total_cmp(&b.score));
    let mut kept: Vec<Vec<bool>> = sizes.iter().map(|&size| vec![true; size]).collect();
    let mut done = 0;
    for (layer, block) in order {
        // A block that overshoots by more than it falls short without is not taken.
        if done + block.places.len() / 2 >= zeros {
            break;
        }
        block
            .places
            .iter()
            .for_each(|&place| kept[layer][place] = false);
        done += block.places.len();
    }
    kept
}

/// Why a layer cannot have a pattern; none if it can.
pub(super) fn misfit(layer: &Layer, pattern: Pattern) -> Option<String> {
    match pattern {
        Pattern::Grouped { of, .. } if layer.reduction() < of => Some(format!(
            "its reduction axis has {} position(s), fewer than the {of} of a group",
            layer.reduction()
        )),
        Pattern::Unstructured | Pattern::Grouped { .. } | Pattern::Block { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keyed(keys: &[u32], columns: usize) -> Keyed {
        Keyed {
            keys: keys.to_vec(),
            columns,
        }
    }

    fn zeros(kept: &[bool]) -> Vec<usize> {
        (0..kept.len()).filter(|&i| !kept[i]).collect()
    }

    #[test]
    fn ties_go_to_the_earliest() {
        assert_eq!(zeros(&in_layer(&keyed(&[5, 3, 3, 3, 1], 5), 3)), [1, 2, 4]);
        assert_eq!(zeros(&in_layer(&keyed(&[5, 5], 2), 0)), [0_usize; 0]);
        assert_eq!(zeros(&in_layer(&keyed(&[5, 5], 2), 2)), [0, 1]);
    }

    #[test]
    fn rows_share_the_zeros_exactly() {
        let kept = in_rows(&keyed(&[1, 2, 3, 1, 2, 3, 1, 2, 3], 3), 5);
        let by_row: Vec<usize> = kept.chunks(3).map(|row| zeros(row).len()).collect();
        assert_eq!(by_row, [1, 2, 2]);
    }

    #[test]
    fn a_group_keeps_its_highest_and_of_equal_ones_the_later() {
        let mut flags = vec![true; 5];
        clear_group(&[0, 1, 2, 3], &[7, 7, 7, 9, 0], &mut flags, 2);
        assert_eq!(zeros(&flags), [0, 1]);
    }
}
