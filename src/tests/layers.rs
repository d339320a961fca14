//! Layers of every operator family: rows and columns are right if the Gram matrices of the inputs give the
//! energy of the outputs, `sum |Y|^2 = sum over batches of tr(W G W^T)`, as onnxruntime computes them.

mod changed;
mod fused;

use super::builder::{Builder, Size, Value, analyse};
use super::rules::runtime;
use crate::data::{DataSet, DataSource, declared_inputs};
use crate::dimensions::Analysis;
use crate::events::Silent;
use crate::layers::{Layer, Layers};
use crate::masks::Weights;
use crate::onnx::{ElementType, Model};
use crate::runtime::Provider;
use crate::statistics::{Statistic, Statistics, Walk};

const SAMPLES: usize = 6;

fn data(analysis: &Analysis) -> DataSet<'_> {
    let source = DataSource::Random {
        samples: SAMPLES,
        seed: 7,
    };
    DataSet::open(&source, &declared_inputs(analysis), analysis, 4).expect("random data")
}

/// Statistics of all layers; `each` may give a layer new bytes.
fn measure(
    analysis: &Analysis,
    layers: &[&Layer],
    wanted: Statistic,
    in_order: bool,
    each: &mut dyn FnMut(usize) -> Option<Vec<u8>>,
) -> Vec<Statistics> {
    let runtime = runtime();
    let data = data(analysis);
    let walk = Walk {
        analysis,
        runtime: &runtime,
        provider: Provider::Cpu,
        data: &data,
        in_order,
    };
    let mut out = vec![Statistics::default(); layers.len()];
    let mut keep = |place: usize, statistics: Statistics| {
        out[place] = statistics;
        Ok(each(place))
    };
    walk.run(layers, &[wanted], &mut keep, &mut Silent)
        .expect("calibration");
    out
}

/// The only statistic that was measured.
fn sums(statistics: &Statistics) -> &[Vec<f64>] {
    statistics.found.values().next().expect("a statistic")
}

fn weights(analysis: &Analysis, layer: &Layer) -> Weights {
    Weights::of(analysis.graph().constant(layer.value).expect("a constant")).expect("weights")
}

/// Sum of the squares of the model's outputs over the data.
fn energy(model: &Model, analysis: &Analysis) -> f64 {
    let data = data(analysis);
    let mut session = runtime().session(model, "the model").expect("a session");
    let mut sum = 0.0;
    for number in 0..data.batches() {
        let outputs = session
            .run(&data.batch(number).expect("a batch").inputs)
            .expect("a run");
        sum += outputs[0].1.to_f64().iter().map(|x| x * x).sum::<f64>();
    }
    sum
}

/// `tr(W G W^T)` over all batches.
fn predicted(layer: &Layer, weights: &Weights, statistics: &Statistics) -> f64 {
    let matrix = layer.gather(&weights.values());
    let width = layer.columns();
    let rows = matrix.chunks_exact(width).enumerate();
    let terms = rows.map(|(number, row)| {
        let gram = &statistics.of(Statistic::Products)[number / layer.rows()];
        let product = |i: usize| {
            (0..width)
                .map(|j| gram[i * width + j] * f64::from(row[j]))
                .sum::<f64>()
        };
        (0..width)
            .map(|i| f64::from(row[i]) * product(i))
            .sum::<f64>()
    });
    terms.sum()
}

/// The one layer of a model predicts the energy of its output.
fn check(name: &str, model: Builder) {
    let model = model.output("y").model();
    let analysis = analyse(&model);
    let found = Layers::of(&analysis);
    assert_eq!(found.layers.len(), 1, "{name}: {:?}", found.left);
    let layer = &found.layers[0];
    let weights = weights(&analysis, layer);
    assert_eq!(
        layer.batches() * layer.rows() * layer.columns(),
        weights.len(),
        "{name}"
    );
    let grams = measure(&analysis, &[layer], Statistic::Products, false, &mut |_| {
        None
    });
    let (expected, found) = (
        energy(&model, &analysis),
        predicted(layer, &weights, &grams[0]),
    );
    assert!(
        (expected - found).abs() < 1e-4 * expected,
        "{name}: {found} instead of {expected}"
    );
    let norms = measure(&analysis, &[layer], Statistic::Squares, false, &mut |_| {
        None
    });
    let width = layer.columns();
    for (gram, norms) in sums(&grams[0]).iter().zip(sums(&norms[0])) {
        for (column, norm) in norms.iter().enumerate() {
            let square = gram[column * width + column];
            assert!(
                (square - norm).abs() <= 1e-5 * square.abs().max(1.0),
                "{name}: column {column}"
            );
        }
    }
}

