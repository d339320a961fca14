//! Operators that work element by element, with numpy broadcasting: equal positions of equal axes.

use std::collections::HashSet;

use crate::axes::{Extent, Type};
use crate::onnx::ElementType;
use crate::ops::row::BOOL;
use crate::ops::shapes::arithmetic as ev;
use crate::ops::typing::{Ruling, Typing, Unsupported};
use crate::ops::{Carried, Elements, Pointwise, Row, Viewing, row};

pub(in crate::ops) const ROWS: &[Row] = &[
    row("Identity", carry)
        .evaluated(ev::same)
        .viewed(Viewing::Same),
    row("Cast", carry)
        .evaluated(ev::cast)
        .viewed(Viewing::Same)
        .of_elements(&[Elements::Attribute("to")]),
    row("CastLike", carry)
        .viewed(Viewing::Same)
        .of_elements(&[Elements::Input(1)]),
    row("Dropout", carry)
        .carries(Carried::First)
        .yields(1, ElementType::Bool),
    row("Neg", carry).evaluated(ev::negate),
    row("Relu", unary).pointwise(Pointwise::Positive),
    row("LeakyRelu", unary),
    row("ThresholdedRelu", unary),
    row("Elu", unary),
    row("Selu", unary),
    row("Celu", unary),
    row("Gelu", unary),
    row("Mish", unary),
    row("Swish", unary),
    row("HardSwish", unary),
    row("HardSigmoid", unary),
    row("Sigmoid", unary),
    row("Softplus", unary),
    row("Softsign", unary),
    row("Shrink", unary),
    row("Clip", unary)
        .pointwise(Pointwise::Bounded)
        .carries(Carried::First),
    row("Erf", unary),
    row("Abs", unary),
    row("Sign", unary),
    row("Sqrt", unary).evaluated(ev::root),
    row("Reciprocal", unary),
    row("Exp", unary),
    row("Log", unary),
    row("Floor", unary).evaluated(ev::floor),
    row("Ceil", unary).evaluated(ev::ceil),
    row("Round", unary).evaluated(ev::round),
    row("Sin", unary),
    row("Cos", unary),
    row("Tan", unary),
    row("Asin", unary),
    row("Acos", unary),
    row("Atan", unary),
    row("Sinh", unary),
    row("Cosh", unary),
    row("Tanh", unary),
    row("Asinh", unary),
    row("Acosh", unary),
    row("Atanh", unary),
    row("Not", unary).evaluated(ev::not).of_elements(BOOL),
    row("IsNaN", unary).of_elements(BOOL),
    row("IsInf", unary).of_elements(BOOL),
    row("BitwiseNot", unary),
    row("Add", additive)
        .evaluated(ev::add)
        .pointwise(Pointwise::Sum),
    row("Sub", additive)
        .evaluated(ev::sub)
        .pointwise(Pointwise::Difference),
    row("Sum", additive).evaluated(ev::add),
    row("Mean", additive),
    row("Mul", scaling)
        .evaluated(ev::mul)
        .pointwise(Pointwise::Product),
    row("Div", scaling)
        .evaluated(ev::div)
        .pointwise(Pointwise::Quotient),
    row("Pow", binary),
    row("Mod", binary).evaluated(ev::modulo),
    row("Min", binary)
        .evaluated(ev::min)
        .carries(Carried::From(0)),
    row("Max", binary)
        .evaluated(ev::max)
        .carries(Carried::From(0)),
    row("PRelu", binary),
    row("Where", binary)
        .evaluated(ev::choose)
        .carries(Carried::From(1))
        .of_elements(&[Elements::Input(1)]),
    row("Equal", binary).evaluated(ev::equal).of_elements(BOOL),
    row("Greater", binary)
        .evaluated(ev::greater)
        .of_elements(BOOL),
    row("GreaterOrEqual", binary)
        .evaluated(ev::greater_or_equal)
        .of_elements(BOOL),
    row("Less", binary).evaluated(ev::less).of_elements(BOOL),
    row("LessOrEqual", binary)
        .evaluated(ev::less_or_equal)
        .of_elements(BOOL),
    row("And", binary).of_elements(BOOL),
    row("Or", binary).of_elements(BOOL),
    row("Xor", binary).of_elements(BOOL),
    row("BitShift", binary),
    row("BitwiseAnd", binary),
    row("BitwiseOr", binary),
    row("BitwiseXor", binary),
];

/// Y[..] = X[..]: the output has the input's axes and any change of basis passes through.
fn carry(op: &mut Typing) -> Ruling {
    let x = op.input(0)?;
    for slot in 0..op.output_count() {
        op.output(slot, x.clone());
    }
    Ok(())
}

/// Y[..] = f(X[..]).
fn unary(op: &mut Typing) -> Ruling {
    let x = op.input(0)?;
    for axis in &x {
        op.nonlinear(axis, "applies a function to each element");
    }
    op.output(0, x);
    Ok(())
}

/// Sums of tensors: linear in all of them together.
fn additive(op: &mut Typing) -> Ruling {
    let inputs = different_inputs(op)?;
    let out = broadcast(op, &inputs)?;
    op.output(0, out);
    Ok(())
}

/// Products: linear along an axis only where one operand is the same for all its positions.
fn scaling(op: &mut Typing) -> Ruling {
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
fn binary(op: &mut Typing) -> Ruling {
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
