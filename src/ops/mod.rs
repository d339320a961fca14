//! Operators: for every family one file, for every operator one row.
//!
//! A [`Row`] names an operator, the rule that types its axes and, where its output can carry sizes, the
//! function that evaluates it symbolically. A rule speaks the verbs of [`typing::Typing`] and nothing else; what
//! follows from it (dimensions, costs, the masked twin, the rewrite) is generic code that never looks at an
//! operator's name. An operator without a row, and any input that a rule does not ask for, is pinned.
//!
//! A new operator is a row here or, if it behaves like none of these, a row and one function.

mod adjoints;
mod bodies;
mod check;
mod facts;
mod families;
mod form;
mod kinds;
mod mix;
mod numbers;
mod pass;
mod pointers;
mod premises;
mod readers;
mod row;
mod shapes;
mod state;
mod statements;
mod typing;
mod window;

#[cfg(test)]
pub(crate) use adjoints::Adjoint;
pub(crate) use adjoints::{
    Settled, measured_slots, passes_codes, pull, quicken, rounds, stands_still,
};
pub(crate) use bodies::call_of;
pub(crate) use facts::{
    Agreement, AttentionPart, AxisCodes, Bias, BlockCodes, Contraction, Linear, Mirror,
    NumberPlace, Operand, Picked, Role, Unruled, ZeroCodes,
};
#[cfg(test)]
pub(crate) use families::TABLE;
pub(crate) use form::Form;
pub(crate) use kinds::{KernelFamily, Pointwise, Viewing};
pub(crate) use mix::{Mix, MixFact};
pub(crate) use pass::{declared_shape, type_graph};
pub use premises::GroupCut;
pub(crate) use premises::{CutRules, Observed, ObservedValue, Premises};
pub(crate) use readers::{bounds, epsilon, makes_statistics, names_activations};
#[cfg(test)]
pub(crate) use row::NEWEST_OPSET;
pub(crate) use row::{CONTRIB, Row, draws, find, measured};
pub(crate) use shapes::{Integers, Known, element_of, evaluate_node};
pub(crate) use state::State;
pub(crate) use window::Window;

use kinds::{Carried, Elements};
use row::{contrib, ml, row};
