//! Names that a body makes and that something around it has too: onnxruntime takes the inner one, and exporters write such
//! where a branch names what it gives back as its node does. They get names of their own, so that a name means one value.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};

use super::attributes::Attributes;
use super::names::collect;
use super::reads::read_instead;
use crate::onnx::Model;
use crate::onnx::proto::GraphProto;

/// The model with names in bodies that nothing around them has.
pub(super) fn without_shadows(model: Model) -> Model {
    let graph = model.proto.graph.as_ref();
    if !graph.is_some_and(|graph| has_shadows(graph, &HashSet::new())) {
        return model;
    }
    let mut proto = model.proto.clone();
    if let Some(graph) = &mut proto.graph {
        let mut taken = HashSet::new();
        collect(graph, &mut taken);
        let around = made(graph).map(str::to_owned).collect();
        rename_in_bodies(graph, &around, &mut taken);
    }
    let lazy = model.lazy.clone();
    model.with(proto, lazy)
}

/// The names of what a graph makes or is given.
fn made(graph: &GraphProto) -> impl Iterator<Item = &str> {
    let sparse = graph.sparse_initializer.iter();
    let sparse = sparse.filter_map(|sparse| sparse.values.as_ref());
    let constants = graph.initializer.iter().chain(sparse);
    let nodes = graph.node.iter().flat_map(|node| &node.output);
    let names = constants.map(|tensor| tensor.name());
    let names = names.chain(graph.input.iter().map(|info| info.name()));
    let names = names.chain(nodes.map(String::as_str));
    names.filter(|name| !name.is_empty())
}

fn has_shadows(graph: &GraphProto, around: &HashSet<&str>) -> bool {
    if made(graph).any(|name| around.contains(name)) {
        return true;
    }
    let mut bodies = graph.node.iter().flat_map(Attributes::bodies).peekable();
    if bodies.peek().is_none() {
        return false;
    }
    let known = around.iter().copied().chain(made(graph)).collect();
    bodies.any(|body| has_shadows(body, &known))
}

fn rename_in_bodies(graph: &mut GraphProto, around: &HashSet<String>, taken: &mut HashSet<String>) {
    for body in graph.node.iter_mut().flat_map(Attributes::bodies_mut) {
        let shadows = made(body).filter(|name| around.contains(*name));
        let shadows: BTreeMap<String, String> = shadows
            .map(|name| (name.to_owned(), fresh(name, taken)))
            .collect();
        for (old, new) in &shadows {
            rename(body, old, new);
        }
        let known: Cow<HashSet<String>> =
            match body.node.iter().any(|node| node.bodies().next().is_some()) {
                true => Cow::Owned(
                    made(body)
                        .map(str::to_owned)
                        .chain(around.iter().cloned())
                        .collect(),
                ),
                false => Cow::Borrowed(around),
            };
        rename_in_bodies(body, &known, taken);
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
