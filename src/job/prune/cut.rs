//! One cut: what a plan leaves of a model, recovered and trained. Where rounds went before, it is made from what they
//! left.

use super::calibrated::{Calibrated, Repaired};
use super::options::PruneOptions;
use super::round::{InRound, Round};
use super::start::{Remains, Start};
use super::tuned::{Pupil, tuned};
use super::voice::Voice;
use crate::dimensions::Analysis;
use crate::error::Result;
use crate::graph::Graph;
use crate::onnx::Model;
use crate::plan::Plan;
use crate::report::{RecoveryRow, RoundRow, TrainingRow};
use crate::rewrite;

/// What makes a cut.
pub(super) struct Cutter<'a> {
    pub(super) start: Start<'a>,
    /// Measured on what is cut.
    pub(super) calibrated: Option<&'a Calibrated<'a>>,
    pub(super) options: &'a PruneOptions,
    pub(super) round: Round,
}

/// What a cut leaves, and what is known of it.
pub(super) struct CutModel {
    /// The whole model with recovered and trained weights; none where it is as it was.
    pub(super) whole: Option<Analysis>,
    /// What the plan leaves of it.
    pub(super) model: Model,
    /// Whether training gave it weights.
    pub(super) learnt: bool,
    pub(super) recovery: Option<RecoveryRow>,
    pub(super) training: Option<TrainingRow>,
    pub(super) warnings: Vec<String>,
}

impl<'a> Start<'a> {
    /// The data, measured on what rounds have left; none where there were none, or is no data.
    ///
    /// # Errors
    /// Data that cannot be read.
    pub(super) fn opened(
        self,
        options: &PruneOptions,
        voice: &mut Voice,
    ) -> Result<Option<Calibrated<'a>>> {
        let (Some(remains), Some(calibration)) = (self.remains, &options.calibration) else {
            return Ok(None);
        };
        let Voice { watch, events } = voice;
        // A file of statistics is of the whole model.
        let open = || Calibrated::open(&remains.part, options, calibration, None, *events);
        watch.stage("calibrate", open).map(Some)
    }
}

impl Cutter<'_> {
    /// The model that `plan` leaves.
    ///
    /// # Errors
    /// A plan that does not fit, or data that cannot be read.
    pub(super) fn cut(&self, plan: &Plan, voice: &mut Voice) -> Result<CutModel> {
        let Voice { watch, events } = voice;
        let whole = self.start.whole();
        let mut cut = CutModel {
            whole: None,
            model: watch.stage("rewrite", || rewrite::prune(whole, plan))?,
            learnt: false,
            recovery: None,
            training: None,
            warnings: Vec::new(),
        };
        let Some(calibrated) = self.calibrated else {
            return Ok(cut);
        };
        if calibrated.recovers() {
            let recover = || calibrated.recover(self.start, plan, &cut.model, *events);
            let repaired: Repaired = watch.stage("recover", recover)?;
            if repaired.row.kept {
                (cut.whole, cut.model) = (Some(repaired.edited), repaired.model);
            }
            cut.recovery = Some(repaired.row);
        }
        let (Some(tuning), Some(data)) = (&self.options.tuning, &self.options.calibration) else {
            return Ok(cut);
        };
        if self.round.number > 1 && events.is_enough() {
            cut.warnings.push(format!(
                "training was ended early, as asked: {} was cut and recovered, but not trained",
                self.round
            ));
            return Ok(cut);
        }
        let pupil = Pupil {
            dense: self.start.dense,
            reference: cut.whole.as_ref().unwrap_or(whole),
            plan,
            pruned: &cut.model,
        };
        let mut events = InRound::new(self.round, *events);
        let tune = || {
            tuned(
                &pupil,
                (tuning, self.round),
                data,
                self.options,
                &mut events,
            )
        };
        let done = watch.stage("tune", tune)?;
        if let Some((edited, better)) = done.better {
            (cut.whole, cut.model) = (Some(edited), better);
            cut.learnt = true;
        }
        cut.training = Some(done.row);
        Ok(cut)
    }

    /// What `plan` leaves, for the next round to start from; `rows` are of the rounds before.
    ///
    /// # Errors
    /// Those of [`Cutter::cut`].
    pub(super) fn remains(
        &self,
        plan: Plan,
        mut rows: Vec<RoundRow>,
        voice: &mut Voice,
    ) -> Result<Remains> {
        let cut = self.cut(&plan, voice)?;
        let (dense, before) = (self.start.dense, self.start.whole());
        let whole = match cut.whole {
            Some(whole) => whole,
            None => {
                let same = before.graph().model().clone();
                Analysis::of_edit(Graph::new(&same.settled())?, before)
            }
        };
        let part = Analysis::of_edit(Graph::new(&cut.model.settled())?, dense);
        rows.push(RoundRow {
            after: dense.totals(&plan.kept(dense)?),
            divergence: cut.recovery.map(|row| row.divergence),
            training: cut.training,
        });
        Ok(Remains {
            plan,
            whole,
            part,
            rows,
        })
    }
}
