//! Inputs and outputs of which declared sizes may change: what may be asked of them, and what becomes of them.

use super::PruneOptions;
use crate::axes::Kept;
use crate::dimensions::Analysis;
use crate::error::{Error, Result};
use crate::graph::{Producer, ValueId};
use crate::patterns::Patterns;
use crate::recover::Recovery;
use crate::report::SignatureRow;

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
                "`change_signature` lets '{input}' become smaller than it is in the calibration data: choose channels on the data with `recovery` none, without training and `quantise`"
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
    let axes = state.axes(value).unwrap_or_default().iter();
    axes.map(|axis| {
        let extent = state.types.kept_extent(axis, kept);
        let name = || state.symbols.name_of(&extent).unwrap_or("?").to_owned();
        extent.known().map_or_else(name, |size| size.to_string())
    })
    .collect()
}
