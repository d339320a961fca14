//! Operators on codes: what they do is what an operator on numbers does to the numbers that the codes stand for.
//!
//! So their rule is the rule of that operator, with its inputs at other places (`on_codes`). Beside that only scales and zero
//! points are said: there is one, or one for each position of an axis, which goes where the position goes. What is summed over
//! is removed where the codes stand for 0.

use super::convolution::{conv, conv_of_last, window_sizes};
use super::demands::{element_among, in_a_list, makes_codes};
use super::elementwise::{additive, binary, scaling, unary};
use super::joins::concat;
use super::matmul::{gemm, matmul};
use super::packed;
use super::pooling::{global, window};
use super::scales::{on_codes, single, with_scales};
use crate::axes::Extent;
use crate::onnx::ElementType::{Float, Int32, Uint8};
use crate::ops::adjoints::{Adjoint, quantised as back};
use crate::ops::numbers::{CodedSlot, MadeCodes, NumbersForm};
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
const HELD: &str = "holds all axes it touches";

pub(super) const ROWS: &[Row] = &[
    row("QuantizeLinear", encoded)
        .straight(back::quantize)
        .measured(SCALE)
        .of_elements(CODES),
    row("DequantizeLinear", decoded)
        .straight(back::dequantize)
        .measured(SCALE)
        .form(Form::Decoded)
        .lists(&[0, 2])
        .of_elements(NUMBERS),
    row("DynamicQuantizeLinear", dynamic)
        .stops(ROUNDS)
        .yields(0, Uint8)
        .yields(1, Float)
        .yields(2, Uint8),
    row("MatMulInteger", whole_product)
        .adjoint(Adjoint::Zero)
        .of_elements(SUMS),
    row("ConvInteger", whole_filters)
        .adjoint(Adjoint::Zero)
        .of_elements(SUMS),
    row("QLinearMatMul", product)
        .stops(ROUNDS)
        .of_elements(&[Elements::Input(7)]),
    row("QLinearConv", filters)
        .stops(ROUNDS)
        .lists(&[8])
        .of_elements(&[Elements::Input(7)]),
    contrib("QuantizeLinear", encoded)
        .straight(back::quantize)
        .measured(SCALE)
        .of_elements(CODES),
    contrib("DequantizeLinear", decoded)
        .straight(back::dequantize)
        .measured(SCALE)
        .form(Form::Decoded)
        .lists(&[0, 2])
        .of_elements(NUMBERS),
    contrib("QLinearAdd", |op| pairwise(op, ("Add", additive)))
        .stops(ROUNDS)
        .of_elements(FIRST),
    contrib("QLinearMul", |op| pairwise(op, ("Mul", scaling)))
        .stops(ROUNDS)
        .of_elements(FIRST),
    contrib("QLinearSigmoid", |op| alone(op, Some("Sigmoid"), unary))
        .stops(ROUNDS)
        .of_elements(FIRST),
    contrib("QLinearLeakyRelu", |op| alone(op, Some("LeakyRelu"), unary))
        .stops(ROUNDS)
        .of_elements(FIRST),
    contrib("QLinearWhere", chosen)
        .stops(ROUNDS)
        .of_elements(&[Elements::Input(1)]),
    contrib("QLinearConv", filters_of_either)
        .stops(ROUNDS)
        .lists(&[8])
        .of_elements(&[Elements::Input(7)]),
    contrib("NhwcMaxPool", pool_of_the_inside).stops(CODES_ONLY),
    contrib("QLinearSoftmax", shares)
        .stops(ROUNDS)
        .of_elements(FIRST),
    contrib("QLinearGlobalAveragePool", pooled)
        .stops(ROUNDS)
        .of_elements(FIRST),
    contrib("QLinearAveragePool", pool)
        .stops(ROUNDS)
        .of_elements(FIRST),
    contrib("QLinearConcat", joined)
        .stops(ROUNDS)
        .of_elements(&[Elements::Input(1)]),
    contrib("QGemm", affine)
        .stops(ROUNDS)
        .lists(&[6])
        .of_elements(&[Elements::Input(8), Elements::Always(Float)]),
    contrib("MatMulIntegerToFloat", product_to_numbers)
        .stops(CODES_ONLY)
        .of_elements(&[Elements::Input(2)]),
    contrib("DynamicQuantizeMatMul", product_of_numbers)
        .stops(ROUNDS)
        .of_elements(FIRST),
];

/// The axis that the attribute says, which is the second where it says none.
fn along(op: &Typing) -> i64 {
    op.int("axis", 1)
}

fn encoded(op: &mut Typing) -> Ruling {
    op.rounds();
    if op.int("block_size", 0) > 0 {
        return held(op, "it makes codes in blocks");
    }
    makes_codes(op, [1, 2]);
    with_scales(op, vec![CodedSlot::codes(0).along(along(op))], first)?;
    op.stands_for(NumbersForm::same(&[CodedSlot::numbers(0)]).making(1, 2));
    Ok(())
}

