//! Applying masks and changed weights: the same graph with other numbers in some initializers.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::error::Result;
use crate::graph::{Graph, Producer, ValueId};
use crate::masks::{Mask, Weights};
use crate::onnx::{LazyBytes, Model, cleared};

/// What becomes of a weight.
#[derive(Clone, Debug)]
pub(crate) enum Edit {
    /// Masked weights become zero, all others stay to the bit.
    Mask(Mask),
    /// New packed bytes.
    Bytes(Bytes),
}

impl Edit {
    /// The packed bytes after the edit.
    pub(crate) fn bytes(&self, weights: &Weights) -> Bytes {
        match self {
            Edit::Mask(mask) => weights.masked(mask).into(),
            Edit::Bytes(bytes) => bytes.clone(),
        }
    }
}

/// The model of `graph` with `edits` to its constants. Masked bytes are made when they are written.
///
/// # Errors
/// A tensor that cannot be read.
pub(crate) fn with_weights(graph: &Graph, edits: &BTreeMap<ValueId, Edit>) -> Result<Model> {
    let source = graph.model();
    let mut proto = source.proto.clone();
    let mut lazy = source.lazy.clone();
    let target = proto.graph.get_or_insert_default();
    for (&value, edit) in edits {
        let Some(tensor) = graph.constant(value) else {
            continue;
        };
        let weights = Weights::of(tensor)?;
        let Some(target) = graph.constant_mut(target, value) else {
            continue;
        };
        *target = cleared(target);
        // What stands in a node is not looked for when the model is written.
        if !matches!(graph.value(value).producer, Producer::Initializer(_)) {
            target.raw_data = Some(edit.bytes(&weights));
            continue;
        }
        let edit = edit.clone();
        let length = weights.byte_length();
        let made = LazyBytes::whole(length, move || edit.bytes(&weights));
        lazy.insert(target.name().to_owned(), made);
    }
    Ok(source.with(proto, lazy))
}
