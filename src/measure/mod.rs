//! What removing channels costs at the outputs, measured by running the model on data.

mod curves;
mod divergence;

pub(crate) use curves::{Bench, curves};
