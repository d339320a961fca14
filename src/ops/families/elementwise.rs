//! Operators that work element by element, with numpy broadcasting: equal positions of equal axes.

use std::collections::HashSet;

use crate::axes::{Extent, Type};
use crate::onnx::ElementType;
use crate::ops::adjoints::{
    Adjoint, activations as act, broadcast as several, functions as fun, fused,
};
use crate::ops::row::{BOOL, GPU_ALONE};
use crate::ops::shapes::arithmetic as ev;
use crate::ops::typing::{Ruling, Typing, Unsupported};
use crate::ops::{Carried, Elements, Form, Pointwise, Row, Viewing, contrib, row};

pub(in crate::ops) const ROWS: &[Row] = &[
    row("Identity", carry)
        .adjoint(Adjoint::Viewed)
        .evaluated(ev::same)
        .viewed(Viewing::Same),
    row("Cast", carry)
        .adjoint(Adjoint::Viewed)
        .evaluated(ev::cast)
        .viewed(Viewing::Same)
        .of_elements(&[Elements::Attribute("to")]),
    row("CastLike", carry_as)
        .adjoint(Adjoint::Viewed)
        .viewed(Viewing::Same)
        .of_elements(&[Elements::Input(1)]),
    row("Dropout", carry)
        .slope(act::dropout)
        .carries(Carried::Among)
        .yields(1, ElementType::Bool),
    row("Neg", carry).slope(fun::neg).evaluated(ev::negate),
    row("Relu", unary)
        .slope(act::relu)
        .form(Form::Cut)
        .pointwise(Pointwise::Positive),
    row("LeakyRelu", unary)
        .slope(act::leaky_relu)
        .homogeneous()
        .form(Form::Rescaled),
    row("ThresholdedRelu", unary).slope(act::thresholded_relu),
    row("Elu", unary).slope(act::elu),
    row("Selu", unary).slope(act::selu),
    row("Celu", unary).slope(act::celu),
    row("Gelu", unary).slope(act::gelu),
    contrib("Gelu", unary).slope(act::gelu_exact),
    contrib("QuickGelu", unary).slope(act::quick_gelu),
    contrib("FastGelu", binary).gives(fused::fast_gelu),
    contrib("BiasGelu", binary).gives(fused::bias_gelu),
    contrib("BiasAdd", additive)
        .stops(GPU_ALONE)
        .adds()
        .pointwise(Pointwise::Sum),
    row("Mish", unary).slope(act::mish),
    row("Swish", unary).slope(act::swish),
    row("HardSwish", unary).slope(act::hard_swish),
    row("HardSigmoid", unary).slope(act::hard_sigmoid),
    row("Sigmoid", unary)
        .slope(act::sigmoid)
        .form(Form::Rescaled),
    row("Softplus", unary).slope(act::softplus),
    row("Softsign", unary).slope(act::softsign),
    row("Shrink", unary).slope(act::shrink),
    row("Clip", unary)
        .gives(act::clip)
        .form(Form::Cut)
        .pointwise(Pointwise::Bounded)
        .carries(Carried::Among),
    row("Erf", unary).slope(fun::erf),
    row("Abs", unary).slope(fun::abs),
    row("Sign", unary).adjoint(Adjoint::Zero),
    row("Sqrt", unary).slope(fun::sqrt).evaluated(ev::root),
    row("Reciprocal", unary).slope(fun::reciprocal),
    row("Exp", unary).slope(fun::exp),
    row("Log", unary).slope(fun::log),
    row("Floor", unary)
        .adjoint(Adjoint::Zero)
        .evaluated(ev::floor),
    row("Ceil", unary)
        .adjoint(Adjoint::Zero)
        .evaluated(ev::ceil),
    row("Round", unary)
        .adjoint(Adjoint::Zero)
        .evaluated(ev::round),
    row("Sin", unary).slope(fun::sin),
    row("Cos", unary).slope(fun::cos),
    row("Tan", unary).slope(fun::tan),
    row("Asin", unary).slope(fun::asin),
    row("Acos", unary).slope(fun::acos),
    row("Atan", unary).slope(fun::atan),
    row("Sinh", unary).slope(fun::sinh),
    row("Cosh", unary).slope(fun::cosh),
    row("Tanh", unary).slope(act::tanh),
    row("Asinh", unary).slope(fun::asinh),
    row("Acosh", unary).slope(fun::acosh),
    row("Atanh", unary).slope(fun::atanh),
    row("Not", unary)
        .adjoint(Adjoint::Zero)
        .evaluated(ev::not)
        .of_elements(BOOL),
    row("IsNaN", unary).adjoint(Adjoint::Zero).of_elements(BOOL),
    row("IsInf", unary).adjoint(Adjoint::Zero).of_elements(BOOL),
    row("BitwiseNot", unary).adjoint(Adjoint::Zero),
    row("BitCast", unary)
        .stops("its operator reads bits as other numbers")
        .of_elements(&[Elements::Attribute("to")]),
    row("Add", additive)
        .gives(several::add)
        .form(Form::Rescaled)
        .evaluated(ev::add)
        .adds()
        .pointwise(Pointwise::Sum),
    row("Sub", additive)
        .gives(several::sub)
        .evaluated(ev::sub)
        .pointwise(Pointwise::Difference),
    row("Sum", additive)
        .gives(several::add)
        .evaluated(ev::add)
        .adds(),
    row("Mean", additive).gives(several::mean),
    row("Mul", scaling)
        .gives(several::mul)
        .form(Form::Rescaled)
        .evaluated(ev::mul)
        .pointwise(Pointwise::Product),
    row("Div", scaling)
        .gives(several::div)
        .evaluated(ev::div)
        .pointwise(Pointwise::Quotient),
    row("Pow", binary).gives(several::pow),
    row("Mod", binary)
        .gives(several::modulo)
        .evaluated(ev::modulo),
    row("Min", binary)
        .gives(several::extreme)
        .evaluated(ev::min)
        .carries(Carried::From(0)),
    row("Max", binary)
        .gives(several::extreme)
        .evaluated(ev::max)
        .carries(Carried::From(0)),
    row("PRelu", binary).gives(several::prelu),
    row("Where", binary)
        .gives(several::choose)
        .evaluated(ev::choose)
        .carries(Carried::From(1))
        .of_elements(&[Elements::Input(1)]),
    row("Equal", binary)
        .adjoint(Adjoint::Zero)
        .evaluated(ev::equal)
        .of_elements(BOOL),
    row("Greater", binary)
        .adjoint(Adjoint::Zero)
        .evaluated(ev::greater)
        .of_elements(BOOL),
    row("GreaterOrEqual", binary)
        .adjoint(Adjoint::Zero)
        .evaluated(ev::greater_or_equal)
        .of_elements(BOOL),
    row("Less", binary)
        .adjoint(Adjoint::Zero)
        .evaluated(ev::less)
        .of_elements(BOOL),
    row("LessOrEqual", binary)
        .adjoint(Adjoint::Zero)
        .evaluated(ev::less_or_equal)
        .of_elements(BOOL),
    row("And", binary).adjoint(Adjoint::Zero).of_elements(BOOL),
    row("Or", binary).adjoint(Adjoint::Zero).of_elements(BOOL),
    row("Xor", binary).adjoint(Adjoint::Zero).of_elements(BOOL),
    row("BitShift", binary).adjoint(Adjoint::Zero),
    row("BitwiseAnd", binary).adjoint(Adjoint::Zero),
    row("BitwiseOr", binary).adjoint(Adjoint::Zero),
    row("BitwiseXor", binary).adjoint(Adjoint::Zero),
];

