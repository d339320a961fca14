//! Masking a file: read, choose, calibrate, mask, store, prove, write.

mod calibrate;
mod choose;
mod found;
mod tuned;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::analyse;
use super::gains::deflated;
use super::options::{Calibration, Overwrite, Proof, RuntimeOptions, Shapes};
use super::outputs::Files;
use super::prune::data_path;
use super::watch::Watch;
use crate::dimensions::Analysis;
use crate::error::{Error, Result};
use crate::events::Events;
use crate::files;
use crate::masks::{MaskSettings, Pattern, tensor_core_obstacle, write_masks};
use crate::metrics::OutputDeviation;
use crate::onnx::{Model, sparse_bytes};
use crate::ops::CutRules;
use crate::report::{Gains, LeftRow, MaskReport, MaskedRow, Outcome};
use crate::rewrite::{Edit, Stored, store_sparse, with_weights};
use crate::train::{Tuning, check_reach};
use crate::validate::verify_equal;
use found::{Found, Masked};

/// Version of the JSON document.
const SCHEMA: &str = "secateur.mask/1";

/// Where masks come from.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum MaskSource {
    /// They are made with these settings.
    Settings(MaskSettings),
    /// They are read from this `.npz` file.
    File(PathBuf),
}

impl Default for MaskSource {
    fn default() -> MaskSource {
        MaskSource::Settings(MaskSettings::default())
    }
}

/// How zeros are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Store {
    /// As before: every element.
    #[default]
    Dense,
    /// As sparse initializers, where that is smaller.
    Sparse,
}

/// How a file is masked. The default zeroes half of the weights by magnitude and writes nothing.
#[derive(Clone, Debug, Default)]
pub struct MaskOptions {
    /// Where the masks come from.
    pub source: MaskSource,
    /// What criteria that need data are calibrated on; random numbers without, with a warning.
    pub calibration: Option<Calibration>,
    /// Whether each layer sees the inputs that the masked layers before it make; without, SparseGPT does and
    /// the others do not.
    pub sequential: Option<bool>,
    /// How the masked model is trained on the calibration data, of which the last fifth is kept from calibration then; not
    /// at all without.
    pub tuning: Option<Tuning>,
    /// Where the model goes; nothing is written without.
    pub output: Option<PathBuf>,
    /// Where the masks go, as `.npz`.
    pub mask_out: Option<PathBuf>,
    /// How zeros are stored.
    pub store: Store,
    /// Whether a sparsely stored model is compared with the densely stored one.
    pub proof: Proof,
    /// Sizes and sample axes of inputs.
    pub shapes: Shapes,
    /// Which onnxruntime.
    pub runtime: RuntimeOptions,
    /// Whether files that the run reads may be replaced.
    pub overwrite: Overwrite,
}

