//! Pruning a file: read, type, plan, rewrite, prove, write.

use std::path::{Path, PathBuf};

use super::bench::{Shapes, compare};
use super::calibrated::{Calibrated, PruneCalibration};
use super::little;
use super::outputs::Files;
use super::proven::{Maker, Proven, Voice};
use super::rounds::Planner;
use super::watch::Watch;
use super::{Overwrite, Proof, RuntimeOptions, analyse_in, data_path, installed};
use crate::axes::Kept;
use crate::data::unread_outputs;
use crate::dimensions::{Analysis, Totals};
use crate::error::{Error, Result};
use crate::events::Events;
use crate::files;
use crate::onnx::Model;
use crate::plan::{CostBudget, Decision, Plan, Platform, RoundTo, Selection, Settings};
use crate::report::{BudgetRow, Outcome, PlannedRow, PruneReport};
use crate::search::forecast;

/// Version of the JSON document.
pub(super) const SCHEMA: &str = "secateur.prune/1";

/// Where the plan comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// It is made with these settings.
    Settings(Settings),
    /// It is read from this file.
    Plan(PathBuf),
}

/// How a file is pruned.
#[derive(Clone, Debug)]
pub struct PruneOptions {
    /// Where the plan comes from.
    pub source: Source,
    /// Where the model goes; nothing is pruned without.
    pub output: Option<PathBuf>,
    /// Where the plan goes.
    pub plan_out: Option<PathBuf>,
    /// The data that criteria and recovery use.
    pub calibration: Option<PruneCalibration>,
    /// Whether the result is verified.
    pub proof: Proof,
    /// Whether a failed proof ends the run; else the dimensions at fault are left alone.
    pub strict: bool,
    /// With which onnxruntime the original and the result are timed side by side; not at all without.
    pub bench: Option<RuntimeOptions>,
    /// Sizes of dynamic input axes, for costs and verification.
    pub sizes: Vec<(String, i64)>,
    /// The axis of an input that counts samples, or that none does, where the model's symbols do not say it.
    pub sample_axes: Vec<(String, Option<usize>)>,
    /// Whether the input's own files may be replaced.
    pub overwrite: Overwrite,
}

impl PruneOptions {
    fn shapes(&self) -> Shapes<'_> {
        Shapes {
            sizes: &self.sizes,
            sample_axes: &self.sample_axes,
        }
    }

    /// What is read and written beside the model.
    fn files(&self) -> Files<'_> {
        let plan = match &self.source {
            Source::Plan(path) => Some(path.as_path()),
            Source::Settings(_) => None,
        };
        let calibration = self.calibration.as_ref();
        let stats = calibration.and_then(|of| of.stats.as_deref());
        let data = calibration.and_then(|of| data_path(&of.source));
        // Statistics that are there are read, others are made.
        let known = stats.filter(|path| path.exists());
        let made = stats.filter(|path| !path.exists());
        Files {
            output: self.output.as_deref(),
            others: self.plan_out.as_deref().into_iter().chain(made).collect(),
            inputs: plan.into_iter().chain(data).chain(known).collect(),
        }
    }

    /// The onnxruntime that the job needs.
    fn runtime(&self) -> Option<&RuntimeOptions> {
        match (&self.proof, &self.calibration) {
            (Proof::Required(runtime), _) => Some(runtime),
            (Proof::Skipped, Some(calibration)) => Some(&calibration.runtime),
            (Proof::Skipped, None) => None,
        }
    }
}

