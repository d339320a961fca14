//! Applying a plan: a smaller model, or the masked twin that it must equal.
//!
//! The rewriter never looks at an operator's name. It slices every constant whose axes' types lost
//! positions, refreshes every number that a rule declared as the mirror of a size, freezes sizes that reach
//! arithmetic on data, and drops what became dead. The result is verified as a graph before it is returned.

mod cleanup;
mod emit;
mod insert;
mod names;
mod prune;
mod shapes;
mod slice;
mod twin;

pub use prune::prune;
pub use twin::{Masks, twin};
