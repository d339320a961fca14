//! What pruning does with calibration data: statistics, scores, recovery.

use std::path::Path;

use super::options::PruneOptions;
use crate::criteria::{Criterion, Needs, calibrated_scores, scores};
use crate::dimensions::Analysis;
use crate::error::Result;
use crate::events::Events;
use crate::graph::Graph;
use crate::job::options::{Calibration, Opened};
use crate::layers::{Layer, Layers};
use crate::onnx::Model;
use crate::plan::{Plan, Settings};
use crate::recover::{Context, Recovery, recover};
use crate::report::{PruneCalibrationRow, RecoveryRow};
use crate::rewrite;
use crate::search::{Curve, Outputs, Ranking, curves, loss_scores};
use crate::statistics::{MeasuredOn, Stats};

/// Batches at least, where there are samples enough: the last ones are held out.
const BATCHES: usize = 10;

/// Calibration data, opened, with the statistics of all layers on it.
pub(super) struct Calibrated<'a> {
    recovery: Recovery,
    opened: Opened<'a>,
    /// Those whose data can be measured.
    layers: Vec<Layer>,
    stats: Stats,
    /// Whether the statistics were read from a file.
    read: bool,
}

/// A recovered model.
pub(super) struct Repaired {
    /// The dense model with weights that make up for what the plan removes.
    pub(super) edited: Analysis,
    /// What the plan leaves of it.
    pub(super) model: Model,
    pub(super) row: RecoveryRow,
}

impl<'a> Calibrated<'a> {
    /// Opens the data and measures what the layers read on it, or reads that from the file at `stats`.
    pub(super) fn open(
        analysis: &'a Analysis,
        options: &PruneOptions,
        calibration: &Calibration,
        stats: Option<&Path>,
        events: &mut dyn Events,
    ) -> Result<Calibrated<'a>> {
        let fixed = analysis.graph().fixed_nodes();
        let mut layers = Layers::of(analysis).layers;
        layers.retain(|layer| layer.is_measurable(analysis, &fixed));
        let batches = (BATCHES, options.tuning.is_some());
        let opened = calibration.open(analysis, &layers, batches, &options.runtime, events)?;
        let known = stats.filter(|path| path.exists());
        let origin = || MeasuredOn::new(analysis, &opened.data, &opened.runtime);
        let measured = match known {
            Some(path) => Stats::open(path, &origin()?)?,
            None => {
                let all: Vec<&Layer> = layers.iter().collect();
                let measured = Stats::measure(&opened.walk(analysis, false), &all, events)?;
                if let Some(path) = stats {
                    measured.save(path, &origin()?)?;
                }
                measured
            }
        };
        Ok(Calibrated {
            recovery: options.recovery,
            opened,
            layers,
            stats: measured,
            read: known.is_some(),
        })
    }

    pub(super) fn recovers(&self) -> bool {
        self.recovery != Recovery::None
    }

    /// Version of the onnxruntime that measures.
    pub(super) fn onnxruntime(&self) -> &'static str {
        self.opened.runtime.version()
    }

    /// What was calibrated on, with warnings.
    pub(super) fn row(&self) -> Result<PruneCalibrationRow> {
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
        Ok(PruneCalibrationRow {
            data: self.opened.data.describe(),
            samples: self.opened.data.samples(),
            statistics_of: self.read.then(|| self.stats.describe()),
            warnings,
        })
    }

    /// Scores of every dimension; by weight for those that no layer reads.
    pub(super) fn scores(
        &self,
        analysis: &Analysis,
        settings: &Settings,
        events: &mut dyn Events,
    ) -> Result<Vec<Vec<f64>>> {
        match settings.criterion().needs() {
            Needs::Weights => scores(analysis, settings.criterion(), settings.seed),
            Needs::Runs => loss_scores(&self.outputs(analysis), events),
            Needs::Statistics => {
                let layers: Vec<&Layer> = self.layers.iter().collect();
                let known = calibrated_scores(
                    analysis,
                    &layers,
                    settings.criterion(),
                    &self.stats,
                    events,
                )?;
                let fallback = scores(analysis, Criterion::L2, settings.seed)?;
                let pairs = known.into_iter().zip(fallback);
                Ok(pairs.map(|(known, other)| known.unwrap_or(other)).collect())
            }
        }
    }

    /// By dimension what its sizes cost at the outputs, where the scope wants to know; else nothing.
    pub(super) fn curves(&self, ranking: &Ranking, events: &mut dyn Events) -> Result<Vec<Curve>> {
        curves(&self.outputs(ranking.analysis()), ranking, events)
    }

    fn outputs<'b>(&'b self, analysis: &'b Analysis) -> Outputs<'b> {
        Outputs {
            analysis,
            layers: &self.layers,
            stats: &self.stats,
            runtime: &self.opened.runtime,
            provider: &self.opened.provider,
            data: &self.opened.data,
        }
    }

    /// What the plan leaves, recovered; `sliced` is the same without recovery.
    pub(super) fn recover(
        &self,
        analysis: &Analysis,
        plan: &Plan,
        sliced: &Model,
        events: &mut dyn Events,
    ) -> Result<Repaired> {
        let graph = Graph::new(&sliced.clone().settled())?;
        let pruned = Analysis::of_edit(graph, analysis);
        let context = Context {
            recovery: self.recovery,
            stats: &self.stats,
            runtime: &self.opened.runtime,
            provider: self.opened.provider.clone(),
            data: &self.opened.data,
        };
        let recovered = recover(analysis, plan, &pruned, &context, events)?;
        let edited = recovered.applied(analysis)?;
        let model = rewrite::prune(&edited, plan)?;
        let outputs = self.outputs(analysis);
        let divergence = outputs.held_out_divergences([sliced, &model])?;
        let row = RecoveryRow {
            recovery: self.recovery,
            divergence,
            kept: divergence[1] <= divergence[0],
            layers: recovered.layers,
        };
        Ok(Repaired { edited, model, row })
    }
}