/// Y[..] = X[..]: the output has the input's axes and any change of basis passes through.
fn carry(op: &mut Typing) -> Ruling {
    let x = op.input(0)?;
    for slot in 0..op.output_count() {
        op.output(slot, x.clone());
    }
    Ok(())
}

/// As [`carry`], in the element type of the second input, of which nothing else matters.
fn carry_as(op: &mut Typing) -> Ruling {
    op.asked.insert(1);
    carry(op)
}

/// Y[..] = f(X[..]).
pub(super) fn unary(op: &mut Typing) -> Ruling {
    let x = op.input(0)?;
    for axis in &x {
        op.nonlinear(axis, "applies a function to each element");
    }
    op.output(0, x);
    Ok(())
}

/// Sums of tensors: linear in all of them together.
pub(super) fn additive(op: &mut Typing) -> Ruling {
    let inputs = different_inputs(op)?;
    let out = broadcast(op, &inputs)?;
    op.output(0, out);
    Ok(())
}

/// Products: linear along an axis only where one operand is the same for all its positions.
pub(super) fn scaling(op: &mut Typing) -> Ruling {
    let inputs = all_inputs(op)?;
    let out = broadcast(op, &inputs)?;
    for (from_back, axis) in out.iter().rev().enumerate() {
        let wide = inputs.iter().filter(|axes| {
            let place = axes.len().checked_sub(from_back + 1);
            place.is_some_and(|place| !op.is_one(&axes[place]))
        });
        if wide.count() > 1 {
            op.nonlinear(axis, "scales each position differently");
        }
    }
    op.output(0, out);
    Ok(())
}

