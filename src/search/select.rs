//! Selection: which dimensions are pruned, by how much, and why the others are not.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::allocate::{Curve, Search, allocated, promised};
use super::counts::{CostTarget, channels, channels_left, counts};
use super::eligible::{eligibility, one_factor, own_ratios, silent};
use super::priced::priced;
use super::ranked::Ranked;
use super::widths::multiples;
use crate::dimensions::{Analysis, Dimension};
use crate::error::{Error, Result};
use crate::latency::LatencyModel;
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
    /// Blocks that are dropped.
    dropped: BTreeSet<usize>,
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
        silent(&mut reasons, scores, &settings.criterion());
        let own = own_ratios(analysis, settings)?;
        let dimensions = analysis.dimensions();
        let is_cut = |of: &Dimension| {
            let left = left.get(of.name.as_str());
            left.is_some_and(|left| left.len() < of.size)
        };
        let cut: Vec<bool> = dimensions.iter().map(is_cut).collect();
        one_factor(analysis, settings, (&own, &cut), &mut reasons);
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
            dropped: BTreeSet::new(),
        })
    }

    /// The same where these blocks are dropped: what occurs in them alone goes with them.
    pub(crate) fn without_blocks(mut self, blocks: &BTreeSet<usize>) -> Ranking<'a> {
        let nodes = self.analysis.nodes_left(blocks);
        for (place, dimension) in self.analysis.dimensions().iter().enumerate() {
            let mut sites = dimension.sites.iter();
            if !sites.any(|site| self.analysis.is_left(site.value, &nodes)) {
                self.ranked[place] = None;
                self.reasons[place] = Some(Left::chosen("goes with a block that is dropped"));
            }
        }
        self.dropped.clone_from(blocks);
        self
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
            let counts = self.decided(effects)?;
            let selection = self.decisions(&counts);
            if !self.leave_stale(&selection)? {
                return Ok(selection);
            }
        }
    }

    /// As [`Ranking::select`] with curves, with the divergence that they promise.
    ///
    /// # Errors
    /// Those of [`Ranking::select`].
    pub(crate) fn select_foretold(mut self, effects: &Effects) -> Result<(Selection, f64)> {
        loop {
            let counts = self.decided(effects)?;
            let selection = self.decisions(&counts);
            if !self.leave_stale(&selection)? {
                return Ok((selection, promised(&self.ranked, &effects.curves, &counts)));
            }
        }
    }

    /// As [`Ranking::select`] with curves, improved by exchanges: of each plan that is looked at, at most `tries`, `divergence`
    /// says what the outputs say; none where it cannot be made.
    ///
    /// # Errors
    /// Those of [`Ranking::select`] and of `divergence`.
    pub(crate) fn select_tried(
        mut self,
        effects: &Effects,
        tries: usize,
        divergence: &mut dyn FnMut(&Selection) -> Result<Option<f64>>,
    ) -> Result<Selection> {
        let mut counts = loop {
            let counts = self.decided(effects)?;
            if !self.leave_stale(&self.decisions(&counts))? {
                break counts;
            }
        };
        let target = self.target(effects)?;
        let mut search = Search::new(self.analysis, &self.ranked, &effects.curves, target);
        let Some(mut least) = divergence(&self.decisions(&counts))? else {
            return Ok(self.decisions(&counts));
        };
        let mut seen = HashSet::from([counts.clone()]);
        'rounds: while seen.len() < tries {
            for next in search.neighbours(&counts) {
                if seen.len() >= tries || !seen.insert(next.clone()) {
                    continue;
                }
                let found = divergence(&self.decisions(&next))?;
                if let Some(found) = found.filter(|found| *found < least) {
                    (least, counts) = (found, next);
                    continue 'rounds;
                }
            }
            break;
        }
        Ok(self.decisions(&counts))
    }

    /// What stays of a dimension where these shares of it go, at least as many channels as the model needs, each among those of the one before; `of` as
    /// for [`Ranking::levels`].
    pub(crate) fn without(&self, of: &Dimension, shares: &[f64]) -> Vec<(usize, Vec<u32>)> {
        let mut dimensions = self.analysis.dimensions().iter();
        let place = dimensions.position(|dimension| dimension.name == of.name);
        let Some(ranked) = place.and_then(|place| self.ranked[place].as_ref()) else {
            return Vec::new();
        };
        let mut sizes: Vec<usize> = shares
            .iter()
            .map(|share| (ranked.size as f64 * (1.0 - share)).round() as usize)
            .map(|keep| ranked.stepped(keep.max(ranked.needed)))
            .collect();
        sizes.retain(|&keep| keep < ranked.size);
        sizes.dedup();
        let level = |keep: usize| match ranked.decide(keep, self.settings) {
            Decision::Prune(kept) => Some((keep * ranked.blocks, kept)),
            Decision::Leave(_) => None,
        };
        sizes.into_iter().filter_map(level).collect()
    }

    /// Decisions where nothing may go; none where something may.
    pub(crate) fn idle(&self) -> Option<Selection> {
        let free = |ranked: &Ranked| ranked.least() < ranked.size;
        let idle = !self.ranked.iter().flatten().any(free);
        let whole: Vec<usize> = self
            .ranked
            .iter()
            .map(|of| of.as_ref().map_or(0, |of| of.size))
            .collect();
        idle.then(|| self.decisions(&whole))
    }

    /// Why a dimension may not be pruned; none where it may.
    pub(crate) fn reason(&self, place: usize) -> Option<&str> {
        self.reasons[place].as_ref().map(|left| left.why.as_str())
    }
}

