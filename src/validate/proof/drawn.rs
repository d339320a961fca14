//! Numbers drawn by chance: nodes that draw them without a seed are given one, so that two models draw the same.

use std::borrow::Cow;

use crate::graph::{Attributes, float};
use crate::onnx::Model;
use crate::onnx::proto::{GraphProto, NodeProto};
use crate::ops::draws;

/// Seeds are below this number, which 32 bits of a float tell from its neighbours.
const SEEDS: u32 = 1 << 24;

fn is_open(node: &NodeProto) -> bool {
    draws(node) && node.attribute("seed").is_none()
}

fn has_open(graph: &GraphProto) -> bool {
    let mut nodes = graph.node.iter();
    nodes.any(|node| is_open(node) || node.bodies().any(has_open))
}

/// The model with a seed, which follows from the name of what it makes, at every node that draws without one, in bodies
/// as well.
pub(super) fn seeded(model: &Model) -> Cow<'_, Model> {
    if !model.proto.graph.as_ref().is_some_and(has_open) {
        return Cow::Borrowed(model);
    }
    let mut proto = model.proto.clone();
    proto.graph.iter_mut().for_each(seed);
    Cow::Owned(model.with(proto, model.lazy.clone()))
}

fn seed(graph: &mut GraphProto) {
    for node in &mut graph.node {
        if is_open(node) {
            let made = node.output.first().map_or("", String::as_str);
            let mut number = 0_u32;
            for byte in made.bytes() {
                number = number.wrapping_mul(31).wrapping_add(u32::from(byte));
            }
            node.attribute.push(float("seed", (number % SEEDS) as f32));
        }
        node.bodies_mut().for_each(seed);
    }
}
