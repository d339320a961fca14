//! Integers that follow from sizes, and their arithmetic.

pub(super) mod arithmetic;
pub(super) mod arrange;
mod integers;
mod reals;
pub(super) mod reductions;

pub(crate) use integers::{Evaluation, Integers, Known, element_of, evaluate_node, is_evaluated};
pub(super) use integers::{constant, is_part_of_a_list};
