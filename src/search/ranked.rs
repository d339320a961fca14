//! The channels of a dimension in the order of their scores, and how many of them may stay.

use crate::dimensions::Dimension;
use crate::plan::{Decision, Left, RoundTo, Scope, Settings};

/// The channels of a dimension, best first.
pub(super) struct Ranked {
    pub(super) size: usize,
    pub(super) blocks: usize,
    /// By block its positions, best first; ties keep the earlier.
    pub(super) orders: Vec<Vec<u32>>,
    /// Importance of what the n-th channel of every block adds, over the mean of the dimension.
    pub(super) steps: Vec<f64>,
    /// Fewest that may stay in a block.
    least: usize,
    rounding: Rounding,
    /// A ratio of its own.
    pub(super) own: Option<f64>,
}

/// To which numbers per block those that stay are rounded.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rounding {
    /// Up to a multiple.
    Up(usize),
    /// To the nearest multiple, down where two are as near, or to all, but never to none.
    Nearest(usize),
    /// To the nearest multiple, or to that of a half, a quarter, .. of it, that is not all and not none.
    NearestBelow(usize),
}

impl Ranked {
    /// `multiple` is what the kernels like, per block.
    pub(super) fn new(
        dimension: &Dimension,
        scores: &[f64],
        own: Option<f64>,
        settings: &Settings,
        multiple: usize,
    ) -> Ranked {
        let blocks = dimension.blocks.max(1);
        let size = dimension.size / blocks;
        let orders: Vec<Vec<u32>> = scores.chunks(size.max(1)).map(best_first).collect();
        let mean = scores.iter().sum::<f64>() / scores.len().max(1) as f64;
        let scale = if mean > 0.0 { mean } else { 1.0 };
        let step = |place: usize| {
            let parts = orders.iter().enumerate();
            let sum: f64 = parts
                .map(|(block, order)| scores[block * size + order[place] as usize])
                .sum();
            sum / (blocks as f64 * scale)
        };
        let steps = (0..size).map(step).collect();
        let capped = size - (size as f64 * settings.max_ratio()).floor() as usize;
        let shared = settings.budget.is_some() || settings.scope() != Scope::Uniform;
        let rounding = match settings.round_to {
            RoundTo::Multiple(multiple) => Rounding::Up(multiple.max(1)),
            RoundTo::Auto(_) if shared && own.is_none() => Rounding::Nearest(below(multiple, size)),
            RoundTo::Auto(_) => Rounding::NearestBelow(below(multiple, size)),
        };
        Ranked {
            size,
            blocks,
            orders,
            steps,
            least: settings.min_channels.div_ceil(blocks).max(1).max(capped),
            rounding,
            own,
        }
    }

    /// Fewest that may stay in a block.
    pub(super) fn least(&self) -> usize {
        self.least.min(self.size)
    }

    /// The number per block that stays when `wanted` would.
    pub(super) fn allowed(&self, wanted: usize) -> usize {
        let wanted = wanted.max(self.least).min(self.size);
        let up = |multiple: usize| wanted.next_multiple_of(multiple).min(self.size);
        match self.rounding {
            Rounding::Up(multiple) => up(multiple),
            Rounding::Nearest(multiple) => match nearest(wanted, multiple, self.size) {
                found if found < self.least => up(multiple),
                found => found,
            },
            Rounding::NearestBelow(_) if wanted == self.size => self.size,
            Rounding::NearestBelow(multiple) => {
                let halves = std::iter::successors(Some(multiple), |&m| Some(m / 2));
                let found = halves
                    .take_while(|&m| m > 1)
                    .map(|m| nearest(wanted, m, self.size))
                    .find(|&found| found >= self.least && found < self.size);
                found.unwrap_or(wanted)
            }
        }
    }

    /// The next number per block above one that is allowed.
    pub(super) fn next(&self, count: usize) -> usize {
        match self.rounding {
            Rounding::Nearest(multiple) | Rounding::NearestBelow(multiple) => {
                (count + 1).next_multiple_of(multiple).min(self.size)
            }
            Rounding::Up(_) => self.allowed(count + 1),
        }
    }

    /// Rounds to multiples half as large; false where there is nothing to halve.
    pub(super) fn halve(&mut self) -> bool {
        match &mut self.rounding {
            Rounding::Nearest(multiple) | Rounding::NearestBelow(multiple) if *multiple > 1 => {
                *multiple /= 2;
                true
            }
            _ => false,
        }
    }

