//! Quantising what a plan left, in the same run: rounded for what the original makes, so that errors of rounding and of
//! pruning are repaired together.

use super::proven::Proven;
use super::voice::Voice;
use crate::dimensions::Analysis;
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::job::options::{Calibration, Opened, RuntimeOptions};
use crate::job::quantised::{BATCHES, LARGE, quantised};
use crate::layers::Layers;
use crate::onnx::Model;
use crate::plan::Plan;
use crate::quantise::{QuantiseSettings, Subject, folded};
use crate::report::Quantisation;
use crate::rewrite::{self, with_initializers};
use crate::runtime::Runtime;
use crate::search::held_out_divergences;
use crate::validate::{is_of_the_plan, verify_equal};

/// What the prepared model may differ by from the one that was proven.
const SAME: f64 = 1e-6;

/// A model with products of codes.
pub(super) struct Coded {
    pub(super) model: Model,
    pub(super) quantisation: Quantisation,
    pub(super) warnings: Vec<String>,
}

/// What is quantised.
pub(super) struct Pruning<'a> {
    /// The original.
    pub(super) dense: &'a Analysis,
    /// What is left of it.
    pub(super) proven: &'a Proven,
    pub(super) data: &'a Calibration,
    pub(super) runtime: &'a RuntimeOptions,
}

/// Models in which all weights are constants that are read as they are.
struct Prepared {
    /// The original, and the model that the plan is applied to; none where what the plan leaves of that is not what was
    /// proven.
    whole: Option<[Analysis; 2]>,
    part: Analysis,
}

impl Pruning<'_> {
    /// The model with products of codes, as `settings` say.
    ///
    /// # Errors
    /// Data that cannot be read, nothing to quantise, or a result that is not proven.
    pub(super) fn coded(&self, settings: &QuantiseSettings, voice: &mut Voice) -> Result<Coded> {
        let opened = self.opened(voice)?;
        let Voice { watch, events } = voice;
        let prepare = || self.prepared(&opened.runtime);
        let prepared = watch.stage("fold", prepare)?;
        let plan = &self.proven.plan;
        let subject = prepared.subject(plan);
        let (model, mut quantisation) = quantised(&subject, settings, &opened, watch, *events)?;
        let models = [&self.proven.model, &model];
        let judge = || held_out_divergences(opened.pass(), self.dense.graph().model(), models);
        let [before, after] = watch.stage("judge", judge)?;
        quantisation.divergence = Some(after);
        let mut warnings: Vec<String> = quantisation.overflow().into_iter().collect();
        if after - before > LARGE {
            warnings.push(format!(
                "rounding took the divergence of the outputs from {before:.4} to {after:.4} on held-out samples: give more samples"
            ));
        }
        if prepared.whole.is_none() {
            warnings.push(
                "weights that nodes rearrange have no known place in the original: what is left of it was rounded for what it makes itself"
                    .to_owned(),
            );
        }
        Ok(Coded {
            model,
            quantisation,
            warnings,
        })
    }

    fn opened(&self, voice: &mut Voice) -> Result<Opened<'_>> {
        let layers = Layers::of(self.dense).layers;
        let Voice { watch, events } = voice;
        // What training is judged on, roundings are as well.
        let batches = (BATCHES, false);
        let open = || (self.data).open(self.dense, &layers, batches, self.runtime, *events);
        watch.stage("data", open)
    }

    fn prepared(&self, runtime: &Runtime) -> Result<Prepared> {
        let proven = self.proven;
        match self.by_plan(runtime) {
            Ok(prepared) => return Ok(prepared),
            Err(fault) if is_of_the_plan(&fault) || matches!(fault, Error::Plan { .. }) => {
                tracing::debug!("rounded for what it makes itself: {fault}");
            }
            Err(fault) => return Err(fault),
        }
        let part = Graph::new(&proven.model.clone().settled())?;
        let part = Analysis::of_edit(part, self.dense);
        Ok(Prepared {
            whole: None,
            part: prepared(&part, runtime)?,
        })
    }

    /// The prepared original with what the plan leaves of it, which is what was proven.
    fn by_plan(&self, runtime: &Runtime) -> Result<Prepared> {
        let proven = self.proven;
        let teacher = prepared(self.dense, runtime)?;
        let whole = prepared(proven.whole.as_ref().unwrap_or(self.dense), runtime)?;
        let part = rewrite::prune(&whole, &proven.plan)?;
        let part = Analysis::of_edit(Graph::new(&part.settled())?, &whole);
        let what = "the pruned model with weights that nodes rearrange";
        let written = part.graph().model();
        verify_equal(&part, &proven.model, written, what, SAME, runtime)?;
        Ok(Prepared {
            whole: Some([teacher, whole]),
            part,
        })
    }
}

impl Prepared {
    fn subject<'a>(&'a self, plan: &'a Plan) -> Subject<'a> {
        match &self.whole {
            Some([teacher, whole]) => Subject::of_plan(teacher, whole, plan, &self.part),
            None => Subject::alone(&self.part),
        }
    }
}

/// The model with all weights as constants that are read as they are.
fn prepared(analysis: &Analysis, runtime: &Runtime) -> Result<Analysis> {
    // Dimensions that only rearranged weights have keep the names that plans know them by.
    let analysed = |model: Model| -> Result<Analysis> {
        let graph = Graph::new(&model.settled())?;
        let (sizes, observed) = (analysis.sizes().clone(), analysis.observed().clone());
        Ok(Analysis::with(graph, sizes, observed))
    };
    let whole = analysed(with_initializers(analysis.graph())?)?;
    match folded(&whole, runtime)? {
        Some(model) => analysed(model),
        None => Ok(whole),
    }
}
