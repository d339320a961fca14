//! Statistics: what the inputs of layers look like on data, measured inside onnxruntime.

mod file;
mod measure;
mod origin;
mod possible;
mod statistic;

pub(crate) use file::Stats;
pub(crate) use measure::{Walk, batch_size};
pub(crate) use origin::MeasuredOn;
pub(crate) use statistic::{Statistic, Statistics};
