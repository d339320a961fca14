//! The channels of a dimension in the order of their scores, and how many of them may stay.

use crate::dimensions::Dimension;
use crate::plan::{Decision, Left, RoundTo, Scope, Settings};

/// The channels of a dimension, best first.
pub(super) struct Ranked {
    /// Channels per block that there were at first, those that are gone included.
    whole: usize,
    /// Channels per block that are left.
    pub(super) size: usize,
    pub(super) blocks: usize,
    /// By block its positions, best first; ties keep the earlier.
    pub(super) orders: Vec<Vec<u32>>,
    /// Importance of what the n-th channel of every block adds, over the mean of the dimension unless scores are absolute.
    pub(super) steps: Vec<f64>,
    /// Fewest that may stay in a block.
    least: usize,
    /// Most in a block that no threshold lets go.
    above: usize,
    /// Fewest with which the model still runs.
    pub(super) needed: usize,
    rounding: Rounding,
    /// What stays in a block has to be a multiple of this: a kernel demands it.
    step: usize,
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
    /// `left` are the positions that are not gone yet, ascending, the same number in every block; `multiple` is what
    /// the kernels like, per block.
    pub(super) fn new(
        dimension: &Dimension,
        left: &[u32],
        scores: &[f64],
        own: Option<f64>,
        settings: &Settings,
        multiple: usize,
    ) -> Ranked {
        let blocks = dimension.blocks.max(1);
        let whole = dimension.size / blocks;
        let size = left.len() / blocks;
        let orders = left.chunks(size.max(1)).enumerate();
        let orders: Vec<Vec<u32>> = orders
            .map(|(block, left)| best_first(left, scores, (block * whole) as u32))
            .collect();
        let sum: f64 = left.iter().map(|&channel| scores[channel as usize]).sum();
        let mean = sum / left.len().max(1) as f64;
        let absolute = settings.criterion().is_absolute();
        let scale = if mean > 0.0 && !absolute { mean } else { 1.0 };
        let step = |place: usize| {
            let parts = orders.iter().enumerate();
            let sum: f64 = parts
                .map(|(block, order)| scores[block * whole + order[place] as usize])
                .sum();
            sum / (blocks as f64 * scale)
        };
        let steps = (0..size).map(step).collect();
        let at_least = |least: f64| {
            let above = |channel: &&u32| scores[**channel as usize] >= least;
            let blocks = left.chunks(size.max(1));
            let counts = blocks.map(|block| block.iter().filter(above).count());
            counts.max().unwrap_or(0)
        };
        let above = settings.threshold().map_or(0, at_least);
        let capped = whole - (whole as f64 * settings.max_ratio()).floor() as usize;
        let shared = settings.budget.is_some() || settings.scope() != Scope::Uniform;
        let rounding = match settings.round_to {
            RoundTo::Multiple(multiple) => Rounding::Up(multiple.max(1)),
            RoundTo::Auto(_) if shared && own.is_none() => Rounding::Nearest(below(multiple, size)),
            RoundTo::Auto(_) => Rounding::NearestBelow(below(multiple, size)),
        };
        let needed = dimension.least.div_ceil(blocks).max(1);
        let wished = settings.min_channels.div_ceil(blocks);
        Ranked {
            whole,
            size,
            blocks,
            orders,
            steps,
            least: needed.max(wished).max(capped).max(above),
            above,
            needed,
            rounding,
            step: dimension.multiple(),
            own,
        }
    }

    /// Fewest that may stay in a block.
    pub(super) fn least(&self) -> usize {
        self.stepped(self.least)
    }

    /// The next number that the kernels take.
    pub(super) fn stepped(&self, count: usize) -> usize {
        count.next_multiple_of(self.step).min(self.size)
    }

    /// The number per block that stays when `wanted` would.
    pub(super) fn allowed(&self, wanted: usize) -> usize {
        let found = self.rounded(wanted);
        let up = self.stepped(found);
        let below = self.size.saturating_sub(self.step);
        match self.rounding {
            Rounding::NearestBelow(_) if found < up && up == self.size && below >= self.least() => {
                below.max(1)
            }
            _ => up,
        }
    }

    /// The number per block that stays by widths that kernels like.
    fn rounded(&self, wanted: usize) -> usize {
        let wanted = wanted.max(self.least).min(self.size);
        let up = |multiple: usize| wanted.next_multiple_of(multiple).min(self.size);
        match self.rounding {
            Rounding::Up(multiple) => {
                let mut both = (1..=self.step).map(|times| times * multiple);
                up(both.find(|of| of.is_multiple_of(self.step)).unwrap_or(1))
            }
            Rounding::Nearest(multiple) => match nearest(wanted, multiple, self.size) {
                found if found < self.least => up(multiple),
                found => found,
            },
            Rounding::NearestBelow(_) if wanted == self.size => self.size,
            Rounding::NearestBelow(multiple) => {
                let halves = std::iter::successors(Some(multiple), |&m| Some(m / 2));
                let found = halves
                    .take_while(|&m| m > 1)
                    .map(|m| match nearest(wanted, m, self.size) {
                        found if found < self.least => up(m),
                        found => found,
                    })
                    .find(|&found| found < self.size);
                found.unwrap_or(wanted)
            }
        }
    }

