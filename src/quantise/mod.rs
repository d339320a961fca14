//! Quantisation: which tensors become codes of 8 bits, with which scales, and which products run on them.
//!
//! Onnxruntime has integer kernels for some operators between DequantizeLinear and QuantizeLinear. What a row of the
//! operators says (`Form`) decides where such pairs stand ([`Placement`]); the data decides their ranges
//! ([`Ranges`]). Everything else stays in real numbers.

mod placement;
mod ranges;
mod settings;
mod solve;

pub(crate) use placement::{CodedLayer, Placement};
pub(crate) use ranges::{Range, ranges};
pub(crate) use solve::{Quantised, quantise};
pub use settings::{QuantiseSettings, WeightBits};
