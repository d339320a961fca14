//! Spectra: linear, so that the gradient is the conjugate transform.

use super::{Backward, must};
use crate::graph::Array;
use crate::ops::typing::{Ruling, Unsupported, axis_of};

/// The longest frame of a signal: frames are added up by a matrix of its size.
const LONGEST_FRAME: usize = 2048;
/// Elements of all frames that are taken out of a signal.
const MOST_ELEMENTS: usize = 1 << 24;
const UNUSUAL: &str = "an input has an unusual shape";

/// One number of an input or attribute.
fn number(b: &Backward, slot: usize, attribute: &str) -> Ruling<Option<i64>> {
    let list = b.integers(slot, attribute)?;
    Ok(list.and_then(|list| list.first().copied()))
}

pub(in crate::ops) fn dft(b: &mut Backward, d: &Array) -> Ruling<Array> {
    let x = b.input(0)?;
    let [inverse, one_sided] = ["inverse", "onesided"].map(|name| b.int(name, 0) != 0);
    must(
        !(inverse && one_sided),
        "it makes real numbers of half a spectrum",
    )?;
    let place = match b.emit.opset() {
        ..=19 => b.int("axis", 1),
        _ => number(b, 2, "")?.unwrap_or(-2),
    };
    let axis = axis_of(place, x.rank())?;
    must(axis + 1 < x.rank() && d.rank() == x.rank(), UNUSUAL)?;
    let size = x.sizes[axis];
    let length = match number(b, 1, "")? {
        Some(length) => usize::try_from(length).map_err(|_| Unsupported(UNUSUAL))?,
        None => size,
    };
    let back = conjugate(b, d, axis, length, inverse)?;
    let mut pads = vec![0; x.rank()];
    pads[axis] = size as i64 - length as i64;
    let fitted = b.emit.pad(&back, &vec![0; x.rank()], &pads);
    real_part(b, &fitted, &x)
}

/// The transform back of all frequencies, those left out being zero, without the division by their number.
fn conjugate(
    b: &mut Backward,
    d: &Array,
    axis: usize,
    length: usize,
    inverse: bool,
) -> Ruling<Array> {
    must(d.sizes[axis] <= length && length > 0, UNUSUAL)?;
    let whole = b.emit.placed(d, axis, 0, length);
    let made = b.emit.spectrum(&whole, axis, !inverse);
    let count = length as f64;
    let factor = if inverse { 1.0 / count } else { count };
    Ok(b.emit.scale(&made, factor))
}

/// Where the data has no imaginary part its gradient has none.
fn real_part(b: &mut Backward, made: &Array, x: &Array) -> Ruling<Array> {
    let last = x.rank() - 1;
    match (x.sizes[last], made.sizes[last]) {
        (1, 2) => Ok(b.emit.part(made, last, 0, 1)),
        (own, made_size) if own == made_size => Ok(made.clone()),
        _ => Err(Unsupported(UNUSUAL)),
    }
}

/// Signal, step, window, length of a frame: the spectrum of each frame, times the window.
pub(in crate::ops) fn stft(b: &mut Backward) -> Ruling {
    let (d, x) = (b.cotangent()?, b.input(0)?);
    let (&[batch, size, 1], &[_, frames, _, _]) = (&x.sizes[..], &d.sizes[..]) else {
        return Err(Unsupported("its signal has an imaginary part"));
    };
    let window = match b.has(2) {
        true => Some(b.input(2)?),
        false => None,
    };
    let step = number(b, 1, "")?.and_then(|step| usize::try_from(step).ok());
    let step = step.filter(|&step| step > 0).ok_or(Unsupported(UNUSUAL))?;
    let length = match number(b, 3, "")? {
        Some(length) => usize::try_from(length).map_err(|_| Unsupported(UNUSUAL))?,
        None => window.as_ref().map_or(0, Array::count),
    };
    must(
        (1..=LONGEST_FRAME).contains(&length),
        "its frames are very long",
    )?;
    let end = frames
        .saturating_sub(1)
        .saturating_mul(step)
        .saturating_add(length);
    must(frames > 0 && end <= size && d.sizes[2] <= length, UNUSUAL)?;
    let rows = b.emit.reshape(&d, &[batch * frames, d.sizes[2], 2]);
    let back = conjugate(b, &rows, 1, length, false)?;
    let real = b.emit.part(&back, 2, 0, 1);
    let real = b.emit.reshape(&real, &[batch, frames, length]);
    if b.needs(2) {
        must(
            frames.saturating_mul(length) <= MOST_ELEMENTS,
            "its frames are very many",
        )?;
        let signal = b.emit.reshape(&x, &[batch, size]);
        let cut = b.emit.frames(&signal, frames, step, length);
        let product = b.emit.mul(&real, &cut);
        let given = b.emit.sum(&product, &[0, 1], false);
        b.give(2, &given)?;
    }
    if b.needs(0) {
        let shaped = match &window {
            Some(window) => b.emit.mul(&real, window),
            None => real,
        };
        let added = b.emit.overlapped(&shaped, step);
        let given = b.emit.placed(&added, 2, 0, size);
        let given = b.emit.reshape(&given, &x.sizes);
        b.give(0, &given)?;
    }
    Ok(())
}
