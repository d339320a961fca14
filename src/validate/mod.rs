//! Judging one model by another in onnxruntime: inputs, deviations, the proof of a rewrite.

mod compare;
mod inputs;
mod verify;

pub use compare::{OutputDeviation, compare};
pub use inputs::random_inputs;
pub use verify::{Verification, verify};
