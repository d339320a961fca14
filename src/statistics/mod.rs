//! Statistics: what the inputs of layers look like on data, measured inside onnxruntime.

mod file;
mod measure;
mod statistic;

pub(crate) use file::Stats;
pub(crate) use measure::{Walk, batch_size};
pub(crate) use statistic::{Statistic, Statistics};
