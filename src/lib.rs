//! x
pub mod error;
pub mod graph;
pub mod dimensions;
pub mod importance;
pub mod plan;
pub mod rewrite;
pub mod runtime;
pub mod validate;
pub use error::{Error, Result};
pub mod onnx;
mod axes;
mod ops;
