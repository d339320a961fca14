//! Integers that follow from sizes, and their arithmetic.

pub(super) mod arithmetic;
pub(super) mod arrange;
mod integers;
mod reals;
pub(super) mod reductions;

pub(super) use integers::constant;
pub(crate) use integers::{Evaluation, Integers, Known, element_of, evaluate_node};
