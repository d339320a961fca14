//! Gradients: the backward graph of a model, from the adjoints of the operators' rows.
//!
//! [`BoundGraph`] gives a model fixed sizes, and [`backward`] walks it from seeds to the values whose gradients are wanted.
//! Where an operator has no adjoint the gradient stops, with the reason; a value behind such a node gets none at all,
//! since it would be a part of the whole.

mod backward;
mod bind;
mod seeds;

pub(crate) use backward::{Gradients, backward};
pub(crate) use bind::BoundGraph;
pub(crate) use seeds::seed_inputs;
