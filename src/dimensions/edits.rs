//! From a model to an edit of it: dimensions are matched by where they occur, never by number.

use std::collections::HashMap;

use super::{Analysis, Dimension, DimensionId, Site};
use crate::axes::{Kept, Origin, Reason, Type, VarId};
use crate::graph::{BodyId, Graph};

/// A body, the name of a weight in it, an axis and a part of that.
type SiteKey<'a> = (Option<BodyId>, &'a str, usize, usize);

impl Analysis {
    /// The analysis of an edit of the model that `original` shows: other weights, new nodes, fewer channels.
    /// Dimensions that are in both have the same names.
    pub(crate) fn of_edit(graph: Graph, original: &Analysis) -> Analysis {
        let (sizes, premises) = (original.sizes().clone(), original.premises.clone());
        let mut edited = Analysis::with(graph, sizes, premises);
        edited.hold_as(original);
        let found = original.found_in(&edited);
        let mut taken: Vec<String> = original.dimensions.iter().map(|d| d.name.clone()).collect();
        let mut names: HashMap<usize, String> = HashMap::new();
        for (dimension, found) in original.dimensions.iter().zip(found) {
            if let Some(DimensionId(place)) = found {
                names.entry(place).or_insert_with(|| dimension.name.clone());
            }
        }
        for (place, dimension) in edited.dimensions.iter_mut().enumerate() {
            match names.remove(&place) {
                Some(name) => dimension.name = name,
                None => {
                    while taken.contains(&dimension.name) {
                        dimension.name.push('\'');
                    }
                    taken.push(dimension.name.clone());
                }
            }
        }
        edited.name_blocks_as(original);
        edited
    }

    /// The analysis of the same model with weights in another form. Dimensions of a value that is in both have the same
    /// names.
    pub(crate) fn of_rearranged(graph: Graph, original: &Analysis) -> Analysis {
        let (sizes, premises) = (original.sizes().clone(), original.premises.clone());
        let mut rearranged = Analysis::with(graph, sizes, premises);
        let vars = original.vars_in(&rearranged);
        for dimension in &original.dimensions {
            let var = vars.get(&dimension.var);
            let mut all = rearranged.dimensions.iter_mut();
            if let Some(found) = all.find(|found| Some(&found.var) == var) {
                found.name.clone_from(&dimension.name);
            }
        }
        rearranged.name_blocks_as(original);
        rearranged
    }

    /// By variable the one in another form of the model that stands at the same axis of a value.
    fn vars_in(&self, other: &Analysis) -> HashMap<VarId, VarId> {
        let mut vars = HashMap::new();
        for value in self.graph.value_ids() {
            let there = self.graph.find_in(&other.graph, value);
            let there = there.and_then(|value| other.state.axes(value));
            let pairs = self.state.axes(value).into_iter().flatten();
            for (own, other_axis) in pairs.zip(there.into_iter().flatten()) {
                let own = self.state.types.vars(own);
                let others = other.state.types.vars(other_axis);
                if own.len() == others.len() {
                    vars.extend(own.into_iter().zip(others));
                }
            }
        }
        vars
    }

    /// By dimension the one in an edit of the model that has a site in common: the same axis of a weight of the
    /// same name, and the same part of it.
    pub(crate) fn found_in(&self, edited: &Analysis) -> Vec<Option<DimensionId>> {
        self.places(edited, self.dimensions.iter())
    }

    fn places<'a>(
        &self,
        edited: &Analysis,
        dimensions: impl Iterator<Item = &'a Dimension>,
    ) -> Vec<Option<DimensionId>> {
        let mut by_site: HashMap<SiteKey, usize> = HashMap::new();
        for (place, dimension) in edited.dimensions.iter().enumerate() {
            let keys = dimension
                .sites
                .iter()
                .filter_map(|site| edited.key(site, dimension));
            for key in keys {
                by_site.entry(key).or_insert(place);
            }
        }
        let find = |dimension: &Dimension| {
            let mut keys = dimension
                .sites
                .iter()
                .filter_map(|site| self.key(site, dimension));
            let place = keys.find_map(|key| by_site.get(&key));
            place.map(|&place| DimensionId(place))
        };
        dimensions.map(find).collect()
    }

    /// Keeps all positions of some variables, for these reasons.
    pub(crate) fn hold(&mut self, held: impl IntoIterator<Item = (VarId, Reason)>) {
        let mut any = false;
        for (var, reason) in held {
            let named = self
                .dimensions
                .iter()
                .find(|dimension| dimension.var == var);
            let named = named.map(|dimension| (dimension.clone(), reason.why));
            self.held.extend(named);
            self.state.types.pin(&Type::Var(var), reason);
            any = true;
        }
        if any {
            self.forget_fitting();
            self.collect();
        }
    }

    /// Holds what the original holds.
    fn hold_as(&mut self, original: &Analysis) {
        let found = original.places(self, original.held.iter().map(|(dimension, _)| dimension));
        let mut held = Vec::new();
        for ((_, why), found) in original.held.iter().zip(found) {
            let Some(DimensionId(place)) = found else {
                continue;
            };
            let dimension = &self.dimensions[place];
            if let Some(site) = dimension.sites.first() {
                let origin = Origin::Value(site.value.0);
                held.push((dimension.var, Reason { origin, why }));
            }
        }
        self.hold(held);
    }

    fn key(&self, site: &Site, dimension: &Dimension) -> Option<SiteKey<'_>> {
        let part = self.part(site, dimension.var)?;
        let value = self.graph.value(site.value);
        Some((value.body, &value.name, site.axis, part))
    }

    /// What a choice for `original` is for this edit of it that has all of its channels.
    pub(crate) fn carried(&self, original: &Analysis, kept: &Kept) -> Kept {
        let found = original.found_in(self);
        let mut carried = self.everything();
        for (dimension, found) in original.dimensions.iter().zip(found) {
            let positions = original.positions(kept, dimension);
            let target = found.map(|DimensionId(place)| &self.dimensions[place]);
            let (Some(positions), Some(target)) = (positions, target) else {
                continue;
            };
            // A block of codes is as many channels of their numbers.
            let block = target.size / dimension.size.max(1);
            if block == 1 && target.size == dimension.size {
                carried.insert(target.var, positions.clone());
            } else if block * dimension.size == target.size {
                let channels = target.channels();
                let blocks = channels.chunks(block.max(1));
                let own = positions
                    .iter()
                    .filter_map(|&at| blocks.clone().nth(at as usize));
                carried.insert(target.var, own.flatten().copied().collect());
            }
        }
        for &place in kept.dropped() {
            let name = original.blocks().get(place).map(|block| &block.name);
            let mut own = self.blocks().iter();
            if let Some(found) = own.position(|block| Some(&block.name) == name) {
                carried.drop_part(found);
            }
        }
        carried
    }
}
