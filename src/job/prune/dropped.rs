//! Which residual branches are dropped: named, or those that the outputs need least.

use std::collections::BTreeSet;

use super::calibrated::Calibrated;
use super::round::FinalPlan;
use super::voice::Voice;
use crate::dimensions::{Analysis, Block};
use crate::error::{Error, Result};
use crate::patterns::Patterns;
use crate::plan::{Decision, DropBlocks, Left, Plan, Selection, Settings};
use crate::report::DroppedRow;

/// The blocks that the settings drop, in the order in which they go.
///
/// # Errors
/// A pattern that is no glob or matches nothing; more blocks than there are; data that is not there or cannot be read.
pub(super) fn chosen(
    analysis: &Analysis,
    settings: &Settings,
    calibrated: Option<&Calibrated>,
    voice: &mut Voice,
) -> Result<Vec<DroppedRow>> {
    settings.check()?;
    match &settings.drop_blocks {
        None => Ok(Vec::new()),
        Some(DropBlocks::Named(globs)) => named(analysis, globs),
        Some(DropBlocks::Least(count)) => {
            let calibrated = calibrated.ok_or_else(|| {
                Error::Usage(format!(
                    "`drop_blocks` {count} drops the blocks that change the outputs least on data: give some with `calibration`, or name the blocks with globs"
                ))
            })?;
            let Voice { watch, events } = voice;
            let least = || calibrated.least_blocks(analysis, *count, *events);
            let found = watch.stage("blocks", least)?;
            if found.len() < *count {
                return Err(too_many(analysis, *count));
            }
            let rows = found.into_iter().map(|(place, divergence)| {
                let block = &analysis.blocks()[place];
                row(block, Some(divergence))
            });
            Ok(rows.collect())
        }
    }
}

/// The blocks that a plan drops.
pub(super) fn replayed(analysis: &Analysis, plan: &Plan) -> Vec<DroppedRow> {
    let names = plan.dropped_blocks.iter();
    let blocks = names.filter_map(|name| {
        let mut blocks = analysis.blocks().iter();
        blocks.find(|block| block.name == *name)
    });
    blocks.map(|block| row(block, None)).collect()
}

/// The plan that drops blocks and leaves all channels alone.
pub(super) fn alone(analysis: &Analysis, settings: &Settings, names: Vec<String>) -> FinalPlan {
    let dimensions = analysis.dimensions().iter();
    let leave = || Decision::Leave(Left::chosen("no channels are to be removed"));
    let selection = Selection {
        decisions: dimensions.map(|_| leave()).collect(),
    };
    let plan = Plan::new(analysis, &selection, &[], settings);
    FinalPlan {
        plan: plan.dropping(analysis, names),
        selection,
        remains: None,
        latency: None,
    }
}

/// The places of blocks among all.
pub(super) fn places(analysis: &Analysis, names: &[String]) -> BTreeSet<usize> {
    let blocks = analysis.blocks().iter().enumerate();
    let named = blocks.filter(|(_, block)| names.contains(&block.name));
    named.map(|(place, _)| place).collect()
}

fn named(analysis: &Analysis, globs: &[String]) -> Result<Vec<DroppedRow>> {
    let patterns = Patterns::new(globs.iter().map(String::as_str))?;
    let labels = |block: &Block| {
        let sum = analysis.graph().node_proto(block.sum).name().to_owned();
        [block.name.clone(), sum]
    };
    let blocks = analysis.blocks().iter();
    let found = blocks.filter(|block| patterns.matched(&labels(block)).is_some());
    let found = found.map(|block| row(block, None)).collect();
    patterns.all_used("residual block", "secateur inspect")?;
    Ok(found)
}

fn row(block: &Block, divergence: Option<f64>) -> DroppedRow {
    DroppedRow {
        name: block.name.clone(),
        nodes: block.nodes.len(),
        params: block.costs.params,
        macs: block.costs.macs,
        divergence,
    }
}

fn too_many(analysis: &Analysis, count: usize) -> Error {
    Error::Usage(format!(
        "`drop_blocks` {count} is more than there is: the model has {} residual block(s), those inside others counted as well; `secateur inspect` lists them",
        analysis.blocks().len()
    ))
}
