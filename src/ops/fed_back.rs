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

const OPEN: &str = "may be given back as an input of an open size, which keeps all positions";

/// What an input and an output have in common of which one is the other: its element type, and its sizes but for 1 and dynamic
/// ones.
type Kind = (ElementType, Vec<i64>);

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
        if !kind.1.is_empty() && !kinds.contains(&kind) {
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
        candidates.leave_certain(state);
        candidates.join(state);
    }
    for &output in outputs.iter().filter(|id| changes.contains(id)) {
        hold_for_open(state, output, &inputs);
    }
}

/// Holds the units of an output that may be given back as an input of which sizes are open: such an input loses nothing.
fn hold_for_open(state: &mut State, output: ValueId, inputs: &[ValueId]) {
    let element = state.elements[output.index()];
    let fits = |&&input: &&ValueId| {
        state.elements[input.index()] == element && may_be_of_open(state, output, input)
    };
    if inputs.iter().find(fits).is_none() {
        return;
    }
    let reason = Reason {
        origin: Origin::Value(output.0),
        why: OPEN,
    };
    for axis in units(state, output) {
        state.types.pin(&axis, reason);
    }
}

/// Whether all sizes of an output may be those of an input, some of which are open where the output's are known.
fn may_be_of_open(state: &State, output: ValueId, input: ValueId) -> bool {
    let Some(given) = state.axes(input) else {
        return true;
    };
    let made = state.axes(output).unwrap_or_default();
    let size = |axis: &Type| state.types.extent(axis).known();
    let pairs = || made.iter().map(size).zip(given.iter().map(size));
    let fit = |(made, given): (Option<i64>, Option<i64>)| {
        made.is_none() || given.is_none() || made == given
    };
    let is_open = |(made, given): (Option<i64>, Option<i64>)| {
        given.is_none() && made.is_some_and(|size| size > 1)
    };
    made.len() == given.len() && pairs().all(fit) && pairs().any(is_open)
}

fn kind(state: &State, id: ValueId) -> Option<Kind> {
    let sizes = state.axes(id)?.iter().filter_map(|axis| {
        let size = state.types.extent(axis).known();
        size.filter(|&size| size > 1)
    });
    Some((state.elements[id.index()]?, sizes.collect()))
}

/// The axes of a value that have a size of its kind.
fn units(state: &State, id: ValueId) -> Vec<Type> {
    let axes = state.axes(id).unwrap_or_default().iter();
    let known = axes.filter(|axis| {
        state
            .types
            .extent(axis)
            .known()
            .is_some_and(|size| size > 1)
    });
    known.map(|axis| state.types.normal(axis)).collect()
}

fn extents(state: &State, id: ValueId) -> Vec<Extent> {
    let axes = state.axes(id).unwrap_or_default().iter();
    axes.map(|axis| state.types.extent(axis)).collect()
}

impl Candidates {
    /// Takes out the pairs of which nothing has to be said.
    fn leave_certain(&mut self, state: &State) {
        let same = |a: ValueId, b: ValueId| units(state, a) == units(state, b);
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
    fn join(&self, state: &mut State) {
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
            let (own, others) = (units(state, first), units(state, other));
            for (a, b) in own.iter().zip(&others) {
                state.types.unify(a, b, reason);
            }
        }
    }
}
