//! Pruning a model: read, type, plan, rewrite, prove; and from file to file.

mod asked_ids;
mod calibrated;
mod coded;
mod cut;
mod dropped;
mod known;
mod numbered;
mod opened;
mod options;
mod planned;
mod proven;
mod reported;
mod round;
mod rounds;
mod signature;
mod smaller;
mod start;
mod timed;
mod tuned;
mod vocabulary;
mod voice;
mod written;

use std::path::Path;

use super::bench::compare;
use super::little;
use super::options::{Calibration, ModelInput, Opened};
use super::quantised::BATCHES;
use super::watch::Watch;
use super::{analyse_in, checked_declarations, installed};
use crate::data::unread_outputs;
use crate::dimensions::Analysis;
use crate::error::Result;
use crate::events::{Events, Silent};
use crate::layers::Layers;
use crate::onnx::Model;
use crate::plan::Plan;
use crate::report::{Outcome, PruneReport};
use crate::search::{self, forecast};
use crate::train::check_reach;

pub(super) use calibrated::Calibrated;
pub(super) use coded::Pruning;
use planned::Planned;
pub(super) use proven::{Maker, Proven};
use reported::{met, target};
pub use smaller::VocabularyOptions;
pub use smaller::copy_tokenizer;
pub(in crate::job) use smaller::gone_outputs;
use smaller::note_gone;
pub(crate) use smaller::tokenizer_beside;
use start::Remains;
pub(super) use timed::TimedModel;
pub(super) use voice::Voice;

pub(super) use options::data_path;
pub use options::{PlanInput, PruneFileOptions, PruneOptions};
pub(super) use planned::obstacles;

/// Version of the JSON document.
pub(super) const SCHEMA: &str = "secateur.prune/1";

/// A pruned model, and what is known of it.
#[derive(Debug)]
pub struct Pruned {
    /// The model, in memory.
    pub model: Model,
    /// What stays of every dimension.
    pub plan: Plan,
    /// What was done, measured and proven.
    pub report: PruneReport,
    /// The `tokenizer.json` of a smaller vocabulary, where the options name a tokenizer and callers give new ids.
    pub tokenizer: Option<Vec<u8>>,
}

/// Prunes a model, from a path or in memory, and proves that the result is the masked original. Nothing is written.
///
/// ```
/// use secateur::PruneOptions;
/// use secateur::plan::Cost;
///
/// # fn main() -> secateur::Result<()> {
/// let options = PruneOptions::keeping(Cost::Macs, 0.5);
/// let pruned = secateur::prune("fixtures/trained/lenet_mnist.onnx", &options)?;
/// assert!(2 * pruned.report.after.macs <= pruned.report.before.macs);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// A bad model, plan, data or setting; nothing to prune; a failed verification; no onnxruntime.
pub fn prune(model: impl Into<ModelInput>, options: &PruneOptions) -> Result<Pruned> {
    prune_with(model, options, &mut Silent)
}

/// As [`prune`]; `events` hears a line when something takes long or changes the machine, and what is done and the
/// whole of each step that takes long.
///
/// # Errors
/// As [`prune`].
pub fn prune_with(
    model: impl Into<ModelInput>,
    options: &PruneOptions,
    events: &mut dyn Events,
) -> Result<Pruned> {
    let input = model.into();
    let mut watch = Watch::default();
    let model = watch.stage("read", || input.load())?;
    model.hash_ahead();
    let mut voice = Voice {
        watch: &mut watch,
        events,
    };
    let make = |job: &Job, draft, voice: &mut Voice| job.make(draft, voice);
    let mut pruned = planned(&model, input.name(), options, &mut voice, make)?;
    pruned.report.stages = watch.stages;
    Ok(pruned)
}

/// Prunes the model in the file at `path` to another file, as `secateur prune` does.
///
/// # Errors
/// As [`prune`], and outputs that cannot be written or are files that are read. In all cases no output is left.
pub fn prune_file(
    path: &Path,
    options: &PruneFileOptions,
    events: &mut dyn Events,
) -> Result<PruneReport> {
    let mut watch = Watch::default();
    let model = watch.stage("read", || Model::load(path))?;
    options.files().check(&model, options.overwrite)?;
    model.hash_ahead();
    let mut voice = Voice {
        watch: &mut watch,
        events,
    };
    let write = |job: &Job, draft: Draft, voice: &mut Voice| {
        let Some(output) = options.output.as_deref() else {
            return options.write_plan(job.finished(draft.plan, draft.report)?);
        };
        let mut report = options.write(job.make(draft, voice)?, output, voice)?;
        if options.bench {
            let Voice { watch, events } = voice;
            let compare = || compare([path, output], job.analysis, job.options, *events);
            report.benchmark = watch.stage("bench", compare);
        }
        Ok(report)
    };
    let name = path.display().to_string();
    let mut report = planned(&model, name, &options.prune, &mut voice, write)?;
    report.stages = watch.stages;
    Ok(report)
}

