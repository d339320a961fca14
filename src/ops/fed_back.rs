//! Inputs and outputs of which one may be given back as the other in the next run: they keep the same positions.
//!
//! No model says which output becomes which input. A pair is certain where positions are the same already and the output is a
//! longer one than the input, as of caches, or stands at the same place among those of its kind. All others of a kind are
//! taken to be one: whichever is given back as whichever, the positions fit.

use std::collections::HashSet;

use super::state::State;
use crate::axes::{Extent, Origin, Reason, Type};
use crate::graph::{Graph, Producer, ValueId};
use crate::onnx::ElementType;

const WHY: &str = "may be given back as an input of its sizes";

/// What an input and an output have in common of which one is the other: its element type, and its sizes but for dynamic ones.
type Kind = (ElementType, Vec<Option<i64>>);

/// The inputs and outputs of a kind, in the order of the signature.
#[derive(Default)]
struct Candidates {
    inputs: Vec<ValueId>,
    outputs: Vec<ValueId>,
}

/// Makes inputs and outputs whose sizes may change, and that may be one state, the same.
pub(super) fn tie(graph: &Graph, state: &mut State, changes: &HashSet<ValueId>) {
    if changes.is_empty() {
        return;
    }
    let is_input = |id: &ValueId| matches!(graph.value(*id).producer, Producer::Input(_));
    let inputs = graph.value_ids().filter(is_input);
    let inputs: Vec<ValueId> = inputs.filter(|id| changes.contains(id)).collect();
    let outputs = graph.proto().output.iter();
    let outputs = outputs.filter_map(|output| graph.find(output.name()));
    let outputs: Vec<ValueId> = outputs.collect();
    let mut kinds: Vec<Kind> = Vec::new();
    for kind in inputs.iter().filter_map(|&id| kind(state, id)) {
        if kind.1.iter().any(Option::is_some) && !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    for own in kinds {
        let alike = |&id: &ValueId| kind(state, id).as_ref() == Some(&own);
        let inputs: Vec<ValueId> = inputs.iter().copied().filter(alike).collect();
        let (mut named, others): (Vec<ValueId>, Vec<ValueId>) = (outputs.iter().copied())
            .filter(alike)
            .partition(|id| changes.contains(id));
        // One that keeps its sizes holds what is fed with it.
        if named.len() < inputs.len() {
            named.extend(others);
        }
        let mut candidates = Candidates {
            inputs,
            outputs: named,
        };
        candidates.leave_certain(state, &own);
        candidates.join(state, &own);
    }
}

fn kind(state: &State, id: ValueId) -> Option<Kind> {
    let sizes = state.axes(id)?.iter().map(|axis| {
        let size = state.types.extent(axis).known();
        size.filter(|&size| size > 1)
    });
    Some((state.elements[id.index()]?, sizes.collect()))
}

/// The axes of a value that have a size of this kind.
fn units(state: &State, id: ValueId, (_, sizes): &Kind) -> Vec<Type> {
    let axes = state.axes(id).unwrap_or_default().iter().zip(sizes);
    let known = axes.filter(|(_, size)| size.is_some());
    known.map(|(axis, _)| state.types.normal(axis)).collect()
}

fn extents(state: &State, id: ValueId) -> Vec<Extent> {
    let axes = state.axes(id).unwrap_or_default().iter();
    axes.map(|axis| state.types.extent(axis)).collect()
}

impl Candidates {
    /// Takes out the pairs of which nothing has to be said.
    fn leave_certain(&mut self, state: &State, kind: &Kind) {
        let same = |a: ValueId, b: ValueId| units(state, a, kind) == units(state, b, kind);
        let longer = |&input: &ValueId| {
            let of = |list: &[ValueId]| -> Vec<ValueId> {
                list.iter().copied().filter(|&id| same(id, input)).collect()
            };
            let (inputs, outputs) = (of(&self.inputs), of(&self.outputs));
            let sizes = |&id: &ValueId| extents(state, id) != extents(state, input);
            inputs.len() == outputs.len() && outputs.iter().all(sizes)
        };
        let grown: Vec<ValueId> = self.inputs.iter().copied().filter(longer).collect();
        let stays = |id: &ValueId| !grown.iter().any(|&input| same(input, *id));
        self.outputs.retain(stays);
        self.inputs.retain(stays);
        if self.inputs.len() != self.outputs.len() {
            return;
        }
        let pairs = self
            .inputs
            .iter()
            .copied()
            .zip(self.outputs.iter().copied());
        let pairs = pairs.filter(|&(input, output)| !same(input, output));
        (self.inputs, self.outputs) = pairs.unzip();
    }

    /// Makes all that are left one.
    fn join(&self, state: &mut State, kind: &Kind) {
        let (Some(&first), false) = (self.inputs.first(), self.outputs.is_empty()) else {
            return;
        };
        for &other in self.inputs[1..].iter().chain(&self.outputs) {
            let speaker = match self.outputs.contains(&other) {
                true => other,
                false => self.outputs[0],
            };
            let reason = Reason {
                origin: Origin::Value(speaker.0),
                why: WHY,
            };
            let (own, others) = (units(state, first, kind), units(state, other, kind));
            for (a, b) in own.iter().zip(&others) {
                state.types.unify(a, b, reason);
            }
        }
    }
}
