//! Tables of which inputs of the graph pick rows by id, and other axes with a position for each id.

use super::{Analysis, Dimension, DimensionId};
use crate::axes::{Type, VarId};

/// An axis that ids pick from.
#[derive(Clone, Debug)]
pub(crate) struct IdTable {
    /// The node that picks, as messages call it.
    pub(crate) node: String,
    /// Whether inputs of the graph do, or constants alone.
    pub(crate) is_asked: bool,
    /// Number of positions.
    pub(crate) size: usize,
    /// Their dimension, where they can go and leave all else as it is.
    pub(crate) dimension: Result<DimensionId, String>,
}

impl Analysis {
    /// All axes that ids pick from, in graph order.
    pub(crate) fn id_tables(&self) -> Vec<IdTable> {
        let picked = self.state.picked().iter();
        let table = picked.map(|of| IdTable {
            node: self.graph.describe(of.node),
            is_asked: (of.sources.iter()).any(|&id| self.graph.constant(id).is_none()),
            size: self.state.types.size(&of.table) as usize,
            dimension: self.alone_on(&of.table),
        });
        table.collect()
    }

    /// Dimensions of as many positions that make an axis of an output of the graph; with why they cannot go, where they cannot.
    pub(crate) fn answers_of(&self, size: usize) -> Vec<(DimensionId, Option<String>)> {
        let outputs = self.graph.value_ids();
        let outputs = outputs.filter(|&id| self.graph.value(id).is_output);
        let mut found = Vec::new();
        for axis in outputs.flat_map(|id| self.state.axes(id).unwrap_or_default()) {
            let Some((id, dimension)) = self.dimension_of(axis) else {
                continue;
            };
            if dimension.size == size && !found.iter().any(|(known, _)| *known == id) {
                found.push((id, self.inexact(dimension)));
            }
        }
        found
    }

    fn dimension_of(&self, axis: &Type) -> Option<(DimensionId, &Dimension)> {
        let Type::Var(var) = self.state.types.normal(axis) else {
            return None;
        };
        let mut all = self.dimensions.iter().enumerate();
        let found = all.find(|(_, dimension)| dimension.var == var);
        found.map(|(place, dimension)| (DimensionId(place), dimension))
    }

    fn alone_on(&self, axis: &Type) -> Result<DimensionId, String> {
        let (id, dimension) = self.dimension_of(axis).ok_or_else(|| {
            let vars = self.state.types.vars(axis).into_iter();
            let mut pins = vars.filter_map(|var| self.state.types.var(var).pin);
            let joined = || "it is a part of another axis, or has one for a part".to_owned();
            pins.next().map_or_else(joined, |pin| self.explain(pin))
        })?;
        match self.inexact(dimension) {
            Some(why) => Err(why),
            None => Ok(id),
        }
    }

    /// Why other numbers change where some positions go.
    fn inexact(&self, of: &Dimension) -> Option<String> {
        let meets = [&of.mixing, &of.unproven, &of.alternatives];
        if let Some(why) = meets.into_iter().flatten().next() {
            return Some(why.clone());
        }
        if of.blocks > 1 || of.step > 1 || of.least > 1 {
            return Some("what reads it asks for a number of positions".to_owned());
        }
        let reader = self.sums_over(of.var)?;
        Some(format!("{reader} (sums over it)"))
    }

    fn sums_over(&self, var: VarId) -> Option<String> {
        let types = &self.state.types;
        let mut nodes = self.state.typed.iter();
        let found = nodes.find(|&&node| {
            self.state.contractions_of(node).any(|at| {
                let value = self.graph.node(node).input(at.slot);
                let axes = value.and_then(|value| self.state.axes(value));
                let axis = axes.and_then(|axes| axes.get(at.axis));
                axis.is_some_and(|axis| types.vars(axis).contains(&var))
            })
        });
        found.map(|&node| self.graph.describe(node))
    }
}
