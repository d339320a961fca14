//! Costs as polynomials in the kept counts: products of axis sizes, summed over nodes and tensors.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Analysis, InputSizes};
use crate::axes::{Extent, Kept, Type, VarId};
use crate::onnx::{ElementType, byte_length, element_count};

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
        for cost in &self.state.costs {
            let sizes = [&cost.produced, &cost.contracted].map(|list| self.product(list, kept));
            totals.macs = totals
                .macs
                .saturating_add(sizes[0].saturating_mul(sizes[1]));
        }
        totals
    }

    /// The model's costs as it is.
    pub fn model_totals(&self) -> Totals {
        self.totals(&self.everything())
    }

    fn product(&self, types: &[Type], kept: &Kept) -> u64 {
        types.iter().fold(1_u64, |product, ty| {
            let extent = self.state.types.kept_extent(ty, kept);
            product.saturating_mul(self.number(&extent))
        })
    }

    /// The number that a size is at the chosen input sizes; 1 where it cannot be told.
    pub(crate) fn number(&self, extent: &Extent) -> u64 {
        self.number_at(extent, self.sizes())
    }

    /// As [`Analysis::number`], at other sizes of the inputs.
    pub(crate) fn number_at(&self, extent: &Extent, sizes: &InputSizes) -> u64 {
        let value = self.integer_at(extent, sizes);
        value.and_then(|n| u64::try_from(n).ok()).unwrap_or(1)
    }

    /// An integer at these sizes of the inputs, where it can be told.
    pub(crate) fn integer_at(&self, extent: &Extent, sizes: &InputSizes) -> Option<i64> {
        let assign = |name: &str| sizes.get(name).unwrap_or(1);
        self.state.symbols.evaluate(extent, &assign)
    }

    /// Multiply-accumulate operations per variable: those of every node that it occurs in.
    pub(super) fn macs_by_var(&self) -> BTreeMap<VarId, u64> {
        let mut out = BTreeMap::new();
        let everything = self.everything();
        for cost in &self.state.costs {
            let all: Vec<Type> = cost
                .produced
                .iter()
                .chain(&cost.contracted)
                .cloned()
                .collect();
            let macs = self.product(&all, &everything);
            for var in self.state.types.vars(&Type::Sum(all)) {
                let sum = out.entry(var).or_insert(0_u64);
                *sum = sum.saturating_add(macs);
            }
        }
        out
    }
}
