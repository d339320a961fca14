//! A model run in pieces: the nodes between one front of probes and the next, each piece a model of its own.
//!
//! To each *segment* nodes are appended that lay out what is looked at as rows (windows of a convolution
//! unfolded). Rows are summed batch by batch outside; between segments activations wait in an unnamed temporary
//! file. Memory depends on neither the number of samples nor of layers.
//!
//! Because a segment runs only when the layers before it are done, those may have been changed: every layer
//! sees its inputs as the model made so far computes them. Each node runs once per batch.

mod columns;
mod matrices;
mod observe;
mod pass;
mod sampling;
mod segment;
mod spill;
mod split;
mod stages;
mod taps;
mod uses;

pub(crate) use columns::{Columns, Rows};
pub(crate) use matrices::{Matrices, Tapped};
pub(crate) use observe::observed;
pub(crate) use pass::Pass;
pub(crate) use sampling::{Sampling, has_places, sampling};
pub(crate) use segment::{Changes, Cutting, Segment};
pub(crate) use spill::{Spill, Waiting};
pub(crate) use split::Split;
pub(crate) use stages::{Probe, Stages};
pub(crate) use taps::Taps;
pub(crate) use uses::{Copies, needs, own_batches};
