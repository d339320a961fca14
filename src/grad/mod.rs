//! Gradients: the backward graph of a model, from the adjoints of the operators' rows.
//!
//! [`BoundGraph`] gives a model fixed sizes, [`backward`] walks it from seeds to the values whose gradients are wanted, and
//! [`gradient_model`] makes a model of both. Where an operator has no adjoint the gradient stops, with the reason; a
//! value behind such a node gets none at all, since it would be a part of the whole.

mod backward;
mod bind;
mod model;

pub(crate) use backward::{Gradients, Stop, backward};
pub(crate) use bind::BoundGraph;
pub(crate) use model::{GradientModel, gradient_model, seed_inputs};
