//! At which numbers of channels a model is timed.
//!
//! Each dimension takes each of many even steps between little and all of it once, in an order of its own, so that no two
//! go together (a Latin hypercube). Widths that kernels like stand beside others. Some choices have the same share of
//! every dimension, as plans have.

use rand::RngExt;
use rand::seq::SliceRandom;

use crate::dimensions::{Analysis, Dimension};
use crate::random::generator;

/// Least share of a dimension that is timed.
const LEAST: f64 = 0.1;
/// Shares of all dimensions at once.
const EVEN: [f64; 4] = [0.75, 0.5, 0.35, 0.2];
/// To multiples of what widths are rounded, in turn.
const MULTIPLES: [usize; 8] = [16, 16, 8, 16, 4, 16, 1, 8];

/// By choice the channels of each dimension; the first has all of them.
pub(super) fn choices(analysis: &Analysis, count: usize) -> Vec<Vec<usize>> {
    let dimensions = analysis.dimensions();
    let whole: Vec<usize> = dimensions.iter().map(|of| of.size).collect();
    let shares = EVEN.into_iter().take(count.saturating_sub(1) / 3);
    let mut out = vec![whole];
    out.extend(shares.map(|share| even(analysis, share)));
    let mixed = count.saturating_sub(out.len());
    let columns: Vec<Vec<usize>> = dimensions.iter().map(|of| column(of, mixed)).collect();
    out.extend((0..mixed).map(|row| columns.iter().map(|column| column[row]).collect()));
    out.dedup();
    out
}

/// The same share of every dimension, at widths that kernels like.
pub(super) fn even(analysis: &Analysis, share: f64) -> Vec<usize> {
    let dimensions = analysis.dimensions().iter();
    dimensions.map(|of| size(of, share, MULTIPLES[0])).collect()
}

/// Sizes of one dimension in the order in which they are timed.
fn column(of: &Dimension, count: usize) -> Vec<usize> {
    let mut random = generator(&of.name, 0);
    let mut steps: Vec<usize> = (0..count).collect();
    steps.shuffle(&mut random);
    let turn = random.random_range(0..MULTIPLES.len());
    let numbered = steps.into_iter().enumerate();
    let sizes = numbered.map(|(row, step)| {
        let share = LEAST + (1.0 - LEAST) * (step as f64 + 0.5) / count as f64;
        size(of, share, MULTIPLES[(row + turn) % MULTIPLES.len()])
    });
    sizes.collect()
}

/// About this share of a dimension, per block a multiple where it is large enough.
fn size(of: &Dimension, share: f64, multiple: usize) -> usize {
    let blocks = of.blocks.max(1);
    let whole = of.size / blocks;
    let wanted = share * whole as f64;
    let multiple = std::iter::successors(Some(multiple), |&m| Some(m / 2));
    let multiple = multiple
        .take_while(|&m| m > 1)
        .find(|&m| 2 * m <= whole)
        .unwrap_or(1);
    let rounded = (wanted / multiple as f64).round() as usize * multiple;
    let least = of.least.div_ceil(blocks);
    rounded.max(multiple).max(least).min(whole) * blocks
}
