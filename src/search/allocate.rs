//! Allocation: a budget spread over dimensions so that the divergences measured for each add up to little.
//!
//! From the whole model, cuts are taken one after the other, each time the one that costs least divergence for
//! what it saves, looking ahead over all smaller sizes of a dimension, since curves need not be convex. Then
//! pairs are exchanged, one dimension a step up and another down, as long as that is better within the budget,
//! and single channels are given back while they fit.

use super::counts::{CostTarget, channels_left};
use super::gauge::Gauge;
use super::ranked::Ranked;
use crate::dimensions::Analysis;
use crate::error::Result;

/// Steps between the sizes that are looked at, per dimension.
const STEPS: usize = 16;
/// Exchanges at most, per dimension.
const EXCHANGES: usize = 8;

/// Divergence of the outputs by channels per block that stay of one dimension, the most first; empty where
/// nothing was measured.
pub(crate) type Curve = Vec<(usize, f64)>;

/// A dimension whose size is sought.
pub(super) struct Free {
    pub(super) place: usize,
    blocks: usize,
    /// Sizes per block, the largest first, with their divergences.
    pub(super) sizes: Vec<(usize, f64)>,
}

/// A curve that never falls as channels go, from none at the whole size.
fn rising(curve: &[(usize, f64)], size: usize) -> Vec<(usize, f64)> {
    let mut out = vec![(size, 0.0)];
    let mut most = 0.0_f64;
    for &(count, divergence) in curve {
        most = most.max(divergence);
        out.push((count, most));
    }
    out
}

/// A rising curve at any size, between its points along straight lines.
fn at(curve: &[(usize, f64)], count: usize) -> f64 {
    for pair in curve.windows(2) {
        let ((above, high), (below, low)) = (pair[0], pair[1]);
        if (below..=above).contains(&count) {
            let share = (above - count) as f64 / (above - below).max(1) as f64;
            return high + share * (low - high);
        }
    }
    curve.last().map_or(0.0, |point| point.1)
}

/// The search.
pub(super) struct Search<'a> {
    /// The costs at the channels that stay.
    pub(super) gauge: Gauge<'a>,
    pub(super) target: u64,
    pub(super) free: Vec<Free>,
    curves: Vec<Vec<(usize, f64)>>,
    ranked: &'a [Option<Ranked>],
    /// By free dimension the place in its sizes.
    pub(super) at: Vec<usize>,
}

/// Channels per block that stay of every dimension.
///
/// # Errors
/// A budget that cannot be met.
pub(super) fn allocated(
    analysis: &Analysis,
    ranked: &[Option<Ranked>],
    target: CostTarget,
    curves: &[Curve],
) -> Result<Vec<usize>> {
    let mut search = Search::new(analysis, ranked, curves, target);
    if !search.descend() {
        return Err(target.missed(search.cost_now()));
    }
    search.exchange();
    search.regrow();
    Ok(search.counts())
}

/// The sum of what curves say of these channels per block.
pub(super) fn promised(ranked: &[Option<Ranked>], curves: &[Curve], counts: &[usize]) -> f64 {
    let all = ranked.iter().zip(curves).zip(counts);
    let own = all.filter_map(|((ranked, curve), &count)| {
        let size = ranked.as_ref()?.size;
        (!curve.is_empty()).then(|| at(&rising(curve, size), count))
    });
    own.sum()
}

