//! What is pruned: for every dimension the positions that stay. Knows scores and counts, no tensor.
//!
//! A [`Plan`] is a document: it is written, reviewed, edited and replayed. [`select`] decides from scores; a
//! plan is checked against the model before it is applied.

mod document;
mod select;

pub use document::{AxisKept, Plan, PlannedDimension, PlannedInitializer, Settings};
pub use select::{Decision, Selection, select};
