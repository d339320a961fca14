//! ONNX files: the protobuf messages, tensors as bytes, external data, reading and writing.
//!
//! Reading is zero-copy: the file is mapped into memory and every `bytes` field of the messages is a slice
//! of the map. After [`Model::load`] every tensor has its data at hand, whether it was in the file or beside
//! it, and has been checked against its dims. Writing streams: no second copy of the weights is made.
//!
//! Nothing here knows what a graph means.

mod beside;
mod element;
mod encode;
mod external;
mod load;
mod minifloat;
mod model;
mod save;
mod sparse;
mod stream;
mod tensor;
mod unknown;
mod visit;
mod weigh;

/// The generated messages of `proto/onnx.proto`.
#[allow(missing_docs, clippy::all, clippy::pedantic)]
pub(crate) mod proto {
    include!(concat!(env!("OUT_DIR"), "/onnx.rs"));
}

pub use element::ElementType;
pub use model::Model;

pub(crate) use beside::Beside;
#[cfg(test)]
pub(crate) use model::NEWEST_IR;
pub(crate) use model::{LazyBytes, domain_of};
pub(crate) use sparse::{SPARSE_IR, sparse_bytes, to_sparse};
pub(crate) use tensor::{
    byte_length, cleared, element_count, from_raw, integers, numbers, pack, packed, packed_bytes,
    to_f32, unpacked,
};
