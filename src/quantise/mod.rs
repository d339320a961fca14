//! Quantisation: which tensors become codes of 8 bits, with which scales, and which products run on them.
//!
//! Onnxruntime has integer kernels for some operators between DequantizeLinear and QuantizeLinear. What a row of the
//! operators says (`Form`) decides where such pairs stand (`sites.rs`); the data decides their ranges
//! (`ranges.rs`). Everything else stays in real numbers.

mod equalise;
mod folded;
mod grids;
mod kernels;
mod looking;
mod normalised;
mod pace;
mod placed;
mod plan;
mod ranges;
mod settings;
mod shape;
mod sites;
mod solve;
mod spread;
mod storage;
mod streams;
mod student;
mod subject;
mod targets;
mod trial;
mod verdict;
mod widths;

#[cfg(test)]
pub(crate) use equalise::Equalised;
pub(crate) use folded::folded;
pub use kernels::KernelTarget;
pub use plan::{PlannedValue, PlannedWeight, QuantisePlan};
pub(crate) use ranges::{CodeRange, ranges};
pub use settings::{FileBudget, HalfType, QuantiseSettings, StoredBits, WeightBits};
pub(crate) use shape::without_data;
pub(crate) use sites::{CodeRules, CodeSites, CodedLayer};
pub(crate) use solve::{Quantised, quantise};
pub(crate) use storage::{StoredModel, nearest_codes, store, store_planned, store_rest};
#[cfg(test)]
pub(crate) use streams::streams;
pub(crate) use student::RoundedStudent;
pub(crate) use subject::Subject;
pub(crate) use widths::{WidthForecast, fitted, forecast};
