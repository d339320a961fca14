//! Codes instead of numbers: quantisation, and products and windows of codes.

use super::{Held, axis, convolution, like, output};
use crate::axes::Extent;
use crate::onnx::ElementType::{Float, Int32, Uint8};
use crate::ops::adjoints::{Adjoint, quantised as back};
use crate::ops::facts::{Operand, Role};
use crate::ops::families::convolution::window_sizes;
use crate::ops::families::elementwise::broadcast_sizes;
use crate::ops::families::factors::{Factor, matrix_roles};
use crate::ops::families::packed;
use crate::ops::typing::{Ruling, Typing, Unsupported, axis_of};
use crate::ops::{Elements, Form, Row, contrib, row};

/// Codes have the type of their zero point.
const CODES: &[Elements] = &[
    Elements::Input(2),
    Elements::Attribute("output_dtype"),
    Elements::Always(Uint8),
];
/// Numbers have the type of their scale.
const NUMBERS: &[Elements] = &[Elements::Attribute("output_dtype"), Elements::Input(1)];
const SUMS: &[Elements] = &[Elements::Always(Int32)];
const FIRST: &[Elements] = &[Elements::Input(0)];

/// Kernels for codes take the scales of a product for what they were when it was made.
const SCALE: &[usize] = &[1];

const ROUNDS: &str = "it rounds to codes: train the model before its quantisation";
const CODES_ONLY: &str = "its factors are codes: train the model before its quantisation";

pub(super) const ROWS: &[Row] = &[
    row("QuantizeLinear", |op| like(op, 0))
        .straight(back::quantize)
        .measured(SCALE)
        .of_elements(CODES),
    row("DequantizeLinear", decoded)
        .straight(back::dequantize)
        .measured(SCALE)
        .form(Form::Decoded)
        .of_elements(NUMBERS),
    row("DynamicQuantizeLinear", dynamic)
        .stops(ROUNDS)
        .yields(0, Uint8)
        .yields(1, Float)
        .yields(2, Uint8),
    row("MatMulInteger", |op| product(op, [0, 1]))
        .adjoint(Adjoint::Zero)
        .of_elements(SUMS),
    // Its kernel multiplies from the left, in 32 bits: the weight is none of those whose sums overflow.
    row("ConvInteger", |op| convolution(op, 0, 1))
        .adjoint(Adjoint::Zero)
        .of_elements(SUMS),
    row("QLinearMatMul", |op| product(op, [0, 3]))
        .stops(ROUNDS)
        .of_elements(&[Elements::Input(7)]),
    row("QLinearConv", filters)
        .stops(ROUNDS)
        .of_elements(&[Elements::Input(7)]),
    contrib("QuantizeLinear", |op| like(op, 0))
        .straight(back::quantize)
        .measured(SCALE)
        .of_elements(CODES),
    contrib("DequantizeLinear", |op| like(op, 0))
        .straight(back::dequantize)
        .measured(SCALE)
        .form(Form::Decoded)
        .of_elements(NUMBERS),
    contrib("QLinearAdd", |op| pairwise(op, [0, 3]))
        .stops(ROUNDS)
        .of_elements(FIRST),
    contrib("QLinearMul", |op| pairwise(op, [0, 3]))
        .stops(ROUNDS)
        .of_elements(FIRST),
    contrib("QLinearSigmoid", |op| like(op, 0)).stops(ROUNDS),
    contrib("QLinearLeakyRelu", |op| like(op, 0)).stops(ROUNDS),
    contrib("QLinearSoftmax", |op| like(op, 0)).stops(ROUNDS),
    contrib("QLinearGlobalAveragePool", pooled).stops(ROUNDS),
    contrib("QLinearAveragePool", pool).stops(ROUNDS),
    contrib("QLinearConcat", concat)
        .stops(ROUNDS)
        .of_elements(&[Elements::Input(1)]),
    contrib("QGemm", |op| coded_gemm(op, 3))
        .stops(ROUNDS)
        .of_elements(&[Elements::Input(8), Elements::Always(Float)]),
    contrib("MatMulIntegerToFloat", |op| product(op, [0, 1]))
        .stops(CODES_ONLY)
        .of_elements(&[Elements::Input(2)]),
    contrib("DynamicQuantizeMatMul", |op| product(op, [0, 1]))
        .stops(ROUNDS)
        .of_elements(FIRST),
];

/// Weights in blocks lose blocks; all other codes are held.
fn decoded(op: &mut Typing) -> Ruling {
    match packed::decoded(op)? {
        true => Ok(()),
        false => like(op, 0),
    }
}

fn dynamic(op: &mut Typing) -> Ruling {
    let x = Held::of(op).at(0)?;
    op.output(0, x);
    op.output(1, Vec::new());
    op.output(2, Vec::new());
    Ok(())
}

