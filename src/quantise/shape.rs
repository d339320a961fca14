//! The form that quantising gives a model, made without data: what comes out computes nothing of use, but takes as long.

use std::collections::{BTreeMap, HashMap};

use super::placed::Placed;
use super::solve::coded;
use super::subject::RoundedSubject;
use super::{CodeRange, CodeRules, CodeSites, QuantiseSettings};
use crate::dimensions::Analysis;
use crate::error::Result;
use crate::graph::{Graph, Producer, ValueId};
use crate::onnx::Model;
use crate::ops::{Form, find};
use crate::patterns::Patterns;

/// The model with products of codes wherever they can be, with ranges that fit nothing. As it is where there are none.
///
/// # Errors
/// Weights that are no numbers, or patterns of the settings that are none.
pub(crate) fn without_data(analysis: &Analysis, settings: &QuantiseSettings) -> Result<Model> {
    let kept = Patterns::new(settings.keep.iter().map(String::as_str))?;
    let rules = CodeRules {
        kept: &kept,
        dear: &HashMap::new(),
        every: settings.takes_every_layer(),
        target: settings.target,
    };
    let placement = CodeSites::of(analysis, &rules);
    let same = || analysis.graph().model().clone().settled();
    if placement.layers.is_empty() {
        return Ok(same());
    }
    let classes = placement.rounded.values().max().map_or(0, |last| last + 1);
    let mut ranges = vec![CodeRange::of(-1.0, 1.0); classes];
    for (&value, &class) in &placement.rounded {
        if settings.target.is_signed() {
            ranges[class] = CodeRange::around_zero(1.0);
        } else if is_cut(analysis.graph(), value) {
            ranges[class] = CodeRange::of(0.0, 1.0);
        }
    }
    let placed = Placed {
        placement,
        ranges,
        equalised: Default::default(),
        dear: BTreeMap::new(),
    };
    let found = RoundedSubject {
        analysis: Analysis::of_edit(Graph::new(&same())?, analysis),
        steps: HashMap::new(),
        layers: Vec::new(),
    };
    Ok(coded(analysis, settings, &placed, found)?.model)
}

/// True for what is cut off at zero, as is most that is cut off: codes that begin there need no cut.
fn is_cut(graph: &Graph, value: ValueId) -> bool {
    match graph.value(value).producer {
        Producer::Node(node, _) => find(graph, node).is_some_and(|row| row.form == Form::Cut),
        _ => false,
    }
}
