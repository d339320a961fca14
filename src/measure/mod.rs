//! What removing channels costs at the outputs, measured by running the model on data.

mod bench;
mod curves;
mod divergence;
mod loss;

pub(crate) use bench::Bench;
pub(crate) use curves::curves;
pub(crate) use loss::loss_scores;
