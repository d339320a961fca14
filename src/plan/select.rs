//! Selection: which dimensions are pruned, by how much, and why the others are not.

use super::counts::{Ranked, counts};
use super::settings::Settings;
use crate::dimensions::{Analysis, Dimension, DimensionId};
use crate::error::Result;
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

/// Chooses the channels that stay: of every eligible dimension those with the highest scores, as many as the
/// scope, the ratio or the budget leave it, never fewer than asked.
///
/// # Errors
/// A ratio or share outside its range, a pattern that is no glob or matches nothing, or a budget that cannot
/// be met.
pub fn select(analysis: &Analysis, scores: &[Vec<f64>], settings: &Settings) -> Result<Selection> {
    settings.check()?;
    let mut reasons = eligibility(analysis, settings)?;
    let own = own_ratios(analysis, settings)?;
    one_factor(analysis, &mut reasons);
    let dimensions = analysis.dimensions();
    let ranked: Vec<Option<Ranked>> = (0..dimensions.len())
        .map(|place| {
            let free = reasons[place].is_none();
            free.then(|| Ranked::new(&dimensions[place], &scores[place], own[place], settings))
        })
        .collect();
    let kept = counts(analysis, &ranked, settings)?;
    let decisions = reasons.into_iter().zip(ranked).zip(kept);
    let decisions = decisions.map(|((reason, ranked), kept)| match (reason, ranked) {
        (Some(reason), _) => Decision::Leave(reason),
        (None, Some(ranked)) => ranked.decide(kept, settings),
        (None, None) => Decision::Leave("it was not ranked".to_owned()),
    });
    Ok(Selection {
        decisions: decisions.collect(),
    })
}

/// The ratio that `--ratio-for` gives each dimension; of several patterns that match the last counts.
fn own_ratios(analysis: &Analysis, settings: &Settings) -> Result<Vec<Option<f64>>> {
    let patterns = Patterns::new(settings.ratio_for.iter().map(|(glob, _)| glob.as_str()))?;
    let own = analysis.dimensions().iter().map(|dimension| {
        let place = patterns.matched(&labels(analysis, dimension));
        place.map(|place| settings.ratio_for[place].1)
    });
    let own = own.collect();
    patterns.all_used("dimension", "secateur inspect")?;
    Ok(own)
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
