//! Inputs and outputs of which declared sizes may change: what may be asked of them, and what becomes of them.

use super::PruneOptions;
use crate::axes::{Kept, Reason};
use crate::dimensions::Analysis;
use crate::error::{Error, Result};
use crate::graph::{DeclaredSize, Producer, ValueId};
use crate::patterns::Patterns;
use crate::recover::Recovery;
use crate::report::{HeldEndRow, SignatureRow};

impl PruneOptions {
    /// That the globs name ends of the graph, and that nothing is asked for that runs the smaller model on the data.
    ///
    /// # Errors
    /// A glob that matches nothing, or such a thing.
    pub(super) fn check_signature(&self, analysis: &Analysis) -> Result<()> {
        let globs = &self.cuts()?.signature;
        if globs.is_empty() {
            return Ok(());
        }
        let patterns = Patterns::new(globs.iter().map(String::as_str))?;
        let mut inputs = Vec::new();
        for value in ends(analysis) {
            let known = analysis.graph().value(value);
            if patterns.matched(&[known.name.as_str()]).is_some() && is_input(analysis, value) {
                inputs.push(known.name.as_str());
            }
        }
        patterns.all_used("input or output of the graph", "secateur inspect")?;
        let runs =
            self.recovery != Recovery::None || self.tuning.is_some() || self.quantise.is_some();
        match inputs
            .first()
            .filter(|_| self.calibration.is_some() && runs)
        {
            None => Ok(()),
            Some(input) => Err(Error::Usage(format!(
                "`change_signature` lets '{input}' become smaller than the calibration data, or the empty cache that stands for what is not in it, makes it: choose channels on the data with `recovery` none, without training and `quantise`"
            ))),
        }
    }
}

/// The ends of the graph whose declared sizes another choice changes.
pub(super) fn changed(analysis: &Analysis, kept: &Kept) -> Vec<SignatureRow> {
    let cut = ends(analysis).filter(|&value| analysis.is_pruned(value, kept));
    let row = |value: ValueId| SignatureRow {
        name: analysis.graph().value(value).name.clone(),
        is_input: is_input(analysis, value),
        before: sizes(analysis, value, &analysis.everything()),
        after: sizes(analysis, value, kept),
    };
    cut.map(row).collect()
}

/// The ends of the graph that match these globs, have sizes that could change, and hold all their positions, with the reason.
pub(super) fn held(analysis: &Analysis, globs: &[String]) -> Vec<HeldEndRow> {
    let (graph, types) = (analysis.graph(), &analysis.state.types);
    let Ok(patterns) = Patterns::new(globs.iter().map(String::as_str)) else {
        return Vec::new();
    };
    let named = |value: &ValueId| {
        let name = graph.value(*value).name.as_str();
        patterns.matched(&[name]).is_some()
    };
    let held = ends(analysis).filter(named).filter_map(|value| {
        let axes = analysis.state.axes(value)?.iter();
        let axes = axes.filter(|axis| types.extent(axis).known().is_some_and(|size| size > 1));
        let vars = axes.flat_map(|axis| types.vars(axis));
        let pins: Option<Vec<Reason>> = vars.map(|var| types.var(var).pin).collect();
        let reason = *pins?.first()?;
        Some(HeldEndRow {
            name: graph.value(value).name.clone(),
            is_input: is_input(analysis, value),
            why: format!("held by {}", analysis.explain(reason)),
        })
    });
    held.collect()
}

fn ends(analysis: &Analysis) -> impl Iterator<Item = ValueId> + '_ {
    let graph = analysis.graph();
    graph
        .value_ids()
        .filter(|&id| graph.value(id).is_output || is_input(analysis, id))
}

fn is_input(analysis: &Analysis, value: ValueId) -> bool {
    let producer = analysis.graph().value(value).producer;
    matches!(producer, Producer::Input(_))
}

/// The sizes of a value, symbols as they are called.
fn sizes(analysis: &Analysis, value: ValueId, kept: &Kept) -> Vec<String> {
    let state = &analysis.state;
    let declared = analysis.graph().value(value).declared.as_deref();
    let axes = state.axes(value).unwrap_or_default().iter().enumerate();
    axes.map(|(place, axis)| {
        let extent = state.types.kept_extent(axis, kept);
        let declared = declared.and_then(|sizes| sizes.get(place));
        match (extent.known(), declared) {
            (Some(size), _) => size.to_string(),
            (None, Some(DeclaredSize::Named(name))) if !name.is_empty() => name.clone(),
            _ => state.symbols.name_of(&extent).unwrap_or("?").to_owned(),
        }
    })
    .collect()
}
