//! Names that nothing has: no value and no node, in no body either.

use std::collections::HashSet;

use super::Graph;
use super::attributes::Attributes;
use crate::onnx::proto::GraphProto;

/// Makes names; the same requests give the same names.
pub(crate) struct Names(HashSet<String>);

impl Names {
    /// Knows all names of a graph: of values and of nodes, in bodies too.
    pub(crate) fn of(graph: &Graph) -> Names {
        let mut names = HashSet::new();
        collect(graph.proto(), &mut names);
        Names(names)
    }

    /// `base`, or `base` with the first number that makes it new.
    pub(crate) fn fresh(&mut self, base: &str) -> String {
        let mut name = base.to_owned();
        let mut number = 1;
        while !self.0.insert(name.clone()) {
            number += 1;
            name = format!("{base}.{number}");
        }
        name
    }

    /// `base`, or `base` with the first number that makes it a prefix, with a dot, of no name.
    pub(crate) fn prefix(&self, base: &str) -> String {
        let taken = |prefix: &str| {
            let inside = |name: &String| name.strip_prefix(prefix)?.strip_prefix('.').map(drop);
            self.0.iter().any(|name| inside(name).is_some())
        };
        let numbered = (2..).map(|number| format!("{base}.{number}"));
        let mut prefixes = std::iter::once(base.to_owned()).chain(numbered);
        prefixes
            .find(|prefix| !taken(prefix))
            .unwrap_or_else(|| base.to_owned())
    }
}

/// All names of a graph and of the bodies in it.
pub(super) fn collect(graph: &GraphProto, names: &mut HashSet<String>) {
    let sparse = graph.sparse_initializer.iter();
    let sparse = sparse.filter_map(|sparse| sparse.values.as_ref());
    names.extend(graph.initializer.iter().map(|t| t.name().to_owned()));
    names.extend(sparse.map(|t| t.name().to_owned()));
    let infos = graph.input.iter().chain(&graph.output);
    names.extend(infos.map(|info| info.name().to_owned()));
    for node in &graph.node {
        names.extend(node.input.iter().chain(&node.output).cloned());
        names.insert(node.name().to_owned());
        node.bodies().for_each(|body| collect(body, names));
    }
}
