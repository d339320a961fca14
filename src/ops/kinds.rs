//! What a row says of an operator beside its rule, word by word.

use crate::onnx::ElementType;

/// How the elements of an output are those of the first input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Viewing {
    /// In the same places.
    Same,
    /// In the same row-major order under other sizes.
    Reshaped,
    /// With axes in the order of the attribute `perm`.
    Permuted,
}

/// Whose elements the elements of the outputs are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carried {
    /// Those of the first input.
    First,
    /// Those of the first input, and numbers that the operator puts among them.
    Among,
    /// Those of this input and all after it.
    From(usize),
}

/// How an operator acts on each element of its first input, or of any input where it says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pointwise {
    /// The sum of all inputs.
    Sum,
    /// The first input less the second.
    Difference,
    /// The product of all inputs.
    Product,
    /// The first input over the second.
    Quotient,
    /// Batch normalisation with given statistics: scale, bias, mean and variance are inputs.
    Normalised,
    /// Negative numbers become zero.
    Positive,
    /// Numbers are cut off at a minimum and a maximum: inputs or attributes `min` and `max`.
    Bounded,
}

/// Which kernels compute an operator: how fast they are depends on the widths that they get.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum KernelFamily {
    /// Convolutions that run on blocks of channels.
    Convolution,
    /// Products of a matrix, or many, with a matrix.
    MatMul,
    /// Products with a matrix and a vector added.
    Gemm,
    /// Products with a matrix, step by step.
    Recurrent,
}

/// Where the element type of outputs comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Elements {
    /// That of an input.
    Input(usize),
    /// The number in an attribute.
    Attribute(&'static str),
    /// That of the tensor or numbers that the node holds.
    Held,
    /// This one where the attribute lists anything.
    Listed(&'static str, ElementType),
    /// Always this one.
    Always(ElementType),
}

pub(super) const BOOL: &[Elements] = &[Elements::Always(ElementType::Bool)];
pub(super) const INT64: &[Elements] = &[Elements::Always(ElementType::Int64)];
pub(super) const FLOAT: &[Elements] = &[Elements::Always(ElementType::Float)];

/// Why no gradient goes through what onnxruntime fuses for GPUs.
pub(super) const GPU_ALONE: &str = "it runs on GPUs alone: take the model before its optimisation for one, where it is several nodes";
