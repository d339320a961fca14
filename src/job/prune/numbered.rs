//! Recovery of weights that are codes: found as numbers, rounded for what the original makes, and written as codes.

use std::collections::HashMap;

use super::calibrated::{Calibrated, Repaired};
use crate::axes::Kept;
use crate::dimensions::Analysis;
use crate::error::Result;
use crate::events::Events;
use crate::graph::Graph;
use crate::job::options::Opened;
use crate::layers::Layers;
use crate::onnx::Model;
use crate::plan::Plan;
use crate::recover::{LayerCodes, RoundContext, Scene, recover_in, round};
use crate::rewrite::{self, NumberedModel, on_numbers, prune_to};

/// The model on numbers, where weights of it are codes.
///
/// # Errors
/// Elements that are no real numbers.
pub(super) fn numbered(analysis: &Analysis, opened: &Opened) -> Result<Option<NumberedModel>> {
    let Some(numbered) = on_numbers(analysis)? else {
        return Ok(None);
    };
    let run = || -> Result<()> {
        let batch = opened.data.start_of(0, 1)?;
        let mut session = opened
            .pass()
            .session(numbered.analysis.graph().model(), "the model")?;
        batch.run(&mut session).map(drop)
    };
    match run() {
        Ok(()) => Ok(Some(numbered)),
        Err(fault) => {
            tracing::debug!("the model on numbers does not run: {fault}");
            Ok(None)
        }
    }
}

/// What a choice leaves of an analysed model.
fn left(analysis: &Analysis, kept: &Kept) -> Result<Analysis> {
    let model = prune_to(analysis, kept)?;
    Ok(Analysis::of_edit(Graph::new(&model.settled())?, analysis))
}

impl Calibrated<'_> {
    /// As [`Calibrated::recover`], of a model with weights that are codes.
    pub(super) fn recover_codes(
        &self,
        (original, numbered): (&Analysis, &NumberedModel),
        plan: &Plan,
        sliced: &Model,
        events: &mut dyn Events,
    ) -> Result<Repaired> {
        let teacher = &numbered.analysis;
        let kept = teacher.carried(original, &plan.kept(original)?);
        let pruned = left(teacher, &kept)?;
        if !numbered.fits(&pruned, &Graph::new(&sliced.clone().settled())?) {
            let same = Graph::new(&original.graph().model().clone().settled())?;
            let same = Analysis::of_edit(same, original);
            return self.judged((original, same), (sliced, sliced.clone()), Vec::new());
        }
        let scene = Scene {
            teacher,
            analysis: teacher,
            kept: &kept,
            pruned: &pruned,
            no_new_biases: true,
        };
        let recovered = recover_in(&scene, &self.context(), events)?;
        let solved = recovered.applied(teacher)?;
        let steps = numbered.fitting_steps(&solved)?;
        let layers = Layers::of(&solved).layers.into_iter();
        let codes = layers.filter_map(|layer| {
            let steps = numbered.by_element(&layer.name, &steps)?;
            Some((layer.name, LayerCodes::given(steps)))
        });
        let codes: HashMap<String, LayerCodes> = codes.collect();
        let kept = solved.carried(teacher, &kept);
        let scene = Scene {
            teacher,
            analysis: &solved,
            kept: &kept,
            pruned: &left(&solved, &kept)?,
            no_new_biases: true,
        };
        let context = RoundContext {
            pass: self.opened.pass(),
            codes: &codes,
            reach: self.recovery,
        };
        let rounded = round(&scene, &context, events)?.weights.applied(&solved)?;
        let whole = numbered.written_back(original, &rounded, &steps)?;
        let edited = Analysis::of_edit(Graph::new(&whole.settled())?, original);
        let model = rewrite::prune(&edited, plan)?;
        self.judged((original, edited), (sliced, model), recovered.layers)
    }
}
