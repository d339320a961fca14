//! Classical machine learning (`ai.onnx.ml`): features before a network, classes behind it. Numbers of features stand
//! in attributes, so that these stay; samples pass, and features where all have the same number.

use crate::axes::{Extent, Type};
use crate::onnx::ElementType;
use crate::ops::adjoints::{Adjoint, classical as back};
use crate::ops::row::FLOAT;
use crate::ops::typing::{Ruling, Typing, Unsupported};
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

const IMPUTED: &[&str] = &["imputed_value_floats", "imputed_value_int64s"];

const CLASSICAL: &str =
    "it is one of classical machine learning, of which norms and linear ones alone have gradients";

pub(in crate::ops) const ROWS: &[Row] = &[
    ml("Scaler", |op| by_feature(op, &["offset", "scale"]))
        .slope(back::scaler)
        .of_elements(FLOAT),
    ml("Normalizer", features)
        .slope(back::normalizer)
        .of_elements(FLOAT),
    ml("Imputer", |op| by_feature(op, IMPUTED)).stops(CLASSICAL),
    ml("Binarizer", elementwise).adjoint(Adjoint::Zero),
    ml("LabelEncoder", elementwise)
        .adjoint(Adjoint::Zero)
        .of_elements(VALUES),
    ml("CategoryMapper", elementwise)
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

const FEATURE: &str = "is a feature that attributes say numbers of";
const NUMBERED: &str = "is counted by attributes";

/// Y[..] = f(X[..]), the same function everywhere.
fn elementwise(op: &mut Typing) -> Ruling {
    let x = op.input(0)?;
    for axis in &x {
        op.nonlinear(axis, "applies a function to each element");
    }
    op.output(0, x);
    Ok(())
}

/// As [`elementwise`], where none of these attributes has a number of its own for each feature.
fn by_feature(op: &mut Typing, lists: &[&str]) -> Ruling {
    let attributes = op.proto().attribute.iter();
    let own = attributes.filter(|list| lists.contains(&list.name()));
    let most = own.map(|list| list.floats.len().max(list.ints.len())).max();
    if most.is_some_and(|most| most > 1) {
        return features(op);
    }
    elementwise(op)
}

/// Each sample by itself, all its features together.
fn features(op: &mut Typing) -> Ruling {
    let x = op.input(0)?;
    held_features(op, &x);
    op.output(0, x);
    Ok(())
}

/// Pins all axes but that of the samples, the first of several.
fn held_features(op: &mut Typing, x: &[Type]) {
    op.pin_all(&x[usize::from(x.len() > 1)..], FEATURE);
    if let [samples, _, ..] = x {
        op.nonlinear(samples, FEATURE);
    }
}

/// An axis of the output: of this size, or of one that cannot be computed.
fn axis(op: &mut Typing, (slot, place): (usize, usize), size: Option<Extent>) -> Type {
    op.sized((slot, place), size, NUMBERED)
}

/// Positions of the last axis, as many as the second input names; rows where there is only one.
fn extractor(op: &mut Typing) -> Ruling {
    let (x, places) = (op.input(0)?, op.input(1)?);
    op.pin_all(&places, "holds positions");
    let count = Extent::product(&op.extents(&places));
    let (last, rest) = x.split_last().ok_or(Unsupported("its data has rank 0"))?;
    op.positions(1, last);
    op.pin(last, "is selected from by index");
    let mut out = match rest {
        [] => vec![op.fixed(Extent::ONE, "has size 1")],
        rest => rest.to_vec(),
    };
    let place = out.len();
    out.push(axis(op, (0, place), count));
    op.output(0, out);
    Ok(())
}

/// One position more per category, at the end.
fn one_hot(op: &mut Typing) -> Ruling {
    elementwise(op)?;
    let mut out = op.input(0)?;
    let attributes = op.proto().attribute.iter();
    let categories = attributes.filter(|a| a.name().starts_with("cats_"));
    let count = categories.map(|a| a.ints.len().max(a.strings.len())).max();
    let place = out.len();
    out.push(axis(op, (0, place), count.map(Extent::from)));
    op.output(0, out);
    Ok(())
}

/// The axis of the samples of the data: the first one, or one of size 1 where there is no other.
fn samples(op: &mut Typing) -> Ruling<Type> {
    let x = op.input(0)?;
    held_features(op, &x);
    match &x[..] {
        [samples, _, ..] => Ok(samples.clone()),
        [_] => Ok(op.fixed(Extent::ONE, "has size 1")),
        [] => Err(Unsupported("its data has rank 0")),
    }
}

fn vectorizer(op: &mut Typing) -> Ruling {
    let rows = samples(op)?;
    for slot in 1..op.input_count() {
        let other = op.input(slot)?;
        held_features(op, &other);
        if let [samples, _, ..] = &other[..] {
            op.unify(&rows, samples);
        }
    }
    let widths = op.ints("inputdimensions");
    let sum = |widths: Vec<i64>| widths.into_iter().try_fold(0_i64, i64::checked_add);
    let width = widths.and_then(sum).filter(|&width| width > 0);
    let columns = axis(op, (0, 1), width.map(Extent::Known));
    op.output(0, vec![rows, columns]);
    Ok(())
}

fn regressor(op: &mut Typing, targets: &str) -> Ruling {
    let rows = samples(op)?;
    let targets = Extent::Known(op.int(targets, 1).max(1));
    let columns = axis(op, (0, 1), Some(targets));
    op.output(0, vec![rows, columns]);
    Ok(())
}

/// The labels, then a score for every class.
fn classifier(op: &mut Typing) -> Ruling {
    let rows = samples(op)?;
    let attributes = op.proto().attribute.iter();
    let labels = attributes.filter(|a| a.name().starts_with("classlabels_"));
    let count = labels.map(|a| a.ints.len().max(a.strings.len())).max();
    let count = count.filter(|&count| count > 1).map(Extent::from);
    op.output(0, vec![rows.clone()]);
    let columns = axis(op, (1, 1), count);
    op.output(1, vec![rows, columns]);
    Ok(())
}
