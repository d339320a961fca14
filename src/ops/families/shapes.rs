//! Sizes as data: the outputs are small integer tensors whose own axes never change.

use crate::axes::Extent;
use crate::onnx::ElementType;
use crate::ops::adjoints::{Adjoint, selecting as adjoint};
use crate::ops::row::INT64;
use crate::ops::shapes::arrange as ev;
use crate::ops::typing::{Ruling, Typing, Unsupported};
use crate::ops::{Elements, Row, row};

pub(in crate::ops) const ROWS: &[Row] = &[
    row("Constant", constant)
        .adjoint(Adjoint::Zero)
        .evaluated(ev::constant_attribute)
        .of_elements(&[Elements::Held]),
    row("Shape", shape)
        .adjoint(Adjoint::Zero)
        .evaluated(ev::shape)
        .of_elements(INT64),
    row("Size", size)
        .adjoint(Adjoint::Zero)
        .evaluated(ev::size)
        .of_elements(INT64),
    row("Range", range)
        .gives(adjoint::range)
        .evaluated(ev::range),
    row("ConstantOfShape", constant_of_shape)
        .adjoint(Adjoint::Zero)
        .evaluated(ev::constant_of_shape)
        .of_elements(&[Elements::Held, Elements::Always(ElementType::Float)]),
];

/// Tensors are typed as weights before any node; what is left are lists of numbers in attributes.
fn constant(op: &mut Typing) -> Ruling {
    let attribute = op.proto().attribute.first();
    let attribute = attribute.ok_or(Unsupported("it holds nothing"))?;
    let length = match attribute.name() {
        "value" => return Ok(()),
        "value_int" | "value_float" | "value_string" => None,
        "value_ints" => Some(attribute.ints.len()),
        "value_floats" => Some(attribute.floats.len()),
        "value_strings" => Some(attribute.strings.len()),
        _ => return Err(Unsupported("it is stored sparsely")),
    };
    let axes = length.map(|n| op.fixed(Extent::from(n), "is a list of numbers"));
    op.output(0, axes.into_iter().collect());
    Ok(())
}

fn shape(op: &mut Typing) -> Ruling {
    let rank = op.input(0)?.len();
    let count = ev::shape_range(op.proto(), rank).len();
    let axis = op.fixed(Extent::from(count), "is a list of sizes");
    op.output(0, vec![axis]);
    Ok(())
}

fn size(op: &mut Typing) -> Ruling {
    op.input(0)?;
    op.output(0, Vec::new());
    Ok(())
}

fn range(op: &mut Typing) -> Ruling {
    let mut bounds = Vec::new();
    for slot in 0..3 {
        let bound = op.integers(slot).and_then(|n| n.first().cloned().flatten());
        bounds.push(bound);
    }
    let why = "counts positions";
    let axis = match &bounds[..] {
        [Some(start), Some(limit), Some(Extent::Known(1))] => limit.sub(start),
        [
            Some(Extent::Known(start)),
            Some(Extent::Known(limit)),
            Some(Extent::Known(step)),
        ] => Some(Extent::Known(ev::slice_count(*start, *limit, *step))),
        _ => real_count(op).map(Extent::Known),
    };
    let axis = op.sized((0, 0), axis, why);
    op.output(0, vec![axis]);
    if let [Some(start), Some(limit), Some(Extent::Known(1..))] = &bounds[..] {
        let last = limit.sub(&Extent::ONE);
        op.spans(last.map(|last| [start.clone(), last]));
    }
    Ok(())
}

/// Numbers from a real one up to another, in steps.
fn real_count(op: &mut Typing) -> Option<i64> {
    op.element(0).filter(|element| element.is_float())?;
    let mut number = |slot: usize| op.reals(slot)?.first().copied().flatten().map(f64::from);
    let [start, limit, step] = [number(0)?, number(1)?, number(2)?];
    let count = ((limit - start) / step).ceil();
    (count.is_finite() && count < f64::from(i32::MAX)).then_some(count.max(0.0) as i64)
}

/// Every axis is new; the number that makes it follows whatever the axis meets later.
fn constant_of_shape(op: &mut Typing) -> Ruling {
    let elements = op.list(0);
    let elements = elements.ok_or(Unsupported("its shape is computed at run time"))?;
    let mut out = Vec::with_capacity(elements.len());
    let mut mirrors = Vec::with_capacity(elements.len());
    for (place, element) in elements.into_iter().enumerate() {
        let axis = match element {
            Some(extent) => op.fresh(extent),
            None => op.unknown(0, place, "has a dynamic size"),
        };
        mirrors.push(Some(axis.clone()));
        out.push(axis);
    }
    op.mirror(0, "shape", mirrors);
    op.output(0, out);
    Ok(())
}
