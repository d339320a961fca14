//! Products in the types of weights: dimensions that multiply each other, of which one is pruned by default.

use std::collections::{HashMap, HashSet};

use super::{Analysis, DimensionId};
use crate::axes::{Type, VarId};
use crate::graph::ValueId;

impl Analysis {
    /// Every product of two or more prunable factors, outermost factor first, each once.
    pub(crate) fn products(&self) -> Vec<Vec<Vec<DimensionId>>> {
        let ids: HashMap<VarId, DimensionId> = self
            .dimensions()
            .iter()
            .enumerate()
            .map(|(index, dimension)| (dimension.var, DimensionId(index)))
            .collect();
        // Scales of blocks lie in one row: what is produced and what is read are no factors of a width there.
        let state = &self.state;
        let scales: HashSet<ValueId> = state
            .block_codes()
            .iter()
            .flat_map(|codes| {
                let slots = codes.partners();
                slots.filter_map(|slot| self.graph().node(codes.node).input(slot))
            })
            .collect();
        let mut out = Vec::new();
        for (_, axes) in self.weights().filter(|(id, _)| !scales.contains(id)) {
            for ty in axes {
                self.collect_products(&self.state.types.normal(ty), &ids, &mut out);
            }
        }
        out
    }

    fn collect_products(
        &self,
        ty: &Type,
        ids: &HashMap<VarId, DimensionId>,
        out: &mut Vec<Vec<Vec<DimensionId>>>,
    ) {
        match ty {
            Type::Var(_) => {}
            Type::Sum(parts) => {
                parts
                    .iter()
                    .for_each(|part| self.collect_products(part, ids, out));
            }
            Type::Block { of, .. } => self.collect_products(of, ids, out),
            Type::Product(factors) => {
                let dimensions = |factor: &Type| {
                    let vars = self.state.types.vars(factor);
                    vars.iter()
                        .filter_map(|var| ids.get(var).copied())
                        .collect()
                };
                let mut product: Vec<Vec<DimensionId>> = factors.iter().map(dimensions).collect();
                product.retain(|factor| !factor.is_empty());
                if product.len() > 1 && !out.contains(&product) {
                    out.push(product);
                }
                factors
                    .iter()
                    .for_each(|factor| self.collect_products(factor, ids, out));
            }
        }
    }
}
