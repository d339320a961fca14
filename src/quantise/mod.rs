//! Quantisation: which tensors become codes of 8 bits, with which scales, and which products run on them.
//!
//! Onnxruntime has integer kernels for some operators between DequantizeLinear and QuantizeLinear. What a row of the
//! operators says (`Form`) decides where such pairs stand ([`Placement`]); the data decides their ranges
//! ([`Ranges`]). Everything else stays in real numbers.

mod placement;
mod ranges;
mod settings;
mod solve;
mod storage;

pub(crate) use placement::{CodedLayer, Placement};
pub(crate) use ranges::{Range, ranges};
pub use settings::{QuantiseSettings, WeightBits};
pub(crate) use solve::{Quantised, quantise};
pub(crate) use storage::{StoredModel, store};
