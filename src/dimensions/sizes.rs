//! The sizes that the dynamic axes of a model's inputs are taken to have.

use std::collections::{BTreeMap, BTreeSet};

use super::samples::{SampleAxes, inputs, size_name};
use crate::axes::terms;
use crate::error::{Error, Result};
use crate::graph::Graph;

/// Samples of a run where nothing is said.
const DEFAULT_SAMPLES: i64 = 1;
/// Size of a dynamic spatial axis of an image where nothing is said.
const DEFAULT_SPATIAL: i64 = 64;
/// Size of any other dynamic axis (sequence, features) where nothing is said.
const DEFAULT_LENGTH: i64 = 16;

/// The sizes that the dynamic axes of the inputs are taken to have: by the name of the axis, or
/// `INPUT.AXIS` where it has none. Of an axis that is called by an expression, the sizes of its parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InputSizes {
    sizes: BTreeMap<String, i64>,
    given: BTreeSet<String>,
    /// Those that are taken for sides of images, as nothing is said.
    spatial: BTreeSet<String>,
    /// Those that are as long as positions that select along them ask.
    fitted: BTreeSet<String>,
    samples: SampleAxes,
}

/// A dynamic axis of an input.
struct DynamicAxis {
    name: String,
    axis: usize,
    rank: usize,
    counts_samples: bool,
}

impl InputSizes {
    /// Defaults for every dynamic axis of `graph`'s inputs, with `given` sizes instead where named.
    ///
    /// # Errors
    /// [`Error::Usage`] if `given` names an axis that no input has.
    pub fn for_graph(graph: &Graph, given: &[(String, i64)]) -> Result<InputSizes> {
        InputSizes::with_sample_axes(graph, given, &[])
    }

    /// As [`InputSizes::for_graph`]; `sample_axes` says of inputs which axis counts samples, or that none does.
    ///
    /// # Errors
    /// [`Error::Usage`] if `given` names an axis, or `sample_axes` an input or axis, that is not there.
    pub fn with_sample_axes(
        graph: &Graph,
        given: &[(String, i64)],
        sample_axes: &[(String, Option<usize>)],
    ) -> Result<InputSizes> {
        let samples = SampleAxes::of(graph, sample_axes)?;
        let axes = dynamic_axes(graph, &samples);
        let (sums, plain): (Vec<_>, Vec<_>) =
            axes.iter().partition(|axis| terms(&axis.name).is_some());
        let mut sizes = BTreeMap::new();
        for axis in &plain {
            sizes
                .entry(axis.name.clone())
                .or_insert(axis.default_size());
        }
        for axis in &sums {
            let parts = terms(&axis.name).into_iter().flatten();
            for name in parts.flat_map(|(_, names)| names) {
                sizes.entry(name.to_owned()).or_insert(axis.default_size());
            }
        }
        let taken = plain.iter().filter(|axis| axis.is_spatial());
        let spatial = taken.map(|axis| axis.name.clone()).collect();
        for (name, size) in given {
            if !sizes.contains_key(name) {
                return Err(unknown_axis(name, &sizes));
            }
            sizes.insert(name.clone(), *size);
        }
        Ok(InputSizes {
            sizes,
            given: given.iter().map(|(name, _)| name.clone()).collect(),
            spatial,
            fitted: BTreeSet::new(),
            samples,
        })
    }

    /// The size of the axis called `name`.
    pub fn get(&self, name: &str) -> Option<i64> {
        self.sizes.get(name).copied()
    }

    /// Other sizes, by run: no two axes have the same ones in two runs, and each is a multiple of its own.
    pub(crate) fn spread(&self, run: i64) -> InputSizes {
        let mut spread = self.clone();
        spread.spatial.clear();
        for (size, factor) in spread.sizes.values_mut().zip(2_i64..) {
            *size = size.saturating_mul(factor.saturating_add(run));
        }
        spread
    }

    /// The axes that have this size.
    pub(crate) fn names_of(&self, size: i64) -> impl Iterator<Item = &str> {
        let same = self.sizes.iter().filter(move |(_, own)| **own == size);
        same.map(|(name, _)| name.as_str())
    }

    /// Which axes of the inputs count samples.
    pub fn samples(&self) -> &SampleAxes {
        &self.samples
    }

    /// The sizes for a run of this many samples.
    pub(super) fn with_samples(&self, samples: usize) -> InputSizes {
        let mut sizes = self.clone();
        for name in self.samples.names() {
            let size = i64::try_from(samples).unwrap_or(i64::MAX);
            sizes.sizes.insert(name.to_owned(), size);
        }
        sizes
    }

    /// True if the size may follow from others: nobody has chosen it.
    pub(super) fn is_open(&self, name: &str) -> bool {
        let counts_samples = self.samples.names().any(|other| other == name);
        self.sizes.contains_key(name) && !self.given.contains(name) && !counts_samples
    }

    pub(super) fn set(&mut self, name: &str, size: i64) {
        self.sizes.insert(name.to_owned(), size);
    }

    /// Says that a size is as long as positions ask.
    pub(super) fn fit(&mut self, name: &str) {
        self.fitted.insert(name.to_owned());
    }

    pub(super) fn is_fitted(&self, name: &str) -> bool {
        self.fitted.contains(name)
    }

    /// Makes the axes short again that were as long as positions ask.
    pub(super) fn forget_fitted(&mut self) {
        for name in &self.fitted {
            self.sizes.insert(name.clone(), 1);
        }
    }

    /// Gives a size that was taken for one of an image that of a sequence.
    pub(super) fn take_for_length(&mut self, name: &str) {
        if self.spatial.remove(name) && self.is_open(name) {
            self.set(name, DEFAULT_LENGTH);
        }
    }

    /// Says what a size is, as who gives it does.
    pub(super) fn give(&mut self, name: &str, size: i64) {
        self.set(name, size);
        self.given.insert(name.to_owned());
        self.fitted.remove(name);
    }

    /// The graph takes no other number of samples.
    pub(super) fn fix_samples(&mut self, samples: usize) {
        self.samples.fix(samples);
        *self = self.with_samples(samples);
    }
}

impl DynamicAxis {
    fn default_size(&self) -> i64 {
        match self.counts_samples {
            true => DEFAULT_SAMPLES,
            false if self.is_spatial() => DEFAULT_SPATIAL,
            false => DEFAULT_LENGTH,
        }
    }

    fn is_spatial(&self) -> bool {
        !self.counts_samples && self.axis >= 2 && self.rank >= 4
    }
}

fn dynamic_axes(graph: &Graph, samples: &SampleAxes) -> Vec<DynamicAxis> {
    let mut out = Vec::new();
    for (id, shape) in inputs(graph) {
        let value = graph.value(id);
        let shape = shape.unwrap_or_default();
        for (axis, size) in shape.iter().enumerate() {
            let Some(name) = size_name(&value.name, axis, size) else {
                continue;
            };
            out.push(DynamicAxis {
                counts_samples: samples.names().any(|other| other == name),
                name,
                axis,
                rank: shape.len(),
            });
        }
    }
    out
}

fn unknown_axis(name: &str, sizes: &BTreeMap<String, i64>) -> Error {
    let names: Vec<&str> = sizes.keys().map(String::as_str).collect();
    let dynamic = match names.is_empty() {
        true => "all input sizes are fixed".to_owned(),
        false => format!("the dynamic axes are {}", names.join(", ")),
    };
    Error::Usage(format!(
        "the model has no dynamic axis called '{name}'; {dynamic}"
    ))
}
