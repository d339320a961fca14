//! Where models of a search are made: everything that is found once and serves every share.

use std::cell::OnceCell;

use serde::{Deserialize, Serialize};

use super::SearchOptions;
use super::inner::Inner;
use crate::dimensions::{Analysis, Totals};
use crate::error::{Error, Result};
use crate::events::Events;
use crate::job::Proof;
use crate::job::prune::{
    Calibrated, Maker, Proven, PruneOptions, Pruning, TimedModel, Voice, obstacles,
};
use crate::job::watch::Watch;
use crate::onnx::Model;
use crate::plan::{Cost, CostBudget, Decision, Left, Plan, Scope, Selection, Settings};
use crate::results::{Results, Shard};
use crate::search::{Effects, ModelJudge, ModelJudgement, PlanLibrary, Ranking, SharedWork};

/// Residual branches that may be dropped at most.
const BLOCKS: usize = 12;
/// Branches are not looked at further where they alone cost so many times what channels would.
const WORTH: f64 = 4.0;
/// Whole plans that are tried for an exchange.
const TRIES: usize = 40;

/// What is made: how much of the cost stays, and how.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct SearchStep {
    /// What sizes are chosen by.
    pub(super) cost: Cost,
    pub(super) share: f64,
    /// With sizes exchanged where outputs of whole plans say so.
    pub(super) exchanged: bool,
    /// Without so many residual branches, those that the outputs need least.
    pub(super) dropped: usize,
}

/// A model that was made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct MadeModel {
    /// Whether its products are of 8-bit codes.
    pub(super) coded: bool,
    pub(super) after: Totals,
    pub(super) bytes: u64,
    /// Share of the original's time that it takes, measured in turn; none where time is no matter.
    pub(super) time: Option<f64>,
    /// What was found on the samples that the search looks at.
    pub(super) judged: ModelJudgement,
}

/// What became of an attempt.
pub(super) struct StepResult {
    /// None where the model cannot be made so.
    pub(super) plan: Option<Plan>,
    /// As it is, and with products of codes where that was asked for.
    pub(super) made: Vec<MadeModel>,
}

/// All that attempts share.
pub(super) struct Workshop<'a> {
    pub(super) analysis: &'a Analysis,
    pub(super) options: &'a SearchOptions,
    pub(super) calibrated: &'a Calibrated<'a>,
    /// On the samples that the search looks at.
    pub(super) judge: &'a ModelJudge<'a>,
    /// Where time is minimised.
    pub(super) timed: Option<&'a TimedModel<'a>>,
    pub(super) results: &'a Results,
    pub(super) shard: Shard,
    pub(super) scores: OnceCell<Vec<Vec<f64>>>,
    pub(super) effects: OnceCell<Effects>,
    /// Residual branches in the order in which they are dropped, with the divergence of the outputs from then on.
    pub(super) blocks: OnceCell<Vec<(usize, f64)>>,
}

