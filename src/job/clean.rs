//! Removing dead channels, again and again: what made a removed channel may itself be dead then.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::outputs::Files;
use super::watch::Watch;
use super::{Overwrite, RuntimeOptions, Shapes, analyse};
use crate::data::unread_outputs;
use crate::dead::{Dead, dead_channels};
use crate::dimensions::{Analysis, Dimension};
use crate::error::{Error, Result};
use crate::events::Events;
use crate::graph::Graph;
use crate::onnx::Model;
use crate::ops::CutRules;
use crate::plan::{Decision, Left, Plan, Selection, Settings};
use crate::report::{Outcome, PlannedRow, PruneReport};
use crate::rewrite::{add_to_rows, prune};
use crate::runtime::Runtime;
use crate::validate::{Verification, equal};

/// Rounds at most: each removes at least one channel, and no net is as deep as that.
const ROUNDS: usize = 64;
/// Relative error that folding constants may make in 32 bits, and in 16.
const ALLOWED: f64 = 1e-5;
const ALLOWED_HALF: f64 = 2e-2;

/// A model without its dead channels.
pub(crate) struct WithoutDead {
    pub(crate) model: Model,
    pub(crate) analysis: Analysis,
    pub(crate) rows: Vec<PlannedRow>,
}

/// Removes the dead channels of the analysed model.
///
/// # Errors
/// There are none, or onnxruntime cannot run the model.
pub(crate) fn without_dead_channels(analysis: &Analysis, runtime: &Runtime) -> Result<WithoutDead> {
    let mut kept: BTreeMap<String, usize> = BTreeMap::new();
    let mut reasons: BTreeMap<String, (usize, String)> = BTreeMap::new();
    let mut now: Option<WithoutDead> = None;
    for _ in 0..ROUNDS {
        let current = now.as_ref().map_or(analysis, |cleared| &cleared.analysis);
        let dead = dead_channels(current, runtime)?;
        reasons.clear();
        for (name, _, why) in &dead.kept {
            let known = reasons.entry(name.clone());
            known.or_insert_with(|| (0, (*why).to_owned())).0 += 1;
        }
        if dead.dimensions.is_empty() {
            break;
        }
        let dead_of = dead.dimensions.iter().map(|dead| {
            let dimension = &current.dimensions()[dead.id.0];
            (dimension, dead.kept.len())
        });
        let model = match round(current, &dead) {
            // What is left would not fit together, so that the dead channels stay.
            Err(Error::Plan { reason }) => {
                let stay = dead_of.map(|(dimension, kept)| {
                    (
                        dimension.name.clone(),
                        (dimension.size - kept, reason.clone()),
                    )
                });
                reasons.extend(stay);
                break;
            }
            made => made?,
        };
        kept.extend(dead_of.map(|(dimension, kept)| (dimension.name.clone(), kept)));
        let analysis = Analysis::of_edit(Graph::new(&model)?, current);
        now = Some(WithoutDead {
            model,
            analysis,
            rows: Vec::new(),
        });
    }
    let row = |dimension: &Dimension| PlannedRow {
        name: dimension.name.clone(),
        size: dimension.size,
        kept: kept.get(&dimension.name).copied().unwrap_or(dimension.size),
        mixing: dimension.mixing.is_some(),
        left: (!kept.contains_key(&dimension.name)).then(|| why_left(dimension, &reasons)),
        chosen: false,
    };
    let rows: Vec<PlannedRow> = analysis.dimensions().iter().map(row).collect();
    match now {
        Some(cleared) => Ok(WithoutDead { rows, ..cleared }),
        None => Err(none_dead(rows)),
    }
}

/// That no channel can go, with why of each dimension.
fn none_dead(rows: Vec<PlannedRow>) -> Error {
    let blocked = rows.into_iter().map(|row| {
        format!(
            "dimension '{}' ({}): {}",
            row.name,
            row.size,
            row.left.unwrap_or_default()
        )
    });
    let mut blocked: Vec<String> = blocked.collect();
    if blocked.is_empty() {
        blocked.push("the model has no prunable dimension".to_owned());
    }
    Error::NothingToPrune { blocked }
}

fn why_left(dimension: &Dimension, reasons: &BTreeMap<String, (usize, String)>) -> String {
    match (&dimension.mixing, reasons.get(&dimension.name)) {
        (Some(_), _) => "its channels influence each other, so that none is dead".to_owned(),
        (None, Some((count, why))) => format!("{count} channel(s) stay: {why}"),
        (None, None) => "it has no dead channel".to_owned(),
    }
}

