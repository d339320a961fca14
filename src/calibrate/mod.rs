//! Calibration: what the inputs of layers look like on data, measured inside onnxruntime.
//!
//! A model is run in *segments*: the nodes between one front of layers and the next. To each segment nodes
//! are appended that reduce the layers' inputs (as columns, windows of a convolution unfolded) to norms or
//! Gram matrices, so activations never leave onnxruntime but at the cuts between segments, where they wait
//! in an unnamed temporary file. Memory depends on neither the number of samples nor the number of layers.
//!
//! Because a segment runs only when the layers before it are done, those may have been changed: every layer
//! sees its inputs as the model made so far computes them. Each node runs once per batch.

mod columns;
mod lockstep;
mod pass;
mod segment;
mod spill;
mod stages;
mod statistics;
mod stats;
mod sums;
mod taps;
mod unit;
mod uses;
mod walk;

pub(crate) use lockstep::{Lockstep, Stage, first_held_out};
pub(crate) use statistics::{Statistic, Statistics};
pub(crate) use stats::Stats;
pub(crate) use unit::{Evidence, Sums, Target, Trial, Unit};
pub(crate) use walk::{Walk, batch_size};