/// Prunes the model at `path`. `events` hears a line when something takes long or changes the machine, and
/// what is done and the whole of each step that takes long.
///
/// # Errors
/// A bad model, plan, data or argument; nothing to prune; a failed verification; an output that cannot be written.
/// In all cases no output is left.
pub fn prune(path: &Path, options: &PruneOptions, events: &mut dyn Events) -> Result<PruneReport> {
    let mut watch = Watch::default();
    let model = watch.stage("read", || Model::load(path))?;
    let output = options.output.as_deref();
    options.files().check(&model, options.overwrite)?;
    let analysis = watch.stage("type", || {
        let load = &mut || match options.runtime() {
            Some(runtime) => runtime.load(events).ok(),
            None => installed(),
        };
        analyse_in(&model, &options.sizes, &options.sample_axes, load)
    })?;
    let calibrated = match &options.calibration {
        None => None,
        Some(calibration) => {
            let open = || Calibrated::open(&analysis, calibration, events);
            Some(watch.stage("calibrate", open)?)
        }
    };
    let calibrated = calibrated.as_ref();
    let (plan, rows) = watch.stage("plan", || plan(&analysis, options, calibrated, events))?;
    let kept = plan.kept(&analysis)?;
    let mut report = PruneReport {
        schema: SCHEMA,
        model: path.display().to_string(),
        outcome: Outcome::DryRun,
        before: analysis.model_totals(),
        after: analysis.totals(&kept),
        file_bytes_before: model.source_bytes(),
        file_bytes_after: None,
        budget: None,
        dimensions: rows,
        held: Vec::new(),
        calibration: match calibrated {
            Some(calibrated) => Some(calibrated.row()?),
            None => None,
        },
        recovery: None,
        verification: None,
        unread: unread_outputs(&analysis),
        warnings: Vec::new(),
        forecast: None,
        benchmark: Vec::new(),
        stages: Vec::new(),
    };
    let mut plan = plan;
    let mut made = None;
    if let Some(output) = output {
        let maker = Maker {
            analysis: &analysis,
            calibrated,
            proof: &options.proof,
            strict: options.strict,
        };
        let mut voice = Voice {
            watch: &mut watch,
            events,
        };
        let proven = maker.make(&plan, &mut voice)?;
        report.note(&analysis, &proven)?;
        plan = proven.plan;
        made = Some((proven.model, output));
    }
    let settings = match &options.source {
        Source::Settings(settings) => Some(settings),
        Source::Plan(_) => None,
    };
    report.budget = budget(&options.source, &report.before, &report.after);
    let kept = plan.kept(&analysis)?;
    report.forecast = forecast(&analysis, &kept, target(&plan));
    little::note(&analysis, settings, &kept, &mut report);
    // The plan is on disk before the model appears, so that a full disk leaves neither.
    let plan_file = options.plan_out.as_deref().map(|target| {
        let text = plan.to_json();
        let file = files::write_temporary(target, |file| file.write_all(text.as_bytes()))?;
        Ok::<_, Error>((file, target))
    });
    let plan_file = plan_file.transpose()?;
    if let Some((mut pruned, output)) = made {
        stamp(&mut pruned, &plan);
        watch.stage("write", || pruned.save(output))?;
        report.file_bytes_after = Some(super::written_bytes(&pruned, output));
        report.outcome = Outcome::Written(output.display().to_string());
    }
    if let Some((file, target)) = plan_file {
        files::persist(file, target)?;
    }
    if let (Some(output), Some(runtime)) = (output, &options.bench) {
        let compare = || {
            compare(
                [path, output],
                &analysis,
                &options.shapes(),
                runtime,
                events,
            )
        };
        report.benchmark = watch.stage("bench", compare);
    }
    report.stages = watch.stages;
    Ok(report)
}

/// Where the result is going to run, as far as the plan says so.
fn target(plan: &Plan) -> Platform {
    match plan.settings.round_to {
        RoundTo::Auto(target) => target,
        RoundTo::Multiple(_) => Platform::default(),
    }
}

fn plan(
    analysis: &Analysis,
    options: &PruneOptions,
    calibrated: Option<&Calibrated>,
    events: &mut dyn Events,
) -> Result<(Plan, Vec<PlannedRow>)> {
    match &options.source {
        Source::Plan(path) => {
            let plan = Plan::load(path)?;
            let kept = plan.kept(analysis)?;
            if plan.dimensions.is_empty() {
                return Err(Error::plan(format!("{} prunes nothing", path.display())));
            }
            Ok((plan, replayed_rows(analysis, &kept)))
        }
        Source::Settings(settings) => {
            let planner = Planner {
                analysis,
                settings,
                calibrated,
                options: options.calibration.as_ref(),
            };
            let (plan, selection) = planner.plan(events)?;
            if selection.pruned().next().is_none() {
                let blocked = obstacles(analysis, &selection);
                return Err(Error::NothingToPrune { blocked });
            }
            Ok((plan, selected_rows(analysis, &selection)))
        }
    }
}

