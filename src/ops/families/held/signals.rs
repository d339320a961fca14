//! Spectra, windows of signals, texts, and numbers made from nothing.

use super::quantised::pairwise;
use super::{HELD, Held, axis, like, output, ranks};
use crate::axes::Extent;
use crate::onnx::ElementType;
use crate::ops::adjoints::{Adjoint, losses, signals as back};
use crate::ops::row::{BOOL, FLOAT};
use crate::ops::typing::{Ruling, Typing, Unsupported, axis_of};
use crate::ops::{Elements, Row, row};

const CHOSEN: &[Elements] = &[
    Elements::Attribute("output_datatype"),
    Elements::Always(ElementType::Float),
];
const RANDOM: &[Elements] = &[
    Elements::Attribute("dtype"),
    Elements::Always(ElementType::Float),
];

pub(super) const ROWS: &[Row] = &[
    row("DFT", |op| dft(op, false)).slope(back::dft).until(19),
    row("DFT", |op| dft(op, true)).slope(back::dft).since(20),
    row("STFT", stft).gives(back::stft),
    row("MelWeightMatrix", mel)
        .adjoint(Adjoint::Zero)
        .of_elements(CHOSEN),
    row("HannWindow", window)
        .adjoint(Adjoint::Zero)
        .of_elements(CHOSEN),
    row("HammingWindow", window)
        .adjoint(Adjoint::Zero)
        .of_elements(CHOSEN),
    row("BlackmanWindow", window)
        .adjoint(Adjoint::Zero)
        .of_elements(CHOSEN),
    row("RandomNormal", random)
        .adjoint(Adjoint::Zero)
        .of_elements(RANDOM),
    row("RandomUniform", random)
        .adjoint(Adjoint::Zero)
        .of_elements(RANDOM),
    row("RegexFullMatch", |op| like(op, 0))
        .adjoint(Adjoint::Zero)
        .of_elements(BOOL),
    row("StringNormalizer", normalised_texts).adjoint(Adjoint::Zero),
    row("TfIdfVectorizer", features)
        .adjoint(Adjoint::Zero)
        .of_elements(FLOAT),
    row("StringConcat", |op| pairwise(op, [0, 1])).adjoint(Adjoint::Zero),
    row("StringSplit", split)
        .adjoint(Adjoint::Zero)
        .yields(1, ElementType::Int64),
    row("OptionalHasElement", |op| ranks(op, &[0]))
        .adjoint(Adjoint::Zero)
        .of_elements(BOOL),
    row("NegativeLogLikelihoodLoss", loss).gives(losses::log_likelihood),
    row("SoftmaxCrossEntropyLoss", loss).gives(losses::cross_entropy),
];

fn number(op: &mut Typing, slot: usize) -> Option<Extent> {
    op.integers(slot)?.first().cloned().flatten()
}

/// X[.., 1 or 2]: real numbers, or with an imaginary part.
fn dft(op: &mut Typing, axis_is_input: bool) -> Ruling {
    let mut out = Held::of(op).at(0)?;
    let length = number(op, 1);
    let place = match axis_is_input {
        false => Some(op.int("axis", 1)),
        true if op.value(2).is_none() => Some(-2),
        true => number(op, 2).and_then(|n| n.known()),
    };
    let last = out
        .len()
        .checked_sub(1)
        .ok_or(Unsupported("its data has rank 0"))?;
    let one_sided = op.int("onesided", 0) != 0;
    let inverse = op.int("inverse", 0) != 0;
    match place {
        Some(place) => {
            let place = axis_of(place, out.len())?;
            let given = length.is_some();
            let length = length.unwrap_or_else(|| op.extent(&out[place]));
            let size = match (one_sided, inverse) {
                (false, _) => Some(length),
                (true, false) => half_spectrum(op, &length),
                (true, true) if given => Some(length),
                (true, true) => length
                    .sub(&Extent::ONE)
                    .and_then(|n| n.mul(&Extent::Known(2))),
            };
            out[place] = axis(op, 0, place, size);
        }
        None => {
            for (place, ty) in out.iter_mut().enumerate().take(last) {
                *ty = axis(op, 0, place, None);
            }
        }
    }
    let parts = if one_sided && inverse { 1 } else { 2 };
    out[last] = op.fixed(Extent::Known(parts), HELD);
    op.output(0, out);
    Ok(())
}

