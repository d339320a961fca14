//! A budget spread by gradients: one ranking of all channels of all dimensions by Fisher information for what a channel
//! costs.
//!
//! Only how many channels of each dimension stay follows from it: the criterion in force says which. A dimension whose
//! gradients are not known loses the share that is sought for the others.

use super::counts::{Step, Target, at_ratio, sort, within};
use super::ranked::Ranked;
use crate::dimensions::{Analysis, Meter};
use crate::error::Result;
use crate::plan::{Cost, Settings};

/// Channels per block that stay of every dimension. `fisher` is by dimension and channel.
///
/// # Errors
/// A budget that cannot be met.
pub(super) fn priced(
    analysis: &Analysis,
    ranked: &[Option<Ranked>],
    settings: &Settings,
    fisher: &[Option<Vec<f64>>],
) -> Result<Vec<usize>> {
    let target = Target::of(analysis, ranked, settings);
    let prices = prices(analysis, ranked, target.cost, fisher);
    let mut pool: Vec<Step> = Vec::new();
    for (place, prices) in prices.iter().enumerate() {
        let Some(ranked) = ranked[place].as_ref().filter(|ranked| ranked.own.is_none()) else {
            continue;
        };
        let steps = prices.iter().flatten().map(|&score| Step {
            score,
            dimension: place,
            channels: ranked.blocks,
        });
        pool.extend(steps);
    }
    sort(&mut pool);
    let pools = [pool];
    let at = |ratio: f64| at_ratio(ranked, &pools, ratio);
    let worth = |place: usize, count: usize| match &prices[place] {
        Some(prices) => prices[count],
        None => 0.0,
    };
    within(analysis, ranked, target, &at, &worth)
}

/// By dimension what the n-th most important channel of every block is worth for its cost in the whole model.
fn prices(
    analysis: &Analysis,
    ranked: &[Option<Ranked>],
    cost: Cost,
    fisher: &[Option<Vec<f64>>],
) -> Vec<Option<Vec<f64>>> {
    let whole: Vec<usize> = analysis.dimensions().iter().map(|d| d.size).collect();
    let mut meter = Meter::new(analysis.costs(), whole.clone());
    let before = cost.of(&meter.totals());
    let each = ranked.iter().zip(fisher).enumerate();
    let prices = each.map(|(place, (ranked, fisher))| {
        let (ranked, fisher) = (ranked.as_ref()?, fisher.as_ref()?);
        meter.set(place, whole[place].saturating_sub(ranked.blocks));
        let saved = before.saturating_sub(cost.of(&meter.totals())).max(1);
        meter.set(place, whole[place]);
        let mut blocks: Vec<Vec<f64>> = fisher
            .chunks(ranked.size.max(1))
            .map(<[f64]>::to_vec)
            .collect();
        for block in &mut blocks {
            block.sort_by(|a, b| b.total_cmp(a));
        }
        let step = |at: usize| blocks.iter().map(|block| block[at]).sum::<f64>() / saved as f64;
        Some((0..ranked.size).map(step).collect())
    });
    prices.collect()
}
