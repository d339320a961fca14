//! The smallest model that holds, checked on samples that nothing has looked at before.
//!
//! Models are looked at from the smallest on, each made anew and proven, and the first that holds there is taken. Most
//! times that is the first of all, and what was found of it is without luck; how many were looked at is said.

use super::choice::{Candidate, Findings};
use super::workshop::Workshop;
use crate::error::Result;
use crate::job::prune::{Pruning, Voice};
use crate::job::{Proof, stamp};
use crate::onnx::Model;
use crate::plan::Plan;
use crate::search::{GoalRow, ModelJudge, SearchGoal};
use crate::validate::Verification;

/// Models that are looked at, at most.
const LOOKS: usize = 4;

/// What the check found.
#[derive(Default)]
pub(super) struct Checked {
    /// The model that holds; none where none does.
    pub(super) model: Option<MadeAnew>,
    /// Demands on the samples that nothing has looked at before, of the model that was looked at last.
    pub(super) verdict: Vec<GoalRow>,
    /// Models that were looked at.
    pub(super) looks: usize,
    /// Why none was chosen.
    pub(super) note: Option<String>,
}

/// A model, proven.
pub(super) struct MadeAnew {
    pub(super) model: Model,
    pub(super) plan: Plan,
    pub(super) verification: Option<Verification>,
}

/// Chooses from what was found.
///
/// # Errors
/// A failed proof, or data that cannot be read.
pub(super) fn checked(
    workshop: &Workshop,
    findings: &mut Findings,
    (judge, goals): (&ModelJudge, &[SearchGoal]),
    voice: &mut Voice,
) -> Result<Checked> {
    let mut found = Checked::default();
    for place in findings.safe().into_iter().take(LOOKS) {
        let made = MadeAnew::of(workshop, findings.candidate(place), voice)?;
        let judgement = voice.watch.stage("judge", || judge.of(&made.model))?;
        found.looks += 1;
        found.verdict = goals.iter().map(|goal| goal.verdict(&judgement)).collect();
        if found.verdict.iter().all(|row| row.holds) {
            let timed = workshop.timed.map(|timed| timed.measured(&made.model));
            findings.choose(place, timed.transpose()?.map(|measured| measured.share));
            found.model = Some(made);
            return Ok(found);
        }
    }
    found.note = Some(match (found.looks, findings.holds_any()) {
        (0, _) if findings.looked() == 0 => "no model was made before the search was ended".to_owned(),
        (0, true) => "models hold on the samples that judge, but none by a standard error: give more samples, or allow more".to_owned(),
        (0, false) => "no model holds on the samples that judge".to_owned(),
        (looks, _) => format!(
            "{looks} model(s) hold on the samples that judge, but not on those that nothing had looked at: give more samples, or allow more"
        ),
    });
    Ok(found)
}

impl MadeAnew {
    /// The model of a candidate.
    ///
    /// # Errors
    /// A failed proof, or data that cannot be read.
    pub(super) fn of(
        workshop: &Workshop,
        candidate: &Candidate,
        voice: &mut Voice,
    ) -> Result<MadeAnew> {
        // A plan that was read lacks what follows from it; one that removes nothing has nothing to lack.
        let plan = match candidate.plan.removes_nothing() {
            true => candidate.plan.clone(),
            false => candidate.plan.clone().checked(workshop.analysis)?,
        };
        let proven = workshop.make(&plan, Proof::Required, voice)?;
        let settings = workshop.options.quantise.as_ref();
        let mut command = plan.settings.command();
        let mut model = match settings.filter(|_| candidate.made.coded) {
            Some(settings) => {
                command += &format!(" --quantise={}", settings.weight_bits());
                let pruning = Pruning {
                    dense: workshop.analysis,
                    proven: &proven,
                    opened: workshop.calibrated.opened(),
                };
                pruning.coded(settings, voice)?.model
            }
            None => proven.model.clone(),
        };
        stamp(
            &mut model,
            &command,
            &plan.model_hash,
            proven.onnxruntime.as_deref(),
        );
        Ok(MadeAnew {
            model,
            plan,
            verification: proven.verification,
        })
    }
}
