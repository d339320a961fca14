//! The channels of a dimension in the order of their scores, and how many of them may stay.

use crate::dimensions::Dimension;
use crate::plan::{Decision, Scope, Settings};

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
    round_to: usize,
    /// A ratio of its own.
    pub(super) own: Option<f64>,
}

impl Ranked {
    pub(super) fn new(
        dimension: &Dimension,
        scores: &[f64],
        own: Option<f64>,
        settings: &Settings,
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
        Ranked {
            size,
            blocks,
            orders,
            steps,
            least: settings.min_channels.div_ceil(blocks).max(1).max(capped),
            round_to: settings.round_to.max(1),
            own,
        }
    }

    /// The number per block that stays when `wanted` would.
    pub(super) fn allowed(&self, wanted: usize) -> usize {
        let least = wanted.max(self.least);
        least.next_multiple_of(self.round_to).min(self.size)
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
        let shared = settings.budget.is_some() || settings.scope != Scope::Uniform;
        let wanted = size - (size as f64 * ratio).floor() as usize;
        Decision::Leave(match () {
            () if self.least >= size && settings.min_channels > 1 => {
                format!("--min-channels {} keeps all {size}", settings.min_channels)
            }
            () if shared && self.own.is_none() => {
                format!("all of its {size} channels are among those that stay")
            }
            () if wanted == size => format!("a ratio of {ratio} removes none of {size} channels"),
            () if self.least >= size => {
                format!("--max-ratio {} keeps all {size}", settings.max_ratio())
            }
            () => format!("--round-to {} keeps all {size}", settings.round_to),
        })
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