fn images(channels: i64) -> Builder {
    let sizes: [Size; 4] = ["n".into(), channels.into(), 7.into(), 6.into()];
    Builder::new(17).input_of("x", ElementType::Float, &sizes)
}

fn rows(sizes: &[i64]) -> Builder {
    let mut all: Vec<Size> = vec!["n".into()];
    all.extend(sizes.iter().map(|&size| Size::from(size)));
    Builder::new(17).input_of("x", ElementType::Float, &all)
}

#[test]
fn gram_matrices_predict_the_energy_of_convolutions() {
    let conv = |w: &[usize]| images(6).weight("w", w);
    let window = [
        ("strides", [2, 1].into()),
        ("pads", [1, 0, 1, 2].into()),
        ("dilations", [1, 2].into()),
    ];
    check("plain", conv(&[5, 6, 3, 3]).node("Conv", "x w -> y", &[]));
    check(
        "strided, padded, dilated",
        conv(&[5, 6, 3, 2]).node("Conv", "x w -> y", &window),
    );
    check(
        "same",
        conv(&[5, 6, 3, 3]).node("Conv", "x w -> y", &[("auto_pad", "SAME_UPPER".into())]),
    );
    check(
        "pointwise",
        conv(&[5, 6, 1, 1]).node("Conv", "x w -> y", &[]),
    );
    check(
        "strided pointwise",
        conv(&[5, 6, 1, 1]).node("Conv", "x w -> y", &[("strides", [2, 2].into())]),
    );
    check(
        "grouped",
        conv(&[8, 3, 3, 3]).node("Conv", "x w -> y", &[("group", 2.into())]),
    );
    check(
        "depthwise",
        conv(&[12, 1, 3, 3]).node("Conv", "x w -> y", &[("group", 6.into())]),
    );
    let blocks = [("strides", [2, 2].into())];
    check(
        "transposed",
        conv(&[6, 5, 2, 2]).node("ConvTranspose", "x w -> y", &blocks),
    );
    let grouped = [("strides", [2, 2].into()), ("group", 3.into())];
    check(
        "grouped, transposed",
        conv(&[6, 5, 2, 2]).node("ConvTranspose", "x w -> y", &grouped),
    );
    let old = Builder::new(11).input_of("x", ElementType::Float, &["n".into(), 4.into(), 9.into()]);
    check(
        "one axis, old opset",
        old.weight("w", &[5, 4, 3]).node("Conv", "x w -> y", &[]),
    );
    let new = Builder::new(21).input_of("x", ElementType::Float, &["n".into(), 4.into(), 9.into()]);
    check(
        "one axis, new opset",
        new.weight("w", &[5, 4, 3]).node("Conv", "x w -> y", &[]),
    );
}

#[test]
fn gram_matrices_predict_the_energy_of_products() {
    let gemm = |w: &[usize]| rows(&[6]).weight("w", w);
    check("Gemm", gemm(&[6, 5]).node("Gemm", "x w -> y", &[]));
    check(
        "Gemm, turned",
        gemm(&[5, 6]).node("Gemm", "x w -> y", &[("transB", 1.into())]),
    );
    let left = gemm(&[6, 5]).node(
        "Gemm",
        "w x -> y",
        &[("transA", 1.into()), ("transB", 1.into())],
    );
    check("Gemm, weight first", left);
    check(
        "MatMul",
        rows(&[4, 6])
            .weight("w", &[6, 5])
            .node("MatMul", "x w -> y", &[]),
    );
    check(
        "MatMul, weight first",
        rows(&[6, 4])
            .weight("w", &[5, 6])
            .node("MatMul", "w x -> y", &[]),
    );
    check(
        "MatMul, vector",
        rows(&[4, 6])
            .weight("w", &[6])
            .node("MatMul", "x w -> y", &[]),
    );
    check(
        "MatMul, batches",
        rows(&[3, 4, 6])
            .weight("w", &[3, 6, 5])
            .node("MatMul", "x w -> y", &[]),
    );
    check(
        "MatMul, two batch axes",
        rows(&[2, 3, 4, 6])
            .weight("w", &[2, 3, 6, 5])
            .node("MatMul", "x w -> y", &[]),
    );
    check(
        "MatMul, data for all",
        rows(&[1, 4, 6])
            .weight("w", &[3, 6, 5])
            .node("MatMul", "x w -> y", &[]),
    );
    check(
        "MatMul, weight for all",
        rows(&[3, 4, 6])
            .weight("w", &[1, 6, 5])
            .node("MatMul", "x w -> y", &[]),
    );
    let einsum = |equation| [("equation", Value::Text(equation))];
    check(
        "Einsum",
        rows(&[4, 6])
            .weight("w", &[5, 6])
            .node("Einsum", "x w -> y", &einsum("nti,oi->nto")),
    );
    let heads = rows(&[4, 3, 6]).weight("w", &[3, 6, 5]);
    check(
        "Einsum, two sums",
        heads
            .clone()
            .node("Einsum", "x w -> y", &einsum("nthd,hde->nte")),
    );
    check(
        "Einsum, batches",
        heads.node("Einsum", "x w -> y", &einsum("nthd,hde->nthe")),
    );
}