/// Gives the readers of dead channels their constants, then removes the channels.
fn round(analysis: &Analysis, dead: &Dead) -> Result<Model> {
    let (folded, _) = add_to_rows(analysis, &dead.constants)?;
    let folded = Analysis::of_edit(Graph::new(&folded)?, analysis);
    let kept: BTreeMap<&str, &Vec<u32>> = dead
        .dimensions
        .iter()
        .map(|dimension| {
            (
                analysis.dimensions()[dimension.id.0].name.as_str(),
                &dimension.kept,
            )
        })
        .collect();
    let decisions =
        folded
            .dimensions()
            .iter()
            .map(|dimension| match kept.get(dimension.name.as_str()) {
                Some(kept) => Decision::Prune((*kept).clone()),
                None => Decision::Leave(Left::forced("it has no dead channel")),
            });
    let selection = Selection {
        decisions: decisions.collect(),
    };
    let scores: Vec<Vec<f64>> = folded
        .dimensions()
        .iter()
        .map(|d| vec![1.0; d.size])
        .collect();
    let plan = Plan::new(&folded, &selection, &scores, &Settings::default());
    Ok(prune(&folded, &plan)?.settled())
}

/// How dead channels are removed from a file.
#[derive(Clone, Debug, Default)]
pub struct CleanOptions {
    /// Where the model goes; nothing is written without.
    pub output: Option<PathBuf>,
    /// The onnxruntime that measures constants and proves the result.
    pub runtime: RuntimeOptions,
    /// Sizes and sample axes of inputs, for costs and verification.
    pub shapes: Shapes,
    /// Whether the input's own files may be replaced.
    pub overwrite: Overwrite,
}

/// Removes the dead channels of the model at `path`, without loss: the result is proven to compute the same.
/// `events` hears a line when something changes the machine.
///
/// # Errors
/// A bad model; no dead channel; a failed verification; an output that cannot be written. In all cases no
/// output is left.
pub fn clean(path: &Path, options: &CleanOptions, events: &mut dyn Events) -> Result<PruneReport> {
    let mut watch = Watch::default();
    let model = watch.stage("read", || Model::load(path))?;
    let files = Files {
        output: options.output.as_deref(),
        ..Files::default()
    };
    files.check(&model, options.overwrite)?;
    let analysis = watch.stage("type", || {
        analyse(&model, &options.shapes, CutRules::default())
    })?;
    let runtime = options.runtime.load(events)?;
    let mut cleared = watch.stage("rewrite", || without_dead_channels(&analysis, &runtime))?;
    let verification = watch.stage("verify", || verify(&analysis, &cleared, &runtime))?;
    let mut report = PruneReport {
        schema: super::prune::SCHEMA,
        model: path.display().to_string(),
        outcome: Outcome::DryRun,
        before: analysis.model_totals(),
        after: cleared.analysis.model_totals(),
        file_bytes_before: model.source_bytes(),
        file_bytes_after: None,
        budget: None,
        dropped_blocks: Vec::new(),
        latency: None,
        dimensions: cleared.rows,
        held: Vec::new(),
        signature: Vec::new(),
        signature_held: Vec::new(),
        vocabulary: None,
        calibration: None,
        rounds: Vec::new(),
        recovery: None,
        training: None,
        quantisation: None,
        verification: Some(verification),
        onnxruntime: Some(runtime.version().to_owned()),
        unread: unread_outputs(&analysis),
        warnings: Vec::new(),
        forecast: None,
        benchmark: Vec::new(),
        stages: Vec::new(),
    };
    if let Some(output) = options.output.as_deref() {
        let made = &mut cleared.model;
        super::stamp(made, "clean", model.hash(), Some(runtime.version()));
        let write = || cleared.model.save_counted(output);
        report.file_bytes_after = Some(watch.stage("write", write)?);
        report.outcome = Outcome::Written(output.display().to_string());
    }
    report.stages = watch.stages;
    Ok(report)
}

/// Proves that nothing was lost.
fn verify(original: &Analysis, cleared: &WithoutDead, runtime: &Runtime) -> Result<Verification> {
    let model = original.graph().model();
    let allowed = match original.has_halves() {
        true => ALLOWED_HALF,
        false => ALLOWED,
    };
    let what = "the masked model";
    let models = [model, &cleared.model];
    let (outputs, unseen) = equal(original, models, what, allowed, runtime)?;
    Ok(Verification {
        proven: cleared
            .rows
            .iter()
            .filter(|row| row.kept < row.size)
            .count(),
        dropped_blocks: 0,
        left_out: 0,
        mixed_by: Vec::new(),
        caches: Vec::new(),
        unseen,
        outputs,
        allowed,
    })
}
