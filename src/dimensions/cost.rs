//! What a model costs, and the sizes of its inputs at which that is counted.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Analysis;
use crate::axes::{Extent, Kept};
use crate::graph::{DeclaredSize, Graph, Producer};

/// Size of a dynamic first axis (batch) where nothing is said.
const DEFAULT_BATCH: i64 = 1;
/// Size of a dynamic spatial axis of an image where nothing is said.
const DEFAULT_SPATIAL: i64 = 64;
/// Size of any other dynamic axis (sequence, features) where nothing is said.
const DEFAULT_LENGTH: i64 = 16;

/// The sizes that the dynamic axes of the inputs are taken to have: by the name of the axis, or
/// `INPUT.AXIS` where it has none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InputSizes(BTreeMap<String, i64>);

impl InputSizes {
    /// Defaults for every dynamic axis of `graph`'s inputs, with `given` sizes instead where named.
    ///
    /// # Errors
    /// [`crate::Error::Usage`] if `given` names an axis that no input has.
    pub fn for_graph(graph: &Graph, given: &[(String, i64)]) -> crate::Result<InputSizes> {
        let mut sizes = BTreeMap::new();
        for id in graph.value_ids() {
            let value = graph.value(id);
            let Producer::Input(_) = value.producer else {
                continue;
            };
            let shape = value.declared.as_deref().unwrap_or_default();
            for (axis, size) in shape.iter().enumerate() {
                let name = match size {
                    DeclaredSize::Known(size) if *size > 0 => continue,
                    DeclaredSize::Named(name) if !name.is_empty() => name.clone(),
                    _ => format!("{}.{axis}", value.name),
                };
                let default = match (axis, shape.len()) {
                    (0, _) => DEFAULT_BATCH,
                    (2.., 4..) => DEFAULT_SPATIAL,
                    _ => DEFAULT_LENGTH,
                };
                sizes.entry(name).or_insert(default);
            }
        }
        for (name, size) in given {
            if sizes.insert(name.clone(), *size).is_none() {
                let names: Vec<&str> = sizes
                    .keys()
                    .filter(|n| *n != name)
                    .map(String::as_str)
                    .collect();
                let dynamic = match names.is_empty() {
                    true => "all input sizes are fixed".to_owned(),
                    false => format!("the dynamic axes are {}", names.join(", ")),
                };
                return Err(crate::Error::Usage(format!(
                    "the model has no dynamic axis called '{name}'; {dynamic}"
                )));
            }
        }
        Ok(InputSizes(sizes))
    }

    /// The size of the axis called `name`.
    pub fn get(&self, name: &str) -> Option<i64> {
        self.0.get(name).copied()
    }
}

/// What a model costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Numbers in weights that something reads.
    pub params: u64,
    /// Multiply-accumulate operations of one run.
    pub macs: u64,
    /// Bytes of all constant tensors that something reads.
    pub bytes: u64,
    /// Nodes.
    pub nodes: usize,
}

impl Analysis {
    /// The model's costs when `kept` is all that stays. Nodes are counted as they are.
    pub(crate) fn totals(&self, kept: &Kept) -> Totals {
        self.costs().at(&self.channels(kept))
    }

    /// The model's costs as it is.
    pub fn model_totals(&self) -> Totals {
        self.totals(&self.everything())
    }

    /// By dimension the channels that stay.
    pub(crate) fn channels(&self, kept: &Kept) -> Vec<usize> {
        let dimensions = self.dimensions().iter();
        let count =
            dimensions.map(|of| self.positions(kept, of).map_or(of.size, |kept| kept.len()));
        count.collect()
    }

    /// The number that a size is at the chosen input sizes; 1 where it cannot be told.
    pub(crate) fn number(&self, extent: &Extent) -> u64 {
        let assign = |name: &str| self.sizes().get(name).unwrap_or(1);
        let value = self.state.symbols.evaluate(extent, &assign);
        value.and_then(|n| u64::try_from(n).ok()).unwrap_or(1)
    }
}