impl Ranking<'_> {
    /// Channels per block that stay of every dimension.
    fn decided(&mut self, effects: &Effects) -> Result<Vec<usize>> {
        // A budget that good widths do not reach, or leave unused, is met by less good ones.
        loop {
            match self.counts(effects) {
                Err(fault @ Error::Budget { .. }) => {
                    if !self.halve(usize::MAX) {
                        return Err(fault);
                    }
                }
                Ok(kept) if self.unused(&kept, effects)? > UNUSED && self.halve(CHEAP) => {}
                found => return found,
            }
        }
    }

    /// What happens to every dimension at these channels per block.
    fn decisions(&self, counts: &[usize]) -> Selection {
        let decisions = self.reasons.iter().zip(&self.ranked).zip(counts);
        let decisions = decisions.map(|((reason, ranked), &kept)| match (reason, ranked) {
            (Some(reason), _) => Decision::Leave(reason.clone()),
            (None, Some(ranked)) => ranked.decide(kept, self.settings),
            (None, None) => Decision::Leave(Left::forced("it was not ranked")),
        });
        Selection {
            decisions: decisions.collect(),
        }
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
        let target = self.target(effects)?;
        let left = channels(self.analysis, &self.ranked, kept);
        let used = target.gauge(left).cost();
        Ok(1.0 - used as f64 / target.most.max(1) as f64)
    }

    fn target<'b>(&'b self, effects: &'b Effects) -> Result<CostTarget<'b>> {
        let latency = effects.latency.as_ref();
        let (ranked, dropped) = (&self.ranked, &self.dropped);
        CostTarget::of(self.analysis, ranked, self.settings, dropped, latency)
    }

    /// Leaves alone what of a selection cannot be made right in the model; false where all can.
    fn leave_stale(&mut self, selection: &Selection) -> Result<bool> {
        let dimensions = self.analysis.dimensions();
        let mut kept = selection.kept(self.analysis);
        self.dropped.iter().for_each(|&block| kept.drop_part(block));
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
            let target = self.target(effects)?;
            let left = target.gauge(channels_left(self.analysis, &self.ranked));
            // What dropped blocks save has to be enough then.
            return match self.dropped.is_empty() || left.cost() <= target.most {
                true => Ok(vec![0; self.ranked.len()]),
                false => Err(target.missed(left.cost())),
            };
        }
        let Effects { curves, fisher, .. } = effects;
        let (scope, target) = (self.settings.scope(), self.target(effects)?);
        match scope {
            Scope::Allocated | Scope::Fisher if curves.is_empty() && fisher.is_empty() => {
                Err(Error::Usage(format!(
                    "the {scope} scope spreads a budget by what is measured on data: give some with `calibration`, or use another scope"
                )))
            }
            Scope::Allocated => allocated(self.analysis, &self.ranked, target, curves),
            Scope::Fisher => priced(self.analysis, &self.ranked, target, fisher),
            _ => counts(self.analysis, &self.ranked, self.settings, target),
        }
    }
}

/// Where each of some positions stands among others, both ascending.
pub(crate) fn places(positions: &[u32], among: &[u32]) -> Vec<u32> {
    let numbered = (0..).zip(among);
    let found = numbered.filter(|(_, position)| positions.binary_search(position).is_ok());
    found.map(|(place, _)| place).collect()
}
