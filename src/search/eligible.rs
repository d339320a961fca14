//! Which dimensions may be pruned, and by what ratio of their own.

use crate::criteria::{Criterion, scores};
use crate::dimensions::{Analysis, Dimension, DimensionId};
use crate::error::Result;
use crate::ops::AttentionPart;
use crate::patterns::Patterns;
use crate::plan::{Left, Settings};

/// The ratio that `ratio_for` gives each dimension; of several patterns that match the last counts.
pub(super) fn own_ratios(analysis: &Analysis, settings: &Settings) -> Result<Vec<Option<f64>>> {
    let patterns = Patterns::new(settings.ratio_for.iter().map(|(glob, _)| glob.as_str()))?;
    let own = analysis.dimensions().iter().map(|dimension| {
        let place = patterns.matched(&labels(analysis, dimension));
        place.map(|place| settings.ratio_for[place].1)
    });
    let own = own.collect();
    patterns.all_used("dimension", "secateur inspect")?;
    Ok(own)
}

/// That settings fit a model, before anything is measured for them.
///
/// # Errors
/// Numbers out of their ranges, patterns that are none or match nothing, a file of scores that does not fit, or a criterion
/// that says nothing of any dimension.
pub(crate) fn check(analysis: &Analysis, settings: &Settings) -> Result<()> {
    settings.check()?;
    eligibility(analysis, settings)?;
    own_ratios(analysis, settings)?;
    match settings.criterion() {
        of @ (Criterion::Scores(_) | Criterion::BnScale) => {
            scores(analysis, of, settings.seed).map(drop)
        }
        _ => Ok(()),
    }
}

/// Why each dimension may not be pruned; `None` where it may.
pub(super) fn eligibility(analysis: &Analysis, settings: &Settings) -> Result<Vec<Option<Left>>> {
    let skip = Patterns::new(settings.skip.iter().map(String::as_str))?;
    let only = Patterns::new(settings.only.iter().map(String::as_str))?;
    let own = Patterns::new(settings.ratio_for.iter().map(|(glob, _)| glob.as_str()))?;
    let mut out = Vec::new();
    for dimension in analysis.dimensions() {
        let labels = labels(analysis, dimension);
        let (skipped, chosen) = (skip.matched(&labels), only.matched(&labels));
        out.push(if let Some(place) = skipped {
            Some(Left::chosen(format!(
                "skipped by `skip` '{}'",
                skip.text(place)
            )))
        } else if !only.is_empty() && chosen.is_none() {
            Some(Left::chosen("not named by `only`"))
        } else {
            let named = chosen.is_some() || own.matched(&labels).is_some();
            let spared = dimension
                .attends
                .filter(|&part| !settings.attention.takes(part));
            match (&dimension.mixing, &dimension.alternatives) {
                _ if spared.is_some() => spared.map(|part| {
                    let what = match part {
                        AttentionPart::Heads => "heads",
                        AttentionPart::HeadWidth => "the width of heads",
                    };
                    let cut = settings.attention;
                    Left::chosen(format!("`attention` {cut} leaves {what} alone"))
                }),
                (Some(reason), _) if settings.exact => Some(Left::chosen(format!(
                    "`exact` leaves it alone, as it mixes: {reason}"
                ))),
                (_, Some(reason)) if !named => Some(Left::chosen(format!(
                    "its channels are alternatives, which go only where `only` names them: {reason}"
                ))),
                _ => None,
            }
        });
    }
    skip.all_used("dimension", "secateur inspect")?;
    only.all_used("dimension", "secateur inspect")?;
    Ok(out)
}

/// What a pattern may match: the dimension's name, the weight that it is named after, and the nodes that produce
/// it.
pub(crate) fn labels(analysis: &Analysis, dimension: &Dimension) -> Vec<String> {
    let nodes = dimension.producers.iter();
    let names = nodes.map(|&node| analysis.graph().node_proto(node).name().to_owned());
    [dimension.name.clone(), dimension.weight.clone()]
        .into_iter()
        .chain(names)
        .collect()
}

/// Of dimensions that multiply each other only one is pruned, or a ratio of one half would remove three
/// quarters: the one that is cut already, else the outermost that loses any at the ratio, which is the heads of an attention.
pub(super) fn one_factor(
    analysis: &Analysis,
    settings: &Settings,
    (own, cut): (&[Option<f64>], &[bool]),
    reasons: &mut [Option<Left>],
) {
    let loses = |id: &DimensionId| {
        let dimension = &analysis.dimensions()[id.0];
        let ratio = own[id.0].unwrap_or(settings.ratio);
        let channels = dimension.size / dimension.blocks.max(1);
        settings.budget.is_some() || (channels as f64 * ratio).floor() >= 1.0
    };
    let names: Vec<&str> = analysis
        .dimensions()
        .iter()
        .map(|d| d.name.as_str())
        .collect();
    let mut chosen = cut.to_vec();
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
            let free = |factor: &Vec<DimensionId>| free(factor, &chosen, false);
            let able = |factor: &Vec<DimensionId>| free(factor) && factor.iter().any(loses);
            let able = product.iter().position(able);
            able.or_else(|| product.iter().position(free))
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
                    let why = format!("multiplies '{winner}', which is pruned instead");
                    reasons[id.0] = Some(Left::forced(why));
                }
            }
        }
    }
}

/// Leaves alone what has no scores.
pub(super) fn silent(reasons: &mut [Option<Left>], scores: &[Vec<f64>], criterion: &Criterion) {
    for (reason, scores) in reasons.iter_mut().zip(scores) {
        if reason.is_none() && scores.is_empty() {
            *reason = Some(Left::chosen(criterion.silence()));
        }
    }
}
