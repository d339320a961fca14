//! What is quantised, and what its outputs are to be: a model by itself, or what a plan left of another one.

use std::collections::HashMap;

use super::QuantisePlan;
use super::trial::HeldOutTrial;
use crate::dimensions::Analysis;
use crate::engine::Pass;
use crate::error::Result;
use crate::events::Events;
use crate::graph::Graph;
use crate::layers::Layers;
use crate::plan::Plan;
use crate::recover::{LayerCodes, Recovery, RoundContext, Rounded, RoundedLayer, Scene, round};
use crate::rewrite;

/// A model that is quantised.
#[derive(Clone, Copy)]
pub(crate) struct Subject<'a> {
    /// What the layers are to make.
    teacher: &'a Analysis,
    /// The model itself, as it runs.
    pub(crate) part: &'a Analysis,
    /// What it was cut from, with the same weights, and the plan that left it; none where nothing was cut.
    cut: Option<(&'a Analysis, &'a Plan)>,
    /// What was decided before; none where it is found on the data.
    pub(super) decided: Option<&'a QuantisePlan>,
    /// Whether layers stay real that make it slower here: that is measured, and so not the same on every run.
    pub(super) timed: bool,
}

/// A subject with rounded weights.
pub(super) struct RoundedSubject {
    pub(super) analysis: Analysis,
    /// By layer the steps of its rows; none of layers that cannot be measured.
    pub(super) steps: HashMap<String, Vec<f32>>,
    pub(super) layers: Vec<RoundedLayer>,
}

/// With what a subject is rounded.
pub(super) struct CodeContext<'a> {
    pub(super) pass: Pass<'a>,
    pub(super) codes: HashMap<String, LayerCodes>,
    /// The model with rounded values.
    pub(super) student: &'a dyn Fn(&Analysis) -> Result<Analysis>,
}

impl<'a> Subject<'a> {
    /// A model that is to do what it does.
    pub(crate) fn alone(analysis: &'a Analysis) -> Subject<'a> {
        Subject {
            teacher: analysis,
            part: analysis,
            cut: None,
            decided: None,
            timed: false,
        }
    }

    /// What a plan left of `whole`, which is to do what `teacher` does; layers and values of both have the same names.
    pub(crate) fn of_plan(
        teacher: &'a Analysis,
        whole: &'a Analysis,
        plan: &'a Plan,
        part: &'a Analysis,
    ) -> Subject<'a> {
        Subject {
            teacher,
            part,
            cut: Some((whole, plan)),
            decided: None,
            timed: false,
        }
    }

    /// The same as a plan says, where there is one.
    pub(crate) fn by(self, decided: Option<&'a QuantisePlan>) -> Subject<'a> {
        Subject { decided, ..self }
    }

    /// The same, with layers real that make it slower here.
    pub(crate) fn timed(self) -> Subject<'a> {
        Subject {
            timed: true,
            ..self
        }
    }

    /// What its outputs are compared with.
    pub(super) fn trial<'b>(&self, pass: Pass<'b>) -> Result<HeldOutTrial<'b>> {
        HeldOutTrial::new(self.teacher, 1, pass)
    }

    /// Rounds the weights that have codes, for what the teacher makes; where that is not known of a layer, for what it
    /// makes itself.
    ///
    /// # Errors
    /// Those of rounding, or a plan that does not fit.
    pub(super) fn rounded(
        &self,
        by: &CodeContext,
        events: &mut dyn Events,
    ) -> Result<RoundedSubject> {
        let part = self.part;
        let Some((whole, plan)) = self.cut else {
            let found = rounded_alone(part, by, &by.codes, events)?;
            return Ok(RoundedSubject {
                analysis: found.weights.applied(part)?,
                steps: found.steps,
                layers: found.layers,
            });
        };
        let scene = Scene {
            teacher: self.teacher,
            analysis: whole,
            kept: &plan.kept(whole)?,
            pruned: &(by.student)(part)?,
            no_new_biases: false,
        };
        let context = RoundContext {
            pass: by.pass,
            codes: &by.codes,
            reach: Recovery::Solve,
        };
        let found = round(&scene, &context, events)?;
        let model = rewrite::prune(&found.weights.applied(whole)?, plan)?;
        let mut solved = RoundedSubject {
            analysis: Analysis::of_edit(Graph::new(&model.settled())?, part),
            steps: found.steps,
            layers: found.layers,
        };
        let left = unknown(part, by, &solved.steps);
        if !left.is_empty() {
            let found = rounded_alone(&solved.analysis, by, &left, events)?;
            solved.analysis = found.weights.applied(&solved.analysis)?;
            solved.steps.extend(found.steps);
            solved.layers.extend(found.layers);
        }
        Ok(solved)
    }
}

/// Layers of the model that could be measured, and are not known to make what one of the teacher's makes.
fn unknown(
    part: &Analysis,
    by: &CodeContext,
    steps: &HashMap<String, Vec<f32>>,
) -> HashMap<String, LayerCodes> {
    let layers = Layers::measurable(part).into_iter();
    let layers = layers.filter(|layer| !steps.contains_key(&layer.name));
    let left = layers.filter_map(|layer| {
        let codes = by.codes.get(&layer.name)?;
        Some((layer.name, codes.clone()))
    });
    left.collect()
}

fn rounded_alone(
    analysis: &Analysis,
    by: &CodeContext,
    codes: &HashMap<String, LayerCodes>,
    events: &mut dyn Events,
) -> Result<Rounded> {
    let scene = Scene {
        teacher: analysis,
        analysis,
        kept: &analysis.everything(),
        pruned: &(by.student)(analysis)?,
        no_new_biases: false,
    };
    let pass = by.pass;
    round(
        &scene,
        &RoundContext {
            pass,
            codes,
            reach: Recovery::Solve,
        },
        events,
    )
}
