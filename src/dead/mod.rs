//! Dead channels: those that are the same whatever the data, and those that nothing reads.
//!
//! After masking, all weights that produce a channel may be zero: it is then a constant (its bias through
//! its activations). Or all weights that read it: then it does not matter. Either can be removed without any
//! loss, the first if what it adds to its readers is added to their biases.
//!
//! That a channel does not depend on data is *proven* on the graph: it is carried from node to node by the
//! typed dimension, and whatever else enters a node on the way must be constant or multiplied with zero
//! weights (`independent.rs`). What the constant is, is *measured*: one run in onnxruntime on any input shows
//! it. A constant that is not the same at all places (behind padding) cannot be a bias, and the channel stays.

mod find;
mod independent;
mod ranges;
mod readers;

pub use find::{Dead, DeadDimension, dead_channels};
