//! Selection: which dimensions are pruned, by how much, and why the others are not.

use std::collections::HashMap;
use std::sync::Arc;

use super::allocate::{Curve, allocated};
use super::counts::{CostTarget, channels, counts};
use super::priced::priced;
use super::ranked::Ranked;
use super::widths::multiples;
use crate::dimensions::{Analysis, Dimension, DimensionId};
use crate::error::{Error, Result};
use crate::latency::LatencyModel;
use crate::patterns::Patterns;
use crate::plan::{Decision, Left, RoundTo, Scope, Selection, Settings};
use crate::rewrite::stale;

/// Multiples of widths that cost kernels next to nothing to miss.
const CHEAP: usize = 4;
/// Share of a budget that good widths may leave unused where others cost next to nothing.
const UNUSED: f64 = 0.05;

/// Chooses the channels that stay: of every eligible dimension those with the highest scores, as many as the
/// scope, the ratio or the budget leave it, never fewer than asked.
///
/// # Errors
/// A ratio or share outside its range, a pattern that is no glob or matches nothing, a budget that cannot be
/// met, or a scope that needs measured divergences.
pub fn select(analysis: &Analysis, scores: &[Vec<f64>], settings: &Settings) -> Result<Selection> {
    Ranking::new(analysis, scores, settings)?.select(&Effects::default())
}

/// What was measured of what removing channels does: to the outputs, on data, and to the time of a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Effects {
    /// By dimension what sizes cost at the outputs, as the allocated scope needs it.
    pub(crate) curves: Vec<Curve>,
    /// By dimension and channel that is not gone Fisher information, as the scope of that name needs it.
    pub(crate) fisher: Vec<Option<Vec<f64>>>,
    /// Times of the ranked model, as a budget of time needs them.
    pub(crate) latency: Option<LatencyModel>,
}

/// The channels of every dimension in the order of their scores, with what may happen to them.
pub(crate) struct Ranking<'a> {
    analysis: &'a Analysis,
    settings: &'a Settings,
    /// By dimension why it may not be pruned.
    reasons: Vec<Option<Left>>,
    /// By dimension; none where it may not be pruned.
    ranked: Vec<Option<Ranked>>,
}

impl<'a> Ranking<'a> {
    /// # Errors
    /// Those of [`select`] but for budgets.
    pub(crate) fn new(
        analysis: &'a Analysis,
        scores: &[Vec<f64>],
        settings: &'a Settings,
    ) -> Result<Ranking<'a>> {
        Ranking::among(analysis, scores, settings, &HashMap::new())
    }

    /// As [`Ranking::new`]; of dimensions that are named in `left` only these channels may stay. Shares are those of all.
    ///
    /// # Errors
    /// Those of [`select`] but for budgets.
    pub(crate) fn among(
        analysis: &'a Analysis,
        scores: &[Vec<f64>],
        settings: &'a Settings,
        left: &HashMap<&str, &[u32]>,
    ) -> Result<Ranking<'a>> {
        settings.check()?;
        let mut reasons = eligibility(analysis, settings)?;
        let own = own_ratios(analysis, settings)?;
        one_factor(analysis, &mut reasons);
        let dimensions = analysis.dimensions();
        let multiples = match settings.round_to {
            RoundTo::Auto(target) => multiples(analysis, target),
            RoundTo::Multiple(_) => vec![1; dimensions.len()],
        };
        let ranked = (0..dimensions.len()).map(|place| {
            let (of, scores) = (&dimensions[place], &scores[place]);
            let all = of.channels();
            let left = left.get(of.name.as_str()).copied().unwrap_or(&all);
            let free = reasons[place].is_none();
            free.then(|| Ranked::new(of, left, scores, own[place], settings, multiples[place]))
        });
        Ok(Ranking {
            ranked: ranked.collect(),
            analysis,
            settings,
            reasons,
        })
    }

    /// The model.
    pub(crate) fn analysis(&self) -> &'a Analysis {
        self.analysis
    }

    /// The sizes below its own that a dimension could be cut to, in `steps` equal steps, the largest first, each
    /// with the channels that would stay, counted among those that are left. `of` is a dimension of the model, or of
    /// what is left of it.
    pub(crate) fn levels(&self, of: &Dimension, steps: usize) -> Vec<(usize, Vec<u32>)> {
        let mut dimensions = self.analysis.dimensions().iter();
        let place = dimensions.position(|dimension| dimension.name == of.name);
        let ranked = place.and_then(|place| self.ranked[place].as_ref());
        let Some(ranked) = ranked.filter(|ranked| ranked.size * ranked.blocks == of.size) else {
            return Vec::new();
        };
        let left = ranked.left();
        let levels = ranked.levels(steps).into_iter();
        let level = |keep: usize| match ranked.decide(keep, self.settings) {
            Decision::Prune(kept) => Some((keep, places(&kept, &left))),
            Decision::Leave(_) => None,
        };
        levels.filter_map(level).collect()
    }

    /// A decision for every dimension; what cannot be made right in the model is left alone.
    ///
    /// # Errors
    /// A budget that cannot be met, a scope that needs effects and has none, or a weight that cannot be sliced.
    pub(crate) fn select(mut self, effects: &Effects) -> Result<Selection> {
        loop {
            let selection = self.decided(effects)?;
            if !self.leave_stale(&selection)? {
                return Ok(selection);
            }
        }
    }
}

