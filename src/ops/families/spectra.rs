//! Spectra: the axis along which they are taken keeps its positions, all others pass.

use crate::axes::{Extent, Type};
use crate::ops::adjoints::signals as back;
use crate::ops::typing::{Ruling, Typing, Unsupported, axis_of};
use crate::ops::{Row, row};

pub(in crate::ops) const ROWS: &[Row] = &[
    row("DFT", |op| dft(op, false)).slope(back::dft).until(19),
    row("DFT", |op| dft(op, true)).slope(back::dft).since(20),
    row("STFT", stft).gives(back::stft),
];

const SPECTRUM: &str = "is taken to a spectrum";

/// The first of an input's numbers, where it can be computed.
pub(in crate::ops) fn number(op: &mut Typing, slot: usize) -> Option<Extent> {
    op.integers(slot)?.first().cloned().flatten()
}

/// Frequencies of a real signal that differ.
pub(in crate::ops) fn half_spectrum(op: &mut Typing, length: &Extent) -> Option<Extent> {
    let half = op.state.symbols.floor_div(length, &Extent::Known(2))?;
    half.add(&Extent::ONE)
}

/// X[.., 1 or 2]: real numbers, or with an imaginary part.
fn dft(op: &mut Typing, axis_is_input: bool) -> Ruling {
    let x = op.input(0)?;
    let last = x
        .len()
        .checked_sub(1)
        .ok_or(Unsupported("its data has rank 0"))?;
    let place = match axis_is_input {
        false => Some(op.int("axis", 1)),
        true if op.value(2).is_none() => Some(-2),
        true => number(op, 2).and_then(|n| n.known()),
    };
    let place = place.map(|place| axis_of(place, x.len())).transpose()?;
    let mut out = x.clone();
    // Any of them where the axis is computed.
    let pinned: Vec<usize> = place.map_or_else(|| (0..last).collect(), |place| vec![place]);
    for &axis in &pinned {
        op.pin(&x[axis], SPECTRUM);
        let size = place.and_then(|_| spectrum(op, &x[axis]));
        out[axis] = op.sized((0, axis), size, SPECTRUM);
    }
    op.pin(&x[last], "is real or imaginary");
    let one_sided = op.int("onesided", 0) != 0 && op.int("inverse", 0) != 0;
    let parts = if one_sided { 1 } else { 2 };
    out[last] = op.fixed(Extent::Known(parts), SPECTRUM);
    op.output(0, out);
    Ok(())
}

/// Positions of the spectrum along an axis.
fn spectrum(op: &mut Typing, axis: &Type) -> Option<Extent> {
    let given = number(op, 1);
    let is_given = given.is_some();
    let length = given.unwrap_or_else(|| op.extent(axis));
    match (op.int("onesided", 0) != 0, op.int("inverse", 0) != 0) {
        (false, _) => Some(length),
        (true, false) => half_spectrum(op, &length),
        (true, true) if is_given => Some(length),
        (true, true) => {
            let others = length.sub(&Extent::ONE)?;
            others.mul(&Extent::Known(2))
        }
    }
}

/// Signal[batch, length, 1 or 2] to Y[batch, frames, frequencies, 2].
fn stft(op: &mut Typing) -> Ruling {
    let signal = op.input(0)?;
    let [samples, length, parts] = &signal[..] else {
        return Err(Unsupported("its signal has an unusual rank"));
    };
    op.pin_all(&[length.clone(), parts.clone()], SPECTRUM);
    let window = op.optional(2)?.unwrap_or_default();
    op.pin_all(&window, "is a window of a signal");
    let step = number(op, 1);
    let frame = number(op, 3).or_else(|| window.first().map(|axis| op.extent(axis)));
    let length = op.extent(length);
    let frames = frame.clone().zip(step).and_then(|(frame, step)| {
        let steps = op.state.symbols.floor_div(&length.sub(&frame)?, &step)?;
        steps.add(&Extent::ONE)
    });
    let frequencies = match op.int("onesided", 1) {
        0 => frame,
        _ => frame.and_then(|frame| half_spectrum(op, &frame)),
    };
    let mut out = vec![samples.clone()];
    let sizes = [frames, frequencies, Some(Extent::Known(2))];
    for (place, size) in sizes.into_iter().enumerate() {
        out.push(op.sized((0, place + 1), size, SPECTRUM));
    }
    op.output(0, out);
    Ok(())
}