/// Types, calibrates and plans; `then` makes something of the plan.
fn planned<T>(
    model: &Model,
    name: String,
    options: &PruneOptions,
    voice: &mut Voice,
    then: impl FnOnce(&Job, Draft, &mut Voice) -> Result<T>,
) -> Result<T> {
    let analysis = typed(model, options, voice)?;
    let wrong = checked_declarations(&analysis)?;
    if options.plan.is_none() && options.vocabulary.is_none() {
        search::check(&analysis, &options.settings)?;
    }
    let calibrated = calibrated(&analysis, options, voice)?;
    let timed = TimedModel::asked_for(&analysis, options, voice)?;
    let job = Job {
        name,
        model,
        analysis: &analysis,
        calibrated: calibrated.as_ref(),
        timed: timed.as_ref(),
        options,
    };
    let mut draft = job.draft(voice)?;
    draft.report.warnings.extend(wrong);
    then(&job, draft, voice)
}

/// The typed model, with shapes that no rule says from the onnxruntime that the job needs anyway, or from one that is
/// there.
fn typed(model: &Model, options: &PruneOptions, voice: &mut Voice) -> Result<Analysis> {
    options.check(model)?;
    let cuts = options.cuts()?;
    let Voice { watch, events } = voice;
    let load = &mut || match options.needs_runtime() {
        true => options.runtime.load(*events).ok(),
        false => installed(),
    };
    let analysis = watch.stage("type", || analyse_in(model, (&options.shapes, cuts), load))?;
    options.check_signature(&analysis)?;
    if let Some(tuning) = &options.tuning {
        check_reach(analysis.graph(), tuning)?;
    }
    Ok(analysis)
}

fn calibrated<'a>(
    analysis: &'a Analysis,
    options: &PruneOptions,
    voice: &mut Voice,
) -> Result<Option<Calibrated<'a>>> {
    let Some(calibration) = &options.calibration else {
        return Ok(None);
    };
    let Voice { watch, events } = voice;
    let stats = options.stats.as_deref();
    let open = || Calibrated::open(analysis, options, calibration, stats, *events);
    watch.stage("calibrate", open).map(Some)
}

/// A model that is being pruned.
struct Job<'a> {
    name: String,
    model: &'a Model,
    analysis: &'a Analysis,
    calibrated: Option<&'a Calibrated<'a>>,
    timed: Option<&'a TimedModel<'a>>,
    options: &'a PruneOptions,
}

/// A plan, with the report as far as it goes.
struct Draft {
    plan: Plan,
    report: PruneReport,
    /// What rounds before the last have left.
    remains: Option<Remains>,
    /// The tokenizer of a smaller vocabulary.
    tokenizer: Option<Vec<u8>>,
}

