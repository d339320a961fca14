//! Names that nodes read, changed where they mean what they did.

use super::attributes::Attributes;
use crate::onnx::proto::{GraphProto, NodeProto};

/// Lets all nodes of a graph, and bodies in it, read another value.
pub(super) fn read_instead(graph: &mut GraphProto, old: &str, new: &str) {
    let replace = |name: &mut String| {
        if name == old {
            new.clone_into(name);
        }
    };
    for node in &mut graph.node {
        node.input.iter_mut().for_each(replace);
        bodies_read_instead(node, old, new);
    }
}

/// Lets the bodies of a node read another outer value.
pub(crate) fn bodies_read_instead(node: &mut NodeProto, old: &str, new: &str) {
    node.bodies_mut().for_each(|graph| read_in(graph, old, new));
}

fn read_in(graph: &mut GraphProto, old: &str, new: &str) {
    let own = graph.input.iter().any(|input| input.name() == old)
        || graph.initializer.iter().any(|tensor| tensor.name() == old)
        || graph
            .node
            .iter()
            .any(|node| node.output.iter().any(|name| name == old));
    if own {
        return;
    }
    read_instead(graph, old, new);
    let outputs = graph.output.iter_mut().filter_map(|o| o.name.as_mut());
    for name in outputs.filter(|name| *name == old) {
        new.clone_into(name);
    }
}
