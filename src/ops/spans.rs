//! Between which sizes the integers of a value lie: positions that are counted, and what is computed from them.
//!
//! A position that selects along an axis must not lie behind its end. Where sizes of inputs are chosen, an axis is made as long
//! as that asks (`State::rooms`).

use super::facts::Span;
use super::kinds::Pointwise;
use super::row::{Row, find};
use super::state::State;
use super::typing::Typing;
use crate::axes::{Extent, Symbols, Type};
use crate::graph::{Attributes, Graph, NodeId, Producer, ValueId};
use crate::onnx::ElementType;

impl Typing<'_> {
    /// States that the integers of the first output lie in a span.
    pub(super) fn spans(&mut self, span: Option<Span>) {
        let output = self.graph.node(self.node).output(0);
        let output = output.filter(|value| is_counted(self.state, *value));
        if let (Some(output), Some(span)) = (output, span) {
            self.state.spans.insert(output, span);
        }
    }

    /// The span of the integers at a slot.
    pub(super) fn span(&mut self, slot: usize) -> Option<Span> {
        let value = self.value(slot)?;
        of(self.graph, self.state, value)
    }

    /// States that integers select positions of an axis, which has to have room for the last of them.
    pub(super) fn needs_room(&mut self, index: ValueId, axis: &Type) {
        let span = of(self.graph, self.state, index);
        if let Some(least) = span.and_then(|[_, last]| last.add(&Extent::ONE)) {
            let size = self.extent(axis);
            self.reaches(&size, &least);
        }
    }

    /// States that a size is not smaller than another.
    pub(super) fn reaches(&mut self, size: &Extent, least: &Extent) {
        let room = size.sub(least);
        let open = room.filter(|room| room.known().is_none());
        self.state.rooms.extend(open);
    }

    /// What makes the element at a place along the last axis of an input: the part of a list that has it, where parts are joined
    /// there, else the input.
    pub(super) fn made_at(&self, slot: usize, place: usize) -> Option<ValueId> {
        let value = self.value(slot)?;
        Some(part_at(self.graph, self.state, value, place).unwrap_or(value))
    }
}

fn part_at(graph: &Graph, state: &State, value: ValueId, place: usize) -> Option<ValueId> {
    let Producer::Node(node, _) = graph.value(value).producer else {
        return None;
    };
    find(graph, node).filter(|row| row.joins)?;
    let last = i64::try_from(state.axes(value)?.len()).ok()? - 1;
    let axis = graph.node_proto(node).int("axis")?;
    let mut before = 0;
    for part in graph.node(node).inputs.iter().flatten() {
        let size = state.types.extent(state.axes(*part)?.last()?).size()?;
        before += size;
        if (axis == -1 || axis == last) && place < before {
            return Some(*part);
        }
    }
    None
}

/// True for integers, and for flags, which are 0 or 1.
fn is_counted(state: &State, value: ValueId) -> bool {
    let element = state.elements[value.index()];
    element.is_some_and(|element| element.is_index() && element != ElementType::String)
}

/// The span of a value's integers, where it is known.
fn of(graph: &Graph, state: &mut State, value: ValueId) -> Option<Span> {
    if let Some(span) = state.spans.get(&value) {
        return Some(span.clone());
    }
    if !is_counted(state, value) {
        return None;
    }
    if state.elements[value.index()] == Some(ElementType::Bool) {
        return Some([Extent::Known(0), Extent::ONE]);
    }
    if let Some(axis) = state.pointers.get(&value) {
        let last = state.types.extent(axis).sub(&Extent::ONE)?;
        return Some([Extent::Known(0), last]);
    }
    let integers = state.integers[value.index()].as_ref()?;
    match &integers.elements[..] {
        [Some(only)] => Some([only.clone(), only.clone()]),
        [] => None,
        _ => {
            let known = integers
                .known()
                .filter(|_| graph.constant(value).is_some())?;
            let ends = [known.iter().min()?, known.iter().max()?];
            Some(ends.map(|&end| Extent::Known(end)))
        }
    }
}

/// States the span of what a node makes that its rule did not: of integers that are handed on, added, subtracted, multiplied.
pub(super) fn settle(graph: &Graph, state: &mut State, node: NodeId, row: Option<&Row>) {
    let connections = graph.node(node);
    let Some(row) = row.filter(|row| row.carries_alone()) else {
        return;
    };
    for &output in connections.outputs.iter().flatten() {
        let told = state.spans.contains_key(&output) || state.pointers.contains_key(&output);
        let known = state.integers[output.index()].is_some();
        let flags = state.elements[output.index()] == Some(ElementType::Bool);
        if told || known || flags || !is_counted(state, output) {
            continue;
        }
        if let Some(span) = computed(graph, state, node, row) {
            state.spans.insert(output, span);
        }
    }
}

fn computed(graph: &Graph, state: &mut State, node: NodeId, row: &Row) -> Option<Span> {
    let inputs = &graph.node(node).inputs;
    if let Some(pointwise) = row.pointwise {
        let [Some(a), Some(b)] = inputs[..] else {
            return None;
        };
        let ([a, c], [b, d]) = (of(graph, state, a)?, of(graph, state, b)?);
        return match pointwise {
            Pointwise::Sum => Some([a.add(&b)?, c.add(&d)?]),
            Pointwise::Difference => Some([a.sub(&d)?, c.sub(&b)?]),
            Pointwise::Product if is_natural(&a) && is_natural(&b) => {
                Some([a.mul(&b)?, c.mul(&d)?])
            }
            _ => None,
        };
    }
    let mut span: Option<Span> = None;
    let carried = inputs.iter().enumerate();
    for (_, value) in carried.filter(|(slot, _)| row.carries_elements_of(*slot)) {
        let [low, high] = of(graph, state, (*value)?)?;
        span = Some(match span {
            None => [low, high],
            Some([least, most]) => [
                smaller(&mut state.symbols, &least, &low)?,
                larger(&mut state.symbols, &most, &high)?,
            ],
        });
    }
    span
}

/// True where a number is never negative, as no size is.
pub(super) fn is_natural(extent: &Extent) -> bool {
    extent.monomials().iter().all(|&(_, factor)| factor >= 0)
}

pub(super) fn smaller(symbols: &mut Symbols, a: &Extent, b: &Extent) -> Option<Extent> {
    match a.sub(b).and_then(|difference| difference.known()) {
        Some(..=0) => Some(a.clone()),
        Some(_) => Some(b.clone()),
        None => symbols.min(a, b),
    }
}

fn larger(symbols: &mut Symbols, a: &Extent, b: &Extent) -> Option<Extent> {
    match smaller(symbols, a, b)? {
        smallest if smallest == *a => Some(b.clone()),
        smallest if smallest == *b => Some(a.clone()),
        _ => symbols.max(a, b),
    }
}
