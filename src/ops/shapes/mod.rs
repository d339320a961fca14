//! Integers that follow from sizes, and their arithmetic.

pub(super) mod arithmetic;
mod integers;

pub(super) use integers::constant;
pub(crate) use integers::{Evaluation, Integers, evaluate_node};
