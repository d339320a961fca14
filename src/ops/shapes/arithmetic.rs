//! Operators that compute with sizes element by element, one function each.

use super::integers::{Evaluation, Integers, Outputs, broadcast, one};
use super::reals::{self, Step};
use crate::axes::{Extent, Symbols};
use crate::graph::Attributes;
use crate::onnx::ElementType;

pub(in crate::ops) fn same(e: &mut Evaluation) -> Outputs {
    one(e.input(0)?.clone())
}

/// A cast to an integer or a real number that is wide enough keeps a size a size.
pub(in crate::ops) fn cast(e: &mut Evaluation) -> Outputs {
    let to = e
        .proto
        .int("to")
        .and_then(|to| ElementType::of(to as i32))?;
    match to {
        ElementType::Bool => e.each(|_, n| truth(n.known()? != 0)),
        to if to.is_index() => e.each(reals::truncated),
        ElementType::Float | ElementType::Double => {
            e.each(|symbols, n| match reals::known(symbols, n) {
                Some(known) => reals::number(symbols, known, to),
                None => Some(n.clone()),
            })
        }
        _ => None,
    }
}

pub(in crate::ops) fn floor(e: &mut Evaluation) -> Outputs {
    e.each(reals::floor)
}

pub(in crate::ops) fn ceil(e: &mut Evaluation) -> Outputs {
    e.each(reals::ceil)
}

pub(in crate::ops) fn round(e: &mut Evaluation) -> Outputs {
    e.each(reals::round)
}

pub(in crate::ops) fn root(e: &mut Evaluation) -> Outputs {
    let element = e.element?;
    e.each(|symbols, x| reals::root(symbols, x, element))
}

pub(in crate::ops) fn negate(e: &mut Evaluation) -> Outputs {
    let mut x = e.input(0)?.clone();
    for element in &mut x.elements {
        *element = element.take().and_then(|n| n.mul(&Extent::Known(-1)));
    }
    one(x)
}

pub(in crate::ops) fn not(e: &mut Evaluation) -> Outputs {
    let mut x = e.input(0)?.clone();
    for element in &mut x.elements {
        *element = element.take().and_then(|n| Extent::ONE.sub(&n));
    }
    one(x)
}

/// A step on two elements, of integers or of real numbers.
fn stepped(
    e: &mut Evaluation,
    step: Step,
    [a, b]: [&Extent; 2],
    whole: fn(&mut Symbols, &Extent, &Extent) -> Option<Extent>,
) -> Option<Extent> {
    match e.element.filter(|element| element.is_float()) {
        Some(element) => reals::step(e.symbols, step, [a, b], element),
        None => whole(e.symbols, a, b),
    }
}

pub(super) fn sum(e: &mut Evaluation, a: &Extent, b: &Extent) -> Option<Extent> {
    stepped(e, Step::Add, [a, b], |_, a, b| a.add(b))
}

fn difference(e: &mut Evaluation, a: &Extent, b: &Extent) -> Option<Extent> {
    stepped(e, Step::Sub, [a, b], |_, a, b| a.sub(b))
}

pub(super) fn product(e: &mut Evaluation, a: &Extent, b: &Extent) -> Option<Extent> {
    stepped(e, Step::Mul, [a, b], |_, a, b| a.mul(b))
}

/// Division of integers rounds towards zero; of sizes, which are not negative, down.
fn quotient(e: &mut Evaluation, a: &Extent, b: &Extent) -> Option<Extent> {
    stepped(e, Step::Div, [a, b], |symbols, a, b| match (a, b) {
        (Extent::Known(a), Extent::Known(b)) => a.checked_div(*b).map(Extent::Known),
        _ => symbols.floor_div(a, b),
    })
}

pub(super) fn minimum(e: &mut Evaluation, a: &Extent, b: &Extent) -> Option<Extent> {
    stepped(e, Step::Min, [a, b], |symbols, a, b| symbols.min(a, b))
}

pub(super) fn maximum(e: &mut Evaluation, a: &Extent, b: &Extent) -> Option<Extent> {
    stepped(e, Step::Max, [a, b], |symbols, a, b| symbols.max(a, b))
}

pub(in crate::ops) fn add(e: &mut Evaluation) -> Outputs {
    e.combined(sum)
}

pub(in crate::ops) fn sub(e: &mut Evaluation) -> Outputs {
    e.combined(difference)
}

pub(in crate::ops) fn mul(e: &mut Evaluation) -> Outputs {
    e.combined(product)
}

pub(in crate::ops) fn div(e: &mut Evaluation) -> Outputs {
    e.combined(quotient)
}

pub(in crate::ops) fn modulo(e: &mut Evaluation) -> Outputs {
    (!e.is_real()).then_some(())?;
    e.pairwise(Symbols::modulo)
}

pub(in crate::ops) fn min(e: &mut Evaluation) -> Outputs {
    e.combined(minimum)
}

pub(in crate::ops) fn max(e: &mut Evaluation) -> Outputs {
    e.combined(maximum)
}

fn truth(value: bool) -> Option<Extent> {
    Some(Extent::Known(i64::from(value)))
}

pub(in crate::ops) fn equal(e: &mut Evaluation) -> Outputs {
    e.pairwise(|_, a, b| match (a, b) {
        // A size is never negative.
        (Extent::Known(..0), Extent::Symbolic(terms))
        | (Extent::Symbolic(terms), Extent::Known(..0))
            if terms.values().all(|&c| c > 0) =>
        {
            truth(false)
        }
        _ => a
            .sub(b)?
            .known()
            .and_then(|difference| truth(difference == 0)),
    })
}

fn compare(e: &mut Evaluation, holds: impl Fn(i64) -> bool) -> Outputs {
    e.pairwise(|_, a, b| a.sub(b)?.known().and_then(|d| truth(holds(d))))
}

pub(in crate::ops) fn greater(e: &mut Evaluation) -> Outputs {
    compare(e, |difference| difference > 0)
}

pub(in crate::ops) fn greater_or_equal(e: &mut Evaluation) -> Outputs {
    compare(e, |difference| difference >= 0)
}

pub(in crate::ops) fn less(e: &mut Evaluation) -> Outputs {
    compare(e, |difference| difference < 0)
}

pub(in crate::ops) fn less_or_equal(e: &mut Evaluation) -> Outputs {
    compare(e, |difference| difference <= 0)
}

/// Where
pub(in crate::ops) fn choose(e: &mut Evaluation) -> Outputs {
    let [condition, a, b] = [e.input(0)?, e.input(1)?, e.input(2)?].map(Integers::array);
    let (a, b) = broadcast(&a?, &b?)?;
    let (condition, a) = broadcast(&condition?, &a)?;
    let (_, b) = broadcast(&condition, &b)?;
    let pick = |((condition, a), b): ((&Option<Extent>, &Option<Extent>), &Option<Extent>)| {
        match condition.as_ref().and_then(Extent::known) {
            Some(0) => b.clone(),
            Some(_) => a.clone(),
            None if a == b => a.clone(),
            None => None,
        }
    };
    let dims = condition.shape().to_vec();
    let elements = condition.iter().zip(&a).zip(&b).map(pick).collect();
    one(Integers { dims, elements })
}
