//! What pruning does with calibration data: statistics, scores, recovery.

use std::cell::OnceCell;

use super::known::{by_name, no_gradients, not_recovered, product};
use super::start::Start;
use crate::criteria::{Criterion, Needs, calibrated_scores, scores};
use crate::data::DataSet;
use crate::dimensions::Analysis;
use crate::error::Result;
use crate::events::Events;
use crate::graph::Graph;
use crate::job::options::Opened;
use crate::layers::Layer;
use crate::onnx::Model;
use crate::plan::{Plan, Scope, Settings};
use crate::recover::{Context, Recovered, RecoveredLayer, Recovery, recover};
use crate::report::{PruneCalibrationRow, RecoveryRow};
use crate::rewrite::{self, NumberedModel};
use crate::search::{
    AnswerSource, Effects, GateScores, Outputs, Ranking, SharedWork, curve_operations, curves,
    gate_scores, least_blocks, loss_scores,
};
use crate::statistics::Stats;

/// Multiply-accumulate operations of all curves above which they take longer than a minute on two cores.
const LONG: u64 = 1_000_000_000_000;

/// Calibration data, opened, with the statistics of all layers on it.
pub(in crate::job) struct Calibrated<'a> {
    pub(super) recovery: Recovery,
    pub(super) opened: Opened<'a>,
    /// The model on numbers, where weights of it are codes: it is measured and recovered in the place of the model.
    pub(super) numbered: Option<NumberedModel>,
    /// What layers of the model on numbers read, where the model itself is measured beside it.
    pub(super) numbered_stats: Option<Stats>,
    /// Those whose data can be measured.
    pub(super) layers: Vec<Layer>,
    pub(super) stats: Stats,
    /// Whether the statistics were read from a file.
    pub(super) read: bool,
    /// Gradients for answers that are drawn, and for those that the data has.
    pub(super) gates: [OnceCell<GateScores>; 2],
}

/// A recovered model.
pub(super) struct Repaired {
    /// The whole model with weights that make up for what the plan removes.
    pub(super) edited: Analysis,
    /// What the plan leaves of it.
    pub(super) model: Model,
    pub(super) row: RecoveryRow,
}

