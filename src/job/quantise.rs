//! Quantising a model: read, open the data, place, round, prove, write.

use std::path::{Path, PathBuf};

use super::analyse_whole;
use super::options::{Calibration, Opened, Overwrite, RuntimeOptions, Shapes};
use super::outputs::Files;
use super::prune::data_path;
use super::watch::Watch;
use crate::dimensions::Analysis;
use crate::error::{Error, Result};
use crate::events::Events;
use crate::graph::Graph;
use crate::layers::Layers;
use crate::onnx::Model;
use crate::quantise::{QuantiseSettings, Quantised, StoredModel, folded, quantise, store};
use crate::recover::RoundedLayer;
use crate::report::{CodedRow, Outcome, QuantiseReport, RealRow};
use crate::rewrite::{bias_behind, with_initializers};
use crate::runtime::Provider;
use crate::search::held_out_divergences;
use crate::validate::{
    Fusion, IntegerProof, PlacedFor, fused, same_structure, verify_equal, verify_integers,
};

/// Version of the JSON document.
const SCHEMA: &str = "secateur.quantise/1";
/// Batches at least, where there are samples enough: the last ones are held out.
const BATCHES: usize = 10;
/// Samples that the proof runs.
const PROVEN: usize = 4;
/// A divergence above this is worth a word.
const LARGE: f64 = 0.01;

/// How a file is quantised.
#[derive(Clone, Debug, Default)]
pub struct QuantiseOptions {
    /// The data, where it runs, and samples at most; weights alone can do without.
    pub calibration: Option<Calibration>,
    /// What becomes codes.
    pub settings: QuantiseSettings,
    /// Where the model goes; nothing is written without.
    pub output: Option<PathBuf>,
    /// Sizes and sample axes of inputs.
    pub shapes: Shapes,
    /// Which onnxruntime.
    pub runtime: RuntimeOptions,
    /// Whether files that the run reads may be replaced.
    pub overwrite: Overwrite,
}

impl QuantiseOptions {
    fn files(&self) -> Files<'_> {
        let data = self.calibration.as_ref().and_then(|of| data_path(&of.data));
        Files {
            output: self.output.as_deref(),
            others: Vec::new(),
            inputs: data.into_iter().collect(),
        }
    }
}

/// Quantises the model at `path`: products become products of 8-bit codes wherever onnxruntime has kernels for them, or
/// weights are stored as codes.
///
/// # Errors
/// A bad model, data or setting; nothing to quantise; a result that is not proven; an output that cannot be written. In
/// all cases no output is left.
pub fn quantise_file(
    path: &Path,
    options: &QuantiseOptions,
    events: &mut dyn Events,
) -> Result<QuantiseReport> {
    let mut job = Job {
        options,
        watch: Watch::default(),
        events,
    };
    let model = job.watch.stage("read", || Model::load(path))?;
    options.files().check(&model, options.overwrite)?;
    options.settings.check(model.opset())?;
    let analysis = job.watch.stage("type", || {
        let model = with_initializers(&Graph::new(&model)?)?;
        analyse_whole(&model, &options.shapes)
    })?;
    let analysis = job.folded(analysis)?;
    let (mut made, mut report) = match options.settings.stores() {
        true => job.stored(&analysis)?,
        false => job.quantised(&analysis)?,
    };
    report.model = path.display().to_string();
    report.bytes[0] = model.source_bytes();
    if let Some(output) = options.output.as_deref() {
        super::stamp(
            &mut made,
            "quantise",
            model.hash(),
            Some(&report.onnxruntime),
        );
        report.bytes[1] = job.watch.stage("write", || made.save_counted(output))?;
        report.outcome = Outcome::Written(output.display().to_string());
    }
    report.stages = job.watch.stages;
    Ok(report)
}

struct Job<'a> {
    options: &'a QuantiseOptions,
    watch: Watch,
    events: &'a mut dyn Events,
}

