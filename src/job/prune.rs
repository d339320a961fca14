//! Pruning a file: read, type, plan, rewrite, prove, write.

use std::path::{Path, PathBuf};

use super::calibrated::{Calibrated, PruneCalibration, Repaired};
use super::rounds::Planner;
use super::watch::Watch;
use super::{Overwrite, Proof, RuntimeOptions, analyse_with, check_target};
use crate::axes::Kept;
use crate::dimensions::{Analysis, Totals};
use crate::error::{Error, Result};
use crate::files;
use crate::onnx::Model;
use crate::plan::{CostBudget, Decision, Plan, Selection, Settings};
use crate::report::{BudgetRow, Outcome, PlannedRow, PruneReport};
use crate::rewrite;
use crate::validate::{Verification, verify};

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
    /// Sizes of dynamic input axes, for costs and verification.
    pub sizes: Vec<(String, i64)>,
    /// Whether the input's own files may be replaced.
    pub overwrite: Overwrite,
}

impl PruneOptions {
    /// The onnxruntime that the job uses; none where it must do without.
    fn runtime(&self) -> Option<&RuntimeOptions> {
        match (&self.proof, &self.calibration) {
            (Proof::Required(runtime), _) => Some(runtime),
            (Proof::Skipped, Some(calibration)) => Some(&calibration.runtime),
            (Proof::Skipped, None) => None,
        }
    }
}

/// Prunes the model at `path`. `say` gets a line when something takes long or changes the machine;
/// `progress` gets what is done and the whole of each step that takes long.
///
/// # Errors
/// A bad model, plan, data or argument; nothing to prune; a failed verification; an output that cannot be written.
/// In all cases no output is left.
pub fn prune(
    path: &Path,
    options: &PruneOptions,
    say: &mut dyn FnMut(&str),
    progress: &mut dyn FnMut(usize, usize),
) -> Result<PruneReport> {
    let mut watch = Watch::default();
    let model = watch.stage("read", || Model::load(path))?;
    let output = options.output.as_deref();
    check_target(
        &model,
        &output
            .into_iter()
            .chain(options.plan_out.as_deref())
            .map(Path::to_owned)
            .collect::<Vec<_>>(),
        options.overwrite,
    )?;
    let analysis = watch.stage("type", || {
        let load = &mut || options.runtime()?.load(say).ok();
        analyse_with(&model, &options.sizes, load)
    })?;
    let calibrated = match &options.calibration {
        None => None,
        Some(calibration) => {
            let open = || Calibrated::open(&analysis, calibration, say, progress);
            Some(watch.stage("calibrate", open)?)
        }
    };
    let calibrated = calibrated.as_ref();
    let (plan, rows) = watch.stage("plan", || {
        plan(&analysis, options, calibrated, say, progress)
    })?;
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
        calibration: match calibrated {
            Some(calibrated) => Some(calibrated.row()?),
            None => None,
        },
        recovery: None,
        verification: None,
        stages: Vec::new(),
    };
    report.budget = budget(&options.source, &report.before, &report.after);
    // The plan is on disk before the model appears, so that a full disk leaves neither.
    let plan_file = options.plan_out.as_deref().map(|target| {
        let text = plan.to_json();
        let file = files::write_temporary(target, |file| file.write_all(text.as_bytes()))?;
        Ok::<_, Error>((file, target))
    });
    let plan_file = plan_file.transpose()?;
    if let Some(output) = output {
        let mut pruned = watch.stage("rewrite", || rewrite::prune(&analysis, &plan))?;
        check_target(&model, &pruned.target_paths(output), options.overwrite)?;
        report.after.nodes = node_count(&pruned, report.after);
        let recovered = match calibrated.filter(|of| of.recovers()) {
            None => None,
            Some(calibrated) => {
                let recover = || calibrated.recover(&analysis, &plan, &pruned, progress);
                let Repaired { edited, model, row } = watch.stage("recover", recover)?;
                let kept = row.kept;
                report.recovery = Some(row);
                kept.then(|| {
                    pruned = model;
                    edited
                })
            }
        };
        let reference = recovered.as_ref().unwrap_or(&analysis);
        report.verification = watch.stage("verify", || {
            prove(reference, &plan, &pruned, &options.proof, say)
        })?;
        stamp(&mut pruned, &plan);
        watch.stage("write", || pruned.save(output))?;
        report.file_bytes_after = Some(super::written_bytes(&pruned, output));
        report.outcome = Outcome::Written(output.display().to_string());
    }
    if let Some((file, target)) = plan_file {
        files::persist(file, target)?;
    }
    report.stages = watch.stages;
    Ok(report)
}

fn plan(
    analysis: &Analysis,
    options: &PruneOptions,
    calibrated: Option<&Calibrated>,
    say: &mut dyn FnMut(&str),
    progress: &mut dyn FnMut(usize, usize),
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
            let (plan, selection) = planner.plan(say, progress)?;
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
        let positions = kept.get(dimension.var);
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

fn prove(
    analysis: &Analysis,
    plan: &Plan,
    pruned: &Model,
    proof: &Proof,
    say: &mut dyn FnMut(&str),
) -> Result<Option<Verification>> {
    match proof {
        Proof::Skipped => Ok(None),
        Proof::Required(runtime) => {
            let runtime = runtime.load(say)?;
            verify(analysis, plan, pruned, &runtime).map(Some)
        }
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
