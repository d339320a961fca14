//! Costs as polynomials in the kept counts: products of axis sizes, summed over nodes and tensors.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Analysis;
use crate::axes::{Extent, Kept, Type, VarId};
use crate::graph::{DeclaredSize, Graph, Producer};
use crate::onnx::{ElementType, byte_length, element_count};

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

    /// Other sizes, by run: no two axes have the same ones in two runs, and each is a multiple of its own.
    pub(crate) fn spread(&self, run: i64) -> InputSizes {
        let sizes = self.0.iter().zip(2_i64..);
        let spread = sizes.map(|((name, size), factor)| {
            (
                name.clone(),
                size.saturating_mul(factor.saturating_add(run)),
            )
        });
        InputSizes(spread.collect())
    }

    /// The axes that have this size.
    pub(crate) fn names_of(&self, size: i64) -> impl Iterator<Item = &str> {
        let same = self.0.iter().filter(move |(_, own)| **own == size);
        same.map(|(name, _)| name.as_str())
    }

    /// The size of the axis called `name`.
    pub fn get(&self, name: &str) -> Option<i64> {
        self.0.get(name).copied()
    }
}

/// What a model costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Numbers in weights.
    pub params: u64,
    /// Multiply-accumulate operations of one run.
    pub macs: u64,
    /// Bytes of all constant tensors.
    pub bytes: u64,
    /// Nodes.
    pub nodes: usize,
}

impl Analysis {
    /// The model's costs when `kept` is all that stays. Nodes are counted as they are.
    pub(crate) fn totals(&self, kept: &Kept) -> Totals {
        let mut totals = Totals {
            nodes: self.graph().node_count(),
            ..Totals::default()
        };
        for id in self.graph().value_ids() {
            let Some(tensor) = self.graph().constant(id) else {
                continue;
            };
            let element = ElementType::of(tensor.data_type());
            let bits = element.map_or(0, ElementType::bits);
            let count = match self.state.axes(id) {
                Some(axes) => self.product(axes, kept),
                None => element_count(tensor).unwrap_or(0) as u64,
            };
            totals.bytes += byte_length(count as usize, bits).unwrap_or(0) as u64;
            if element.is_some_and(|e| !e.is_index()) {
                totals.params += count;
            }
        }
        for cost in self.state.costs() {
            let sizes = [&cost.produced, &cost.contracted].map(|list| self.product(list, kept));
            totals.macs = totals
                .macs
                .saturating_add(sizes[0].saturating_mul(sizes[1]));
        }
        totals
    }

    /// The model's costs as it is.
    pub fn model_totals(&self) -> Totals {
        self.totals(&Kept::default())
    }

    fn product(&self, types: &[Type], kept: &Kept) -> u64 {
        types.iter().fold(1_u64, |product, ty| {
            let extent = self.state.types.kept_extent(ty, kept);
            product.saturating_mul(self.number(&extent))
        })
    }

    /// The number that a size is at the chosen input sizes; 1 where it cannot be told.
    pub(crate) fn number(&self, extent: &Extent) -> u64 {
        let assign = |name: &str| self.sizes().get(name).unwrap_or(1);
        let value = self.state.symbols.evaluate(extent, &assign);
        value.and_then(|n| u64::try_from(n).ok()).unwrap_or(1)
    }

    /// Multiply-accumulate operations per variable: those of every node that it occurs in.
    pub(super) fn macs_by_var(&self) -> BTreeMap<VarId, u64> {
        let mut out = BTreeMap::new();
        let everything = Kept::default();
        for cost in self.state.costs() {
            let all: Vec<Type> = cost
                .produced
                .iter()
                .chain(&cost.contracted)
                .cloned()
                .collect();
            let macs = self.product(&all, &everything);
            for var in self.state.types.vars(&Type::Sum(all)) {
                *out.entry(var).or_insert(0_u64) += macs;
            }
        }
        out
    }
}