    /// Allowed sizes below the own one, in equal steps, largest first.
    pub(super) fn levels(&self, steps: usize) -> Vec<usize> {
        let wanted = (1..steps)
            .rev()
            .map(|step| (self.size * step).div_ceil(steps));
        let mut levels: Vec<usize> = wanted.map(|wanted| self.allowed(wanted)).collect();
        levels.push(self.allowed(0));
        levels.retain(|&level| level < self.size);
        levels.dedup();
        levels
    }

    /// What a ratio of its own leaves.
    pub(super) fn at(&self, ratio: f64) -> usize {
        self.allowed(self.size - (self.size as f64 * ratio).floor() as usize)
    }

    /// What happens to the dimension when `keep` channels of every block stay.
    pub(super) fn decide(&self, keep: usize, settings: &Settings) -> Decision {
        if keep < self.size {
            let kept = self.orders.iter().enumerate().flat_map(|(block, order)| {
                let mut best = order[..keep].to_vec();
                best.sort_unstable();
                best.into_iter()
                    .map(move |place| place + (block * self.size) as u32)
            });
            return Decision::Prune(kept.collect());
        }
        let size = self.size;
        let ratio = self.own.unwrap_or(settings.ratio);
        let shared = settings.budget.is_some() || settings.scope() != Scope::Uniform;
        let wanted = size - (size as f64 * ratio).floor() as usize;
        Decision::Leave(match () {
            () if self.least >= size && settings.min_channels > 1 => Left::chosen(format!(
                "`min_channels` {} keeps all {size}",
                settings.min_channels
            )),
            () if shared && self.own.is_none() => Left::forced(format!(
                "all of its {size} channels are among those that stay"
            )),
            () if wanted == size => Left::forced(format!(
                "a ratio of {ratio} removes none of {size} channels"
            )),
            () if self.least >= size => Left::chosen(format!(
                "`max_ratio` {} keeps all {size}",
                settings.max_ratio()
            )),
            () => Left::chosen(format!("`round_to` {} keeps all {size}", settings.round_to)),
        })
    }
}

/// The largest power of two up to `multiple` that is below `size`.
fn below(multiple: usize, size: usize) -> usize {
    let halves = std::iter::successors(Some(multiple), |&m| Some(m / 2));
    let found = halves.take_while(|&m| m > 1).find(|&m| m < size);
    found.unwrap_or(1)
}

/// Of the multiples above 0 and `size` itself the nearest to `wanted`, the smaller of two.
fn nearest(wanted: usize, multiple: usize, size: usize) -> usize {
    let low = wanted / multiple * multiple;
    let high = (low + multiple).min(size);
    match low > 0 && wanted - low <= high - wanted {
        true => low.min(size),
        false => high,
    }
}

fn best_first(scores: &[f64]) -> Vec<u32> {
    let mut order: Vec<u32> = (0..scores.len() as u32).collect();
    order.sort_by(|&a, &b| {
        let (a_score, b_score) = (scores[a as usize], scores[b as usize]);
        b_score.total_cmp(&a_score).then(a.cmp(&b))
    });
    order
}

#[cfg(test)]
mod tests {
    use super::{Ranked, Rounding};

    fn of(size: usize, rounding: Rounding) -> Ranked {
        Ranked {
            size,
            blocks: 1,
            orders: Vec::new(),
            steps: Vec::new(),
            least: 1,
            rounding,
            own: None,
        }
    }

    #[test]
    fn more_wanted_never_keeps_less() {
        for size in 1..80 {
            for multiple in [1, 2, 4, 8, 16].into_iter().filter(|&m| m < size || m == 1) {
                for rounding in [
                    Rounding::Up(multiple),
                    Rounding::Nearest(multiple),
                    Rounding::NearestBelow(multiple),
                ] {
                    let ranked = of(size, rounding);
                    let kept: Vec<usize> = (0..=size).map(|n| ranked.allowed(n)).collect();
                    assert!(kept.is_sorted(), "{size} {rounding:?}: {kept:?}");
                    assert!(kept[0] > 0 && kept[size] == size, "{size} {rounding:?}");
                }
            }
        }
    }

    #[test]
    fn a_ratio_is_never_rounded_away() {
        for size in 2..80 {
            let ranked = of(size, Rounding::NearestBelow(super::below(16, size)));
            assert!(
                (0..size).all(|wanted| ranked.allowed(wanted) < size),
                "{size}"
            );
        }
        assert_eq!(of(12, Rounding::NearestBelow(8)).allowed(6), 8);
        assert_eq!(of(100, Rounding::NearestBelow(16)).allowed(50), 48);
    }
}
