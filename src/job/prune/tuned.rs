//! Training what a plan leaves, so that it is still the plan's: the trained weights go back into the original, which is
//! pruned again.

use std::collections::BTreeMap;

use super::options::PruneOptions;
use crate::dimensions::Analysis;
use crate::error::Result;
use crate::events::Events;
use crate::graph::Graph;
use crate::job::options::Calibration;
use crate::job::tune::opened;
use crate::onnx::Model;
use crate::plan::Plan;
use crate::report::TrainingRow;
use crate::rewrite::{self, has_origin, regrown, with_weights};
use crate::train::{Classroom, Tuning, train};

/// A trained model.
pub(super) struct Tuned {
    /// The dense model with its weights, and what the plan leaves of that; none where the start was best.
    pub(super) better: Option<(Analysis, Model)>,
    pub(super) row: TrainingRow,
}

/// What is trained, and what it learns from.
pub(super) struct Pupil<'a> {
    /// The dense model, which teaches.
    pub(super) dense: &'a Analysis,
    /// The dense model with recovered weights.
    pub(super) reference: &'a Analysis,
    pub(super) plan: &'a Plan,
    /// What the plan leaves of that.
    pub(super) pruned: &'a Model,
}

/// Trains the pruned model on the calibration data.
pub(super) fn tuned(
    pupil: &Pupil,
    tuning: &Tuning,
    calibration: &Calibration,
    options: &PruneOptions,
    events: &mut dyn Events,
) -> Result<Tuned> {
    let provider = &calibration.provider;
    let runtime = options
        .runtime
        .load_for(std::slice::from_ref(provider), events)?;
    let student = Graph::new(&pupil.pruned.clone().settled())?;
    let kept = pupil.plan.kept(pupil.reference)?;
    let pool = opened(pupil.dense, calibration)?;
    let mut settings = tuning.resolved(&pool.batch(&[0])?, tuning.labels);
    let mut held = BTreeMap::new();
    for value in student.value_ids() {
        let constant = student.constant(value).is_some();
        if constant && !has_origin(pupil.reference, &kept, &student, value)? {
            let name = student.value(value).name.clone();
            held.insert(name, "has no known place in the original");
        }
    }
    settings.choice.held = held;
    let class = Classroom {
        student: &student,
        teacher: Some(pupil.dense.graph().model()),
        pool: &pool,
        runtime: &runtime,
        provider,
    };
    let trained = train(&class, &settings, events)?;
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