impl<'a> Calibrated<'a> {
    /// The data, and what runs on it.
    pub(in crate::job) fn opened(&self) -> &Opened<'a> {
        &self.opened
    }

    pub(super) fn recovers(&self) -> bool {
        self.recovery != Recovery::None
    }

    /// Version of the onnxruntime that measures.
    pub(super) fn onnxruntime(&self) -> &str {
        self.opened.runtime.version()
    }

    /// What was calibrated on, with warnings.
    pub(super) fn row(&self, analysis: &Analysis) -> Result<PruneCalibrationRow> {
        let mut poor: Vec<(f64, &Layer, u64)> = Vec::new();
        for layer in &self.layers {
            let rows = self.stats.rows(layer)?;
            if rows < layer.columns() as u64 {
                poor.push((rows as f64 / layer.columns() as f64, layer, rows));
            }
        }
        let mut warnings = Vec::new();
        if let Some((_, worst, rows)) = poor.iter().min_by(|a, b| a.0.total_cmp(&b.0)) {
            warnings.push(format!(
                "{} layer(s) sum over more inputs than they were calibrated on rows, the worst '{}' ({} inputs, rank at most {rows}): a ridge makes up for it, more samples are better",
                poor.len(),
                worst.name,
                worst.columns(),
            ));
        }
        if self.opened.data.batches() == 1 && self.recovers() {
            warnings.push(
                "one batch of data cannot be split: recovery was judged on the samples it was fitted to"
                    .to_owned(),
            );
        }
        if self.recovers() {
            let numbered = self.numbered.as_ref();
            warnings.extend(not_recovered(numbered.map_or(analysis, |of| &of.analysis)));
        }
        let gates = self.gates.iter().filter_map(OnceCell::get);
        warnings.extend(gates.filter_map(|gates| no_gradients(self.seen(analysis), gates)));
        Ok(PruneCalibrationRow {
            data: self.opened.data.describe(),
            samples: self.opened.data.samples(),
            statistics_of: self.read.then(|| self.stats.describe()),
            warnings,
        })
    }

    /// The model that is measured in the place of an analysed one.
    fn seen<'b>(&'b self, analysis: &'b Analysis) -> &'b Analysis {
        match (&self.numbered, &self.numbered_stats) {
            (Some(numbered), None) => &numbered.analysis,
            _ => analysis,
        }
    }

    /// Scores of every dimension; by weight for those that no layer reads.
    pub(in crate::job) fn scores(
        &self,
        analysis: &Analysis,
        settings: &Settings,
        events: &mut dyn Events,
    ) -> Result<Vec<Vec<f64>>> {
        let criterion = settings.criterion();
        let seen = self.seen(analysis);
        let known = match criterion.needs() {
            Needs::Weights => return scores(analysis, criterion, settings.seed),
            Needs::Runs => {
                let known = loss_scores(&self.outputs(seen), events)?;
                known.into_iter().map(Some).collect()
            }
            Needs::Statistics => self.statistic(seen, &criterion, events)?,
            Needs::Gradients => self.gradient(seen, settings, events)?,
        };
        let known = by_name(seen, known, analysis);
        let fallback = scores(analysis, Criterion::L2, settings.seed)?;
        let pairs = known.into_iter().zip(fallback);
        Ok(pairs.map(|(known, other)| known.unwrap_or(other)).collect())
    }

    fn statistic(
        &self,
        analysis: &Analysis,
        criterion: &Criterion,
        events: &mut dyn Events,
    ) -> Result<Vec<Option<Vec<f64>>>> {
        let layers: Vec<&Layer> = self.layers.iter().collect();
        calibrated_scores(analysis, &layers, criterion, &self.stats, events)
    }

    /// Scores from gradients, where they arrive.
    fn gradient(
        &self,
        analysis: &Analysis,
        settings: &Settings,
        events: &mut dyn Events,
    ) -> Result<Vec<Option<Vec<f64>>>> {
        let criterion = settings.criterion();
        let answer = match criterion {
            Criterion::Taylor => AnswerSource::Given,
            _ => AnswerSource::Drawn,
        };
        let gates = self.gates(analysis, (answer, settings.seed), events)?;
        match criterion {
            Criterion::Taylor => Ok(gates.taylor.clone()),
            Criterion::ObsFisher => {
                let obs = self.statistic(analysis, &Criterion::Obs, events)?;
                let pairs = obs.into_iter().zip(&gates.fisher);
                Ok(pairs
                    .map(|(obs, fisher)| product(obs, fisher.as_deref()))
                    .collect())
            }
            _ => Ok(gates.fisher.clone()),
        }
    }

    /// What gradients say of channels, found once.
    fn gates(
        &self,
        analysis: &Analysis,
        (answer, seed): (AnswerSource, u64),
        events: &mut dyn Events,
    ) -> Result<&GateScores> {
        let cell = match answer {
            AnswerSource::Drawn => &self.gates[0],
            AnswerSource::Given => &self.gates[1],
        };
        if let Some(known) = cell.get() {
            return Ok(known);
        }
        let found = gate_scores(&self.outputs(analysis), answer, seed, events)?;
        Ok(cell.get_or_init(|| found))
    }

    /// True if curves would take longer than a minute.
    pub(super) fn takes_long(&self, ranking: &Ranking) -> bool {
        let seen = self.seen(ranking.analysis());
        let operations = curve_operations(&self.outputs(seen), ranking);
        tracing::debug!("curves: {operations} operations");
        operations > LONG
    }

    /// True if gradients arrive at most dimensions.
    pub(super) fn has_gradients(
        &self,
        analysis: &Analysis,
        seed: u64,
        events: &mut dyn Events,
    ) -> bool {
        match self.gates(self.seen(analysis), (AnswerSource::Drawn, seed), events) {
            Ok(gates) => {
                let known = gates.fisher.iter().flatten().count();
                2 * known >= gates.fisher.len()
            }
            Err(fault) => {
                events.say(&format!(
                    "no gradients, so that outputs are measured: {fault}"
                ));
                false
            }
        }
    }

    /// What the scope wants to know of what removing channels does to the outputs, measured on the ranked model or on
    /// what is left of it.
    pub(in crate::job) fn effects(
        &self,
        measured: &Analysis,
        ranking: &Ranking,
        settings: &Settings,
        shared: SharedWork,
        events: &mut dyn Events,
    ) -> Result<Effects> {
        let (ranked, measured) = (ranking.analysis(), self.seen(measured));
        let mut effects = Effects::default();
        match settings.scope() {
            Scope::Allocated => {
                let curves = curves(&self.outputs(measured), ranking, shared, events)?;
                effects.curves = by_name(measured, curves, ranked);
            }
            Scope::Fisher => {
                let answer = (AnswerSource::Drawn, settings.seed);
                let gates = self.gates(measured, answer, events)?;
                effects.fisher = by_name(measured, gates.fisher.clone(), ranked);
            }
            Scope::Uniform | Scope::Global | Scope::Isomorphic => (),
        }
        Ok(effects)
    }

    /// The blocks that the outputs need least, so many, each with the divergence of the outputs from then on.
    pub(in crate::job) fn least_blocks(
        &self,
        analysis: &Analysis,
        count: usize,
        events: &mut dyn Events,
    ) -> Result<Vec<(usize, f64)>> {
        least_blocks(&self.outputs(analysis), count, events)
    }

    pub(in crate::job) fn outputs<'b>(&'b self, analysis: &'b Analysis) -> Outputs<'b> {
        self.outputs_on(analysis, &self.opened.data)
    }

    /// With what a model is measured on other data.
    pub(in crate::job) fn outputs_on<'b>(
        &'b self,
        analysis: &'b Analysis,
        data: &'b DataSet<'b>,
    ) -> Outputs<'b> {
        Outputs {
            analysis,
            layers: &self.layers,
            stats: &self.stats,
            runtime: &self.opened.runtime,
            provider: &self.opened.provider,
            data,
        }
    }

    /// What the plan leaves, recovered to do as what it is cut from does; `sliced` is the same without recovery. Both are
    /// judged by the dense model.
    pub(super) fn recover(
        &self,
        start: Start,
        plan: &Plan,
        sliced: &Model,
        events: &mut dyn Events,
    ) -> Result<Repaired> {
        if let Some(numbered) = &self.numbered {
            return self.recover_codes((start.dense, numbered), plan, sliced, events);
        }
        let recovered = self.solved(start, plan, sliced, events)?;
        self.repaired(start, plan, sliced, recovered)
    }

    /// What the plan leaves, with new weights of what it is cut from.
    fn repaired(
        &self,
        start: Start,
        plan: &Plan,
        sliced: &Model,
        mut recovered: Recovered,
    ) -> Result<Repaired> {
        let whole = start.whole();
        if let Some(remains) = start.remains {
            let kept = remains.plan.kept(whole)?;
            recovered = recovered.regrown(start.part(), whole, &kept)?;
        }
        let edited = recovered.applied(whole)?;
        let model = rewrite::prune(&edited, plan)?;
        self.judged((start.dense, edited), (sliced, model), recovered.layers)
    }

    /// A recovered model, judged by the dense one beside what slicing alone leaves.
    pub(super) fn judged(
        &self,
        (dense, edited): (&Analysis, Analysis),
        (sliced, model): (&Model, Model),
        layers: Vec<RecoveredLayer>,
    ) -> Result<Repaired> {
        let outputs = self.outputs(dense);
        let divergence = outputs.held_out_divergences([sliced, &model])?;
        let row = RecoveryRow {
            recovery: self.recovery,
            divergence,
            kept: divergence[1] <= divergence[0],
            layers,
        };
        Ok(Repaired { edited, model, row })
    }

    /// With what models are recovered.
    pub(super) fn context(&self) -> Context<'_> {
        Context {
            recovery: self.recovery,
            stats: self.numbered_stats.as_ref().unwrap_or(&self.stats),
            runtime: &self.opened.runtime,
            provider: self.opened.provider.clone(),
            data: &self.opened.data,
        }
    }

    /// New weights of what the plan is cut from.
    fn solved(
        &self,
        start: Start,
        plan: &Plan,
        sliced: &Model,
        events: &mut dyn Events,
    ) -> Result<Recovered> {
        let part = start.part();
        let graph = Graph::new(&sliced.clone().settled())?;
        let pruned = Analysis::of_edit(graph, part);
        recover(part, &start.rest(plan), &pruned, &self.context(), events)
    }
}

#[cfg(test)]
impl Calibrated<'_> {
    /// How far the outputs of a model that was recovered in the whole model are from those of the same recovery in what
    /// rounds have left, and how far recovery moved them.
    pub(super) fn same_in_both(
        &self,
        start: Start,
        plan: &Plan,
        sliced: &Model,
        events: &mut dyn Events,
    ) -> Result<[f64; 2]> {
        let solved = self.solved(start, plan, sliced, events)?;
        let direct = rewrite::prune(&solved.applied(start.part())?, &start.rest(plan))?;
        let model = self.repaired(start, plan, sliced, solved)?.model;
        let direct = Analysis::of_edit(Graph::new(&direct.settled())?, start.part());
        self.outputs(&direct).held_out_divergences([&model, sliced])
    }
}
