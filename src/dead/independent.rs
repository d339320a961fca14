//! Which channels of which values do not depend on data.

use std::collections::HashMap;

use fixedbitset::FixedBitSet;

use super::ranges::Seen;
use crate::axes::VarId;
use crate::dimensions::{Analysis, Dimension};
use crate::error::Result;
use crate::graph::{NodeId, ValueId};
use crate::ops::{Contraction, Linear, Operand, Role};

/// Channels of one dimension that do not depend on data, by value that has the dimension.
pub(super) struct Independent<'a> {
    analysis: &'a Analysis,
    dimension: &'a Dimension,
    fixed: &'a [bool],
    pub(super) channels: HashMap<ValueId, FixedBitSet>,
}

impl<'a> Independent<'a> {
    /// Follows `dimension` through the graph.
    pub(super) fn of(
        analysis: &'a Analysis,
        dimension: &'a Dimension,
        fixed: &'a [bool],
        seen: &mut Seen,
    ) -> Result<Independent<'a>> {
        let mut out = Independent {
            analysis,
            dimension,
            fixed,
            channels: HashMap::new(),
        };
        for &node in analysis.graph().order() {
            if !fixed[node.index()] {
                out.visit(node, seen)?;
            }
        }
        Ok(out)
    }

    fn visit(&mut self, node: NodeId, seen: &mut Seen) -> Result<()> {
        let connections = self.analysis.graph().node(node);
        let outputs = connections.outputs.iter().flatten().copied();
        let outputs: Vec<ValueId> = outputs.filter(|&value| self.has(value)).collect();
        if outputs.is_empty() || !connections.captured.is_empty() {
            return Ok(());
        }
        let mut channels = FixedBitSet::with_capacity(self.dimension.size);
        channels.insert_range(..);
        for (slot, &value) in connections.inputs.iter().enumerate() {
            let Some(value) = value.filter(|&value| self.is_data(value)) else {
                continue;
            };
            let mut own = self.zero_rows(node, Operand::Input(slot), seen)?;
            if !self.is_contracted(node, slot)
                && let Some(carried) = self.channels.get(&value)
            {
                own.union_with(carried);
            }
            let mut lookups = self.analysis.state.lookups_of(node);
            if lookups.any(|lookup| lookup.index == value) {
                own.union_with(&self.constant_tables(node, seen)?);
            }
            channels.intersect_with(&own);
        }
        // What a node makes of its own states goes back into it.
        let own = |linear: &&Linear| matches!(linear.data, Some(Operand::Output(_)));
        for linear in self.analysis.state.linears_of(node).filter(own) {
            if let Some(data) = linear.data {
                channels.intersect_with(&self.zero_rows(node, data, seen)?);
            }
        }
        outputs.into_iter().for_each(|value| {
            self.channels.insert(value, channels.clone());
        });
        Ok(())
    }

    fn var(&self) -> VarId {
        self.dimension.var
    }

    /// True if the value has the dimension.
    fn has(&self, value: ValueId) -> bool {
        let axes = self.analysis.state.axes(value).unwrap_or_default();
        axes.iter()
            .any(|ty| self.analysis.state.types.vars(ty).contains(&self.var()))
    }

    /// True if the value can differ from run to run; sizes that are no numbers to compute with do not change
    /// channels.
    fn is_data(&self, value: ValueId) -> bool {
        let state = &self.analysis.state;
        let real = state.elements[value.index()].is_some_and(|element| element.is_float());
        !self.analysis.graph().is_fixed(value, self.fixed)
            && (real || state.integers[value.index()].is_none())
    }

    /// True if the node sums over the dimension in this input.
    fn is_contracted(&self, node: NodeId, slot: usize) -> bool {
        let types = &self.analysis.state.types;
        let Some(value) = self.analysis.graph().node(node).inputs[slot] else {
            return false;
        };
        let axes = self.analysis.state.axes(value).unwrap_or_default();
        let has = |axis: usize| {
            axes.get(axis)
                .is_some_and(|ty| types.vars(ty).contains(&self.var()))
        };
        let summed = |linear: &Linear| {
            let roles = linear.roles.iter();
            let mut reduced = roles.filter_map(|role| match role {
                Role::Reduction(axis) => Some(*axis),
                Role::Row(_) | Role::Kernel | Role::Batch(_) => None,
            });
            linear.data == Some(Operand::Input(slot)) && reduced.any(has)
        };
        // Not all that is summed over is a product with a weight of real numbers.
        let stated = |at: &Contraction| at.slot == slot && has(at.axis);
        let state = &self.analysis.state;
        state.linears_of(node).any(summed) || state.contractions_of(node).any(stated)
    }

    /// Channels that are the same at every place of a constant that the node reads: whatever is looked up
    /// in it, they are what they are.
    fn constant_tables(&self, node: NodeId, seen: &mut Seen) -> Result<FixedBitSet> {
        let mut out = FixedBitSet::with_capacity(self.dimension.size);
        let types = &self.analysis.state.types;
        let inputs = self.analysis.graph().node(node).inputs.iter().flatten();
        for &table in inputs.filter(|&&value| !self.is_data(value) && self.has(value)) {
            let axes = self.analysis.state.axes(table).unwrap_or_default();
            let own = |ty| types.vars(ty).contains(&self.var());
            let Some(axis) = axes.iter().position(own) else {
                continue;
            };
            let ranges = seen.ranges(table, axis)?;
            for channel in 0..self.dimension.size {
                let mut places = types
                    .places(&axes[axis], self.var(), channel as u32)
                    .into_iter();
                let constant = |place: u32| {
                    let range = ranges.get(place as usize);
                    range.is_some_and(|range| range.constant().is_some())
                };
                if places.all(constant) {
                    out.insert(channel);
                }
            }
        }
        Ok(out)
    }

    /// Channels whose rows in the weight that the node multiplies with `data` are zero.
    fn zero_rows(&self, node: NodeId, data: Operand, seen: &mut Seen) -> Result<FixedBitSet> {
        let mut out = FixedBitSet::with_capacity(self.dimension.size);
        let types = &self.analysis.state.types;
        let linears = self.analysis.state.linears_of(node);
        for linear in linears.filter(|linear| linear.data == Some(data)) {
            let weight = self.analysis.graph().node(node).input(linear.slot);
            let Some(weight) = weight.filter(|&weight| !self.is_data(weight)) else {
                continue;
            };
            let axes = self.analysis.state.axes(weight).unwrap_or_default();
            for (axis, ty) in axes.iter().enumerate() {
                let row = match linear.roles.get(axis) {
                    Some(Role::Row(_)) => types.vars(ty).contains(&self.var()),
                    _ => false,
                };
                if !row {
                    continue;
                }
                let ranges = seen.ranges(weight, axis)?;
                for channel in 0..self.dimension.size {
                    let places = types.places(ty, self.var(), channel as u32);
                    let zero =
                        |&place: &u32| ranges.get(place as usize).is_some_and(|r| r.is_zero());
                    if places.iter().all(zero) {
                        out.insert(channel);
                    }
                }
            }
        }
        Ok(out)
    }
}
