//! Which axis of which input counts samples.
//!
//! Samples are counted along the dynamic size that the inputs share: the one that most of them have, batch-like
//! names before others, names of lengths last. An input without it is the same in every run, unless its first
//! axis is dynamic and no length either. Where no size is dynamic, the first axis is a batch of fixed size.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Error, Result};
use crate::graph::{DeclaredSize, Graph, Producer, ValueId};
use crate::ops::declared_shape;

/// By input the axis that counts samples.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SampleAxes {
    axes: BTreeMap<String, Option<usize>>,
    /// Names of the sizes along these axes.
    names: BTreeSet<String>,
    /// The number of samples that the model takes, where it takes no other.
    fixed: Option<usize>,
}

/// An input and its declared sizes.
struct Input {
    name: String,
    shape: Vec<DeclaredSize>,
}

/// The inputs of a graph with the sizes that they declare, where their rank is known.
pub(super) fn inputs(graph: &Graph) -> Vec<(ValueId, Option<Vec<DeclaredSize>>)> {
    let is_input = |&id: &ValueId| matches!(graph.value(id).producer, Producer::Input(_));
    let ids = graph.value_ids().filter(is_input);
    ids.map(|id| (id, declared_shape(graph, id))).collect()
}

/// The name of a dynamic size; none for a known one.
pub(super) fn size_name(input: &str, axis: usize, size: &DeclaredSize) -> Option<String> {
    match size {
        DeclaredSize::Known(size) if *size > 0 => None,
        DeclaredSize::Named(name) if !name.is_empty() => Some(name.clone()),
        _ => Some(format!("{input}.{axis}")),
    }
}

/// What a size's name says that it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Meaning {
    Length,
    Unclear,
    Samples,
}

fn meaning(name: &str) -> Meaning {
    let lower = name.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    if has(&["batch"]) || matches!(&lower[..], "n" | "b" | "bs") {
        return Meaning::Samples;
    }
    let lengths = [
        "seq", "len", "time", "past", "frame", "height", "width", "token",
    ];
    match has(&lengths) || matches!(&lower[..], "t" | "l" | "s" | "h" | "w") {
        true => Meaning::Length,
        false => Meaning::Unclear,
    }
}

impl SampleAxes {
    /// Those of a graph's inputs; `given` says of inputs which axis it is, or that there is none.
    pub(super) fn of(graph: &Graph, given: &[(String, Option<usize>)]) -> Result<SampleAxes> {
        let all = inputs(graph).into_iter().map(|(id, shape)| Input {
            name: graph.value(id).name.clone(),
            shape: shape.unwrap_or_default(),
        });
        let all: Vec<Input> = all.collect();
        let mut named = Vec::new();
        for (name, axis) in given {
            let input = all.iter().find(|input| input.name == *name);
            let input = input.ok_or_else(|| unknown_input(name, &all))?;
            if axis.is_some_and(|axis| axis >= input.shape.len()) {
                return Err(Error::Usage(format!(
                    "the input '{name}' has {} axes, counted from 0; another one must count its samples",
                    input.shape.len()
                )));
            }
            named.extend(axis.and_then(|axis| input.name_of(axis)));
        }
        let shared = named.into_iter().next().or_else(|| shared_size(&all));
        let mut found = SampleAxes::default();
        for input in &all {
            let said = given.iter().find(|(name, _)| *name == input.name);
            let axis = match said {
                Some((_, axis)) => *axis,
                None => input.sample_axis(shared.as_deref(), &all),
            };
            found
                .names
                .extend(axis.and_then(|axis| input.name_of(axis)));
            found.axes.insert(input.name.clone(), axis);
        }
        found.take_fixed_batch(&all, given)?;
        Ok(found)
    }

