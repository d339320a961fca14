//! What pruning does with calibration data: statistics, scores, recovery.

use std::path::PathBuf;

use super::RuntimeOptions;
use crate::criteria::{Criterion, Needs, calibrated_scores, scores};
use crate::data::{DataSet, DataSource, declared_inputs};
use crate::dimensions::Analysis;
use crate::error::Result;
use crate::events::Events;
use crate::graph::Graph;
use crate::layers::{Layer, Layers};
use crate::onnx::Model;
use crate::plan::{Plan, Settings};
use crate::recover::{Context, Recovery, recover};
use crate::report::{PruneCalibrationRow, RecoveryRow};
use crate::rewrite;
use crate::runtime::{Provider, Runtime};
use crate::search::{Curve, Ranking};
use crate::search::{Outputs, curves, loss_scores};
use crate::statistics::{Stats, Walk, batch_size};

/// Batches at least, where there are samples enough: the last ones are held out.
const BATCHES: usize = 10;

/// The data that criteria and recovery use, and where the model runs on it.
#[derive(Clone, Debug)]
pub struct PruneCalibration {
    /// The data.
    pub source: DataSource,
    /// Samples at most.
    pub samples: usize,
    /// A safetensors file of statistics: read if it is there, else written.
    pub stats: Option<PathBuf>,
    /// How far recovery goes.
    pub recovery: Recovery,
    /// Where the model runs.
    pub provider: Provider,
    /// With which onnxruntime.
    pub runtime: RuntimeOptions,
}

/// Calibration data, opened, with the statistics of all layers on it.
pub(super) struct Calibrated<'a> {
    options: &'a PruneCalibration,
    runtime: Runtime,
    data: DataSet<'a>,
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
    pub(super) fn open(
        analysis: &'a Analysis,
        options: &'a PruneCalibration,
        events: &mut dyn Events,
    ) -> Result<Calibrated<'a>> {
        let fixed = analysis.graph().fixed_nodes();
        let mut layers = Layers::of(analysis).layers;
        layers.retain(|layer| layer.is_measurable(analysis, &fixed));
        let provider = &options.provider;
        let inputs = declared_inputs(analysis);
        let data = DataSet::open(&options.source, &inputs, analysis, 1)?;
        let data = data.first(options.samples);
        let batch = batch_size(analysis, layers.iter());
        let batch = batch.min((data.samples() / BATCHES).max(1));
        let data = data.in_batches(batch);
        let runtime = options
            .runtime
            .load_for(std::slice::from_ref(provider), events)?;
        let walk = Walk {
            analysis,
            runtime: &runtime,
            provider: provider.clone(),
            data: &data,
            in_order: false,
        };
        let known = options.stats.as_deref().filter(|path| path.exists());
        let stats = match known {
            Some(path) => Stats::open(path, analysis)?,
            None => {
                let all: Vec<&Layer> = layers.iter().collect();
                let stats = Stats::measure(&walk, &all, events)?;
                if let Some(path) = &options.stats {
                    stats.save(path)?;
                }
                stats
            }
        };
        Ok(Calibrated {
            options,
            runtime,
            data,
            layers,
            stats,
            read: known.is_some(),
        })
    }

    pub(super) fn recovers(&self) -> bool {
        self.options.recovery != Recovery::None
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
        if self.data.batches() == 1 && self.recovers() {
            warnings.push(
                "one batch of data cannot be split: recovery was judged on the samples it was fitted to"
                    .to_owned(),
            );
        }
        Ok(PruneCalibrationRow {
            data: self.data.describe(),
            samples: self.data.samples(),
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
        match settings.criterion.needs() {
            Needs::Weights => scores(analysis, settings.criterion, settings.seed),
            Needs::Runs => loss_scores(&self.outputs(analysis), events),
            Needs::Statistics => {
                let layers: Vec<&Layer> = self.layers.iter().collect();
                let known =
                    calibrated_scores(analysis, &layers, settings.criterion, &self.stats, events)?;
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
            runtime: &self.runtime,
            provider: &self.options.provider,
            data: &self.data,
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
            recovery: self.options.recovery,
            stats: &self.stats,
            runtime: &self.runtime,
            provider: self.options.provider.clone(),
            data: &self.data,
        };
        let recovered = recover(analysis, plan, &pruned, &context, events)?;
        let edited = recovered.applied(analysis)?;
        let model = rewrite::prune(&edited, plan)?;
        let outputs = self.outputs(analysis);
        let divergence = outputs.held_out_divergences([sliced, &model])?;
        let row = RecoveryRow {
            recovery: self.options.recovery,
            divergence,
            kept: divergence[1] <= divergence[0],
            layers: recovered.layers,
        };
        Ok(Repaired { edited, model, row })
    }
}