    /// The next number per block above one that is allowed.
    pub(super) fn next(&self, count: usize) -> usize {
        match self.rounding {
            Rounding::Nearest(multiple) | Rounding::NearestBelow(multiple) => {
                self.stepped((count + 1).next_multiple_of(multiple))
            }
            Rounding::Up(_) => self.allowed(count + 1),
        }
    }

    /// Rounds to multiples half as large where they are at most `most`; false where there is nothing to halve.
    pub(super) fn halve(&mut self, most: usize) -> bool {
        match &mut self.rounding {
            Rounding::Nearest(multiple) | Rounding::NearestBelow(multiple)
                if (2..=most).contains(multiple) =>
            {
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
        self.allowed(self.whole - (self.whole as f64 * ratio).floor() as usize)
    }

    /// Channels per block that are gone.
    pub(super) fn gone(&self) -> usize {
        self.whole - self.size
    }

    /// The positions that are left, ascending.
    pub(super) fn left(&self) -> Vec<u32> {
        self.best(self.size)
    }

    /// Keeps all that is left; false where that is so already.
    pub(super) fn hold(&mut self) -> bool {
        let free = self.least() < self.size;
        self.least = self.size;
        free
    }

    /// The positions of the best `keep` channels of every block, ascending.
    fn best(&self, keep: usize) -> Vec<u32> {
        let blocks = self.orders.iter().enumerate();
        let positions = blocks.flat_map(|(block, order)| {
            let mut best = order[..keep].to_vec();
            best.sort_unstable();
            let from = (block * self.whole) as u32;
            best.into_iter().map(move |place| place + from)
        });
        positions.collect()
    }

    /// What happens to the dimension when `keep` channels of every block stay.
    pub(super) fn decide(&self, keep: usize, settings: &Settings) -> Decision {
        if keep < self.whole {
            return Decision::Prune(self.best(keep));
        }
        let size = self.size;
        let ratio = self.own.unwrap_or(settings.ratio());
        let shared = settings.budget.is_some() || settings.scope() != Scope::Uniform;
        let wanted = size - (size as f64 * ratio).floor() as usize;
        let threshold = settings.threshold().filter(|_| self.above >= size);
        Decision::Leave(match () {
            () if let Some(least) = threshold => Left::forced(match self.blocks {
                1 => format!(
                    "none of its {size} channels has a norm under {least}, the smallest has {:.4}",
                    self.steps.last().copied().unwrap_or_default()
                ),
                _ => format!("one of its groups has no channel with a norm under {least}"),
            }),
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
            () if self.step > 1 => Left::forced(format!(
                "a kernel that takes multiples of {} channels only keeps all {size}",
                self.step
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

/// The positions of a block that begins at `from`, counted there, those with the highest scores first.
fn best_first(left: &[u32], scores: &[f64], from: u32) -> Vec<u32> {
    let mut order = left.to_vec();
    order.sort_by(|&a, &b| {
        let (a_score, b_score) = (scores[a as usize], scores[b as usize]);
        b_score.total_cmp(&a_score).then(a.cmp(&b))
    });
    order.into_iter().map(|channel| channel - from).collect()
}

#[cfg(test)]
mod tests {
    use super::{Ranked, Rounding};

    fn of(size: usize, rounding: Rounding) -> Ranked {
        Ranked {
            whole: size,
            size,
            blocks: 1,
            orders: Vec::new(),
            steps: Vec::new(),
            least: 1,
            above: 0,
            needed: 1,
            rounding,
            step: 1,
            own: None,
        }
    }

    #[test]
    fn only_multiples_of_a_step_stay() {
        for (size, step) in [(24, 8), (16, 8), (48, 16), (6, 3)] {
            for rounding in [
                Rounding::Up(1),
                Rounding::Nearest(4),
                Rounding::NearestBelow(4),
            ] {
                let ranked = Ranked {
                    step,
                    ..of(size, rounding)
                };
                let kept: Vec<usize> = (0..=size).map(|n| ranked.allowed(n)).collect();
                assert!(kept.is_sorted(), "{size} {rounding:?}: {kept:?}");
                assert!(kept.iter().all(|n| n.is_multiple_of(step) && *n > 0));
                assert_eq!(kept[size], size);
                assert!(ranked.next(step).is_multiple_of(step));
                assert_eq!(ranked.least(), step);
            }
        }
        let ranked = Ranked {
            step: 8,
            ..of(24, Rounding::NearestBelow(4))
        };
        assert_eq!(ranked.allowed(20), 16);
        // What is asked for holds as well as what the kernels take.
        let ranked = Ranked {
            step: 8,
            ..of(96, Rounding::Up(6))
        };
        assert_eq!([20, 26, 50].map(|n| ranked.allowed(n)), [24, 48, 72]);
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
                    for least in 1..=size {
                        let ranked = Ranked {
                            least,
                            ..of(size, rounding)
                        };
                        let kept: Vec<usize> = (0..=size).map(|n| ranked.allowed(n)).collect();
                        assert!(kept.is_sorted(), "{size} {least} {rounding:?}: {kept:?}");
                        assert!(
                            kept[0] >= least && kept[size] == size,
                            "{size} {rounding:?}"
                        );
                    }
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
