//! Training what a plan leaves, so that it is still the plan's: the trained weights go back into the original, which is
//! pruned again.

use std::collections::BTreeMap;

use super::options::PruneOptions;
use super::round::Round;
use crate::axes::Kept;
use crate::dimensions::Analysis;
use crate::error::Result;
use crate::events::Events;
use crate::graph::Graph;
use crate::job::options::Calibration;
use crate::job::tune::{School, distilled};
use crate::onnx::Model;
use crate::plan::Plan;
use crate::report::TrainingRow;
use crate::rewrite::{self, has_origin, regrown, with_weights};
use crate::train::Tuning;

/// A trained model.
pub(super) struct Tuned {
    /// The whole model with its weights, and what the plan leaves of that; none where the start was best.
    pub(super) better: Option<(Analysis, Model)>,
    pub(super) row: TrainingRow,
}

/// What is trained, and what it learns from.
pub(super) struct Pupil<'a> {
    /// The dense model, which teaches.
    pub(super) dense: &'a Analysis,
    /// The whole model with recovered weights.
    pub(super) reference: &'a Analysis,
    pub(super) plan: &'a Plan,
    /// What the plan leaves of that.
    pub(super) pruned: &'a Model,
}

/// Trains the pruned model on the calibration data.
pub(super) fn tuned(
    pupil: &Pupil,
    (tuning, round): (&Tuning, Round),
    data: &Calibration,
    options: &PruneOptions,
    events: &mut dyn Events,
) -> Result<Tuned> {
    let student = Graph::new(&pupil.pruned.clone().settled())?;
    let kept = pupil.plan.kept(pupil.reference)?;
    let held = homeless(pupil.reference, &kept, &student)?;
    let school = School {
        teacher: pupil.dense,
        data,
        tuning,
        runtime: &options.runtime,
    };
    let (trained, _) = distilled(&school, &student, events, |settings| {
        settings.choice.held = held;
        if tuning.steps.is_none() {
            let patience = round.patience(pupil.dense.macs_of_sample());
            settings.steps = (settings.steps as f64 * patience).round() as usize;
        }
        round.take_part(settings);
    })?;
    let row = TrainingRow(trained.record);
    if trained.edits.is_empty() {
        return Ok(Tuned { better: None, row });
    }
    let grown = regrown(pupil.reference, &kept, &student, &trained.edits)?;
    let model = with_weights(pupil.reference.graph(), &grown)?;
    let edited = Analysis::of_edit(Graph::new(&model.settled())?, pupil.reference);
    let model = rewrite::prune(&edited, pupil.plan)?;
    Ok(Tuned {
        better: Some((edited, model)),
        row,
    })
}

/// Constants of the student by name that could not go back into the whole model, with why.
fn homeless(
    reference: &Analysis,
    kept: &Kept,
    student: &Graph,
) -> Result<BTreeMap<String, &'static str>> {
    let mut held = BTreeMap::new();
    for value in student.value_ids() {
        let constant = student.constant(value).is_some();
        if constant && !has_origin(reference, kept, student, value)? {
            let name = student.value(value).name.clone();
            held.insert(name, "has no known place in the original");
        }
    }
    Ok(held)
}