/// Weights in blocks lose blocks.
fn decoded(op: &mut Typing) -> Ruling {
    if op.int("block_size", 0) > 0 {
        return match packed::decoded(op)? {
            true => Ok(()),
            false => held(op, "its codes are in blocks that do not divide it"),
        };
    }
    in_a_list(op, [1, 2]);
    let slots = vec![CodedSlot::codes(0).along(along(op))];
    op.stands_for(NumbersForm::same(&slots));
    on_codes(op, slots, first)
}

/// Each element for itself.
fn first(op: &mut Typing) -> Ruling {
    let x = op.input(0)?;
    for axis in &x {
        op.nonlinear(axis, "is an axis of codes");
    }
    op.output(0, x);
    Ok(())
}

/// Codes by the smallest and the largest number, of which 0 is always one.
fn dynamic(op: &mut Typing) -> Ruling {
    first(op)?;
    look_at_all(op, 0)?;
    op.output(1, Vec::new());
    op.output(2, Vec::new());
    let made = MadeCodes::Found;
    let form = NumbersForm::same(&[CodedSlot::numbers(0)]);
    op.stands_for(NumbersForm { made, ..form });
    Ok(())
}

/// The extremes of all numbers of an input decide: what is removed counts as 0, which is always among them.
fn look_at_all(op: &mut Typing, slot: usize) -> Ruling {
    op.rounds();
    for (axis, ty) in op.input(slot)?.iter().enumerate() {
        match op.extent(ty).size() {
            Some(_) => op.contract(slot, axis),
            None => op.pin(ty, "decides what codes stand for"),
        }
    }
    Ok(())
}

/// Codes without a scale, and their zero point.
const fn whole(slot: usize, zero: usize) -> CodedSlot {
    CodedSlot {
        codes: slot,
        scale: None,
        zero: Some(zero),
        axis: None,
    }
}

fn whole_product(op: &mut Typing) -> Ruling {
    let slots = vec![whole(0, 2), whole(1, 3).along(-1)];
    op.stands_for(NumbersForm::of("MatMul", &slots));
    on_codes(op, slots, matmul)
}

fn whole_filters(op: &mut Typing) -> Ruling {
    let slots = vec![whole(0, 2), whole(1, 3).along(0)];
    op.stands_for(NumbersForm::of("Conv", &slots));
    // Its kernel multiplies from the left, in 32 bits: the weight is none of those whose sums overflow.
    op.is_quiet = true;
    on_codes(op, slots, conv)
}

fn product(op: &mut Typing) -> Ruling {
    let slots = vec![CodedSlot::codes(0), CodedSlot::codes(3).along(-1)];
    op.stands_for(NumbersForm::of("MatMul", &slots).making(6, 7));
    on_codes(op, slots, matmul)?;
    single(op, [6, 7])
}

fn filters(op: &mut Typing) -> Ruling {
    element_among(op, 8, &[Int32]);
    let weight = CodedSlot::codes(3).along(0);
    let slots = vec![CodedSlot::codes(0), weight, CodedSlot::numbers(8)];
    let form = NumbersForm::of("Conv", &slots).with_sums(8, 1.0);
    op.stands_for(form.making(6, 7));
    on_codes(op, slots, conv)?;
    single(op, [6, 7])
}

/// Filters of data whose channels stand second, or last.
fn filters_of_either(op: &mut Typing) -> Ruling {
    if !channels_last(op) {
        return filters(op);
    }
    let weight = CodedSlot::codes(3).along(0);
    let slots = vec![CodedSlot::codes(0), weight, CodedSlot::numbers(8)];
    on_codes(op, slots, |op| conv_of_last(op, 1))?;
    single(op, [6, 7])
}

fn affine(op: &mut Typing) -> Ruling {
    element_among(op, 6, &[Int32]);
    let columns = i64::from(op.int("transB", 0) == 0);
    let weight = CodedSlot::codes(3).along(columns);
    let slots = vec![CodedSlot::codes(0), weight, CodedSlot::numbers(6)];
    let form = NumbersForm::of("Gemm", &slots).with_sums(6, op.real("alpha", 1.0));
    match op.value(7).is_some() {
        true => op.stands_for(form.making(7, 8)),
        false => op.stands_for(form),
    }
    on_codes(op, slots, gemm)?;
    single(op, [7, 8])
}

/// A product whose output is numbers, and a bias.
fn product_to_numbers(op: &mut Typing) -> Ruling {
    let own = |slot, scale, zero| CodedSlot {
        codes: slot,
        scale: Some(scale),
        zero: Some(zero),
        axis: None,
    };
    let slots = vec![own(0, 2, 4), own(1, 3, 5).along(-1)];
    op.stands_for(NumbersForm::of("MatMul", &slots).adding(6));
    on_codes(op, slots, |op| biased(op, 6))
}

