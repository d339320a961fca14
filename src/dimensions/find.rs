//! From types to dimensions: free variables with a site, named, with producers and consumers.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{Analysis, Blocked, Dimension, Site};
use crate::axes::{Reason, VarId};
use crate::graph::NodeId;
use crate::onnx::element_count;

/// A reason of no interest: no tool could prune these axes.
const KERNEL: &str = "is a kernel axis";

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
    let macs = analysis.macs_by_var();
    let mut order: Vec<VarId> = Vec::new();
    let mut sites: HashMap<VarId, Vec<Site>> = HashMap::new();
    for (value, axes) in analysis.weights() {
        for (axis, ty) in axes.iter().enumerate() {
            for var in analysis.state.types.vars(ty) {
                let properties = analysis.state.types.var(var);
                let many = properties.extent.size().is_some_and(|size| size > 1);
                if properties.pin.is_some() || !many {
                    continue;
                }
                let known = sites.entry(var).or_default();
                if known.is_empty() {
                    order.push(var);
                }
                known.push(Site { value, axis });
            }
        }
    }
    let mut dimensions: Vec<Dimension> = order
        .into_iter()
        .map(|var| {
            let sites = sites.remove(&var).unwrap_or_default();
            let list =
                |uses: &BTreeMap<VarId, Vec<NodeId>>| uses.get(&var).cloned().unwrap_or_default();
            let properties = analysis.state.types.var(var);
            Dimension {
                name: String::new(),
                size: properties.extent.size().unwrap_or(0),
                producers: list(&uses.producers),
                consumers: list(&uses.consumers),
                mixing: properties.mixing.map(|reason| analysis.explain(reason)),
                linear: properties.nonlinear.is_none() && properties.mixing.is_none(),
                blocks: properties.blocks,
                params: params(analysis, &sites),
                macs: macs.get(&var).copied().unwrap_or(0),
                sites,
                var,
            }
        })
        .collect();
    let names = names(analysis, &dimensions, &uses);
    for (dimension, name) in dimensions.iter_mut().zip(names) {
        dimension.name = name;
    }
    dimensions
}

fn uses(analysis: &Analysis) -> Uses {
    let mut uses = Uses::default();
    let types = &analysis.state.types;
    let note = |list: &mut BTreeMap<VarId, Vec<NodeId>>, var: VarId, node: NodeId| {
        let nodes = list.entry(var).or_default();
        if !nodes.contains(&node) {
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

/// A name for every dimension: its first producing initializer, with `:axis` where several dimensions have
/// the same one and `.part` where they share the axis as well.
fn names(analysis: &Analysis, dimensions: &[Dimension], uses: &Uses) -> Vec<String> {
    let firsts: Vec<Site> = dimensions
        .iter()
        .map(|dimension| {
            let producing = |site: &&Site| {
                let consumers = &analysis.graph().value(site.value).consumers;
                let reads = |node: NodeId| uses.read_by.contains(&(node, dimension.var));
                !consumers.iter().any(|&(node, _)| reads(node))
            };
            *dimension
                .sites
                .iter()
                .find(producing)
                .unwrap_or(&dimension.sites[0])
        })
        .collect();
    let mut taken = HashSet::new();
    firsts
        .iter()
        .zip(dimensions)
        .map(|(site, dimension)| {
            let mut name = analysis.graph().value(site.value).name.clone();
            let same_value = firsts
                .iter()
                .filter(|other| other.value == site.value)
                .count();
            let same_axis = firsts.iter().filter(|other| *other == site).count();
            if same_value > 1 {
                name += &format!(":{}", site.axis);
            }
            if same_axis > 1 {
                let axes = analysis.state.axes(site.value).unwrap_or_default();
                let parts = analysis.state.types.vars(&axes[site.axis]);
                let part = parts.iter().position(|&var| var == dimension.var);
                name += &format!(".{}", part.unwrap_or(0));
            }
            while !taken.insert(name.clone()) {
                name.push('\'');
            }
            name
        })
        .collect()
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