/// Any other function of the elements of several tensors.
pub(super) fn binary(op: &mut Typing) -> Ruling {
    let inputs = different_inputs(op)?;
    let out = broadcast(op, &inputs)?;
    for axis in &out {
        op.nonlinear(axis, "applies a function to each element");
    }
    op.output(0, out);
    Ok(())
}

fn all_inputs(op: &mut Typing) -> Ruling<Vec<Vec<Type>>> {
    (0..op.input_count()).map(|slot| op.input(slot)).collect()
}

/// The axes of all inputs, once of a value that is there several times.
fn different_inputs(op: &mut Typing) -> Ruling<Vec<Vec<Type>>> {
    let (mut seen, mut out) = (HashSet::new(), Vec::new());
    for slot in 0..op.input_count() {
        let axes = op.input(slot)?;
        if seen.insert(op.value(slot)) {
            out.push(axes);
        }
    }
    Ok(out)
}

/// The axes of a broadcast result: from the back, axes of equal size are the same, size 1 stretches.
pub(in crate::ops) fn broadcast(op: &mut Typing, inputs: &[Vec<Type>]) -> Ruling<Vec<Type>> {
    let rank = inputs.iter().map(Vec::len).max().unwrap_or(0);
    let mut out = Vec::with_capacity(rank);
    for position in 0..rank {
        let mut result: Option<Type> = None;
        for axes in inputs {
            let Some(place) = (position + axes.len()).checked_sub(rank) else {
                continue;
            };
            let axis = &axes[place];
            result = Some(match result {
                None => axis.clone(),
                Some(other) => broadcast_axis(op, other, axis)?,
            });
        }
        out.push(result.ok_or(Unsupported("it has no inputs"))?);
    }
    Ok(out)
}

/// The sizes of a broadcast result, where they can be told.
pub(in crate::ops) fn broadcast_sizes(inputs: &[&[Extent]]) -> Vec<Option<Extent>> {
    let rank = inputs.iter().map(|sizes| sizes.len()).max().unwrap_or(0);
    let at = |sizes: &[Extent], place: usize| {
        let own = (place + sizes.len()).checked_sub(rank);
        own.map_or(Extent::ONE, |own| sizes[own].clone())
    };
    let size = |place: usize| {
        let sizes = inputs.iter().map(|sizes| at(sizes, place));
        let wide: Vec<Extent> = sizes.filter(|size| !size.is_one()).collect();
        match wide.split_first() {
            None => Some(Extent::ONE),
            Some((first, rest)) if rest.iter().all(|other| other == first) => Some(first.clone()),
            // Where a known size meets a dynamic one, that is 1 or the same.
            Some(_) => wide.into_iter().find(|size| size.known().is_some()),
        }
    };
    (0..rank).map(size).collect()
}

/// One axis of a broadcast of two.
pub(in crate::ops) fn broadcast_axis(op: &mut Typing, a: Type, b: &Type) -> Ruling<Type> {
    let (m, n) = (op.extent(&a), op.extent(b));
    if n.is_one() {
        return Ok(a);
    }
    if m.is_one() {
        return Ok(b.clone());
    }
    if m != n {
        // A dynamic size that meets a known one is 1 or that one; two dynamic sizes that we cannot prove
        // equal are equal when the model runs. Nothing of either may be pruned.
        let both_known = m.known().is_some() && n.known().is_some();
        if both_known {
            return Err(Unsupported("the sizes of its inputs do not fit together"));
        }
        let why = "meets a dynamic size";
        op.agree(&a, b, true);
        op.pin(&a, why);
        op.pin(b, why);
        return Ok(if m.known().is_some() { a } else { b.clone() });
    }
    op.unify(&a, b);
    Ok(a)
}