impl Job<'_> {
    fn open<'b>(&mut self, analysis: &'b Analysis) -> Result<Option<Opened<'b>>> {
        let Some(calibration) = &self.options.calibration else {
            return Ok(None);
        };
        let layers = Layers::of(analysis).layers;
        let runtime = &self.options.runtime;
        let Job { watch, events, .. } = self;
        let open = || calibration.open(analysis, &layers, (BATCHES, false), runtime, *events);
        watch.stage("data", open).map(Some)
    }

    /// The model with weights that nodes rearrange as constants.
    fn folded(&mut self, analysis: Analysis) -> Result<Analysis> {
        let calibration = self.options.calibration.iter();
        let providers: Vec<Provider> = calibration.map(|of| of.provider.clone()).collect();
        let runtime = self.options.runtime.load_for(&providers, self.events)?;
        let fold = || folded(&analysis, &runtime);
        match self.watch.stage("fold", fold)? {
            Some(model) => analyse_whole(&model.settled(), &self.options.shapes),
            None => Ok(analysis),
        }
    }

    /// The model with products of codes.
    fn quantised(&mut self, analysis: &Analysis) -> Result<(Model, QuantiseReport)> {
        let Some(opened) = self.open(analysis)? else {
            return Err(Error::Usage(
                "the ranges of values need data: give `calibration`, or use `weight_only`"
                    .to_owned(),
            ));
        };
        let (settings, pass) = (&self.options.settings, opened.pass());
        let Job { watch, events, .. } = self;
        let quantise = || quantise(analysis, settings, pass, *events);
        let found = watch.stage("quantise", quantise)?;
        let proof = watch.stage("verify", || proven(analysis, &found, settings, &opened))?;
        let mut report = self.report(opened.runtime.version());
        // Onnxruntime's kernels for codes may overflow where those of another target do not.
        let judged = match settings.target.is_chained() {
            true => &found.model,
            false => &found.planned.model,
        };
        let diverged = || held_out_divergences(pass, analysis.graph().model(), [judged]);
        let [divergence] = self.watch.stage("judge", diverged)?;
        report.divergence = Some(divergence);
        report.rounded = found.ranges.len();
        report.equalised = found.equalised;
        report.proof = Some(proof);
        if settings.target.is_chained() {
            let names = found.weights.iter().map(|of| of.name.as_str());
            let look = || fused(&found.model, names, &opened.runtime);
            report.look(self.watch.stage("fuse", look));
        }
        report.layers = coded_rows(&found);
        report.real = real_rows(&found.placement.real);
        report.warn();
        Ok((found.model, report))
    }

    /// The model with weights that are stored as codes.
    fn stored(&mut self, analysis: &Analysis) -> Result<(Model, QuantiseReport)> {
        let opened = self.open(analysis)?;
        let runtime = match &opened {
            Some(opened) => opened.runtime.clone(),
            None => self.options.runtime.load(self.events)?,
        };
        let settings = &self.options.settings;
        let pass = opened.as_ref().map(Opened::pass);
        let Job { watch, events, .. } = self;
        let found = watch.stage("quantise", || store(analysis, settings, pass, *events))?;
        let verify = || {
            let what = "the model with the numbers that codes stand for";
            verify_equal(
                analysis,
                &found.planned,
                &found.model,
                what,
                found.allowed(),
                &runtime,
            )
        };
        let verification = watch.stage("verify", verify)?;
        let mut report = self.report(runtime.version());
        if let Some(pass) = pass {
            let diverged = || held_out_divergences(pass, analysis.graph().model(), [&found.model]);
            let [divergence] = self.watch.stage("judge", diverged)?;
            report.divergence = Some(divergence);
        }
        report.verification = Some(verification);
        report.layers = stored_rows(&found);
        report.real = real_rows(&found.real);
        report.warn();
        Ok((found.model, report))
    }

    fn report(&self, onnxruntime: &str) -> QuantiseReport {
        QuantiseReport {
            schema: SCHEMA,
            model: String::new(),
            outcome: Outcome::DryRun,
            settings: QuantiseSettings {
                weights: Some(self.options.settings.weight_bits()),
                ..self.options.settings.clone()
            },
            bytes: [0; 2],
            layers: Vec::new(),
            real: Vec::new(),
            rounded: 0,
            equalised: 0,
            divergence: None,
            proof: None,
            fused: None,
            verification: None,
            onnxruntime: onnxruntime.to_owned(),
            warnings: Vec::new(),
            stages: Vec::new(),
        }
    }
}

