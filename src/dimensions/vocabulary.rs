//! Tables of which inputs of the graph pick rows by id, and other axes with a position for each id.

use std::collections::BTreeSet;

use super::{Analysis, Dimension, DimensionId, Site};
use crate::axes::{Kept, Type, VarId};
use crate::graph::ValueId;
use crate::onnx::{ElementType, packed_bytes};
use crate::ops::Picked;

/// Why a list of integers keeps its places.
const RENUMBERED: &str =
    "they are integers, as of ids that were renumbered inside: cut the model as it was before";

/// An axis that ids pick from.
#[derive(Clone, Debug)]
pub(crate) struct IdTable {
    /// The node that picks, as messages call it.
    pub(crate) node: String,
    /// Number of positions.
    pub(crate) size: usize,
    /// Their dimension, where they can go and leave all else as it is.
    pub(crate) dimension: Result<DimensionId, String>,
    axis: Type,
    /// The inputs of the graph that hold the ids.
    inputs: BTreeSet<String>,
}

/// Tables that belong together: the same input picks from them, or they are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Vocabulary {
    /// Number of ids: the positions of the largest.
    pub(crate) size: usize,
    pub(crate) tables: Vec<IdTable>,
    /// The inputs of the graph that hold the ids.
    pub(crate) inputs: BTreeSet<String>,
}

impl Vocabulary {
    fn add(&mut self, table: IdTable) {
        self.size = self.size.max(table.size);
        self.inputs.extend(table.inputs.iter().cloned());
        self.tables.push(table);
    }
}

impl Analysis {
    /// All that ids of inputs of the graph pick from, in graph order.
    pub(crate) fn vocabularies(&self) -> Vec<Vocabulary> {
        let mut found: Vec<Vocabulary> = Vec::new();
        for table in self.state.picked().iter().map(|of| self.id_table(of)) {
            let meets = |known: &mut Vocabulary| self.belongs(&table, known);
            let met: Vec<Vocabulary> = found.extract_if(.., meets).collect();
            let mut whole = Vocabulary::default();
            let known = met.into_iter().flat_map(|of| of.tables);
            known.chain([table]).for_each(|table| whole.add(table));
            found.push(whole);
        }
        found.retain(|of| !of.inputs.is_empty() && of.size > 1);
        found
    }

    fn id_table(&self, of: &Picked) -> IdTable {
        let inputs = of
            .sources
            .iter()
            .filter(|&&id| self.graph.constant(id).is_none());
        IdTable {
            node: self.graph.describe(of.node),
            size: self.state.types.size(&of.table) as usize,
            dimension: match self.renumbers(of) {
                true => Err(RENUMBERED.to_owned()),
                false => self.alone_on(&of.table),
            },
            axis: self.state.types.normal(&of.table),
            inputs: inputs
                .map(|&id| self.graph.value(id).name.clone())
                .collect(),
        }
    }

    fn belongs(&self, table: &IdTable, to: &Vocabulary) -> bool {
        let mut tables = to.tables.iter();
        !table.inputs.is_disjoint(&to.inputs)
            || tables.any(|known| known.axis == table.axis || self.are_equal(known, table))
    }

    /// Whether two tables hold the same bytes.
    fn are_equal(&self, a: &IdTable, b: &IdTable) -> bool {
        let (Ok(one), Ok(other)) = (&a.dimension, &b.dimension) else {
            return false;
        };
        let [one, other] = [one, other].map(|id| &self.dimensions[id.0].sites);
        let bytes = |site: &Site| {
            let tensor = self.graph.constant(site.value)?;
            Some((tensor.dims.clone(), packed_bytes(tensor).ok()?))
        };
        a.size == b.size
            && one.iter().any(|site| {
                let own = bytes(site);
                let same = |of: &Site| of.axis == site.axis && bytes(of) == own;
                own.is_some() && other.iter().any(same)
            })
    }

    /// Dimensions of as many positions that make an axis of an output of the graph; with why they cannot go, where they cannot.
    pub(crate) fn answers_of(&self, size: usize) -> Vec<(DimensionId, Option<String>)> {
        let mut found = Vec::new();
        for axis in self
            .outputs()
            .flat_map(|id| self.state.axes(id).unwrap_or_default())
        {
            let Some((id, dimension)) = self.dimension_of(axis) else {
                continue;
            };
            if dimension.size == size && !found.iter().any(|(known, _)| *known == id) {
                found.push((id, self.inexact(dimension)));
            }
        }
        found
    }

    /// Outputs of the graph with an axis that loses positions.
    pub(crate) fn cut_outputs(&self, kept: &Kept) -> Vec<String> {
        self.outputs_of(|id| self.is_pruned(id, kept))
    }

    /// Outputs of the graph with an axis of as many positions, which loses none.
    pub(crate) fn whole_outputs(&self, size: usize, kept: &Kept) -> Vec<String> {
        self.outputs_of(|id| {
            let mut axes = self.state.axes(id).unwrap_or_default().iter();
            axes.any(|axis| self.has_size(axis, size)) && !self.is_pruned(id, kept)
        })
    }

    /// Outputs of the graph that are places along an axis of as many positions: ids that the model answers with.
    pub(crate) fn answered_ids(&self, size: usize) -> Vec<String> {
        self.outputs_of(|id| {
            let axis = self.state.pointed_at(id);
            axis.is_some_and(|axis| self.has_size(axis, size))
        })
    }

    fn outputs_of(&self, is: impl Fn(ValueId) -> bool) -> Vec<String> {
        let outputs = self.outputs().filter(|&id| is(id));
        outputs
            .map(|id| self.graph.value(id).name.clone())
            .collect()
    }

    fn outputs(&self) -> impl Iterator<Item = ValueId> + '_ {
        let values = self.graph.value_ids();
        values.filter(|&id| self.graph.value(id).is_output)
    }

    fn has_size(&self, axis: &Type, size: usize) -> bool {
        self.state.types.size(axis) as usize == size
    }

    /// Whether ids pick other integers.
    fn renumbers(&self, of: &Picked) -> bool {
        let table = self.graph.node(of.node).input(0);
        let element = table.and_then(|id| self.state.elements[id.index()]);
        let picks_elements = self.state.lookups_of(of.node).next().is_some();
        picks_elements && element.is_some_and(ElementType::is_index)
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