impl Workshop<'_> {
    /// Scores and curves, which all plans are made from.
    ///
    /// # Errors
    /// Data that cannot be read, or a provider that refuses the model.
    pub(super) fn prepare(&self, watch: &mut Watch, events: &mut dyn Events) -> Result<()> {
        let settings = self.settings(Cost::Macs, 1.0);
        let score = || self.calibrated.scores(self.analysis, &settings, events);
        let scores = watch.stage("score", score)?;
        let scores = self.scores.get_or_init(|| scores);
        let ranking = Ranking::new(self.analysis, scores, &settings)?;
        let nothing = self.analysis.blocks().is_empty() && self.options.quantise.is_none();
        if let Some(selection) = ranking.idle().filter(|_| nothing) {
            let blocked = obstacles(self.analysis, &selection);
            return Err(Error::NothingToPrune { blocked });
        }
        let shared = SharedWork {
            results: self.results,
            shard: self.shard,
        };
        let curves = || {
            let (analysis, calibrated) = (self.analysis, self.calibrated);
            calibrated.effects(analysis, &ranking, &settings, shared, events)
        };
        let mut effects = watch.stage("curves", curves)?;
        effects.latency = self.timed.map(|timed| timed.model().clone());
        self.effects.get_or_init(|| effects);
        let blocks = watch.stage("blocks", || self.least_blocks(events))?;
        self.blocks.get_or_init(|| blocks);
        Ok(())
    }

    fn least_blocks(&self, events: &mut dyn Events) -> Result<Vec<(usize, f64)>> {
        let most = self.analysis.blocks().len().min(BLOCKS);
        if most == 0 {
            return Ok(Vec::new());
        }
        if let Some(known) = self.results.get("blocks", &most) {
            return Ok(known);
        }
        let found = self.calibrated.least_blocks(self.analysis, most, events)?;
        self.results.put("blocks", &most, &found);
        Ok(found)
    }

    /// How many residual branches are dropped best at a share, by what was measured of them and of dimensions, one by one; none
    /// where leaving all of them alone promises far more.
    ///
    /// # Errors
    /// A weight that cannot be sliced.
    pub(super) fn dropped_best(&self, cost: Cost, share: f64) -> Result<Option<usize>> {
        let none = Vec::new();
        let blocks = self.blocks.get().unwrap_or(&none);
        let mut promised = Vec::new();
        for dropped in 0..=blocks.len() {
            let own = match dropped.checked_sub(1) {
                Some(last) => blocks[last].1,
                None => 0.0,
            };
            // What costs too much with channels as they are costs no less without.
            if promised.first().is_some_and(|least| own > WORTH * least) {
                break;
            }
            let step = SearchStep {
                cost,
                share,
                exchanged: false,
                dropped,
            };
            let settings = self.settings(step.cost, share);
            let effects = self.effects.get().cloned().unwrap_or_default();
            let found = self.ranking(&settings, dropped)?.select_foretold(&effects);
            promised.push(match found {
                Ok((selection, divergence)) if self.meets(&selection, step) => own + divergence,
                Ok(_) => f64::INFINITY,
                Err(Error::Budget { .. }) => f64::INFINITY,
                Err(fault) => return Err(fault),
            });
        }
        let with = promised.iter().enumerate().skip(1);
        let best = with.min_by(|a, b| a.1.total_cmp(b.1));
        let best = best.filter(|(_, promise)| promise.is_finite());
        Ok(best.map(|(dropped, _)| dropped))
    }

    /// Whether what is left costs as little as was asked for: where no channel may go, nothing else decides.
    fn meets(&self, selection: &Selection, step: SearchStep) -> bool {
        let SearchStep {
            cost,
            share,
            dropped,
            ..
        } = step;
        let mut kept = selection.kept(self.analysis);
        let blocks = self.blocks.get().into_iter().flatten().take(dropped);
        blocks.for_each(|(place, _)| kept.drop_part(*place));
        let before = cost.of(&self.analysis.model_totals());
        let counted = cost.of(&self.analysis.totals(&kept)).zip(before);
        let left = match (counted, self.timed) {
            (Some((after, before)), _) => after as f64 / before.max(1) as f64,
            (None, Some(timed)) => {
                let channels = self.analysis.channels(&kept);
                let nodes = self.analysis.nodes_left(kept.dropped());
                timed.model().share(&channels, &nodes)
            }
            (None, None) => 1.0,
        };
        left <= share
    }

    /// The channels at some settings, without so many residual branches.
    fn ranking<'b>(&'b self, settings: &'b Settings, dropped: usize) -> Result<Ranking<'b>> {
        let (none, first) = (Vec::new(), Vec::new());
        let scores = self.scores.get().unwrap_or(&none);
        let blocks = self.blocks.get().unwrap_or(&first);
        let blocks = blocks.iter().take(dropped).map(|(place, _)| *place);
        let ranking = Ranking::new(self.analysis, scores, settings)?;
        Ok(ranking.without_blocks(&blocks.collect()))
    }

    /// The names of what an attempt drops.
    fn dropped(&self, attempt: SearchStep) -> Vec<String> {
        let blocks = self
            .blocks
            .get()
            .into_iter()
            .flatten()
            .take(attempt.dropped);
        let known = self.analysis.blocks();
        blocks
            .map(|(place, _)| known[*place].name.clone())
            .collect()
    }

    /// What an attempt gives: from the results where it is known, else made and kept there.
    ///
    /// # Errors
    /// Data that cannot be read, or a provider that refuses a model.
    pub(super) fn attempt(
        &self,
        attempt: SearchStep,
        watch: &mut Watch,
        events: &mut dyn Events,
    ) -> Result<StepResult> {
        let mut inner = Inner(events);
        let mut voice = Voice {
            watch,
            events: &mut inner,
        };
        let plan = match self.results.get::<_, Option<Plan>>("plan", &attempt) {
            Some(known) => known,
            None => {
                let plan = self.plan(attempt, &mut voice)?;
                self.results.put("plan", &attempt, &plan);
                plan
            }
        };
        let made = match &plan {
            Some(plan) => self.made(plan, &mut voice)?,
            None => Vec::new(),
        };
        Ok(StepResult { plan, made })
    }

    /// What a plan leaves, judged; plans of several shares may be the same.
    fn made(&self, plan: &Plan, voice: &mut Voice) -> Result<Vec<MadeModel>> {
        let kept = plan.dimensions.iter().map(|of| (&of.name, &of.kept));
        let key: (Vec<_>, _) = (kept.collect(), &plan.dropped_blocks);
        if let Some(known) = self.results.get("cut", &key) {
            return Ok(known);
        }
        let proven = self.make(plan, Proof::Skipped, voice)?;
        let mut made = Vec::new();
        if !plan.removes_nothing() {
            made.push(self.judged((plan, &proven.model, false), voice)?);
        }
        if let Some(settings) = &self.options.quantise {
            let pruning = Pruning {
                dense: self.analysis,
                proven: &proven,
                opened: self.calibrated.opened(),
            };
            let coded = pruning.coded(settings, voice)?;
            made.push(self.judged((plan, &coded.model, true), voice)?);
        }
        self.results.put("cut", &key, &made);
        Ok(made)
    }

    fn judged(
        &self,
        (plan, model, coded): (&Plan, &Model, bool),
        voice: &mut Voice,
    ) -> Result<MadeModel> {
        let judged = voice.watch.stage("judge", || self.judge.of(model))?;
        let after = self.analysis.totals(&plan.kept(self.analysis)?);
        let bytes = match model.to_bytes() {
            Ok(bytes) => bytes.len() as u64,
            // What is too large for one message is nearly all weights.
            Err(_) => after.bytes,
        };
        let timed = || {
            let measured = self.timed.map(|timed| timed.measured(model));
            Ok(measured.transpose()?.map(|measured| measured.share))
        };
        let time = voice.watch.stage("time", timed)?;
        Ok(MadeModel {
            coded,
            after,
            bytes,
            time,
            judged,
        })
    }

    /// The model that a plan leaves.
    ///
    /// # Errors
    /// A failed proof, or data that cannot be read.
    pub(super) fn make(&self, plan: &Plan, proof: Proof, voice: &mut Voice) -> Result<Proven> {
        let options = PruneOptions {
            settings: plan.settings.clone(),
            calibration: Some(self.options.data.clone()),
            recovery: self.options.recovery,
            // What was judged is what has to be proven.
            strict: true,
            quantise: self.options.quantise.clone(),
            proof,
            shapes: self.options.shapes.clone(),
            runtime: self.options.runtime.clone(),
            ..PruneOptions::default()
        };
        let maker = Maker {
            analysis: self.analysis,
            calibrated: Some(self.calibrated),
            options: &options,
            remains: None,
        };
        maker.make(plan, voice)
    }

    fn plan(&self, attempt: SearchStep, voice: &mut Voice) -> Result<Option<Plan>> {
        let settings = self.settings(attempt.cost, attempt.share);
        if attempt.share >= 1.0 {
            return Ok(Some(self.whole(&settings)));
        }
        let none = Vec::new();
        let scores = self.scores.get().unwrap_or(&none);
        let effects = self.effects.get().cloned().unwrap_or_default();
        let ranking = self.ranking(&settings, attempt.dropped)?;
        let dropped = self.dropped(attempt);
        let selection = match attempt.exchanged {
            false => ranking.select(&effects),
            true => {
                let outputs = self.calibrated.outputs(self.analysis);
                let library = PlanLibrary::new(outputs, TRIES)?;
                let mut tried = |selection: &Selection| {
                    let kept = selection.kept(self.analysis);
                    library.divergence(&kept)
                };
                let select = || ranking.select_tried(&effects, TRIES, &mut tried);
                voice.watch.stage("exchange", select)
            }
        };
        match selection {
            Err(Error::Budget { .. }) => Ok(None),
            Err(fault) => Err(fault),
            Ok(selection) if selection.pruned().next().is_none() && dropped.is_empty() => Ok(None),
            Ok(selection) if !self.meets(&selection, attempt) => Ok(None),
            Ok(selection) => {
                let plan = Plan::new(self.analysis, &selection, scores, &settings);
                Ok(Some(plan.dropping(self.analysis, dropped)))
            }
        }
    }

    /// The plan that removes nothing.
    fn whole(&self, settings: &Settings) -> Plan {
        let leave = |_| Decision::Leave(Left::chosen("all of the model stays"));
        let selection = Selection {
            decisions: self.analysis.dimensions().iter().map(leave).collect(),
        };
        Plan::new(self.analysis, &selection, &[], settings)
    }

    fn settings(&self, cost: Cost, share: f64) -> Settings {
        Settings {
            budget: (share < 1.0).then_some(CostBudget { cost, share }),
            scope: Some(Scope::Allocated),
            iterations: Some(1),
            ..self.options.settings.resolved(true)
        }
    }
}