/// What a budget asked for and what it got.
fn budget(source: &Source, before: &Totals, after: &Totals) -> Option<BudgetRow> {
    let Source::Settings(settings) = source else {
        return None;
    };
    let CostBudget { cost, share } = settings.budget?;
    Some(BudgetRow {
        cost,
        asked: share,
        got: cost.of(after) as f64 / cost.of(before).max(1) as f64,
    })
}

fn selected_rows(analysis: &Analysis, selection: &Selection) -> Vec<PlannedRow> {
    let dimensions = analysis.dimensions().iter().zip(&selection.decisions);
    let row = dimensions.map(|(dimension, decision)| {
        let (kept, left) = match decision {
            Decision::Prune(kept) => (kept.len(), None),
            Decision::Leave(reason) => (dimension.size, Some(reason.clone())),
        };
        PlannedRow {
            name: dimension.name.clone(),
            size: dimension.size,
            kept,
            mixing: dimension.mixing.is_some(),
            left,
        }
    });
    row.collect()
}

fn replayed_rows(analysis: &Analysis, kept: &Kept) -> Vec<PlannedRow> {
    let dimensions = analysis.dimensions().iter();
    let row = dimensions.map(|dimension| {
        let positions = analysis.positions(kept, dimension);
        PlannedRow {
            name: dimension.name.clone(),
            size: dimension.size,
            kept: positions.map_or(dimension.size, |kept| kept.len()),
            mixing: dimension.mixing.is_some(),
            left: positions.is_none().then(|| "not in the plan".to_owned()),
        }
    });
    row.collect()
}

/// Everything that keeps a model from being pruned.
fn obstacles(analysis: &Analysis, selection: &Selection) -> Vec<String> {
    let mut out = Vec::new();
    for (dimension, decision) in analysis.dimensions().iter().zip(&selection.decisions) {
        if let Decision::Leave(reason) = decision {
            out.push(format!(
                "dimension '{}' ({}): {reason}",
                dimension.name, dimension.size
            ));
        }
    }
    for ((operator, why), nodes) in analysis.unsupported() {
        out.push(format!("{operator} ({} node(s)): {why}", nodes.len()));
    }
    for blocked in analysis.blocked() {
        out.push(format!(
            "'{}' axis {} ({}): {}",
            blocked.initializer, blocked.axis, blocked.size, blocked.reason
        ));
    }
    if out.is_empty() {
        out.push("the model has no weights with a channel axis".to_owned());
    }
    out
}

impl PruneReport {
    /// What became of the plan.
    fn note(&mut self, analysis: &Analysis, proven: &Proven) -> Result<()> {
        self.after = analysis.totals(&proven.plan.kept(analysis)?);
        self.after.nodes = node_count(&proven.model, self.after);
        self.recovery.clone_from(&proven.recovery);
        self.verification.clone_from(&proven.verification);
        self.warnings.extend(proven.warnings.iter().cloned());
        for row in &mut self.dimensions {
            let mut faulty = proven.faulty.iter();
            if let Some((_, why)) = faulty.find(|(name, _)| *name == row.name) {
                row.kept = row.size;
                row.left = Some(why.clone());
            }
        }
        Ok(())
    }
}

/// Writes into the model where it comes from.
fn stamp(model: &mut Model, plan: &Plan) {
    let plan_hash = blake3::hash(plan.to_json().as_bytes()).to_hex();
    super::stamp(model, &plan.settings.command(), &plan.model_hash);
    model.set_metadata("secateur.plan_hash", plan_hash.as_str());
}

fn node_count(model: &Model, totals: Totals) -> usize {
    let graph = model.proto.graph.as_ref();
    graph.map_or(totals.nodes, |graph| graph.node.len())
}
