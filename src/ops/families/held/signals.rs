//! Windows of signals, texts, losses, and numbers made from nothing.

use super::{DRAWN, Held, axis, like, output, ranks};
use crate::axes::Extent;
use crate::onnx::ElementType;
use crate::ops::adjoints::{Adjoint, losses};
use crate::ops::families::elementwise::broadcast_sizes;
use crate::ops::families::spectra::{half_spectrum, number};
use crate::ops::row::{BOOL, FLOAT};
use crate::ops::typing::{Ruling, Typing, Unsupported};
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
        .draws()
        .adjoint(Adjoint::Zero)
        .of_elements(RANDOM),
    row("RandomUniform", random)
        .draws()
        .adjoint(Adjoint::Zero)
        .of_elements(RANDOM),
    row("RegexFullMatch", |op| like(op, 0))
        .adjoint(Adjoint::Zero)
        .of_elements(BOOL),
    row("StringNormalizer", normalised_texts).adjoint(Adjoint::Zero),
    row("TfIdfVectorizer", features)
        .adjoint(Adjoint::Zero)
        .of_elements(FLOAT),
    row("StringConcat", pairwise).adjoint(Adjoint::Zero),
    row("StringSplit", split)
        .adjoint(Adjoint::Zero)
        .yields(1, ElementType::Int64),
    row("OptionalHasElement", |op| ranks(op, &[0]))
        .adjoint(Adjoint::Zero)
        .of_elements(BOOL),
    row("NegativeLogLikelihoodLoss", loss).gives(losses::log_likelihood),
    row("SoftmaxCrossEntropyLoss", loss).gives(losses::cross_entropy),
];

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
    let sizes = shape.into_iter().map(Extent::Known);
    let axes = sizes.map(|size| op.fixed(size, DRAWN)).collect();
    op.output(0, axes);
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

/// Elements of two inputs, broadcast.
fn pairwise(op: &mut Typing) -> Ruling {
    let held = Held::of(op);
    let (a, b) = (op.extents(&held.at(0)?), op.extents(&held.at(1)?));
    let sizes = broadcast_sizes(&[&a, &b]);
    output(op, 0, sizes);
    Ok(())
}