#[test]
fn weights_are_found_behind_what_rearranges_them() {
    let turned =
        rows(&[4, 6])
            .weight("w", &[5, 6])
            .node("Transpose", "w -> t", &[("perm", [1, 0].into())]);
    check("Transpose", turned.node("MatMul", "x t -> y", &[]));
    let shaped =
        rows(&[4, 6])
            .weight("w", &[30])
            .ints("s", &[5, 6])
            .node("Reshape", "w s -> r", &[]);
    check(
        "Reshape and Transpose",
        shaped
            .node("Transpose", "r -> t", &[])
            .node("MatMul", "x t -> y", &[]),
    );
    let raised =
        images(6)
            .weight("w", &[5, 6])
            .ints("axes", &[2, 3])
            .node("Unsqueeze", "w axes -> u", &[]);
    check("Unsqueeze", raised.node("Conv", "x u -> y", &[]));
}

#[test]
fn recurrent_layers_have_input_and_hidden_weights() {
    let sizes: [Size; 3] = [3.into(), "n".into(), 5.into()];
    let model = Builder::new(17)
        .input_of("x", ElementType::Float, &sizes)
        .weight("w", &[2, 12, 5])
        .weight("r", &[2, 12, 4])
        .node(
            "GRU",
            "x w r -> - h",
            &[
                ("hidden_size", 4.into()),
                ("direction", "bidirectional".into()),
            ],
        )
        .output("h")
        .model();
    let analysis = analyse(&model);
    let found = Layers::of(&analysis);
    let names: Vec<&str> = found
        .layers
        .iter()
        .map(|layer| layer.name.as_str())
        .collect();
    assert_eq!(names, ["w", "r"]);
    let sizes = |layer: &Layer| [layer.batches(), layer.rows(), layer.columns()];
    assert_eq!(sizes(&found.layers[0]), [2, 12, 5]);
    assert_eq!(sizes(&found.layers[1]), [2, 12, 4]);
    let layers: Vec<&Layer> = found.layers.iter().collect();
    let statistics = measure(&analysis, &layers, Statistic::Squares, true, &mut |_| None);
    // All directions read the same inputs, each its own states; the states are not connected to anything.
    assert_eq!(sums(&statistics[0])[0], sums(&statistics[0])[1]);
    assert_ne!(sums(&statistics[1])[0], sums(&statistics[1])[1]);
    assert!(sums(&statistics[1]).iter().flatten().all(|&sum| sum > 0.0));
}

#[test]
fn other_readers_keep_a_weight_from_being_a_layer() {
    let model = rows(&[6, 6])
        .weight("both", &[6, 6])
        .weight("scale", &[6])
        .node("MatMul", "x both -> a", &[])
        .node("Add", "a both -> b", &[])
        .node("Mul", "b scale -> y", &[])
        .output("y");
    let found = Layers::of(&analyse(&model.clone().model()));
    assert!(found.layers.is_empty());
    let reasons: Vec<&str> = found
        .left
        .iter()
        .map(|weight| weight.reason.as_str())
        .collect();
    assert!(
        reasons[0].starts_with("Add does not sum over it"),
        "{reasons:?}"
    );
    assert!(
        reasons[1].starts_with("Mul does not sum over it"),
        "{reasons:?}"
    );
}