impl QuantiseReport {
    /// Takes in what onnxruntime makes of the model: that it cannot be seen is no fault of the model.
    fn look(&mut self, fusion: Result<Fusion>) {
        let warnings = &mut self.warnings;
        match &fusion {
            Ok(fusion) => warnings.extend(fusion.rest.iter().map(|of| {
                format!(
                    "'{}' is no product of integers in onnxruntime: {}; leave it real with `keep`",
                    of.name, of.reason
                )
            })),
            Err(fault) => warnings.push(format!(
                "what onnxruntime makes of the model could not be seen: {fault}"
            )),
        }
        self.fused = fusion.ok();
    }

    fn warn(&mut self) {
        if let Some(divergence) = self.divergence.filter(|divergence| *divergence > LARGE) {
            self.warnings.push(format!(
                "the outputs diverge by {divergence:.4} on held-out samples: leave layers real with `keep`, or give more samples"
            ));
        }
        let saturable = self.layers.iter().filter(|row| row.saturable > 0).count();
        if saturable > 0 && self.settings.target.is_chained() {
            self.warnings.push(format!(
                "{saturable} layer(s) have rows whose products overflow 16 bits on x86 without VNNI: use 7 bits there"
            ));
        }
    }
}

/// The proof of what was found, on the first samples.
fn proven(
    analysis: &Analysis,
    found: &Quantised,
    settings: &QuantiseSettings,
    opened: &Opened,
) -> Result<IntegerProof> {
    let graph = analysis.graph();
    let layers = found.placement.layers.iter();
    let products = layers.filter(|of| of.end.is_none());
    let outputs = products.flat_map(|of| &of.layer.uses);
    let outputs = outputs.filter_map(|linear| {
        let sum = bias_behind(analysis, linear).map(|(sum, _)| sum);
        graph.node(sum.unwrap_or(linear.node)).output(0)
    });
    let real = outputs.filter(|value| !found.placement.rounded.contains_key(value));
    let products: Vec<String> = real.map(|value| graph.value(value).name.clone()).collect();
    let limit = settings.weight_bits().codes().limit;
    same_structure(&found.planned, &found.model, &found.weights, limit)?;
    let batch = opened.data.start_of(0, PROVEN)?;
    verify_integers(
        &found.planned,
        &found.model,
        &products,
        &batch,
        &opened.runtime,
        match settings.target.is_chained() {
            true => PlacedFor::Onnxruntime,
            false => PlacedFor::Others,
        },
    )
}

/// How a weight was rounded on data, if it was.
fn rounding_of(layers: &[RoundedLayer], name: &str) -> Option<RoundedLayer> {
    layers.iter().find(|row| row.layer == name).cloned()
}

fn coded_rows(found: &Quantised) -> Vec<CodedRow> {
    let layers = found.placement.layers.iter();
    let rows = layers.zip(&found.weights).map(|(of, weight)| CodedRow {
        name: weight.name.clone(),
        operator: of.layer.operator.clone(),
        weights: of.layer.len(),
        bits: 8.0,
        saturable: found.saturable.get(&weight.name).copied().unwrap_or(0),
        rounding: rounding_of(&found.layers, &weight.name),
    });
    rows.collect()
}

fn stored_rows(found: &StoredModel) -> Vec<CodedRow> {
    let rows = found.weights.iter().map(|weight| CodedRow {
        name: weight.name.clone(),
        operator: String::new(),
        weights: found.counts.get(&weight.name).copied().unwrap_or(0),
        bits: weight.form.bits(),
        saturable: 0,
        rounding: rounding_of(&found.layers, &weight.name),
    });
    rows.collect()
}

fn real_rows(real: &[(String, String)]) -> Vec<RealRow> {
    let rows = real.iter().map(|(name, reason)| RealRow {
        name: name.clone(),
        reason: reason.clone(),
    });
    rows.collect()
}
