//! A quantised model as one that can be trained: its weights are real numbers, which are rounded where they are read, and
//! what they have become as codes.

use std::collections::BTreeMap;

use super::QuantiseSettings;
use super::solve::{Quantised, coded, rounded_as_equalised};
use super::subject::RoundedSubject;
use super::verdict::seen;
use crate::dimensions::Analysis;
use crate::engine::Pass;
use crate::error::Result;
use crate::events::Events;
use crate::graph::{Graph, ValueId};
use crate::rewrite::{Edit, RoundedWeight, with_rounded_weights, with_rounding, with_weights};

/// A model that makes what the quantised one would make of its weights.
pub(crate) struct RoundedStudent {
    /// With everything rounded.
    pub(crate) graph: Graph,
    /// Constants that say how, with why they are not trained.
    pub(crate) held: BTreeMap<String, &'static str>,
    /// With nothing rounded.
    real: Analysis,
    weights: Vec<RoundedWeight>,
}

impl RoundedStudent {
    /// The model with nothing rounded and weights of the student, which `edits` has.
    ///
    /// # Errors
    /// A tensor that cannot be read.
    pub(crate) fn taught(&self, edits: &BTreeMap<ValueId, Edit>) -> Result<Analysis> {
        let real = self.real.graph();
        let own = edits.iter().filter_map(|(&value, edit)| {
            let value = real.find(&self.graph.value(value).name)?;
            Some((value, edit.clone()))
        });
        let model = with_weights(real, &own.collect())?;
        Ok(Analysis::of_edit(Graph::new(&model.settled())?, &self.real))
    }
}

impl Quantised {
    /// What `part` is quantised from, as a model that can be trained; the layers that have codes have them from the start.
    ///
    /// # Errors
    /// A tensor that cannot be read, or a result that is no valid graph.
    pub(crate) fn student(
        &self,
        part: &Analysis,
        settings: &QuantiseSettings,
    ) -> Result<RoundedStudent> {
        let real = Graph::new(&self.placed.equalised.applied(part)?)?;
        let limit = settings.weight_bits().codes().limit;
        let weights = self.weights.iter();
        let weights = weights
            .map(|of| RoundedWeight::of(&real, (&of.name, of.axis), &of.steps, limit))
            .collect::<Result<Vec<_>>>()?;
        let rounded = rounded_as_equalised(&self.placed, &real);
        let model = with_rounding(&real, &rounded)?.model.settled();
        let (model, added) = with_rounded_weights(&Graph::new(&model)?, &weights)?;
        let added = added.into_iter();
        Ok(RoundedStudent {
            graph: Graph::new(&model.settled())?,
            held: added.map(|name| (name, "is a scale of codes")).collect(),
            real: Analysis::of_edit(real, part),
            weights,
        })
    }

    /// The same with the weights of `taught`, a model of the student with nothing rounded, each to what is nearest.
    ///
    /// # Errors
    /// A tensor that cannot be read, or a result that is no valid graph.
    pub(crate) fn of_taught(
        &self,
        (part, student): (&Analysis, &RoundedStudent),
        taught: &Analysis,
        (settings, pass): (&QuantiseSettings, Pass),
        events: &mut dyn Events,
    ) -> Result<Quantised> {
        let weights = student.weights.iter();
        let steps = weights.map(|of| Ok((of.name.clone(), of.steps(taught.graph())?)));
        let found = RoundedSubject {
            analysis: Analysis::of_edit(taught.graph().clone(), taught),
            steps: steps.collect::<Result<_>>()?,
            layers: Vec::new(),
        };
        let mut made = coded(part, settings, &self.placed, found)?;
        made.fused = seen(&made, pass, events);
        made.speedup = self.speedup;
        Ok(made)
    }
}
