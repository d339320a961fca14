//! A budget spread by gradients: what removing channels does is the sum of their Fisher information.
//!
//! The least informative channels of a dimension are taken to go first, so that its sums are a convex curve; on these the
//! search of the allocated scope takes those channels of the whole model that have least information for what they cost.
//! Only how many channels of each dimension stay follows from it: the criterion in force says which.

use super::allocate::{Curve, allocated};
use super::counts::CountTarget;
use super::ranked::Ranked;
use crate::dimensions::{Analysis, Meter};
use crate::error::Result;
use crate::plan::{Cost, Settings};

/// Points of a curve.
const POINTS: usize = 64;

/// Channels per block that stay of every dimension. `fisher` is by dimension and channel; a dimension where it is not
/// known is taken to be worth the median of what others are for their cost.
///
/// # Errors
/// A budget that cannot be met.
pub(super) fn priced(
    analysis: &Analysis,
    ranked: &[Option<Ranked>],
    settings: &Settings,
    fisher: &[Option<Vec<f64>>],
) -> Result<Vec<usize>> {
    let cost = CountTarget::of(analysis, ranked, settings).cost;
    let costs = channel_costs(analysis, ranked, cost);
    let known = ranked.iter().zip(fisher).zip(&costs);
    let known = known.filter_map(|((ranked, fisher), cost)| {
        let (ranked, fisher) = (ranked.as_ref()?, fisher.as_ref()?);
        (*cost > 0.0).then(|| fisher.iter().sum::<f64>() / (cost * ranked.size as f64))
    });
    let mut known: Vec<f64> = known.collect();
    known.sort_by(f64::total_cmp);
    let price = known.get(known.len() / 2).copied().unwrap_or(1.0);
    let each = ranked.iter().zip(fisher).zip(costs);
    let curves = each.map(|((ranked, fisher), cost)| match (ranked, fisher) {
        (None, _) => Curve::new(),
        (Some(ranked), Some(fisher)) => curve(&steps(ranked, fisher)),
        (Some(ranked), None) => curve(&rising_steps(ranked.size, price * cost)),
    });
    allocated(analysis, ranked, settings, &curves.collect::<Vec<_>>())
}

/// By dimension what one channel of every block costs in the whole model.
fn channel_costs(analysis: &Analysis, ranked: &[Option<Ranked>], cost: Cost) -> Vec<f64> {
    let whole: Vec<usize> = analysis.dimensions().iter().map(|d| d.size).collect();
    let mut meter = Meter::new(analysis.costs(), whole.clone());
    let before = cost.of(&meter.totals());
    let costs = ranked.iter().enumerate().map(|(place, ranked)| {
        let blocks = ranked.as_ref().map_or(1, |ranked| ranked.blocks);
        meter.set(place, whole[place].saturating_sub(blocks));
        let saved = before.saturating_sub(cost.of(&meter.totals()));
        meter.set(place, whole[place]);
        saved as f64
    });
    costs.collect()
}

/// Information of the n-th least important channels of all blocks together.
fn steps(ranked: &Ranked, fisher: &[f64]) -> Vec<f64> {
    let blocks = fisher.chunks(ranked.size.max(1));
    let mut blocks: Vec<Vec<f64>> = blocks.map(<[f64]>::to_vec).collect();
    blocks
        .iter_mut()
        .for_each(|block| block.sort_by(f64::total_cmp));
    let step = |at: usize| blocks.iter().map(|block| block[at]).sum::<f64>();
    (0..ranked.size).map(step).collect()
}

/// Steps that rise evenly to twice their mean.
fn rising_steps(size: usize, mean: f64) -> Vec<f64> {
    let step = |at: usize| mean * (2 * at + 1) as f64 / size.max(1) as f64;
    (0..size).map(step).collect()
}

/// What is lost by channels that stay, where these are lost one after the other.
fn curve(steps: &[f64]) -> Curve {
    let (size, mut lost) = (steps.len(), 0.0);
    let every = size.div_ceil(POINTS).max(1);
    let mut out = Curve::new();
    for (gone, step) in (1..).zip(steps) {
        lost += step;
        if gone % every == 0 || gone == size {
            out.push((size - gone, lost));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{curve, rising_steps};

    #[test]
    fn curves_sum_the_least_first() {
        assert_eq!(curve(&[1.0, 2.0, 4.0]), [(2, 1.0), (1, 3.0), (0, 7.0)]);
        let long = curve(&vec![1.0; 1000]);
        assert!(long.len() <= 64 && long.last() == Some(&(0, 1000.0)));
        let sum: f64 = rising_steps(8, 3.0).iter().sum();
        assert!((sum - 24.0).abs() < 1e-9);
    }
}
