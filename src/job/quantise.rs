//! Quantising a model: read, open the data, place, round, prove, write.

use std::path::{Path, PathBuf};

use super::analyse_whole;
use super::options::{Calibration, Opened, Overwrite, RuntimeOptions, Shapes};
use super::outputs::Files;
use super::prune::data_path;
use super::watch::Watch;
use crate::dimensions::Analysis;
use crate::engine::Pass;
use crate::error::{Error, Result};
use crate::events::Events;
use crate::layers::Layers;
use crate::onnx::Model;
use crate::quantise::{QuantiseSettings, Quantised, quantise};
use crate::report::{CodedRow, Outcome, QuantiseReport};
use crate::validate::{IntegerProof, verify_integers};

/// Version of the JSON document.
const SCHEMA: &str = "secateur.quantise/1";
/// Batches at least, where there are samples enough: the last ones are held out.
const BATCHES: usize = 10;
/// Samples that the proof runs.
const PROVEN: usize = 4;
/// The first version of the operator set that has a scale per row.
const SINCE: i64 = 13;

/// How a file is quantised.
#[derive(Clone, Debug)]
pub struct QuantiseOptions {
    /// The data, where it runs, and samples at most.
    pub calibration: Calibration,
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
    /// On this data; all else has its default.
    pub fn new(calibration: impl Into<Calibration>) -> QuantiseOptions {
        QuantiseOptions {
            calibration: calibration.into(),
            settings: QuantiseSettings::default(),
            output: None,
            shapes: Shapes::default(),
            runtime: RuntimeOptions::default(),
            overwrite: Overwrite::default(),
        }
    }
}

/// Quantises the model at `path`: products become products of 8-bit codes wherever onnxruntime has kernels for them.
///
/// # Errors
/// A bad model, data or setting; nothing to quantise; a result that is not proven; an output that cannot be written. In
/// all cases no output is left.
pub fn quantise_file(
    path: &Path,
    options: &QuantiseOptions,
    events: &mut dyn Events,
) -> Result<QuantiseReport> {
    let mut watch = Watch::default();
    let model = watch.stage("read", || Model::load(path))?;
    let files = Files {
        output: options.output.as_deref(),
        others: Vec::new(),
        inputs: data_path(&options.calibration.data).into_iter().collect(),
    };
    files.check(&model, options.overwrite)?;
    if model.opset() < SINCE {
        return Err(Error::Usage(format!(
            "the model has operator set {}, scales by row need {SINCE}: export it again with a newer one",
            model.opset()
        )));
    }
    let analysis = watch.stage("type", || analyse_whole(&model, &options.shapes))?;
    let layers = Layers::of(&analysis).layers;
    let open = || {
        let runtime = &options.runtime;
        let batches = (BATCHES, false);
        options.calibration.open(&analysis, &layers, batches, runtime, events)
    };
    let opened = watch.stage("data", open)?;
    let pass = Pass {
        runtime: &opened.runtime,
        provider: &opened.provider,
        data: &opened.data,
    };
    let settings = &options.settings;
    let found = watch.stage("quantise", || quantise(&analysis, settings, pass, events))?;
    let verify = || proven(&analysis, &found, &opened);
    let proof = watch.stage("verify", verify)?;
    let mut report = report(path, &analysis, &found, (&opened, proof));
    if let Some(output) = options.output.as_deref() {
        let mut model = found.model;
        super::stamp(&mut model, "quantise", analysis.graph().model().hash(), Some(opened.runtime.version()));
        report.bytes[1] = watch.stage("write", || model.save_counted(output))?;
        report.outcome = Outcome::Written(output.display().to_string());
    }
    report.stages = watch.stages;
    Ok(report)
}

/// The proof of what was found, on the first samples.
fn proven(analysis: &Analysis, found: &Quantised, opened: &Opened) -> Result<IntegerProof> {
    let graph = analysis.graph();
    let layers = found.placement.layers.iter();
    let products = layers.filter(|of| of.end.is_none());
    let outputs = products.flat_map(|of| of.layer.nodes());
    let outputs = outputs.filter_map(|node| graph.node(node).output(0));
    let products: Vec<String> = outputs.map(|value| graph.value(value).name.clone()).collect();
    let batch = opened.data.start_of(0, PROVEN)?;
    verify_integers(&found.planned, &found.model, &products, &batch, &opened.runtime)
}

fn report(
    path: &Path,
    analysis: &Analysis,
    found: &Quantised,
    (opened, proof): (&Opened, IntegerProof),
) -> QuantiseReport {
    QuantiseReport {
        schema: SCHEMA,
        model: path.display().to_string(),
        outcome: Outcome::DryRun,
        bytes: [analysis.graph().model().source_bytes(), 0],
        layers: Vec::<CodedRow>::new(),
        rounded: found.ranges.len(),
        real: found.placement.real.clone(),
        proof,
        onnxruntime: opened.runtime.version().to_owned(),
        warnings: Vec::new(),
        stages: Vec::new(),
    }
}