/// Masks the model at `path`. `events` hears a line when something changes the machine, and what is
/// done and the whole while calibrating.
///
/// ```
/// use secateur::Silent;
/// use secateur::job::{MaskOptions, MaskSource, mask};
/// use secateur::masks::{MaskSettings, WeightCriterion};
///
/// # fn main() -> secateur::Result<()> {
/// let options = MaskOptions {
///     source: MaskSource::Settings(MaskSettings {
///         criterion: WeightCriterion::Wanda,
///         ..MaskSettings::default()
///     }),
///     calibration: Some("fixtures/data/mnist_200.npz".into()),
///     ..MaskOptions::default()
/// };
/// let model = "fixtures/trained/lenet_mnist.onnx".as_ref();
/// let report = mask(model, &options, &mut Silent)?;
/// assert_eq!(report.zeros_after, report.weights / 2);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// A bad model, mask file, data or argument; nothing to mask; an output that cannot be written. In all cases
/// no output is left.
pub fn mask(path: &Path, options: &MaskOptions, events: &mut dyn Events) -> Result<MaskReport> {
    if let MaskSource::Settings(settings) = &options.source {
        settings.check()?;
    }
    options.check_tuning()?;
    let mut watch = Watch::default();
    let model = watch.stage("read", || Model::load(path))?;
    options.files().check(&model, options.overwrite)?;
    let analysis = watch.stage("type", || typed(&model, options))?;
    let mut found = watch.stage("mask", || match &options.source {
        MaskSource::Settings(settings) => choose::by_settings(&analysis, settings, options, events),
        MaskSource::File(path) => choose::by_file(&analysis, path),
    })?;
    let mut report = begun(path.display().to_string(), &model, options, &mut found);
    watch.stage("count", || {
        summarise(&found.masked, &options.source, &mut report)
    });
    let masks = options.mask_out.as_deref().map(|target| {
        let file = files::write_temporary_seekable(target, |file| {
            write_masks(file, found.masked.iter().map(Masked::bits))
        })?;
        Ok::<_, Error>((file, target))
    });
    let masks = masks.transpose()?;
    if let Some(output) = options.output.as_deref() {
        let mut masked = made(
            &analysis,
            found.masked,
            options,
            (&mut report, &mut watch),
            events,
        )?;
        if options.store == Store::Sparse {
            let (sparse, stored) = watch.stage("store", || store_sparse(&masked))?;
            let proof = watch.stage("verify", || {
                prove(&analysis, &masked, &sparse, options, events)
            })?;
            if let Some((outputs, version)) = proof {
                report.verification = Some(outputs);
                report.onnxruntime = Some(version);
            }
            note_storage(stored, &mut report);
            masked = sparse;
        }
        let onnxruntime = report.onnxruntime.as_deref();
        super::stamp(&mut masked, &report.method, model.hash(), onnxruntime);
        let write = || masked.save_counted(output);
        report.gains.file_bytes_after = Some(watch.stage("write", write)?);
        report.outcome = Outcome::Written(output.display().to_string());
    }
    if let Some((file, target)) = masks {
        files::persist(file, target)?;
    }
    report.stages = watch.stages;
    Ok(report)
}

/// The typed model, in which something can be trained where that is asked for.
fn typed(model: &Model, options: &MaskOptions) -> Result<Analysis> {
    let analysis = analyse(model, &options.shapes, CutRules::default())?;
    if let Some(tuning) = &options.tuning {
        check_reach(analysis.graph(), tuning)?;
    }
    Ok(analysis)
}

/// The masked model, trained where that is asked for.
fn made(
    analysis: &Analysis,
    masked: Vec<Masked>,
    options: &MaskOptions,
    (report, watch): (&mut MaskReport, &mut Watch),
    events: &mut dyn Events,
) -> Result<Model> {
    let names = masked.iter().map(|masked| masked.layer.name.clone());
    let names: BTreeSet<String> = names.collect();
    let edits = masked.into_iter().map(|m| (m.layer.value, m.edit));
    let edits: BTreeMap<_, Edit> = edits.collect();
    let made = watch.stage("rewrite", || with_weights(analysis.graph(), &edits))?;
    let Some(tuning) = &options.tuning else {
        return Ok(made);
    };
    let tune = || tuned::tuned(analysis, &made, names, (tuning, options), events);
    let Some((better, row, version)) = watch.stage("tune", tune)? else {
        return Ok(made);
    };
    report.training = Some(row);
    report.onnxruntime = Some(version);
    Ok(better.unwrap_or(made))
}

impl MaskOptions {
    /// What is read and written beside the model.
    fn files(&self) -> Files<'_> {
        let data = self.calibration.as_ref();
        let data = data.and_then(|of| data_path(&of.data));
        let masks = match &self.source {
            MaskSource::File(path) => Some(path.as_path()),
            MaskSource::Settings(_) => None,
        };
        Files {
            output: self.output.as_deref(),
            others: self.mask_out.as_deref().into_iter().collect(),
            inputs: data.into_iter().chain(masks).collect(),
            ..Files::default()
        }
    }
}

