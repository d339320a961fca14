//! What dimensions are called: after the weight of their first producing node, or, where an exporter made that
//! name up, after the place of the node in the network.

use std::collections::{HashMap, HashSet};

use super::{Analysis, Dimension, Site};
use crate::axes::VarId;
use crate::graph::{Graph, NodeId, ValueId};

/// Words that exporters number: `val_12`, `onnx::Conv_135`, `Constant_3_output_0` say nothing to people.
const NUMBERED: [&str; 8] = [
    "val",
    "v",
    "t",
    "const",
    "constant",
    "initializer",
    "tensor",
    "node",
];

/// True if a name is one that exporters number.
fn is_made_up(name: &str) -> bool {
    let last = name.rsplit('/').next().unwrap_or(name);
    let last = last.strip_suffix("_output_0").unwrap_or(last);
    let word = last.trim_end_matches(|c: char| c.is_ascii_digit());
    let word = word.trim_end_matches(['_', '.', ':']);
    last.starts_with("onnx::") || word.is_empty() || is_numbered(word)
}

fn is_numbered(word: &str) -> bool {
    let word = word.to_ascii_lowercase();
    NUMBERED.contains(&word.as_str())
}

/// What the names of nodes say of places in the network.
pub(super) struct Scopes<'a> {
    graph: &'a Graph,
    /// Scopes with the number of nodes in them that multiply weights.
    counts: HashMap<String, usize>,
}

impl<'a> Scopes<'a> {
    pub(super) fn of(analysis: &'a Analysis) -> Scopes<'a> {
        let graph = analysis.graph();
        let mut seen = HashSet::new();
        let mut counts = HashMap::new();
        for cost in analysis.state.costs() {
            if seen.insert(cost.node)
                && let Some((scope, _)) = split(graph, cost.node)
            {
                *counts.entry(scope.to_owned()).or_insert(0) += 1;
            }
        }
        Scopes { graph, counts }
    }

    /// A name after the first of some weights, which are given with the nodes that read them; there has to be one.
    pub(super) fn base(&self, weights: &[(ValueId, Option<NodeId>)]) -> String {
        let own = |value: ValueId| self.graph.value(value).name.as_str();
        let Some(&(first, reader)) = weights.first() else {
            return String::new();
        };
        if !is_made_up(own(first)) {
            return own(first).to_owned();
        }
        let scope = reader.and_then(|reader| self.label(reader));
        scope.unwrap_or_else(|| {
            let mut names = weights.iter().map(|&(value, _)| own(value));
            let known = names.find(|name| !is_made_up(name));
            known.unwrap_or(own(first)).to_owned()
        })
    }

    /// The scope of a node where it is the only one in it that multiplies weights, else its own name; none where
    /// the name says nothing.
    fn label(&self, node: NodeId) -> Option<String> {
        let name = self.graph.node_proto(node).name();
        match split(self.graph, node) {
            Some((scope, true)) if self.counts.get(scope) == Some(&1) => Some(scope.to_owned()),
            Some(_) => Some(name.to_owned()),
            None => {
                let operator = self.graph.node_proto(node).op_type();
                let word = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '_');
                let numbered = word.eq_ignore_ascii_case(operator) || name.starts_with("node_");
                (!numbered && !is_made_up(name)).then(|| name.to_owned())
            }
        }
    }
}

/// The scope in a node's name, and whether what follows it is only the operator.
fn split(graph: &Graph, node: NodeId) -> Option<(&str, bool)> {
    let proto = graph.node_proto(node);
    let (scope, last) = proto.name().rsplit_once('/')?;
    let known = !scope.trim_matches('/').is_empty();
    known.then_some((scope, last == proto.op_type()))
}

/// Where a constant is read first: place of the node in the order of the graph with its bodies, and slot; behind nodes that
/// depend on constants only, where their results are read.
pub(super) fn reading_places(graph: &Graph) -> HashMap<ValueId, (usize, usize)> {
    let fixed = graph.fixed_nodes();
    let mut places: HashMap<ValueId, (usize, usize)> = HashMap::new();
    for (at, node) in graph.order_with_bodies().into_iter().enumerate().rev() {
        let connections = graph.node(node);
        let made = connections.outputs.iter().flatten();
        let behind = made.filter_map(|value| places.get(value).copied()).min();
        let slots = connections.inputs.iter().enumerate();
        let read = slots.filter_map(|(slot, value)| Some((slot, (*value)?)));
        let captured = connections
            .captured
            .iter()
            .map(|&value| (usize::MAX, value));
        for (slot, value) in read.chain(captured) {
            let place = match fixed[node.index()] {
                true => behind,
                false => Some((at, slot)),
            };
            if let Some(place) = place {
                let known = places.entry(value).or_insert(place);
                *known = place.min(*known);
            }
        }
    }
    places
}

/// By a site and a variable which part of the site it is.
pub(super) type Parts = HashMap<(Site, VarId), usize>;

/// Names and the weights that they are taken from, by dimension. `firsts` are the sites that name them, best
/// first, with the nodes that read them.
pub(super) fn names(
    analysis: &Analysis,
    dimensions: &[Dimension],
    firsts: &[Vec<(Site, Option<NodeId>)>],
    parts: &Parts,
) -> Vec<String> {
    let scopes = Scopes::of(analysis);
    let base = |sites: &Vec<(Site, Option<NodeId>)>| {
        let weights = sites.iter().map(|(site, reader)| (site.value, *reader));
        scopes.base(&weights.collect::<Vec<_>>())
    };
    let bases: Vec<String> = firsts.iter().map(base).collect();
    let (mut by_base, mut by_site) = (HashMap::new(), HashMap::new());
    for (base, sites) in bases.iter().zip(firsts) {
        *by_base.entry(base.as_str()).or_insert(0_usize) += 1;
        *by_site
            .entry((base.as_str(), sites[0].0))
            .or_insert(0_usize) += 1;
    }
    let mut taken = HashSet::new();
    let named = (0..dimensions.len()).map(|place| {
        let (site, base) = (firsts[place][0].0, bases[place].as_str());
        let mut name = base.to_owned();
        if by_base[base] > 1 {
            name += &format!(":{}", site.axis);
        }
        if by_site[&(base, site)] > 1 {
            let part = parts.get(&(site, dimensions[place].var));
            name += &format!(".{}", part.unwrap_or(&0));
        }
        while !taken.insert(name.clone()) {
            name.push('\'');
        }
        name
    });
    named.collect()
}

#[cfg(test)]
mod tests {
    use super::is_made_up;

    #[test]
    fn names_that_exporters_number_are_told_from_those_that_people_gave() {
        for name in [
            "onnx::Conv_135",
            "val_12",
            "135",
            "/layers/Constant_3_output_0",
            "Constant_output_0",
            "t_5",
        ] {
            assert!(is_made_up(name), "{name}");
        }
        for name in [
            "conv1.weight",
            "layer1.0",
            "conv2d_0.w_0",
            "fc_1",
            "w1",
            "W_3",
        ] {
            assert!(!is_made_up(name), "{name}");
        }
    }
}
