//! The k smallest of many magnitudes, found by counting: no sorting, no copy of the weights.
//!
//! The bits of non-negative floats are in the order of their values, so two histograms find the k-th
//! smallest: one over the upper bits of all, one over the lower bits of those in the bucket that holds it.

use super::mask::{Cut, INFINITE, Weights, not_a_number};
use crate::error::Result;

/// Lower bits, which the second histogram counts.
const LOWER: u32 = 15;
const UPPER_BUCKETS: usize = 1 << (31 - LOWER);
const LOWER_BUCKETS: usize = 1 << LOWER;

/// CutRules that zero the `zeros` smallest of all `tensors` together; of equal ones the first tensor's first.
///
/// # Errors
/// A weight that is no number.
pub(super) fn smallest(tensors: &[&Weights], zeros: usize) -> Result<Vec<Cut>> {
    let mut upper = vec![0; UPPER_BUCKETS];
    for weights in tensors {
        let counts = weights.fold(
            || (vec![0_u32; UPPER_BUCKETS], false),
            |(counts, nan), bits| {
                counts[(bits >> LOWER) as usize] += 1;
                *nan |= bits > INFINITE;
            },
        );
        for (counts, nan) in counts {
            if nan {
                return Err(not_a_number(&weights.name, "so they cannot be ranked"));
            }
            add(&mut upper, &counts);
        }
    }
    let (bucket, rest) = nth(&upper, zeros);
    let mut lower = vec![0; LOWER_BUCKETS];
    for weights in tensors {
        let counts = weights.fold(
            || vec![0_u32; LOWER_BUCKETS],
            |counts, bits| {
                if (bits >> LOWER) as usize == bucket {
                    counts[bits as usize % LOWER_BUCKETS] += 1;
                }
            },
        );
        counts.iter().for_each(|counts| add(&mut lower, counts));
    }
    let (low, mut ties) = nth(&lower, rest);
    let limit = (bucket << LOWER | low) as u32;
    let share = |weights: &&Weights| {
        if ties == 0 || tensors.len() == 1 {
            return Cut { limit, ties };
        }
        let equal = weights.fold(|| 0, |count, bits| *count += usize::from(bits == limit));
        let own = equal.into_iter().sum::<usize>().min(ties);
        ties -= own;
        Cut { limit, ties: own }
    };
    Ok(tensors.iter().map(share).collect())
}

fn add(sum: &mut [u64], counts: &[u32]) {
    sum.iter_mut()
        .zip(counts)
        .for_each(|(sum, &count)| *sum += u64::from(count));
}

/// The bucket in which the first `count` end, and how many of them lie in it.
fn nth(buckets: &[u64], count: usize) -> (usize, usize) {
    let mut left = count as u64;
    for (bucket, &size) in buckets.iter().enumerate() {
        if left < size || (left == size && left == 0) {
            return (bucket, left as usize);
        }
        left -= size;
    }
    (buckets.len() - 1, 0)
}
