//! The file of bodies, and which of them a node has.

use std::collections::HashMap;
use std::sync::LazyLock;

use prost::Message;

use crate::graph::{Attributes, Graph, NodeId};
use crate::onnx::domain_of;
use crate::onnx::proto::{AttributeProto, FunctionProto, ModelProto, NodeProto};
use crate::ops::row::{imported, without_row};
use crate::ops::state::State;
use crate::ops::typing::{Ruling, Unsupported};

/// The bodies, made by `proto/bodies.py`, which says what their metadata mean.
static FILE: &[u8] = include_bytes!("../../../proto/bodies.onnx");

/// What an operator does in one of its forms.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) function: FunctionProto,
    /// The first and the last version of the domain's operator set.
    versions: (i64, i64),
    /// By slot whether the input is there, where that matters.
    inputs: Vec<Option<bool>>,
    /// Ranks that inputs have.
    ranks: Vec<(usize, usize)>,
    when: Vec<Condition>,
}

/// What an attribute has to be.
#[derive(Debug)]
enum Condition {
    Is(String, String),
    Exceeds(String, i64),
}

/// All bodies by domain and operator.
static BODIES: LazyLock<HashMap<(String, String), Vec<Body>>> = LazyLock::new(|| {
    let mut bodies: HashMap<(String, String), Vec<Body>> = HashMap::new();
    // That the file is one is tested.
    let file = ModelProto::decode(FILE).unwrap_or_default();
    for function in file.functions {
        let key = (function.domain().to_owned(), function.name().to_owned());
        bodies.entry(key).or_default().push(read(function));
    }
    bodies
});

fn read(function: FunctionProto) -> Body {
    let told = |key: &str| {
        let mut all = function.metadata_props.iter();
        let found = all.find(|entry| entry.key() == key);
        found.map_or("", |entry| entry.value())
    };
    let version = |key: &str, default| told(key).parse().unwrap_or(default);
    let there = |letter: char| match letter {
        '1' => Some(true),
        '0' => Some(false),
        _ => None,
    };
    let rank = |pair: &str| {
        let (slot, rank) = pair.split_once('=')?;
        Some((slot.parse().ok()?, rank.parse().ok()?))
    };
    let condition = |text: &str| match text.split_once('=') {
        Some((name, value)) => Some(Condition::Is(name.to_owned(), value.to_owned())),
        None => {
            let (name, value) = text.split_once('>')?;
            Some(Condition::Exceeds(name.to_owned(), value.parse().ok()?))
        }
    };
    Body {
        versions: (version("since", 1), version("until", i64::MAX)),
        inputs: told("inputs").chars().map(there).collect(),
        ranks: told("ranks").split(' ').filter_map(rank).collect(),
        when: told("when").split(' ').filter_map(condition).collect(),
        function,
    }
}

/// The body that a node has in its version and form.
pub(super) fn body_of(graph: &Graph, state: &State, node: NodeId) -> Ruling<&'static Body> {
    let proto = graph.node_proto(node);
    let domain = domain_of(proto.domain());
    let bodies = BODIES.get(&(domain.to_owned(), proto.op_type().to_owned()));
    let bodies = bodies.ok_or_else(|| Unsupported(without_row(graph, node)))?;
    let version = imported(graph, domain);
    let of_version = |body: &&Body| (body.versions.0..=body.versions.1).contains(&version);
    if !bodies.iter().any(|body| of_version(&body)) {
        return Err(Unsupported(
            "this version of the operator set does not have the operator",
        ));
    }
    let mut fitting = bodies.iter().filter(of_version);
    fitting
        .find(|body| body.fits(graph, state, node))
        .ok_or(Unsupported("no rule speaks of this form of the operator"))
}

impl Body {
    fn fits(&self, graph: &Graph, state: &State, node: NodeId) -> bool {
        let connections = graph.node(node);
        let known = connections.inputs.len() <= self.function.input.len()
            && connections.outputs.len() <= self.function.output.len();
        let there = |(slot, there): (usize, &Option<bool>)| {
            there.is_none_or(|there| connections.input(slot).is_some() == there)
        };
        let ranked = |&(slot, rank): &(usize, usize)| {
            let axes = connections.input(slot).and_then(|value| state.axes(value));
            axes.is_some_and(|axes| axes.len() == rank)
        };
        known
            && self.inputs.iter().enumerate().all(there)
            && self.ranks.iter().all(ranked)
            && self
                .when
                .iter()
                .all(|condition| condition.holds(self, graph.node_proto(node)))
    }

    /// An attribute of a node, or what it is where the node leaves it out.
    pub(super) fn attribute<'a>(
        &'a self,
        node: &'a NodeProto,
        name: &str,
    ) -> Option<&'a AttributeProto> {
        let mut defaults = self.function.attribute_proto.iter();
        node.attribute(name)
            .or_else(|| defaults.find(|default| default.name() == name))
    }
}

impl Condition {
    fn holds(&self, body: &Body, node: &NodeProto) -> bool {
        match self {
            Condition::Is(name, value) => {
                let attribute = body.attribute(node, name);
                let text = attribute.map(|attribute| match (&attribute.s, attribute.i) {
                    (Some(text), _) => String::from_utf8_lossy(text).into_owned(),
                    (None, number) => number.unwrap_or(0).to_string(),
                });
                text.as_ref() == Some(value)
            }
            Condition::Exceeds(name, least) => {
                let number = body.attribute(node, name).and_then(|attribute| attribute.i);
                number.is_some_and(|number| number > *least)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The operators that nodes are of, in bodies inside of them too.
    fn operators(nodes: &[NodeProto]) -> Vec<(String, String)> {
        let own = nodes.iter();
        let own = own.map(|node| (node.domain().to_owned(), node.op_type().to_owned()));
        let inner = nodes.iter().flat_map(|node| &node.attribute);
        let inner = inner.flat_map(|held| held.g.iter().chain(&held.graphs));
        let inner = inner.flat_map(|graph| operators(&graph.node));
        own.chain(inner).collect()
    }

    #[test]
    fn no_operator_does_itself() {
        for (key, bodies) in BODIES.iter() {
            let nodes = bodies
                .iter()
                .flat_map(|body| operators(&body.function.node));
            let mut open: Vec<_> = nodes.collect();
            let mut seen = std::collections::HashSet::new();
            while let Some(next) = open.pop() {
                assert_ne!(&next, key, "{key:?} has itself in it");
                if seen.insert(next.clone()) {
                    let inner = BODIES.get(&next).into_iter().flatten();
                    open.extend(inner.flat_map(|body| operators(&body.function.node)));
                }
            }
        }
    }

    #[test]
    fn the_file_holds_forms_of_operators() {
        let all: Vec<&Body> = BODIES.values().flatten().collect();
        assert!(all.len() > 50, "{} bodies", all.len());
        for body in all {
            let name = body.function.name();
            assert!(!body.function.node.is_empty(), "{name} does nothing");
            let told = &body.function.metadata_props;
            let words = |key: &str| {
                let found = told.iter().find(|entry| entry.key() == key);
                found.map_or(0, |entry| entry.value().split(' ').count())
            };
            assert_eq!(body.when.len(), words("when"), "{name}");
            assert_eq!(body.ranks.len(), words("ranks"), "{name}");
        }
    }
}
