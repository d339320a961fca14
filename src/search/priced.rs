//! A budget spread by gradients: one ranking of all channels of all dimensions by Fisher information for what a channel
//! costs in the whole model.
//!
//! Only how many channels of each dimension stay follows from it: the criterion in force says which. The ranking knows no
//! widths that kernels like. So it is turned into curves on which no small exchange gains at its sizes, and the search of
//! the allocated scope looks for good widths. Costs of neighbours multiply, so that larger exchanges can lead away from it.

use super::allocate::{Curve, allocated};
use super::counts::{CostTarget, channels_left};
use super::ranked::Ranked;
use crate::dimensions::Analysis;
use crate::error::Result;

/// Points of a curve.
const POINTS: usize = 64;

/// Channels per block that stay of every dimension. `fisher` is by dimension and channel that is not gone; a dimension
/// where it is not known is taken to be worth the median of what others are for their cost.
///
/// # Errors
/// A budget that cannot be met.
pub(super) fn priced(
    analysis: &Analysis,
    ranked: &[Option<Ranked>],
    target: CostTarget,
    fisher: &[Option<Vec<f64>>],
) -> Result<Vec<usize>> {
    let costs = channel_costs(ranked, target, &channels_left(analysis, ranked));
    let price = median_price(ranked, fisher, &costs);
    let each = ranked.iter().zip(fisher).zip(&costs);
    let steps = each.map(|((ranked, fisher), cost)| {
        let Some(ranked) = ranked.as_ref().filter(|ranked| ranked.own.is_none()) else {
            return Vec::new();
        };
        let known = fisher.as_ref();
        match known.filter(|known| known.len() == ranked.size * ranked.blocks) {
            Some(fisher) => steps(ranked, fisher),
            None => rising_steps(ranked.size, price * cost),
        }
    });
    let steps: Vec<Vec<f64>> = steps.collect();
    let left = ranking(analysis, ranked, target, (&steps, &costs));
    // Where the ranking ends, information for what a channel costs there is to be the same everywhere.
    let costs_there = channel_costs(ranked, target, &left);
    let curves = steps.iter().zip(costs.iter().zip(&costs_there));
    let curves = curves.map(|(steps, (cost, there))| curve(steps, there.max(1.0) / cost.max(1.0)));
    allocated(analysis, ranked, target, &curves.collect::<Vec<_>>())
}

/// The median over dimensions of information by cost.
fn median_price(ranked: &[Option<Ranked>], fisher: &[Option<Vec<f64>>], costs: &[f64]) -> f64 {
    let known = ranked.iter().zip(fisher).zip(costs);
    let known = known.filter_map(|((ranked, fisher), cost)| {
        let (ranked, fisher) = (ranked.as_ref()?, fisher.as_ref()?);
        (*cost > 0.0).then(|| fisher.iter().sum::<f64>() / (cost * ranked.size as f64))
    });
    let mut known: Vec<f64> = known.collect();
    known.sort_by(f64::total_cmp);
    known.get(known.len() / 2).copied().unwrap_or(1.0)
}

/// Channels that the ranking leaves of every dimension, without regard for widths: the least informative for their cost
/// go until the target is met.
fn ranking(
    analysis: &Analysis,
    ranked: &[Option<Ranked>],
    target: CostTarget,
    (steps, costs): (&[Vec<f64>], &[f64]),
) -> Vec<usize> {
    let prices = steps.iter().zip(costs).enumerate();
    let prices = prices.flat_map(|(place, (steps, cost))| {
        let price = |step: &f64| (step / cost.max(1.0), place);
        steps.iter().map(price).collect::<Vec<_>>()
    });
    let mut prices: Vec<(f64, usize)> = prices.collect();
    prices.sort_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)));
    let start = ranked.iter().zip(analysis.dimensions());
    let start = start.map(|(ranked, dimension)| match ranked {
        Some(ranked) => {
            let own = ranked.own.map_or(ranked.size, |own| ranked.at(own));
            own * ranked.blocks
        }
        None => dimension.size,
    });
    let mut gauge = target.gauge(start.collect());
    for (_, place) in prices {
        if gauge.cost() <= target.most {
            break;
        }
        let Some(ranked) = &ranked[place] else {
            continue;
        };
        let now = gauge.channels()[place];
        if now > ranked.least() * ranked.blocks {
            gauge.set(place, now - ranked.blocks);
        }
    }
    gauge.channels().to_vec()
}

/// By dimension what one channel of every block costs where these numbers of channels are left.
fn channel_costs(ranked: &[Option<Ranked>], target: CostTarget, channels: &[usize]) -> Vec<f64> {
    let mut gauge = target.gauge(channels.to_vec());
    let before = gauge.cost();
    let costs = ranked.iter().enumerate().map(|(place, ranked)| {
        let blocks = ranked.as_ref().map_or(1, |ranked| ranked.blocks);
        gauge.set(place, channels[place].saturating_sub(blocks));
        let saved = before.saturating_sub(gauge.cost());
        gauge.set(place, channels[place]);
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

/// What is lost by channels that stay, where these are lost one after the other, times a factor.
fn curve(steps: &[f64], factor: f64) -> Curve {
    let (size, mut lost) = (steps.len(), 0.0);
    let every = size.div_ceil(POINTS).max(1);
    let mut out = Curve::new();
    for (gone, step) in (1..).zip(steps) {
        lost += factor * step;
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
        assert_eq!(curve(&[0.5, 1.0, 2.0], 2.0), [(2, 1.0), (1, 3.0), (0, 7.0)]);
        let long = curve(&vec![1.0; 1000], 1.0);
        assert!(long.len() <= 64 && long.last() == Some(&(0, 1000.0)));
        let sum: f64 = rising_steps(8, 3.0).iter().sum();
        assert!((sum - 24.0).abs() < 1e-9);
    }
}
