//! Attributes that more than one room reads.

use crate::graph::Attributes;
use crate::onnx::proto::NodeProto;

/// The number that a normalisation adds to its variance.
pub(crate) fn epsilon(proto: &NodeProto) -> f32 {
    let epsilon = proto.attribute("epsilon").and_then(|a| a.f);
    epsilon.unwrap_or(1e-5)
}

/// True if a batch normalisation makes its statistics anew.
pub(crate) fn makes_statistics(proto: &NodeProto) -> bool {
    proto.int("training_mode").unwrap_or(0) != 0
}

/// The input with a minimum and that with a maximum, each with the bound where the node has no such input.
pub(crate) fn bounds(proto: &NodeProto) -> [(usize, f32); 2] {
    let bound = |name: &str, open: f32| proto.attribute(name).and_then(|a| a.f).unwrap_or(open);
    [
        (1, bound("min", f32::NEG_INFINITY)),
        (2, bound("max", f32::INFINITY)),
    ]
}

/// True if a recurrent layer names its activations, which then need not be 0 at 0.
pub(crate) fn names_activations(proto: &NodeProto) -> bool {
    proto.attribute("activations").is_some()
}
