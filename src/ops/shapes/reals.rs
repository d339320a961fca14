//! Sizes on their way through floating point: `int(height * 0.5)`, `ceil(length / 2)`.
//!
//! Numbers that are known are rounded after each step as the kernels do. Sizes that are not are fractions of
//! integers, as far as the steps are exact in 32 bits for all sizes that tensors have; any other step yields
//! nothing.

use crate::axes::{Extent, Symbols};
use crate::onnx::ElementType::{self, Double, Float};

/// Largest denominator of a known number.
const FINEST: f64 = (1_u64 << 40) as f64;
/// Numbers up to this keep the numerators of fractions small enough to be exact.
const SHORT: i64 = 1 << 10;

/// An operation on two numbers.
#[derive(Clone, Copy)]
pub(super) enum Step {
    Add,
    Sub,
    Mul,
    Div,
    Min,
    Max,
}

/// A real number of some type; none where it has no short fraction.
pub(super) fn number(symbols: &mut Symbols, number: f64, element: ElementType) -> Option<Extent> {
    let mut number = match element {
        Float => f64::from(number as f32),
        Double => number,
        _ => return None,
    };
    let mut by = 1.0;
    while number.fract() != 0.0 && by < FINEST {
        (number, by) = (number * 2.0, by * 2.0);
    }
    let exact = number.fract() == 0.0 && number.abs() < 2_f64.powi(53);
    exact.then(|| symbols.quotient(&Extent::Known(number as i64), by as i64))?
}

/// A known number.
pub(super) fn known(symbols: &Symbols, extent: &Extent) -> Option<f64> {
    let (a, by) = symbols.fraction(extent)?;
    Some(a.known()? as f64 / by as f64)
}

/// A step on two numbers of this type.
pub(super) fn step(
    symbols: &mut Symbols,
    step: Step,
    [a, b]: [&Extent; 2],
    element: ElementType,
) -> Option<Extent> {
    if !matches!(element, Float | Double) {
        return None;
    }
    match known(symbols, a).zip(known(symbols, b)) {
        Some((a, b)) => {
            let result = match step {
                Step::Add => a + b,
                Step::Sub => a - b,
                Step::Mul => a * b,
                Step::Div => a / b,
                Step::Min => a.min(b),
                Step::Max => a.max(b),
            };
            number(symbols, result, element)
        }
        None => exact(symbols, step, [a, b]),
    }
}

/// A step on numbers that depend on sizes.
fn exact(symbols: &mut Symbols, step: Step, [a, b]: [&Extent; 2]) -> Option<Extent> {
    let [(a, p), (b, q)] = [symbols.fraction(a)?, symbols.fraction(b)?];
    let short = |n: &Extent| n.known().is_none_or(|n| n.abs() <= SHORT);
    let dyadic = |n: i64| n.count_ones() == 1;
    if !short(&a) || !short(&b) || p > SHORT || q > SHORT {
        return None;
    }
    let whole = p == 1 || q == 1;
    let [left, right] = [a.mul(&Extent::Known(q))?, b.mul(&Extent::Known(p))?];
    let both = p.checked_mul(q)?;
    match step {
        Step::Add | Step::Sub if whole || (dyadic(p) && dyadic(q)) => {
            let sum = match step {
                Step::Add => left.add(&right)?,
                _ => left.sub(&right)?,
            };
            symbols.quotient(&sum, both)
        }
        Step::Mul if dyadic(p) && dyadic(q) => symbols.quotient(&a.mul(&b)?, both),
        Step::Div if dyadic(p) && dyadic(q) => match right.known() {
            Some(by) => symbols.quotient(&left, by),
            None => left.div_exact(&right),
        },
        Step::Min | Step::Max if left == right => Some(a).filter(|_| p == 1),
        _ => None,
    }
}

/// The largest integer that is not larger.
pub(super) fn floor(symbols: &mut Symbols, x: &Extent) -> Option<Extent> {
    let (a, by) = symbols.fraction(x)?;
    symbols.floor_div(&a, &Extent::Known(by))
}

/// The smallest integer that is not smaller.
pub(super) fn ceil(symbols: &mut Symbols, x: &Extent) -> Option<Extent> {
    let (a, by) = symbols.fraction(x)?;
    symbols.floor_div(&a.add(&Extent::Known(by - 1))?, &Extent::Known(by))
}

/// The nearest integer, the even one of two.
pub(super) fn round(symbols: &mut Symbols, x: &Extent) -> Option<Extent> {
    match symbols.fraction(x)? {
        (a, 1) => Some(a),
        _ => Some(Extent::Known(known(symbols, x)?.round_ties_even() as i64)),
    }
}

/// The integer that a cast makes: rounded towards zero. Sizes are not negative.
pub(super) fn truncated(symbols: &mut Symbols, x: &Extent) -> Option<Extent> {
    match known(symbols, x) {
        Some(number) => Some(Extent::Known(number.trunc() as i64)),
        None => floor(symbols, x),
    }
}

/// The square root of a known number.
pub(super) fn root(symbols: &mut Symbols, x: &Extent, element: ElementType) -> Option<Extent> {
    let root = known(symbols, x)?.sqrt();
    number(symbols, root, element)
}
