//! Caches: inputs with what a model has seen, which it gives back with what it sees now.
//!
//! An input is one where an output, or what a body gives for it, has the same sizes but for one axis, which is longer there by
//! what is new; or where an operator says that it adds to what it reads. Names say nothing.

use std::collections::BTreeSet;
use std::fmt;

use super::samples::inputs;
use super::{Analysis, InputSizes, settle};
use crate::axes::Extent;
use crate::graph::{Graph, Producer, ValueId};
use crate::ops::State;

/// An input that grows from run to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cache {
    pub(crate) input: String,
    /// The name of the size of what has been seen.
    pub(crate) seen: String,
    /// The names of the sizes of what is new in a run.
    pub(crate) new: BTreeSet<String>,
}

/// What caches hold in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filling {
    /// Something; as much is new as anywhere else.
    Filled,
    /// Nothing.
    Empty,
    /// Something, and one place is new.
    Step,
}

impl fmt::Display for Filling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Filling::Filled => "filled",
            Filling::Empty => "empty",
            Filling::Step => "step",
        })
    }
}

/// The caches of a graph, in the order of its inputs.
pub(super) fn find(graph: &Graph, state: &State, sizes: &InputSizes) -> Vec<Cache> {
    let outputs = graph
        .value_ids()
        .filter(|&value| graph.value(value).is_output);
    let mut ends = Vec::new();
    outputs.for_each(|value| add_ends(graph, value, &mut ends));
    let all = inputs(graph).into_iter();
    let caches = all.filter_map(|(input, _)| cache(graph, state, (sizes, &ends), input));
    caches.collect()
}

/// An output, and what bodies give for it.
fn add_ends(graph: &Graph, value: ValueId, ends: &mut Vec<ValueId>) {
    ends.push(value);
    if let Producer::Node(node, slot) = graph.value(value).producer {
        let given = graph.given_back(node).into_iter();
        let same = given.filter(|&(_, place, _)| place == slot);
        same.for_each(|(_, _, value)| add_ends(graph, value, ends));
    }
}

fn cache(
    graph: &Graph,
    state: &State,
    (sizes, ends): (&InputSizes, &[ValueId]),
    input: ValueId,
) -> Option<Cache> {
    let axes = state.axes(input)?;
    let own: Vec<Extent> = axes.iter().map(|ty| state.types.extent(ty)).collect();
    let named = own.iter().enumerate().filter_map(|(axis, extent)| {
        let name = state.symbols.name_of(extent)?;
        let counted = sizes.samples().names().any(|other| other == name);
        (!counted && sizes.get(name).is_some()).then_some((axis, name))
    });
    let found = named.filter_map(|(axis, seen)| {
        let same = |&&end: &&ValueId| state.elements[end.index()] == state.elements[input.index()];
        let longer = ends.iter().filter(same).find_map(|&end| {
            let axes = state.axes(end)?.iter();
            let extents: Vec<Extent> = axes.map(|ty| state.types.extent(ty)).collect();
            let by = grown(&own, &extents, axis)?;
            is_new(state, sizes, &by, seen).then_some(by)
        });
        let stated = || {
            let grows = state.grown.iter().find(|grown| grown.seen == own[axis]);
            grows.map(|grown| grown.new.clone())
        };
        let new = longer.or_else(stated)?;
        Some(Cache {
            input: graph.value(input).name.clone(),
            seen: seen.to_owned(),
            new: owned(state.symbols.names(&new)),
        })
    });
    let mut found = found;
    found.next()
}

fn owned(names: BTreeSet<&str>) -> BTreeSet<String> {
    names.into_iter().map(str::to_owned).collect()
}

/// By how much one shape is longer than another along an axis, where all other axes have the same sizes.
fn grown(before: &[Extent], after: &[Extent], axis: usize) -> Option<Extent> {
    let mut others = before.iter().zip(after).enumerate();
    let same = before.len() == after.len() && others.all(|(at, (a, b))| at == axis || a == b);
    match same {
        true => after[axis].sub(&before[axis]),
        false => None,
    }
}

/// Whether a size is one of its own: not that of what has been seen, and something.
fn is_new(state: &State, sizes: &InputSizes, size: &Extent, seen: &str) -> bool {
    let assign = |name: &str| sizes.get(name).unwrap_or(1);
    let number = state.symbols.evaluate(size, &assign);
    !state.symbols.names(size).contains(seen) && number.is_some_and(|number| number > 0)
}

/// The sizes with caches as long as sequences are, where nothing is said: an axis of theirs is no side of an image.
pub(super) fn as_lengths(mut sizes: InputSizes, caches: &[Cache]) -> InputSizes {
    for cache in caches {
        sizes.take_for_length(&cache.seen);
    }
    sizes
}

impl Analysis {
    /// The inputs that are caches.
    pub(crate) fn caches(&self) -> &[Cache] {
        &self.caches
    }

    /// The sizes for a run of which the caches hold this, where they can: nobody has said how long they are.
    pub(crate) fn sizes_with(&self, sizes: &InputSizes, filling: Filling) -> Option<InputSizes> {
        let mut sizes = sizes.clone();
        let given = match filling {
            Filling::Filled => return Some(sizes),
            Filling::Empty => self
                .caches
                .iter()
                .map(|cache| (&cache.seen, 0))
                .collect::<Vec<_>>(),
            Filling::Step => {
                let new = self.caches.iter().flat_map(|cache| &cache.new);
                new.map(|name| (name, 1)).collect()
            }
        };
        let said = given.iter().any(|(name, _)| !self.sizes().is_open(name));
        if given.is_empty() || said {
            return None;
        }
        given
            .iter()
            .for_each(|(name, size)| sizes.give(name, *size));
        Some(settle::settled(sizes, &self.state))
    }
}