impl Ranking<'_> {
    fn decided(&mut self, effects: &Effects) -> Result<Selection> {
        // A budget that good widths do not reach, or leave unused, is met by less good ones.
        let kept = loop {
            match self.counts(effects) {
                Err(fault @ Error::Budget { .. }) => {
                    if !self.halve(usize::MAX) {
                        return Err(fault);
                    }
                }
                Ok(kept) if self.unused(&kept, effects)? > UNUSED && self.halve(CHEAP) => {}
                found => break found?,
            }
        };
        let decisions = self.reasons.iter().zip(&self.ranked).zip(kept);
        let decisions = decisions.map(|((reason, ranked), kept)| match (reason, ranked) {
            (Some(reason), _) => Decision::Leave(reason.clone()),
            (None, Some(ranked)) => ranked.decide(kept, self.settings),
            (None, None) => Decision::Leave(Left::forced("it was not ranked")),
        });
        Ok(Selection {
            decisions: decisions.collect(),
        })
    }

    /// Halves the multiples that widths are rounded to, where they are at most `most`; false where there are none.
    fn halve(&mut self, most: usize) -> bool {
        let all = self.ranked.iter_mut().flatten();
        all.fold(false, |any, ranked| ranked.halve(most) | any)
    }

    /// The share of a budget that these channels per block leave unused.
    fn unused(&self, kept: &[usize], effects: &Effects) -> Result<f64> {
        if self.settings.budget.is_none() {
            return Ok(0.0);
        }
        let latency = effects.latency.as_ref();
        let target = CostTarget::of(self.analysis, &self.ranked, self.settings, latency)?;
        let left = channels(self.analysis, &self.ranked, kept);
        let used = target.gauge(left).cost();
        Ok(1.0 - used as f64 / target.most.max(1) as f64)
    }

    /// Leaves alone what of a selection cannot be made right in the model; false where all can.
    fn leave_stale(&mut self, selection: &Selection) -> Result<bool> {
        let dimensions = self.analysis.dimensions();
        let mut kept = self.analysis.everything();
        for (id, positions) in selection.pruned() {
            kept.insert(dimensions[id.0].var, Arc::from(positions));
        }
        let mut changed = false;
        for found in stale(self.analysis, &kept)? {
            let reason = self.analysis.explain(found.reason);
            for (place, dimension) in dimensions.iter().enumerate() {
                if found.vars.contains(&dimension.var) {
                    // What is gone does not come back.
                    let cut = self.ranked[place].as_mut().filter(|of| of.gone() > 0);
                    if let Some(ranked) = cut {
                        changed |= ranked.hold();
                        continue;
                    }
                    changed |= self.ranked[place].take().is_some();
                    self.reasons[place] =
                        Some(Left::forced(format!("cannot be cut so far: {reason}")));
                }
            }
        }
        Ok(changed)
    }

    /// Channels per block that stay of every dimension.
    fn counts(&self, effects: &Effects) -> Result<Vec<usize>> {
        // Where nothing may be pruned there is nothing to measure either.
        if self.ranked.iter().all(Option::is_none) {
            return Ok(vec![0; self.ranked.len()]);
        }
        let Effects {
            curves,
            fisher,
            latency,
        } = effects;
        let latency = latency.as_ref();
        let scope = self.settings.scope();
        match scope {
            Scope::Allocated | Scope::Fisher if curves.is_empty() && fisher.is_empty() => {
                Err(Error::Usage(format!(
                    "the {scope} scope spreads a budget by what is measured on data: give some with `calibration`, or use another scope"
                )))
            }
            Scope::Allocated => {
                allocated(self.analysis, &self.ranked, self.settings, curves, latency)
            }
            Scope::Fisher => priced(self.analysis, &self.ranked, self.settings, fisher, latency),
            _ => counts(self.analysis, &self.ranked, self.settings, latency),
        }
    }
}

/// Where each of some positions stands among others, both ascending.
pub(crate) fn places(positions: &[u32], among: &[u32]) -> Vec<u32> {
    let numbered = (0..).zip(among);
    let found = numbered.filter(|(_, position)| positions.binary_search(position).is_ok());
    found.map(|(place, _)| place).collect()
}

/// The ratio that `ratio_for` gives each dimension; of several patterns that match the last counts.
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
fn eligibility(analysis: &Analysis, settings: &Settings) -> Result<Vec<Option<Left>>> {
    let skip = Patterns::new(settings.skip.iter().map(String::as_str))?;
    let only = Patterns::new(settings.only.iter().map(String::as_str))?;
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
            match &dimension.mixing {
                Some(reason) if settings.exact => Some(Left::chosen(format!(
                    "`exact` leaves it alone, as it mixes: {reason}"
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
fn labels(analysis: &Analysis, dimension: &Dimension) -> Vec<String> {
    let nodes = dimension.producers.iter();
    let names = nodes.map(|&node| analysis.graph().node_proto(node).name().to_owned());
    [dimension.name.clone(), dimension.weight.clone()]
        .into_iter()
        .chain(names)
        .collect()
}

/// Of dimensions that multiply each other only one is pruned, or a ratio of one half would remove three
/// quarters: the outermost, which is the heads of an attention.
fn one_factor(analysis: &Analysis, reasons: &mut [Option<Left>]) {
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
                    let why = format!("multiplies '{winner}', which is pruned instead");
                    reasons[id.0] = Some(Left::forced(why));
                }
            }
        }
    }
}
