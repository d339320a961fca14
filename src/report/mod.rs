//! What a run found, as plain data: serde structs that print as tables. Nothing here computes.

mod inspection;
mod pruning;
mod table;

pub use inspection::{BlockedRow, DimensionRow, Inspection, UnsupportedRow};
pub use pruning::{Outcome, PlannedRow, PruneReport, Stage};
