//! Constants as graph inputs, so that one session can run a model with many values of them.

use std::collections::HashSet;

use crate::error::Result;
use crate::graph::{Graph, Producer, ValueId, declaration};

/// The model of `graph` with these constants as graph inputs of the same names.
///
/// # Errors
/// The result is no valid graph.
pub(crate) fn lifted(graph: &Graph, constants: &[ValueId]) -> Result<Graph> {
    let source = graph.model();
    let mut proto = source.proto.clone();
    let mut lazy = source.lazy.clone();
    let target = proto.graph.get_or_insert_default();
    let (mut initializers, mut nodes) = (HashSet::new(), HashSet::new());
    for &id in constants {
        let Some(tensor) = graph.constant(id) else {
            continue;
        };
        match graph.value(id).producer {
            Producer::Initializer(index) => initializers.insert(index),
            Producer::Node(node, _) => nodes.insert(node.index()),
            _ => continue,
        };
        let name = &graph.value(id).name;
        lazy.remove(name);
        let shape: Vec<Option<i64>> = tensor.dims.iter().map(|&size| Some(size)).collect();
        // An old file may declare its initializers as inputs as well.
        if target.input.iter().all(|input| input.name() != name) {
            let input = declaration(name, graph.element(id), Some(&shape));
            target.input.push(input);
        }
    }
    retain_places(&mut target.initializer, |place| {
        !initializers.contains(&place)
    });
    retain_places(&mut target.node, |place| !nodes.contains(&place));
    Graph::verified(source.with(proto, lazy), "the model with weights as inputs")
}

/// Keeps what stands at the places in a list that `keep` says.
pub(crate) fn retain_places<T>(list: &mut Vec<T>, keep: impl Fn(usize) -> bool) {
    let mut place = 0;
    list.retain(|_| {
        place += 1;
        keep(place - 1)
    });
}
