//! Functions of each element from mathematics: the slope times the gradient.

use std::f64::consts::PI;

use super::Backward;
use crate::graph::Array;
use crate::ops::typing::Ruling;

impl Backward<'_> {
    /// `d / sqrt(number + sign x^2)`, times `factor`.
    fn over_root(&mut self, d: &Array, number: f64, sign: f64, factor: f64) -> Ruling<Array> {
        let x = self.input(0)?;
        let square = self.emit.square(&x);
        let signed = self.emit.scale(&square, sign);
        let sum = self.emit.shift(&signed, number);
        let root = self.emit.map("Sqrt", &sum);
        let d = self.emit.scale(d, factor);
        Ok(self.emit.div(&d, &root))
    }
}

pub(in crate::ops) fn erf(b: &mut Backward, d: &Array) -> Ruling<Array> {
    let x = b.input(0)?;
    let square = b.emit.square(&x);
    // The factor 2 / sqrt(pi) as a part of the exponent.
    let power = b.emit.number_less((2.0 / PI.sqrt()).ln(), &square);
    let slope = b.emit.map("Exp", &power);
    Ok(b.times(d, &slope))
}

pub(in crate::ops) fn abs(b: &mut Backward, d: &Array) -> Ruling<Array> {
    let x = b.input(0)?;
    let negative = b.emit.below(&x, 0.0);
    let opposite = b.emit.neg(d);
    Ok(b.emit.choose(&negative, &opposite, d))
}

pub(in crate::ops) fn neg(b: &mut Backward, d: &Array) -> Ruling<Array> {
    Ok(b.emit.neg(d))
}

pub(in crate::ops) fn sqrt(b: &mut Backward, d: &Array) -> Ruling<Array> {
    let y = b.output(0)?;
    let half = b.emit.scale(d, 0.5);
    Ok(b.emit.div(&half, &y))
}

pub(in crate::ops) fn reciprocal(b: &mut Backward, d: &Array) -> Ruling<Array> {
    let y = b.output(0)?;
    let square = b.emit.square(&y);
    let slope = b.emit.neg(&square);
    Ok(b.times(d, &slope))
}

pub(in crate::ops) fn exp(b: &mut Backward, d: &Array) -> Ruling<Array> {
    let y = b.output(0)?;
    Ok(b.times(d, &y))
}

pub(in crate::ops) fn log(b: &mut Backward, d: &Array) -> Ruling<Array> {
    let x = b.input(0)?;
    Ok(b.emit.div(d, &x))
}

pub(in crate::ops) fn sin(b: &mut Backward, d: &Array) -> Ruling<Array> {
    let x = b.input(0)?;
    let slope = b.emit.map("Cos", &x);
    Ok(b.times(d, &slope))
}

pub(in crate::ops) fn cos(b: &mut Backward, d: &Array) -> Ruling<Array> {
    let x = b.input(0)?;
    let sine = b.emit.map("Sin", &x);
    let slope = b.emit.neg(&sine);
    Ok(b.times(d, &slope))
}

pub(in crate::ops) fn tan(b: &mut Backward, d: &Array) -> Ruling<Array> {
    let y = b.output(0)?;
    let square = b.emit.square(&y);
    let slope = b.emit.shift(&square, 1.0);
    Ok(b.times(d, &slope))
}

pub(in crate::ops) fn asin(b: &mut Backward, d: &Array) -> Ruling<Array> {
    b.over_root(d, 1.0, -1.0, 1.0)
}

pub(in crate::ops) fn acos(b: &mut Backward, d: &Array) -> Ruling<Array> {
    b.over_root(d, 1.0, -1.0, -1.0)
}

/// `d / (1 + sign x^2)`.
fn over_square(b: &mut Backward, d: &Array, sign: f64) -> Ruling<Array> {
    let x = b.input(0)?;
    let square = b.emit.square(&x);
    let signed = b.emit.scale(&square, sign);
    let sum = b.emit.shift(&signed, 1.0);
    Ok(b.emit.div(d, &sum))
}

pub(in crate::ops) fn atan(b: &mut Backward, d: &Array) -> Ruling<Array> {
    over_square(b, d, 1.0)
}

pub(in crate::ops) fn sinh(b: &mut Backward, d: &Array) -> Ruling<Array> {
    half_of_powers(b, d, 1.0)
}

pub(in crate::ops) fn cosh(b: &mut Backward, d: &Array) -> Ruling<Array> {
    half_of_powers(b, d, -1.0)
}

/// `d (exp(x) + sign exp(-x)) / 2`: Sinh and Cosh are not on every provider.
fn half_of_powers(b: &mut Backward, d: &Array, sign: f64) -> Ruling<Array> {
    let x = b.input(0)?;
    let opposite = b.emit.neg(&x);
    let (up, down) = (b.emit.map("Exp", &x), b.emit.map("Exp", &opposite));
    let down = b.emit.scale(&down, sign);
    let sum = b.emit.add(&up, &down);
    let slope = b.emit.scale(&sum, 0.5);
    Ok(b.times(d, &slope))
}

pub(in crate::ops) fn asinh(b: &mut Backward, d: &Array) -> Ruling<Array> {
    b.over_root(d, 1.0, 1.0, 1.0)
}

pub(in crate::ops) fn acosh(b: &mut Backward, d: &Array) -> Ruling<Array> {
    b.over_root(d, -1.0, 1.0, 1.0)
}

pub(in crate::ops) fn atanh(b: &mut Backward, d: &Array) -> Ruling<Array> {
    over_square(b, d, -1.0)
}
