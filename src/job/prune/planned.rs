//! What is to be pruned: the plan, made or replayed, with a row for every dimension.

use super::calibrated::Calibrated;
use super::dropped;
use super::options::PruneOptions;
use super::rounds::Planner;
use super::smaller::SmallVocabulary;
use super::start::Remains;
use super::timed::TimedModel;
use super::vocabulary;
use super::voice::Voice;
use crate::axes::Kept;
use crate::dimensions::Analysis;
use crate::error::{Error, Result};
use crate::plan::{Decision, Left, Plan, Selection};
use crate::report::{DroppedRow, LatencyRow, PlannedRow};
use crate::rewrite;

/// A plan, with what happens to every dimension.
pub(super) struct Planned {
    pub(super) plan: Plan,
    pub(super) rows: Vec<PlannedRow>,
    /// The residual branches that go.
    pub(super) dropped: Vec<DroppedRow>,
    /// What rounds before the last have left.
    pub(super) remains: Option<Remains>,
    /// What became of a budget of time.
    pub(super) latency: Option<LatencyRow>,
    /// The vocabulary that is left, where it is cut.
    pub(super) vocabulary: Option<SmallVocabulary>,
}

impl Planned {
    /// A plan and the selection that it is made of.
    fn of(analysis: &Analysis, plan: Plan, selection: &Selection) -> Planned {
        Planned {
            rows: selected_rows(analysis, selection),
            dropped: Vec::new(),
            plan,
            remains: None,
            latency: None,
            vocabulary: None,
        }
    }
}

/// The plan that the options ask for.
///
/// # Errors
/// A bad plan or bad settings; nothing to prune.
pub(super) fn planned(
    analysis: &Analysis,
    options: &PruneOptions,
    calibrated: Option<&Calibrated>,
    timed: Option<&TimedModel>,
    voice: &mut Voice,
) -> Result<Planned> {
    if let Some(input) = &options.plan {
        let plan = input.load()?.checked(analysis)?;
        let kept = plan.kept(analysis)?;
        rewrite::check(analysis, &kept)?;
        if let Some(way) = &plan.settings.vocabulary {
            rewrite::check_own_ids(analysis, &kept, way)?;
        }
        return Ok(Planned {
            rows: replayed_rows(analysis, &kept),
            dropped: dropped::replayed(analysis, &plan),
            vocabulary: vocabulary::replayed(analysis, &plan, &kept),
            plan,
            remains: None,
            latency: None,
        });
    }
    if let Some(of) = &options.vocabulary {
        let (plan, selection, small) = vocabulary::planned(analysis, options, of, voice)?;
        let mut planned = Planned::of(analysis, plan, &selection);
        planned.rows.retain(|row| row.size == small.row.before);
        planned.vocabulary = Some(small);
        return Ok(planned);
    }
    let settings = options.resolved().with_hash()?;
    let dropped = dropped::chosen(analysis, &settings, calibrated, voice)?;
    let planner = Planner {
        analysis,
        settings,
        dropped: dropped.iter().map(|row| row.name.clone()).collect(),
        calibrated,
        timed,
        options,
    };
    let chosen = planner.plan(voice)?;
    if chosen.selection.pruned().next().is_none() && dropped.is_empty() {
        let blocked = obstacles(analysis, &chosen.selection);
        return Err(Error::NothingToPrune { blocked });
    }
    Ok(Planned {
        dropped,
        remains: chosen.remains,
        latency: chosen.latency,
        ..Planned::of(analysis, chosen.plan, &chosen.selection)
    })
}

fn selected_rows(analysis: &Analysis, selection: &Selection) -> Vec<PlannedRow> {
    let dimensions = analysis.dimensions().iter().zip(&selection.decisions);
    let row = dimensions.map(|(dimension, decision)| {
        let (kept, left) = match decision {
            Decision::Prune(kept) => (kept.len(), None),
            Decision::Leave(left) => (dimension.size, Some(left)),
        };
        PlannedRow {
            name: dimension.name.clone(),
            size: dimension.size,
            kept,
            mixing: dimension.mixing.is_some(),
            chosen: left.is_some_and(|left| left.chosen),
            left: left.map(|left| left.why.clone()),
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
            chosen: positions.is_none(),
        }
    });
    row.collect()
}

/// Everything that keeps a model from being pruned.
pub(in crate::job) fn obstacles(analysis: &Analysis, selection: &Selection) -> Vec<String> {
    let mut out = Vec::new();
    for (dimension, decision) in analysis.dimensions().iter().zip(&selection.decisions) {
        if let Decision::Leave(Left { why, .. }) = decision {
            out.push(format!(
                "dimension '{}' ({}): {why}",
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