impl<'a> Search<'a> {
    pub(super) fn new(
        analysis: &Analysis,
        ranked: &'a [Option<Ranked>],
        curves: &[Curve],
        target: CostTarget<'a>,
    ) -> Search<'a> {
        let mut channels = channels_left(analysis, ranked);
        let mut free = Vec::new();
        let mut all = vec![Vec::new(); ranked.len()];
        for (place, ranked) in ranked.iter().enumerate() {
            let Some(ranked) = ranked else { continue };
            if let Some(own) = ranked.own {
                channels[place] = ranked.at(own) * ranked.blocks;
                continue;
            }
            if curves[place].is_empty() {
                continue;
            }
            let curve = rising(&curves[place], ranked.size);
            let sizes = std::iter::once(ranked.size).chain(ranked.levels(STEPS));
            free.push(Free {
                place,
                blocks: ranked.blocks,
                sizes: sizes.map(|size| (size, at(&curve, size))).collect(),
            });
            all[place] = curve;
        }
        Search {
            gauge: target.gauge(channels),
            target: target.most,
            at: vec![0; free.len()],
            free,
            curves: all,
            ranked,
        }
    }

    fn cost_now(&self) -> u64 {
        self.gauge.cost()
    }

    /// Channels per block that stay of every dimension.
    pub(super) fn counts(&self) -> Vec<usize> {
        let pairs = self.ranked.iter().zip(self.gauge.channels());
        let counts = pairs.map(|(ranked, &channels)| {
            let blocks = ranked.as_ref().map_or(1, |ranked| ranked.blocks);
            channels / blocks
        });
        counts.collect()
    }

    /// The divergence of a dimension at a size.
    pub(super) fn at_count(&self, place: usize, count: usize) -> f64 {
        at(&self.curves[place], count)
    }

    /// Sets a free dimension to one of its sizes.
    pub(super) fn set(&mut self, number: usize, level: usize) {
        let free = &self.free[number];
        self.at[number] = level;
        let channels = free.sizes[level].0 * free.blocks;
        self.gauge.set(free.place, channels);
    }

    /// The cost if a free dimension had another of its sizes.
    pub(super) fn cost_with(&mut self, number: usize, level: usize) -> u64 {
        let now = self.at[number];
        self.set(number, level);
        let cost = self.cost_now();
        self.set(number, now);
        cost
    }

    pub(super) fn divergence(&self, number: usize, level: usize) -> f64 {
        self.free[number].sizes[level].1
    }

    /// Takes the cheapest cuts until the budget is met; false if it cannot be.
    fn descend(&mut self) -> bool {
        let mut cost = self.cost_now();
        while cost > self.target {
            let mut best: Option<(f64, usize, usize)> = None;
            for number in 0..self.free.len() {
                let now = self.divergence(number, self.at[number]);
                for level in self.at[number] + 1..self.free[number].sizes.len() {
                    let saved = cost.saturating_sub(self.cost_with(number, level));
                    if saved == 0 {
                        continue;
                    }
                    let price = (self.divergence(number, level) - now) / saved as f64;
                    if best.is_none_or(|(least, ..)| price < least) {
                        best = Some((price, number, level));
                    }
                }
            }
            let Some((_, number, level)) = best else {
                return false;
            };
            self.set(number, level);
            cost = self.cost_now();
        }
        true
    }

    /// Moves single dimensions up and pairs in opposite directions while that lowers the divergence.
    fn exchange(&mut self) {
        for _ in 0..EXCHANGES * self.free.len() {
            let mut best: Option<(f64, Vec<(usize, usize)>)> = None;
            for up in 0..self.free.len() {
                for raised in 0..self.at[up] {
                    let gain = self.divergence(up, self.at[up]) - self.divergence(up, raised);
                    if best.as_ref().is_some_and(|(most, _)| gain <= *most) {
                        continue;
                    }
                    if let Some((net, moves)) = self.paid_for(up, raised, gain)
                        && best.as_ref().is_none_or(|(most, _)| net > *most)
                    {
                        best = Some((net, moves));
                    }
                }
            }
            match best {
                Some((gain, moves)) if gain > 0.0 => moves
                    .into_iter()
                    .for_each(|(number, level)| self.set(number, level)),
                _ => return,
            }
        }
    }

    /// The gain of moving a dimension up that is left after another has paid for it, if one has to.
    fn paid_for(
        &mut self,
        up: usize,
        raised: usize,
        gain: f64,
    ) -> Option<(f64, Vec<(usize, usize)>)> {
        let before = self.at[up];
        self.set(up, raised);
        let mut found: Option<(f64, Vec<(usize, usize)>)> = None;
        if self.cost_now() <= self.target {
            found = Some((gain, vec![(up, raised)]));
        } else {
            for down in (0..self.free.len()).filter(|&down| down != up) {
                let now = self.divergence(down, self.at[down]);
                let levels = self.at[down] + 1..self.free[down].sizes.len();
                for level in levels {
                    let net = gain - (self.divergence(down, level) - now);
                    if net <= found.as_ref().map_or(0.0, |(most, _)| *most) {
                        break;
                    }
                    if self.cost_with(down, level) <= self.target {
                        found = Some((net, vec![(up, raised), (down, level)]));
                        break;
                    }
                }
            }
        }
        self.set(up, before);
        found
    }

    /// Gives channels back, those that lower the divergence most first, while they fit.
    pub(super) fn regrow(&mut self) {
        loop {
            let mut steps: Vec<(f64, usize, usize)> = Vec::new();
            for free in &self.free {
                let Some(ranked) = &self.ranked[free.place] else {
                    continue;
                };
                let count = self.gauge.channels()[free.place] / free.blocks;
                if count < ranked.size {
                    let next = ranked.next(count);
                    let curve = &self.curves[free.place];
                    let gain = at(curve, count) - at(curve, next);
                    steps.push((gain, free.place, next * free.blocks));
                }
            }
            steps.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
            let mut grown = false;
            for (_, place, next) in steps {
                let before = self.gauge.channels()[place];
                self.gauge.set(place, next);
                match self.cost_now() <= self.target {
                    true => grown = true,
                    false => self.gauge.set(place, before),
                }
            }
            if !grown {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{at, rising};

    #[test]
    fn curves_rise_and_are_straight_between_their_points() {
        let curve = rising(&[(6, 0.2), (4, 0.1), (1, 0.8)], 8);
        assert_eq!(curve, [(8, 0.0), (6, 0.2), (4, 0.2), (1, 0.8)]);
        assert!((at(&curve, 7) - 0.1).abs() < 1e-12);
        assert!((at(&curve, 2) - 0.6).abs() < 1e-12);
        assert_eq!(at(&curve, 8), 0.0);
    }
}
