//! Operators by what they do: where an operator is a composition of others, its body is typed instead of a rule.
//!
//! Bodies are functions in a file (`proto/bodies.onnx`, made by `proto/bodies.py`), each for one form of an operator.
//! The nodes of a body speak for the node that it is of: types are those of the graph around, reasons name that node.
//! What rules state inside is stated of the node as far as it can be said of its inputs, outputs and attributes:
//! a number that follows an attribute becomes a mirror of that attribute; a number that would have to change and
//! cannot holds the axis.

mod call;
mod facts;
mod library;
mod sizes;
mod typed;

pub(crate) use call::call_of;
pub(in crate::ops) use typed::by_body;
