//! From types to dimensions: free variables with a site, named, with producers and consumers.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::attention::attending;
use super::names::{Parts, names, reading_places};
use super::{Analysis, Blocked, Dimension, Site};
use crate::axes::{Reason, VarId};
use crate::graph::{NodeId, ValueId};
use crate::onnx::element_count;

/// Sites that a dimension may be named after, with the nodes that produce there.
type Firsts = Vec<(Site, Option<NodeId>)>;

/// A reason of no interest: no tool could prune these axes.
pub(super) const KERNEL: &str = "is a kernel axis";

/// Where variables are written and read.
#[derive(Default)]
struct Uses {
    producers: BTreeMap<VarId, Vec<NodeId>>,
    consumers: BTreeMap<VarId, Vec<NodeId>>,
    /// Variables that a node sums over and does not produce.
    read_by: HashSet<(NodeId, VarId)>,
}

pub(super) fn dimensions(analysis: &Analysis) -> Vec<Dimension> {
    let uses = uses(analysis);
    let places = reading_places(analysis.graph());
    let beside = analysis.beside_codes();
    let mut sites: BTreeMap<VarId, Vec<Site>> = BTreeMap::new();
    for (value, axes) in analysis.weights() {
        for (axis, ty) in axes.iter().enumerate() {
            for var in analysis.state.types.vars(ty) {
                let properties = analysis.state.types.var(var);
                let many = properties.extent.size().is_some_and(|size| size > 1);
                if properties.pin.is_none() && many {
                    sites.entry(var).or_default().push(Site { value, axis });
                }
            }
        }
    }
    // A dimension of weights that nothing reads is none.
    sites.retain(|_, sites| sites.iter().any(|site| places.contains_key(&site.value)));
    let mut found: Vec<(Dimension, Firsts)> = Vec::new();
    for (var, sites) in sites {
        let firsts = naming_sites(analysis, var, &sites, &uses, (&places, &beside));
        let dimension = dimension(analysis, var, sites, &uses);
        found.push((dimension, firsts));
    }
    let parts = parts(analysis, found.iter().map(|(_, firsts)| firsts[0].0));
    found.sort_by_cached_key(|(dimension, firsts)| {
        let site = firsts[0].0;
        let place = places.get(&site.value).copied();
        let part = parts.get(&(site, dimension.var)).copied();
        (place.unwrap_or((usize::MAX, 0)), site.axis, part)
    });
    let (mut dimensions, firsts): (Vec<_>, Vec<_>) = found.into_iter().unzip();
    let attending = attending(analysis);
    for dimension in &mut dimensions {
        dimension.attends = attending.get(&dimension.var).copied();
    }
    let names = names(analysis, &dimensions, &firsts, &parts);
    for ((dimension, name), firsts) in dimensions.iter_mut().zip(names).zip(&firsts) {
        dimension.name = name;
        dimension.weight = analysis.graph().value(firsts[0].0.value).name.clone();
    }
    dimensions
}

/// Which part of a site a variable is, for all variables of these sites.
fn parts(analysis: &Analysis, sites: impl Iterator<Item = Site>) -> Parts {
    let mut out = Parts::new();
    let sites: HashSet<Site> = sites.collect();
    for site in sites {
        let axes = analysis.state.axes(site.value);
        let Some(axis) = axes.and_then(|axes| axes.get(site.axis)) else {
            continue;
        };
        let vars = analysis.state.types.vars(axis).into_iter().enumerate();
        out.extend(vars.map(|(part, var)| ((site, var), part)));
    }
    out
}

fn dimension(analysis: &Analysis, var: VarId, sites: Vec<Site>, uses: &Uses) -> Dimension {
    let list = |uses: &BTreeMap<VarId, Vec<NodeId>>| uses.get(&var).cloned().unwrap_or_default();
    let properties = analysis.state.types.var(var);
    Dimension {
        name: String::new(),
        weight: String::new(),
        size: properties.extent.size().unwrap_or(0),
        producers: list(&uses.producers),
        consumers: list(&uses.consumers),
        mixing: properties.mixing.map(|reason| analysis.explain(reason)),
        alternatives: properties
            .alternatives
            .map(|reason| analysis.explain(reason)),
        unproven: properties.unproven.map(|reason| analysis.explain(reason)),
        linear: properties.nonlinear.is_none() && properties.mixing.is_none(),
        blocks: properties.blocks,
        least: properties.least,
        params: params(analysis, &sites),
        macs: 0,
        sites,
        step: analysis.state.steps.get(&var).copied().unwrap_or(1),
        attends: None,
        var,
    }
}