    /// Axes of known size: where a user names them, and the first ones of a model without any other.
    fn take_fixed_batch(&mut self, all: &[Input], given: &[(String, Option<usize>)]) -> Result<()> {
        if self.axes.values().all(Option::is_none) {
            let first = all.iter().find_map(|input| input.known(0));
            for input in all
                .iter()
                .filter(|input| first.is_some() && input.known(0) == first)
            {
                if !given.iter().any(|(name, _)| *name == input.name) {
                    self.axes.insert(input.name.clone(), Some(0));
                }
            }
        }
        for input in all {
            let axis = self.axis(&input.name);
            let Some(size) = axis.and_then(|axis| input.known(axis)) else {
                continue;
            };
            if self.fixed.is_some_and(|fixed| fixed != size) {
                return Err(Error::Usage(format!(
                    "the inputs take different numbers of samples, {size} and {}: name the axis that counts them for each, or 'none'",
                    self.fixed.unwrap_or(1)
                )));
            }
            self.fixed = Some(size);
        }
        Ok(())
    }

    /// The axis of an input that counts samples; none where every run gets the input as it is.
    pub fn axis(&self, input: &str) -> Option<usize> {
        self.axes.get(input).copied().flatten()
    }

    /// True if no input counts samples.
    pub fn is_empty(&self) -> bool {
        self.axes.values().all(Option::is_none)
    }

    /// The number of samples that every run must have, where the model fixes it.
    pub fn fixed(&self) -> Option<usize> {
        match self.is_empty() {
            true => Some(1),
            false => self.fixed,
        }
    }

    /// Names of the dynamic sizes that count samples.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    pub(super) fn fix(&mut self, samples: usize) {
        self.fixed = Some(samples);
    }
}

impl Input {
    fn name_of(&self, axis: usize) -> Option<String> {
        size_name(&self.name, axis, self.shape.get(axis)?)
    }

    fn known(&self, axis: usize) -> Option<usize> {
        match self.shape.get(axis)? {
            DeclaredSize::Known(size) if *size > 0 => usize::try_from(*size).ok(),
            _ => None,
        }
    }

    fn place(&self, name: &str) -> Option<usize> {
        (0..self.shape.len()).find(|&axis| self.name_of(axis).as_deref() == Some(name))
    }

    fn sample_axis(&self, shared: Option<&str>, all: &[Input]) -> Option<usize> {
        let shared = shared?;
        if let Some(axis) = self.place(shared) {
            return Some(axis);
        }
        // A size that stands beside the samples elsewhere does not count them, nor does a length.
        let name = self.name_of(0)?;
        let mut others = all.iter().filter(|other| other.place(shared).is_some());
        let beside = others.any(|other| other.place(&name).is_some());
        let unnamed = !matches!(&self.shape[0], DeclaredSize::Named(name) if !name.is_empty());
        let counts = unnamed || (!beside && meaning(&name) != Meaning::Length);
        counts.then_some(0)
    }
}

/// The dynamic size that counts samples: on the first axis of an input, or beside another dynamic size there.
fn shared_size(all: &[Input]) -> Option<String> {
    let mut candidates: Vec<String> = Vec::new();
    for input in all {
        for axis in 0..input.shape.len() {
            let name = input.name_of(axis).filter(|name| {
                let led = axis == 0 || input.known(0).is_none();
                axis == 0 || led && meaning(name) == Meaning::Samples
            });
            candidates.extend(name.filter(|name| !candidates.contains(name)));
        }
    }
    let rank = |name: &String| {
        let holders = all.iter().filter(|input| input.place(name).is_some());
        let first = all.iter().filter(|input| input.place(name) == Some(0));
        (meaning(name), holders.count(), first.count())
    };
    // Of equals the first counts.
    candidates.into_iter().rev().max_by_key(rank)
}

fn unknown_input(name: &str, all: &[Input]) -> Error {
    let names: Vec<&str> = all.iter().map(|input| &input.name[..]).collect();
    Error::Usage(format!(
        "the model has no input called '{name}'; its inputs are {}",
        names.join(", ")
    ))
}
