//! What the report says of a plan and of what was made of it.

use super::proven::Proven;
use super::signature::{changed, held};
use crate::axes::Kept;
use crate::dimensions::{Analysis, Totals};
use crate::error::Result;
use crate::graph::Attributes;
use crate::onnx::Model;
use crate::onnx::proto::GraphProto;
use crate::plan::{CostBudget, Plan, Platform, Remap, RoundTo};
use crate::report::{BudgetRow, PruneReport};

/// Where the result is going to run, as far as the plan says so.
pub(super) fn target(plan: &Plan) -> Platform {
    match plan.settings.round_to {
        RoundTo::Auto(target) => target,
        RoundTo::Multiple(_) => Platform::default(),
    }
}

/// What a budget asked for and what it got.
pub(super) fn met(budget: CostBudget, report: &PruneReport) -> BudgetRow {
    let CostBudget { cost, share } = budget;
    let counted = cost.of(&report.after).zip(cost.of(&report.before));
    let counted = counted.map(|(after, before)| after as f64 / before.max(1) as f64);
    let timed = report.latency.as_ref().map(|row| row.got);
    BudgetRow {
        cost,
        asked: share,
        got: counted.or(timed).unwrap_or(1.0),
    }
}

impl PruneReport {
    /// What became of the plan.
    pub(super) fn note(&mut self, analysis: &Analysis, proven: &Proven) -> Result<()> {
        let kept = proven.plan.kept(analysis)?;
        self.after = analysis.totals(&kept);
        self.note_signature(analysis, &proven.plan, &kept);
        self.after.nodes = node_count(&proven.model, self.after);
        self.recovery.clone_from(&proven.recovery);
        self.training.clone_from(&proven.training);
        self.verification.clone_from(&proven.verification);
        if proven.onnxruntime.is_some() {
            self.onnxruntime = proven.onnxruntime.clone();
        }
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

    /// What a choice makes of inputs and outputs.
    pub(super) fn note_signature(&mut self, analysis: &Analysis, plan: &Plan, kept: &Kept) {
        let inside = plan.settings.vocabulary.as_ref();
        if inside.is_none_or(|of| of.remap != Remap::Inside) {
            self.signature = changed(analysis, kept);
        }
        self.signature_held = held(analysis, &plan.settings.change_signature);
    }
}

fn node_count(model: &Model, totals: Totals) -> usize {
    let graph = model.proto.graph.as_ref();
    graph.map_or(totals.nodes, nodes_with_bodies)
}

/// Number of nodes, with those of bodies.
fn nodes_with_bodies(graph: &GraphProto) -> usize {
    let bodies = graph.node.iter().flat_map(Attributes::bodies);
    graph.node.len() + bodies.map(nodes_with_bodies).sum::<usize>()
}