/// A convolution with a weight that may be constant codes.
fn filters(op: &mut Typing) -> Ruling {
    const WEIGHT: usize = 3;
    convolution(op, 0, WEIGHT)?;
    let rank = op.input(WEIGHT)?.len();
    let mut roles = vec![Role::Row(Some(1)), Role::Reduction(1)];
    roles.resize(rank, Role::Kernel);
    let groups = usize::try_from(op.int("group", 1)).unwrap_or(1);
    op.linear_with(WEIGHT, Some(Operand::Input(0)), roles, groups, None);
    Ok(())
}

/// Y[.., M, N] of A[.., M, K] and B[.., K, N], which stand at these slots; either may be constant codes.
fn product(op: &mut Typing, slots: [usize; 2]) -> Ruling {
    let held = Held::of(op);
    let [a, b] = slots.map(|slot| held.at(slot));
    let (a, b) = (a?, b?);
    let sizes = product_sizes(&op.extents(&a), &op.extents(&b))?;
    let factors = [Factor::with(slots[0], a), Factor::with(slots[1], b)];
    matrix_roles(op, &factors, sizes.len(), true);
    output(op, 0, sizes);
    Ok(())
}

pub(super) fn product_sizes(a: &[Extent], b: &[Extent]) -> Ruling<Vec<Option<Extent>>> {
    if a.is_empty() || b.is_empty() {
        return Err(Unsupported("an input has rank 0"));
    }
    let batch = [a, b].map(|sizes| &sizes[..sizes.len().saturating_sub(2)]);
    let mut out = broadcast_sizes(&batch);
    if a.len() > 1 {
        out.push(Some(a[a.len() - 2].clone()));
    }
    if b.len() > 1 {
        out.push(Some(b[b.len() - 1].clone()));
    }
    Ok(out)
}

pub(super) fn pairwise(op: &mut Typing, slots: [usize; 2]) -> Ruling {
    let held = Held::of(op);
    let [a, b] = slots.map(|slot| held.at(slot));
    let (a, b) = (op.extents(&a?), op.extents(&b?));
    let sizes = broadcast_sizes(&[&a, &b]);
    output(op, 0, sizes);
    Ok(())
}

/// Channels stand at axis 1, or at the end where the attribute says so.
fn channels_last(op: &Typing) -> bool {
    op.int("channels_last", 0) != 0
}

fn pooled(op: &mut Typing) -> Ruling {
    let mut out = Held::of(op).at(0)?;
    let rank = out.len();
    let channel = if channels_last(op) {
        rank.saturating_sub(1)
    } else {
        1
    };
    for place in (1..rank).filter(|&place| place != channel) {
        out[place] = axis(op, 0, place, Some(Extent::ONE));
    }
    op.output(0, out);
    Ok(())
}

fn pool(op: &mut Typing) -> Ruling {
    let x = Held::of(op).at(0)?;
    let kernel = op.ints("kernel_shape").unwrap_or_default();
    if x.len() != kernel.len() + 2 {
        return Err(Unsupported("data and kernel have no matching ranks"));
    }
    let kernel: Vec<Extent> = kernel.into_iter().map(Extent::Known).collect();
    let last = x.len() - 1;
    let (from, to) = if channels_last(op) {
        (1, last)
    } else {
        (2, x.len())
    };
    let mut out = x[..from].to_vec();
    out.extend(window_sizes(op, &x[from..to], &kernel)?);
    out.extend_from_slice(&x[to..]);
    op.output(0, out);
    Ok(())
}

/// Scale and zero point of the output, then each part with its own.
fn concat(op: &mut Typing) -> Ruling {
    let held = Held::of(op);
    let mut out = held.at(2)?;
    let place = axis_of(op.int("axis", 0), out.len())?;
    let mut total = Some(Extent::Known(0));
    for slot in (2..op.input_count()).step_by(3) {
        let part = held.get(slot).and_then(|axes| axes.get(place));
        let size = part.map(|part| op.extent(part));
        total = total.zip(size).and_then(|(total, size)| total.add(&size));
    }
    out[place] = axis(op, 0, place, total);
    op.output(0, out);
    Ok(())
}

/// Y[M, N] of A[M, K] and B[K, N], either perhaps transposed; B stands at this slot.
pub(super) fn gemm(op: &mut Typing, second: usize) -> Ruling {
    let held = Held::of(op);
    let (a, b) = (held.ranked::<2>(0)?, held.ranked::<2>(second)?);
    let row = usize::from(op.int("transA", 0) != 0);
    let column = usize::from(op.int("transB", 0) == 0);
    op.output(0, vec![a[row].clone(), b[column].clone()]);
    Ok(())
}

/// As [`gemm`], where B may be constant codes.
fn coded_gemm(op: &mut Typing, second: usize) -> Ruling {
    gemm(op, second)?;
    let summed = usize::from(op.int("transA", 0) == 0);
    let row = usize::from(op.int("transB", 0) == 0);
    let mut roles = vec![Role::Reduction(summed); 2];
    roles[row] = Role::Row(Some(1));
    op.linear(second, Some(Operand::Input(0)), roles);
    Ok(())
}
