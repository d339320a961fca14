//! What is pruned: for every dimension the positions that stay. Knows scores and counts, no tensor.
//!
//! A [`Plan`] is a document: it is written, reviewed, edited and replayed. [`select`] decides from scores; a
//! plan is checked against the model before it is applied.

mod allocate;
mod counts;
mod document;
mod select;
mod settings;

pub(crate) use allocate::Curve;
pub use document::{AxisKept, Plan, PlannedDimension, PlannedInitializer};
pub(crate) use select::Ranking;
pub use select::{Decision, Selection, select};
pub use settings::{Cost, CostBudget, Scope, Settings};