/// A product of numbers, made codes by their extremes, and codes.
fn product_of_numbers(op: &mut Typing) -> Ruling {
    let slots = vec![CodedSlot::numbers(0), CodedSlot::codes(1).along(-1)];
    op.stands_for(NumbersForm::of("MatMul", &slots).adding(4));
    on_codes(op, slots, |op| biased(op, 4))?;
    look_at_all(op, 0)
}

/// As a product of matrices, with a bias at this input of the node.
fn biased(op: &mut Typing, bias: usize) -> Ruling {
    matmul(op)?;
    let columns = op.input(1)?.pop();
    op.coded.push(CodedSlot::numbers(bias));
    if let (Some(columns), Some(bias)) = (columns, op.optional(2)?) {
        let bias = bias.last().ok_or(Unsupported("its bias has rank 0"))?;
        op.unify(bias, &columns);
    }
    Ok(())
}

/// An operator on two inputs, with its rule.
fn pairwise(op: &mut Typing, of: (&'static str, fn(&mut Typing) -> Ruling)) -> Ruling {
    let (operator, rule) = of;
    let slots = vec![CodedSlot::codes(0), CodedSlot::codes(3)];
    op.stands_for(NumbersForm::of(operator, &slots).making(6, 7));
    on_codes(op, slots, rule)?;
    single(op, [6, 7])
}

/// Codes of one of two inputs, as the first input says.
fn chosen(op: &mut Typing) -> Ruling {
    let slots = vec![
        CodedSlot::numbers(0),
        CodedSlot::codes(1),
        CodedSlot::codes(4),
    ];
    op.stands_for(NumbersForm::of("Where", &slots).making(7, 8));
    on_codes(op, slots, binary)?;
    single(op, [7, 8])
}

/// An operator on one input, with its name where numbers have one that does the same.
fn alone(
    op: &mut Typing,
    operator: Option<&'static str>,
    rule: fn(&mut Typing) -> Ruling,
) -> Ruling {
    let slots = [CodedSlot::codes(0)];
    if let Some(operator) = operator {
        op.stands_for(NumbersForm::of(operator, &slots).making(3, 4));
    }
    on_codes(op, slots.to_vec(), rule)?;
    single(op, [3, 4])
}

/// The axis of the shares keeps its positions.
fn shares(op: &mut Typing) -> Ruling {
    let alike = op.int("opset", 13) >= 13 && op.opset() >= 13;
    alone(op, alike.then_some("Softmax"), |op| {
        let x = op.input(0)?;
        let axis = axis_of(op.int("axis", -1), x.len())?;
        // Before version 13 all axes from there on share.
        let end = if op.int("opset", 13) < 13 {
            x.len()
        } else {
            axis + 1
        };
        op.pin_all(&x[axis..end], HELD);
        op.output(0, x);
        Ok(())
    })
}

/// Channels stand at axis 1, or at the end where the attribute says so.
fn channels_last(op: &Typing) -> bool {
    op.int("channels_last", 0) != 0
}

fn pooled(op: &mut Typing) -> Ruling {
    match channels_last(op) {
        false => alone(op, Some("GlobalAveragePool"), global),
        true => alone(op, None, |op| {
            let mut x = op.input(0)?;
            let last = x.len().saturating_sub(1);
            for axis in x.iter_mut().take(last).skip(1) {
                op.pin(axis, HELD);
                *axis = op.fixed(Extent::ONE, HELD);
            }
            op.output(0, x);
            Ok(())
        }),
    }
}

fn pool(op: &mut Typing) -> Ruling {
    match channels_last(op) {
        false => alone(op, Some("AveragePool"), window),
        true => alone(op, None, pool_of_the_inside),
    }
}

/// Windows between the first and the last axis.
fn pool_of_the_inside(op: &mut Typing) -> Ruling {
    let x = op.input(0)?;
    let kernel = op.ints("kernel_shape").unwrap_or_default();
    if x.len() != kernel.len() + 2 {
        return Err(Unsupported("data and kernel have no matching ranks"));
    }
    let kernel: Vec<Extent> = kernel.into_iter().map(Extent::Known).collect();
    let last = x.len() - 1;
    op.pin_all(&x[1..last], "is pooled");
    op.nonlinear(&x[last], "is pooled");
    let mut out = vec![x[0].clone()];
    out.extend(window_sizes(op, &x[1..last], &kernel)?);
    out.push(x[last].clone());
    op.output(0, out);
    Ok(())
}

/// An output like the first input, of which nothing goes.
fn held(op: &mut Typing, why: &'static str) -> Ruling {
    let x = op.hold_inputs(why).swap_remove(0);
    op.output(0, x.ok_or(Unsupported("the rank of an input is unknown"))?);
    Ok(())
}

/// Scale and zero point of the output, then each part with its own.
fn joined(op: &mut Typing) -> Ruling {
    let parts = (2..op.input_count()).step_by(3);
    let slots: Vec<CodedSlot> = parts.map(CodedSlot::codes).collect();
    single(op, [0, 1])?;
    op.stands_for(NumbersForm::of("Concat", &slots).making(0, 1));
    on_codes(op, slots, concat)
}
