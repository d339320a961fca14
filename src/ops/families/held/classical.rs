//! Classical machine learning (`ai.onnx.ml`): features before a network, classes behind it.

use super::{Held, axis, like, output};
use crate::axes::Extent;
use crate::onnx::ElementType;
use crate::ops::adjoints::{Adjoint, classical as back};
use crate::ops::row::FLOAT;
use crate::ops::typing::{Ruling, Typing};
use crate::ops::{Elements, Row, ml};

const LABELS: &[Elements] = &[
    Elements::Listed("classlabels_ints", ElementType::Int64),
    Elements::Listed("classlabels_int64s", ElementType::Int64),
    Elements::Listed("classlabels_strings", ElementType::String),
];
const VALUES: &[Elements] = &[
    Elements::Listed("values_int64s", ElementType::Int64),
    Elements::Listed("values_strings", ElementType::String),
    Elements::Listed("values_floats", ElementType::Float),
];

const CLASSICAL: &str =
    "it is one of classical machine learning, of which norms and linear ones alone have gradients";

pub(super) const ROWS: &[Row] = &[
    ml("Scaler", |op| like(op, 0))
        .slope(back::scaler)
        .of_elements(FLOAT),
    ml("Normalizer", |op| like(op, 0))
        .slope(back::normalizer)
        .of_elements(FLOAT),
    ml("Imputer", |op| like(op, 0)).stops(CLASSICAL),
    ml("Binarizer", |op| like(op, 0)).adjoint(Adjoint::Zero),
    ml("LabelEncoder", |op| like(op, 0))
        .adjoint(Adjoint::Zero)
        .of_elements(VALUES),
    ml("CategoryMapper", |op| like(op, 0))
        .adjoint(Adjoint::Zero)
        .of_elements(&[]),
    ml("ArrayFeatureExtractor", extractor).stops(CLASSICAL),
    ml("OneHotEncoder", one_hot)
        .adjoint(Adjoint::Zero)
        .of_elements(FLOAT),
    ml("FeatureVectorizer", vectorizer)
        .stops(CLASSICAL)
        .of_elements(FLOAT),
    ml("LinearRegressor", |op| regressor(op, "targets"))
        .slope(back::linear_regressor)
        .of_elements(FLOAT),
    ml("SVMRegressor", |op| regressor(op, "n_targets"))
        .stops(CLASSICAL)
        .of_elements(FLOAT),
    ml("TreeEnsembleRegressor", |op| regressor(op, "n_targets"))
        .adjoint(Adjoint::Zero)
        .of_elements(FLOAT),
    ml("TreeEnsemble", |op| regressor(op, "n_targets")).adjoint(Adjoint::Zero),
    ml("LinearClassifier", classifier)
        .stops(CLASSICAL)
        .yields(1, ElementType::Float)
        .of_elements(LABELS),
    ml("SVMClassifier", classifier)
        .stops(CLASSICAL)
        .yields(1, ElementType::Float)
        .of_elements(LABELS),
    ml("TreeEnsembleClassifier", classifier)
        .adjoint(Adjoint::Zero)
        .yields(1, ElementType::Float)
        .of_elements(LABELS),
];

/// Positions of the last axis, as many as the second input names; rows where there is only one.
fn extractor(op: &mut Typing) -> Ruling {
    let held = Held::of(op);
    let mut out = held.at(0)?;
    let places = held.get(1).map(<[_]>::to_vec);
    let places = places.and_then(|axes| Extent::product(&op.extents(&axes)));
    if out.len() == 1 {
        output(op, 0, vec![Some(Extent::ONE), places]);
        return Ok(());
    }
    if let Some(last) = out.len().checked_sub(1) {
        out[last] = axis(op, 0, last, places);
    }
    op.output(0, out);
    Ok(())
}

/// One position more per category, at the end.
fn one_hot(op: &mut Typing) -> Ruling {
    let mut out = Held::of(op).at(0)?;
    let attributes = op.proto().attribute.iter();
    let categories = attributes.filter(|a| a.name().starts_with("cats_"));
    let count = categories.map(|a| a.ints.len().max(a.strings.len())).max();
    let place = out.len();
    out.push(axis(op, 0, place, count.map(Extent::from)));
    op.output(0, out);
    Ok(())
}

/// The number of samples: the first axis, or one where there is no other.
fn samples(op: &mut Typing, held: &Held) -> Option<Extent> {
    match held.get(0) {
        Some([rows, _, ..]) => Some(op.extent(rows)),
        Some([_]) => Some(Extent::ONE),
        _ => None,
    }
}

fn vectorizer(op: &mut Typing) -> Ruling {
    let held = Held::of(op);
    let rows = samples(op, &held);
    let widths = op.ints("inputdimensions");
    let sum = |widths: Vec<i64>| widths.into_iter().try_fold(0_i64, i64::checked_add);
    let width = widths.and_then(sum).filter(|&width| width > 0);
    output(op, 0, vec![rows, width.map(Extent::Known)]);
    Ok(())
}

fn regressor(op: &mut Typing, targets: &str) -> Ruling {
    let held = Held::of(op);
    let rows = samples(op, &held);
    let targets = Extent::Known(op.int(targets, 1).max(1));
    output(op, 0, vec![rows, Some(targets)]);
    Ok(())
}

/// The labels, then a score for every class.
fn classifier(op: &mut Typing) -> Ruling {
    let held = Held::of(op);
    let rows = samples(op, &held);
    let attributes = op.proto().attribute.iter();
    let labels = attributes.filter(|a| a.name().starts_with("classlabels_"));
    let count = labels.map(|a| a.ints.len().max(a.strings.len())).max();
    let count = count.filter(|&count| count > 1).map(Extent::from);
    output(op, 0, vec![rows.clone()]);
    output(op, 1, vec![rows, count]);
    Ok(())
}