impl Analysis {
    /// Scales and zero points of constant codes.
    pub(crate) fn beside_codes(&self) -> HashSet<ValueId> {
        let input = |node, slot| self.graph.node(node).input(slot);
        let blocks = self.state.block_codes().iter();
        let blocks = blocks.flat_map(|of| of.partners().map(|slot| (of.node, slot)));
        let lists = self.state.axis_codes().iter();
        let lists = lists.flat_map(|of| {
            let partners = [of.scale, of.zero].into_iter().flatten();
            partners.map(|slot| (of.node, slot))
        });
        let beside = blocks.chain(lists);
        beside
            .filter_map(|(node, slot)| input(node, slot))
            .collect()
    }
}

/// The sites that a dimension may be named after, best first, with the nodes that read them: where it is
/// produced, in the order of the graph, and codes before what stands beside them.
fn naming_sites(
    analysis: &Analysis,
    var: VarId,
    sites: &[Site],
    uses: &Uses,
    (places, beside): (&HashMap<ValueId, (usize, usize)>, &HashSet<ValueId>),
) -> Vec<(Site, Option<NodeId>)> {
    let order = analysis.graph().order_with_bodies();
    let reader = |site: &Site| {
        let (at, _) = places.get(&site.value)?;
        order.get(*at).copied()
    };
    let rank = |site: &Site| {
        let read = reader(site).is_some_and(|node| uses.read_by.contains(&(node, var)));
        let place = places.get(&site.value).copied();
        let after = beside.contains(&site.value);
        (read, place.unwrap_or((usize::MAX, 0)), after, site.axis)
    };
    let mut sites = sites.to_vec();
    sites.sort_by_key(rank);
    let produced = sites.iter().take_while(|site| !rank(site).0).count();
    sites.truncate(produced.max(1));
    sites
        .into_iter()
        .map(|site| (site, reader(&site)))
        .collect()
}

fn uses(analysis: &Analysis) -> Uses {
    let mut uses = Uses::default();
    let types = &analysis.state.types;
    let note = |list: &mut BTreeMap<VarId, Vec<NodeId>>, var: VarId, node: NodeId| {
        let nodes = list.entry(var).or_default();
        // What is known of a node comes at once.
        if nodes.last() != Some(&node) {
            nodes.push(node);
        }
    };
    for cost in analysis.state.costs() {
        let weights: HashSet<VarId> = analysis
            .graph()
            .node(cost.node)
            .inputs
            .iter()
            .flatten()
            .filter(|&&value| analysis.graph().constant(value).is_some())
            .flat_map(|&value| analysis.state.axes(value).unwrap_or_default())
            .flat_map(|ty| types.vars(ty))
            .collect();
        let produced: HashSet<VarId> = cost.produced.iter().flat_map(|ty| types.vars(ty)).collect();
        for ty in &cost.produced {
            for var in types
                .vars(ty)
                .into_iter()
                .filter(|var| weights.contains(var))
            {
                note(&mut uses.producers, var, cost.node);
            }
        }
        for ty in &cost.contracted {
            for var in types.vars(ty) {
                note(&mut uses.consumers, var, cost.node);
                if !produced.contains(&var) {
                    uses.read_by.insert((cost.node, var));
                }
            }
        }
    }
    uses
}

fn params(analysis: &Analysis, sites: &[Site]) -> u64 {
    let values: HashSet<_> = sites.iter().map(|site| site.value).collect();
    let count = |value| analysis.graph().constant(value).map(element_count);
    let counts = values.into_iter().filter_map(count);
    counts.map(|count| count.unwrap_or(0) as u64).sum()
}

pub(super) fn blocked(analysis: &Analysis) -> Vec<Blocked> {
    let mut out = Vec::new();
    for (value, axes) in analysis.weights() {
        for (axis, ty) in axes.iter().enumerate() {
            let vars = analysis.state.types.vars(ty);
            let pins: Option<Vec<Reason>> = vars
                .iter()
                .map(|&var| analysis.state.types.var(var).pin)
                .collect();
            let size = analysis.state.types.size(ty) as usize;
            let reason = pins.and_then(|pins| pins.first().copied());
            match reason {
                Some(reason) if size > 1 && reason.why != KERNEL => out.push(Blocked {
                    initializer: analysis.graph().value(value).name.clone(),
                    axis,
                    size,
                    reason: analysis.explain(reason),
                }),
                _ => {}
            }
        }
    }
    out
}