/// Frequencies of a real signal that differ.
fn half_spectrum(op: &mut Typing, length: &Extent) -> Option<Extent> {
    let half = op.state.symbols.floor_div(length, &Extent::Known(2))?;
    half.add(&Extent::ONE)
}

/// Signal[batch, length, 1 or 2] to Y[batch, frames, frequencies, 2].
fn stft(op: &mut Typing) -> Ruling {
    let held = Held::of(op);
    let signal = held.at(0)?;
    let [batch, length] = [0, 1].map(|place| signal.get(place).map(|ty| op.extent(ty)));
    let step = number(op, 1);
    let window = held.get(2).and_then(|axes| axes.first()).cloned();
    let frame = number(op, 3).or_else(|| window.map(|axis| op.extent(&axis)));
    let frames = length.zip(frame.clone()).zip(step);
    let frames = frames.and_then(|((length, frame), step)| {
        let steps = op.state.symbols.floor_div(&length.sub(&frame)?, &step)?;
        steps.add(&Extent::ONE)
    });
    let frequencies = match op.int("onesided", 1) {
        0 => frame,
        _ => frame.and_then(|frame| half_spectrum(op, &frame)),
    };
    output(
        op,
        0,
        vec![batch, frames, frequencies, Some(Extent::Known(2))],
    );
    Ok(())
}

/// Frequencies by bands.
fn mel(op: &mut Typing) -> Ruling {
    Held::of(op);
    let (bands, length) = (number(op, 0), number(op, 1));
    let frequencies = length.and_then(|length| half_spectrum(op, &length));
    output(op, 0, vec![frequencies, bands]);
    Ok(())
}

fn window(op: &mut Typing) -> Ruling {
    Held::of(op);
    let size = number(op, 0);
    output(op, 0, vec![size]);
    Ok(())
}

fn random(op: &mut Typing) -> Ruling {
    let shape = op.ints("shape").ok_or(Unsupported("it has no shape"))?;
    let sizes = shape.into_iter().map(|size| Some(Extent::Known(size)));
    output(op, 0, sizes.collect());
    Ok(())
}

/// Texts of a list, or of a matrix of one row, without those that are stop words.
fn normalised_texts(op: &mut Typing) -> Ruling {
    let mut out = Held::of(op).at(0)?;
    let mut attributes = op.proto().attribute.iter();
    let stops = attributes.any(|a| a.name() == "stopwords" && !a.strings.is_empty());
    if let Some(last) = out.len().checked_sub(1).filter(|_| stops) {
        out[last] = axis(op, 0, last, None);
    }
    op.output(0, out);
    Ok(())
}

/// Texts to numbers of what they hold, one axis.
fn features(op: &mut Typing) -> Ruling {
    let mut out = Held::of(op).at(0)?;
    let indexes = op.ints("ngram_indexes").unwrap_or_default().into_iter();
    let width = indexes.max().and_then(|last| last.checked_add(1));
    out.truncate(out.len().saturating_sub(1));
    let place = out.len();
    out.push(axis(op, 0, place, width.map(Extent::Known)));
    op.output(0, out);
    Ok(())
}

/// The pieces of each text, and how many they are.
fn split(op: &mut Typing) -> Ruling {
    let x = Held::of(op).at(0)?;
    let mut out = x.clone();
    out.push(axis(op, 0, x.len(), None));
    op.output(0, out);
    op.output(1, x);
    Ok(())
}

/// One number, or one per sample where nothing is reduced; then the logarithms of the probabilities.
fn loss(op: &mut Typing) -> Ruling {
    let held = Held::of(op);
    let reduced = op.string("reduction", "mean") != "none";
    let out = if reduced { Vec::new() } else { held.at(1)? };
    op.output(0, out);
    if let Some(scores) = held.get(0) {
        op.output(1, scores.to_vec());
    }
    Ok(())
}