impl Job<'_> {
    /// The plan.
    fn draft(&self, voice: &mut Voice) -> Result<Draft> {
        let Planned {
            plan,
            rows,
            dropped,
            remains,
            latency,
            vocabulary,
        } = planned::planned(
            self.analysis,
            self.options,
            self.calibrated,
            self.timed,
            voice,
        )?;
        let kept = plan.kept(self.analysis)?;
        let calibration = self
            .calibrated
            .map(|of| of.row(self.analysis))
            .transpose()?;
        let mut report = PruneReport {
            schema: SCHEMA,
            model: self.name.clone(),
            outcome: Outcome::DryRun,
            before: self.analysis.model_totals(),
            after: self.analysis.totals(&kept),
            file_bytes_before: self.model.source_bytes(),
            file_bytes_after: None,
            budget: None,
            dropped_blocks: dropped,
            latency,
            dimensions: rows,
            held: Vec::new(),
            signature: Vec::new(),
            signature_held: Vec::new(),
            vocabulary: vocabulary.as_ref().map(|of| of.row.clone()),
            calibration,
            rounds: remains.as_ref().map_or(Vec::new(), |of| of.rows.clone()),
            recovery: None,
            training: None,
            quantisation: None,
            verification: None,
            onnxruntime: self.calibrated.map(|of| of.onnxruntime().to_owned()),
            unread: unread_outputs(self.analysis),
            warnings: vocabulary
                .as_ref()
                .map_or(Vec::new(), |of| of.warnings.clone()),
            forecast: None,
            benchmark: Vec::new(),
            stages: Vec::new(),
        };
        report.note_signature(self.analysis, &plan, &kept);
        Ok(Draft {
            plan,
            report,
            remains,
            tokenizer: vocabulary.and_then(|of| of.tokenizer),
        })
    }

    /// The model that the plan leaves, as much of it as is proven.
    fn make(&self, draft: Draft, voice: &mut Voice) -> Result<Pruned> {
        let Draft {
            plan,
            mut report,
            remains,
            tokenizer,
        } = draft;
        // Where nothing was trained, recovery is best from the dense model.
        let trained = self.options.tuning.is_some();
        let maker = Maker {
            analysis: self.analysis,
            calibrated: self.calibrated,
            options: self.options,
            remains: remains.as_ref().filter(|_| trained),
        };
        let mut proven = maker.make(&plan, voice)?;
        report.note(self.analysis, &proven)?;
        let quantise = self.options.quantise.as_ref();
        if let (Some(settings), Some(data)) = (quantise, &self.options.calibration) {
            let opened = self.opened_for_codes(data, voice)?;
            let pruning = Pruning {
                dense: self.analysis,
                proven: &proven,
                opened: &opened,
            };
            let coded = pruning.coded(settings, voice)?;
            report.quantisation = Some(coded.quantisation);
            report.warnings.extend(coded.warnings);
            proven.model = coded.model;
        }
        if let (Some(timed), Some(row)) = (self.timed, &mut report.latency) {
            let confirm = || timed.confirm(row, &proven.model);
            let missed = voice.watch.stage("time", confirm)?;
            report.warnings.extend(missed);
        }
        report.outcome = Outcome::Made;
        let (plan, report) = self.finished(proven.plan, report)?;
        let mut model = proven.model;
        self.stamp(&mut model, &plan, report.onnxruntime.as_deref());
        if let Some(row) = &report.vocabulary {
            note_gone(&mut model, row);
        }
        Ok(Pruned {
            model,
            plan,
            report,
            tokenizer,
        })
    }

    fn opened_for_codes(&self, data: &Calibration, voice: &mut Voice) -> Result<Opened<'_>> {
        let layers = Layers::of(self.analysis).layers;
        let Voice { watch, events } = voice;
        // What training is judged on, roundings are as well.
        let (batches, runtime) = ((BATCHES, false), &self.options.runtime);
        let open = || data.open(self.analysis, &layers, batches, runtime, *events);
        watch.stage("data", open)
    }

    /// Writes into the model where it comes from.
    fn stamp(&self, model: &mut Model, plan: &Plan, onnxruntime: Option<&str>) {
        let plan_hash = blake3::hash(plan.to_json().as_bytes()).to_hex();
        let mut command = plan.settings.command();
        if let Some(settings) = &self.options.quantise {
            command += &format!(" --quantise={}", settings.weight_bits());
        }
        super::stamp(model, &command, &plan.model_hash, onnxruntime);
        model.set_metadata("secateur.plan_hash", plan_hash.as_str());
    }

    /// What only the final plan says.
    fn finished(&self, plan: Plan, mut report: PruneReport) -> Result<(Plan, PruneReport)> {
        let settings = match self.options.plan {
            Some(_) => None,
            None => Some(&self.options.settings),
        };
        let budget = settings.and_then(|settings| settings.budget);
        report.budget = budget.map(|budget| met(budget, &report));
        let kept = plan.kept(self.analysis)?;
        // Kernels for codes ask for no widths, ids leave no choice of them, and what was timed needs no forecast.
        let is_of_widths = report.vocabulary.is_none() && report.latency.is_none();
        report.forecast = match &self.options.quantise {
            None if is_of_widths => forecast(self.analysis, &kept, target(&plan)),
            _ => None,
        };
        little::note(self.analysis, settings, &kept, &mut report);
        Ok((plan, report))
    }
}