/// A report of what was found, with nothing counted yet.
fn begun(name: String, model: &Model, options: &MaskOptions, found: &mut Found) -> MaskReport {
    MaskReport {
        schema: SCHEMA,
        model: name,
        outcome: Outcome::DryRun,
        method: method(&options.source),
        calibration: found.calibration.take(),
        layers: Vec::new(),
        left: std::mem::take(&mut found.left),
        weights: 0,
        zeros_before: 0,
        zeros_after: 0,
        gains: Gains {
            file_bytes_before: model.source_bytes(),
            ..Gains::default()
        },
        training: None,
        verification: None,
        onnxruntime: found.onnxruntime.clone(),
        warnings: std::mem::take(&mut found.warnings),
        stages: Vec::new(),
    }
}

fn method(source: &MaskSource) -> String {
    match source {
        MaskSource::Settings(settings) => settings.command(),
        MaskSource::File(path) => format!("mask --mask '{}'", path.display()),
    }
}

fn note_storage(stored: Stored, report: &mut MaskReport) {
    report.gains.stored_sparsely = stored.tensors;
    if stored.tensors == 0 {
        report.warnings.push(
            "no initializer is smaller as a sparse one: that needs more than two thirds of zeros in 32 bits (an index takes 8 bytes)"
                .to_owned(),
        );
    }
}

/// A sparsely stored model must compute the same to the bit.
fn prove(
    analysis: &Analysis,
    dense: &Model,
    sparse: &Model,
    options: &MaskOptions,
    events: &mut dyn Events,
) -> Result<Option<(Vec<OutputDeviation>, String)>> {
    if options.proof == Proof::Skipped {
        return Ok(None);
    }
    let runtime = options.runtime.load(events)?;
    let what = "the densely stored model";
    let outputs = verify_equal(analysis, dense, sparse, what, 0.0, &runtime)?;
    Ok(Some((outputs, runtime.version().to_owned())))
}

/// Counts zeros, estimates gains, and says what should be known.
fn summarise(masked: &[Masked], source: &MaskSource, report: &mut MaskReport) {
    let mut remainders = 0;
    let mut emptied = Vec::new();
    for found in masked {
        let (layer, weights) = (&found.layer, &found.weights);
        let (before, after) = (weights.zeros(), weights.zeros_under(&found.mask));
        let is_zero = weights.zero_under(&found.mask);
        let row = MaskedRow {
            name: layer.name.clone(),
            operator: layer.operator.clone(),
            shape: layer.dims.clone(),
            weights: weights.len(),
            zeros_before: before,
            zeros_after: after,
            tensor_cores: tensor_core_obstacle(layer, weights.element(), is_zero),
        };
        if let MaskSource::Settings(MaskSettings {
            pattern: Pattern::Grouped { of, .. },
            ..
        }) = source
        {
            remainders += usize::from(layer.reduction() % of != 0);
        }
        if after == row.weights && before < after {
            emptied.push(row.name.clone());
        }
        let (deflated_before, deflated_after) = deflated(weights, &found.edit);
        let dense = weights.byte_length() as u64;
        let sparse = sparse_bytes(row.weights - after, weights.element()) as u64;
        let gains = &mut report.gains;
        gains.deflated_before += deflated_before;
        gains.deflated_after += deflated_after;
        gains.dense_bytes += dense;
        gains.sparse_bytes += sparse.min(dense);
        report.weights += row.weights as u64;
        report.zeros_before += before as u64;
        report.zeros_after += after as u64;
        report.layers.push(row);
    }
    if remainders > 0 {
        report.warnings.push(format!(
            "the reduction axis of {remainders} layer(s) is no multiple of the pattern's group: the last, shorter group keeps at most as many weights as a full one, so the pattern holds when the axis is padded with zeros"
        ));
    }
    if let Some(first) = emptied.first() {
        report.warnings.push(format!(
            "{} layer(s) are all zeros now, among them '{first}': what follows no longer depends on their inputs; use `scope` layer, or leave them out with `skip`",
            emptied.len()
        ));
    }
}

/// Rows of weights that were left.
pub(super) fn left_rows(left: Vec<crate::layers::LeftWeight>) -> Vec<LeftRow> {
    let row = |weight: crate::layers::LeftWeight| LeftRow {
        name: weight.name,
        weights: weight.len,
        reason: weight.reason,
    };
    left.into_iter().map(row).collect()
}
