//! What is pruned: for every dimension the positions that stay. Knows scores and counts, no tensor.
//!
//! A [`Plan`] is a document: it is written, reviewed, edited and replayed. [`select`] makes one from scores;
//! [`Plan::kept`] checks one against a model.

mod document;
mod select;

pub use document::{AxisKept, Plan, PlannedDimension, PlannedInitializer, Settings};
pub use select::{Decision, Selection, select};
