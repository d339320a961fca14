//! How operators compute on codes of 8 bits.

/// What an operator does with tensors of 8-bit codes, in the kernels that onnxruntime puts in the place of an operator
/// between DequantizeLinear and QuantizeLinear on the CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Form {
    /// It computes on real numbers only.
    #[default]
    Real,
    /// A product of codes that makes codes: what it makes has to be rounded too.
    Chained,
    /// A product of codes that makes real numbers.
    Summed,
    /// Codes pass as they are, with one scale on both sides.
    Through,
    /// It makes codes of another scale from codes.
    Rescaled,
    /// It cuts numbers off, which the rounding behind it does as well.
    Cut,
    /// It makes real numbers of codes.
    Decoded,
}
