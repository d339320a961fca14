//! Names that a body makes and that something around it has too. What a node makes, or what stands behind it, is not there yet when
//! its body runs: onnxruntime takes the inner value, and exporters name what branches give back as their node does. Such
//! values get names of their own, so that a name means one value; what is there already must not be made again.

use std::collections::{BTreeSet, HashSet};

use super::attributes::Attributes;
use super::names::collect;
use super::reads::read_instead;
use crate::onnx::Model;
use crate::onnx::proto::{GraphProto, NodeProto};

/// The model with names in bodies that nothing around them has, but for those that must not be there.
pub(super) fn without_shadows(model: Model) -> Model {
    let graph = model.proto.graph.as_ref();
    if graph.is_none_or(|graph| graph.node.iter().all(|node| node.bodies().next().is_none())) {
        return model;
    }
    let mut proto = model.proto.clone();
    let mut renaming = Renaming::default();
    if let Some(graph) = &mut proto.graph {
        collect(graph, &mut renaming.taken);
        renaming.bodies_of(graph, &Around::default());
    }
    match renaming.renamed {
        true => {
            let lazy = model.lazy.clone();
            model.with(proto, lazy)
        }
        false => model,
    }
}

/// The names around a body.
#[derive(Clone, Default)]
struct Around {
    /// Those that are there when it runs.
    there: HashSet<String>,
    /// Those that are made by who runs it, or behind.
    later: HashSet<String>,
}

impl Around {
    /// Around the bodies of the node at `place` of a graph, which is in these.
    fn inside(&self, graph: &GraphProto, place: usize) -> Around {
        let mut inside = self.clone();
        let own = |names: &mut HashSet<String>, nodes: &[NodeProto]| {
            names.extend(nodes.iter().flat_map(|node| &node.output).cloned());
        };
        own(&mut inside.there, &graph.node[..place]);
        inside.there.extend(given(graph).map(str::to_owned));
        own(&mut inside.later, &graph.node[place..]);
        inside
    }
}

/// The names of what a graph is given, and of its constants.
fn given(graph: &GraphProto) -> impl Iterator<Item = &str> {
    let sparse = graph.sparse_initializer.iter();
    let sparse = sparse.filter_map(|sparse| sparse.values.as_ref());
    let constants = graph.initializer.iter().chain(sparse);
    let names = constants.map(|tensor| tensor.name());
    names.chain(graph.input.iter().map(|info| info.name()))
}

#[derive(Default)]
struct Renaming {
    /// All names of the model.
    taken: HashSet<String>,
    renamed: bool,
}

impl Renaming {
    fn bodies_of(&mut self, graph: &mut GraphProto, around: &Around) {
        for place in 0..graph.node.len() {
            if graph.node[place].bodies().next().is_none() {
                continue;
            }
            let inside = around.inside(graph, place);
            for body in graph.node[place].bodies_mut() {
                self.rename_in(body, &inside);
                self.bodies_of(body, &inside);
            }
        }
    }

    fn rename_in(&mut self, body: &mut GraphProto, around: &Around) {
        let is_later = |name: &&str| around.later.contains(*name);
        let is_around = |name: &&str| is_later(name) || around.there.contains(*name);
        let made = body.node.iter().flat_map(|node| &node.output);
        let made = made.map(String::as_str).filter(is_later);
        let twice = given(body).filter(is_around).chain(made);
        let twice = twice.filter(|name| !name.is_empty());
        let twice: BTreeSet<String> = twice.map(str::to_owned).collect();
        for old in twice {
            let new = fresh(&old, &mut self.taken);
            rename(body, &old, &new);
            self.renamed = true;
        }
    }
}

/// A name that nothing has.
fn fresh(base: &str, taken: &mut HashSet<String>) -> String {
    let numbered = (1..).map(|number: u64| format!("{base}.inner{number}"));
    let mut free = numbered.filter(|name| !taken.contains(name));
    let name = free.next().unwrap_or_else(|| base.to_owned());
    taken.insert(name.clone());
    name
}

/// Gives a value of a body another name wherever it stands.
fn rename(body: &mut GraphProto, old: &str, new: &str) {
    let replace = |name: &mut String| {
        if name == old {
            new.clone_into(name);
        }
    };
    read_instead(body, old, new);
    body.node
        .iter_mut()
        .flat_map(|node| &mut node.output)
        .for_each(replace);
    let sparse = body.sparse_initializer.iter_mut();
    let sparse = sparse.filter_map(|sparse| sparse.values.as_mut());
    let constants = body.initializer.iter_mut().chain(sparse);
    constants
        .filter_map(|tensor| tensor.name.as_mut())
        .for_each(replace);
    let declared = body
        .input
        .iter_mut()
        .chain(&mut body.output)
        .chain(&mut body.value_info);
    declared
        .filter_map(|info| info.name.as_mut())
        .for_each(replace);
    let annotated = body.quantization_annotation.iter_mut();
    annotated
        .filter_map(|of| of.tensor_name.as_mut())
        .for_each(replace);
}
