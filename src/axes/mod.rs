//! Axis types: what the positions of an axis are, and which axes must keep the same ones.
//!
//! A [`Type`] is a union-find variable, a row-major product (a flattened C*H*W, heads*head_dim), a sum (a
//! concatenation) or the view of one type block by block (the input channels of a grouped convolution's
//! weight). Operator rules only state which axes are the same; [`Types::unify`] does the rest, as in type
//! inference. All operations are total: what cannot be expressed is pinned, with a reason, and a pinned
//! variable keeps all its positions. So a wrong or missing rule can make fewer axes prunable but never a
//! wrong model.
//!
//! Nothing here knows ONNX: a [`Reason`] names its origin by number, the floor above turns it into text.

mod balance;
mod expression;
mod extent;
mod kept;
mod marks;
mod open;
mod regroup;
mod symbols;
mod types;

pub(crate) use expression::terms;
pub(crate) use extent::{Extent, Symbol};
pub(crate) use kept::Kept;
pub(crate) use open::OpenAxis;
pub(crate) use symbols::{Definition, Symbols};
pub(crate) use types::{Origin, Reason, Type, Types, VarId};
