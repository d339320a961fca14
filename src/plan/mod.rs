//! What is pruned: for every dimension the positions that stay. Data only; how it is chosen, `search` knows.
//!
//! A [`Plan`] is a document: it is written, reviewed, edited and replayed, and checked against the model before
//! it is applied.

mod attention;
mod blocks;
mod decision;
mod document;
mod rounding;
mod scope;
mod settings;
mod told;
mod vocabulary;

pub use crate::ops::GroupCut;
pub use attention::AttentionCut;
pub use blocks::DropBlocks;
pub use decision::{Decision, Left, Selection};
pub use document::{AxisKept, Plan, PlannedDimension, PlannedInitializer};
pub use rounding::{Platform, RoundTo};
pub use scope::Scope;
pub use settings::{Cost, CostBudget, Settings};
pub use vocabulary::{Remap, VocabularySettings};
