//! Storing initializers sparsely where that is smaller.

use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::onnx::{ElementType, Model, SPARSE_IR, packed_bytes, sparse_bytes, to_sparse};

/// What storing sparsely brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stored {
    /// Initializers that are sparse now.
    pub(crate) tensors: usize,
    /// Bytes that they took.
    pub(crate) before: u64,
    /// Bytes that they take.
    pub(crate) after: u64,
}

/// The model with every initializer of real numbers that is smaller so as a sparse one.
///
/// # Errors
/// A model whose version has no sparse initializers.
pub(crate) fn store_sparse(model: &Model) -> Result<(Model, Stored)> {
    if model.ir_version() < SPARSE_IR {
        return Err(Error::Usage(format!(
            "the model has IR version {}, sparse initializers need {SPARSE_IR}: leave out `store` sparse, or export the model again",
            model.ir_version()
        )));
    }
    let mut proto = model.proto.clone();
    let mut lazy = model.lazy.clone();
    let graph = proto.graph.get_or_insert_default();
    let mut stored = Stored::default();
    let mut dense = Vec::new();
    for tensor in std::mem::take(&mut graph.initializer) {
        let real = ElementType::of(tensor.data_type()).filter(|element| element.is_float());
        // An initializer that is an input as well is a default value, which has to be dense.
        let is_input = graph
            .input
            .iter()
            .any(|input| input.name() == tensor.name());
        let Some(element) = real.filter(|_| !is_input && !tensor.dims.is_empty()) else {
            dense.push(tensor);
            continue;
        };
        let bytes = match lazy.get(tensor.name()) {
            Some(lazy) => lazy.bytes(),
            None => packed_bytes(&tensor)?,
        };
        let sparse = to_sparse(&tensor, &bytes)?;
        let count = sparse
            .values
            .as_ref()
            .map_or(0, |values| values.dims[0] as usize);
        let after = sparse_bytes(count, element);
        if after >= bytes.len() {
            dense.push(tensor);
            continue;
        }
        lazy.remove(tensor.name());
        stored.tensors += 1;
        stored.before += bytes.len() as u64;
        stored.after += after as u64;
        graph.sparse_initializer.push(sparse);
    }
    graph.initializer = dense;
    let model = model.with(proto, lazy);
    Ok((
        Graph::verified(model, "the sparsely stored model")?.into_model(),
        stored,
    ))
}
