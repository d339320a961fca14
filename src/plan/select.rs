//! Selection: which dimensions are pruned, by how much, and why the others are not.

use super::document::Settings;
use crate::dimensions::{Analysis, Dimension, DimensionId};
use crate::error::{Error, Result};
use crate::patterns::Patterns;

/// What happens to one dimension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// These positions stay, ascending.
    Prune(Vec<u32>),
    /// All stay, for this reason.
    Leave(String),
}

/// A decision for every dimension of an analysis, in their order.
#[derive(Clone, Debug)]
pub struct Selection {
    /// By dimension.
    pub decisions: Vec<Decision>,
}

impl Selection {
    /// Dimensions that lose channels.
    pub fn pruned(&self) -> impl Iterator<Item = (DimensionId, &[u32])> {
        let decisions = self.decisions.iter().enumerate();
        decisions.filter_map(|(index, decision)| match decision {
            Decision::Prune(kept) => Some((DimensionId(index), kept.as_slice())),
            Decision::Leave(_) => None,
        })
    }
}

/// Chooses the channels that stay: in every eligible dimension the share `1 - ratio` with the highest
/// scores, never fewer than asked, never a removed channel more than the ratio says.
///
/// # Errors
/// A ratio outside `[0, 1)`, a pattern that is no glob, or a pattern that matches nothing.
pub fn select(analysis: &Analysis, scores: &[Vec<f64>], settings: &Settings) -> Result<Selection> {
    if !(0.0..1.0).contains(&settings.ratio) {
        return Err(Error::Usage(format!(
            "the ratio {} is outside [0, 1): it is the share of channels to remove",
            settings.ratio
        )));
    }
    let mut reasons = eligibility(analysis, settings)?;
    one_factor(analysis, &mut reasons);
    let decisions = analysis.dimensions().iter().zip(scores).zip(reasons).map(
        |((dimension, scores), reason)| match reason {
            Some(reason) => Decision::Leave(reason),
            None => choose(dimension, scores, settings),
        },
    );
    Ok(Selection {
        decisions: decisions.collect(),
    })
}

/// Why each dimension may not be pruned; `None` where it may.
fn eligibility(analysis: &Analysis, settings: &Settings) -> Result<Vec<Option<String>>> {
    let skip = Patterns::new(settings.skip.iter().map(String::as_str))?;
    let only = Patterns::new(settings.only.iter().map(String::as_str))?;
    let mut out = Vec::new();
    for dimension in analysis.dimensions() {
        let labels = labels(analysis, dimension);
        let (skipped, chosen) = (skip.matched(&labels), only.matched(&labels));
        out.push(if let Some(place) = skipped {
            Some(format!("skipped by --skip '{}'", skip.text(place)))
        } else if !only.is_empty() && chosen.is_none() {
            Some("not named by --only".to_owned())
        } else {
            match &dimension.mixing {
                Some(reason) if settings.exact => Some(format!("--exact, and it mixes: {reason}")),
                _ => None,
            }
        });
    }
    skip.all_used("dimension", "secateur inspect")?;
    only.all_used("dimension", "secateur inspect")?;
    Ok(out)
}

/// What a pattern may match: the dimension's name and the names of the nodes that produce it.
fn labels(analysis: &Analysis, dimension: &Dimension) -> Vec<String> {
    let nodes = dimension.producers.iter();
    let names = nodes.map(|&node| analysis.graph().node_proto(node).name().to_owned());
    std::iter::once(dimension.name.clone())
        .chain(names)
        .collect()
}

/// Of dimensions that multiply each other only one is pruned, or a ratio of one half would remove three
/// quarters: the outermost, which is the heads of an attention.
fn one_factor(analysis: &Analysis, reasons: &mut [Option<String>]) {
    let names: Vec<&str> = analysis
        .dimensions()
        .iter()
        .map(|d| d.name.as_str())
        .collect();
    let mut chosen = vec![false; reasons.len()];
    for product in analysis.products() {
        let free = |factor: &Vec<DimensionId>, chosen: &[bool], settled: bool| {
            let eligible = |id: &DimensionId| reasons[id.0].is_none();
            factor
                .iter()
                .any(|id| eligible(id) && (!settled || chosen[id.0]))
        };
        let settled = product
            .iter()
            .position(|factor| free(factor, &chosen, true));
        let place = settled.or_else(|| {
            product
                .iter()
                .position(|factor| free(factor, &chosen, false))
        });
        let Some(place) = place else { continue };
        let winner = product[place]
            .iter()
            .map(|id| names[id.0])
            .next()
            .unwrap_or("");
        for (other, factor) in product.iter().enumerate() {
            for id in factor {
                if other == place {
                    chosen[id.0] = reasons[id.0].is_none();
                } else if reasons[id.0].is_none() && !product[place].contains(id) {
                    chosen[id.0] = false;
                    reasons[id.0] = Some(format!("multiplies '{winner}', which is pruned instead"));
                }
            }
        }
    }
}

fn choose(dimension: &Dimension, scores: &[f64], settings: &Settings) -> Decision {
    let block = dimension.size / dimension.blocks.max(1);
    let removed = (block as f64 * settings.ratio).floor() as usize;
    let least = settings
        .min_channels
        .div_ceil(dimension.blocks.max(1))
        .max(1);
    let keep = (block - removed).max(least);
    let keep = keep.next_multiple_of(settings.round_to.max(1)).min(block);
    if keep == block {
        return Decision::Leave(match removed > 0 {
            true if least >= block => {
                format!("--min-channels {} keeps all {block}", settings.min_channels)
            }
            true => format!("--round-to {} keeps all {block}", settings.round_to),
            false => format!(
                "a ratio of {} removes none of {block} channels",
                settings.ratio
            ),
        });
    }
    let mut kept = Vec::with_capacity(keep * dimension.blocks);
    for (index, scores) in scores.chunks(block).enumerate() {
        let mut order: Vec<u32> = (0..block as u32).collect();
        // Ties keep the earlier channel.
        order.sort_by(|&a, &b| {
            scores[b as usize]
                .total_cmp(&scores[a as usize])
                .then(a.cmp(&b))
        });
        let mut best = order[..keep].to_vec();
        best.sort_unstable();
        kept.extend(
            best.into_iter()
                .map(|position| position + (index * block) as u32),
        );
    }
    Decision::Prune(kept)
}
