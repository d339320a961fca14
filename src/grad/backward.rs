//! From the gradients of some values to those of others, node by node from the end.

use std::collections::HashMap;

use crate::graph::{Array, Emitter, NodeId, ValueId};
use crate::onnx::ElementType;
use crate::ops::{Settled, passes_codes, pull, rounds, stands_still};

/// A node that no gradient goes through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stop {
    pub(crate) node: NodeId,
    pub(crate) why: &'static str,
}

/// Gradients of values.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gradients {
    /// Those that are whole.
    pub(crate) of: HashMap<ValueId, Array>,
    /// Where gradients stopped.
    pub(crate) stops: Vec<Stop>,
    /// Wanted values whose gradient would be a part of the whole.
    pub(crate) behind: Vec<ValueId>,
}

/// The gradients of the `wanted` values as new nodes, from `seeds`: gradients that values have by themselves. A wanted
/// value that no seed depends on has none.
pub(crate) fn backward(
    settled: Settled,
    emit: &mut Emitter,
    seeds: Vec<(ValueId, Array)>,
    wanted: &[ValueId],
) -> Gradients {
    let mut walk = Walk {
        settled,
        varying: varying(settled, wanted),
        parts: HashMap::new(),
        stops: Vec::new(),
    };
    for (value, seed) in seeds {
        walk.parts.entry(value).or_default().push(seed);
    }
    for &node in settled.graph.order().iter().rev() {
        walk.through(emit, node);
    }
    let partial = walk.partial();
    let mut gradients = Gradients {
        stops: std::mem::take(&mut walk.stops),
        ..Gradients::default()
    };
    for &value in wanted {
        if partial[value.index()] {
            gradients.behind.push(value);
        } else if let Some(gradient) = walk.sum(emit, value) {
            gradients.of.insert(value, gradient);
        }
    }
    gradients
}

/// By value: whether it changes with a wanted one, and is real or codes that a real one was rounded to.
fn varying(settled: Settled, wanted: &[ValueId]) -> Vec<bool> {
    let graph = settled.graph;
    let mut varying = vec![false; graph.value_ids().count()];
    wanted
        .iter()
        .for_each(|value| varying[value.index()] = true);
    for &node in graph.order() {
        let changed: Vec<ValueId> = (graph.node(node).reads())
            .filter(|value| varying[value.index()])
            .collect();
        if changed.is_empty() || stands_still(graph, node) {
            continue;
        }
        let codes = rounds(graph, node) || changed.iter().any(|&value| !is_real(settled, value));
        for &output in graph.node(node).outputs.iter().flatten() {
            varying[output.index()] |= codes || is_real(settled, output);
        }
    }
    varying
}

fn is_real(settled: Settled, value: ValueId) -> bool {
    let element = settled.state.elements[value.index()];
    element.is_none_or(ElementType::is_float)
}

struct Walk<'a> {
    settled: Settled<'a>,
    varying: Vec<bool>,
    /// Parts of the gradient of a value.
    parts: HashMap<ValueId, Vec<Array>>,
    stops: Vec<Stop>,
}

impl Walk<'_> {
    /// Carries the gradients of a node's outputs to its inputs.
    fn through(&mut self, emit: &mut Emitter, id: NodeId) {
        let graph = self.settled.graph;
        let node = graph.node(id);
        let varies = |value: &ValueId| self.varying[value.index()];
        if !node.reads().any(|value| varies(&value)) {
            return;
        }
        let reached = |value: &Option<ValueId>| {
            value.is_some_and(|value| self.parts.contains_key(&value) && varies(&value))
        };
        if !node.outputs.iter().any(reached) {
            return;
        }
        if node.captured.iter().any(varies) {
            let why = "its bodies read what would be trained";
            self.stops.push(Stop { node: id, why });
            return;
        }
        let mut own = node.reads().chain(node.outputs.iter().flatten().copied());
        let codes = own.any(|value| varies(&value) && !is_real(self.settled, value));
        if codes && !passes_codes(graph, id) {
            let why = "it computes on codes";
            self.stops.push(Stop { node: id, why });
            return;
        }
        let needs: Vec<bool> = node
            .inputs
            .iter()
            .map(|input| input.as_ref().is_some_and(varies))
            .collect();
        let outputs = node.outputs.clone();
        let cotangents = outputs.into_iter().map(|output| self.sum(emit, output?));
        let cotangents = cotangents.collect();
        let mark = emit.mark();
        match pull(self.settled, emit, id, cotangents, needs) {
            Ok(given) => {
                for (slot, gradient) in given {
                    if let Some(value) = node.input(slot) {
                        self.parts.entry(value).or_default().push(gradient);
                    }
                }
            }
            Err(unsupported) => {
                emit.rewind(mark);
                let why = unsupported.0;
                self.stops.push(Stop { node: id, why });
            }
        }
    }

    /// The whole gradient of a value, as far as it is known.
    fn sum(&mut self, emit: &mut Emitter, value: ValueId) -> Option<Array> {
        let parts = self.parts.get_mut(&value)?;
        let mut all = std::mem::take(parts).into_iter();
        let first = all.next()?;
        let sum = all.fold(first, |sum, part| emit.add(&sum, &part));
        parts.push(sum.clone());
        Some(sum)
    }

    /// By value: whether it lies before a node that gradients stopped at.
    fn partial(&self) -> Vec<bool> {
        let graph = self.settled.graph;
        let mut partial = vec![false; self.varying.len()];
        let stopped: Vec<NodeId> = self.stops.iter().map(|stop| stop.node).collect();
        for &id in graph.order().iter().rev() {
            let node = graph.node(id);
            let outputs = node.outputs.iter().flatten();
            let lies_before = outputs.clone().any(|value| partial[value.index()]);
            if lies_before || stopped.contains(&id) {
                for value in node.reads().filter(|value| self.varying[value.index()]) {
                    partial[value.index()] = true;
                }
            }
        }
        partial
    }
}
