//! Products of 8-bit codes in any model: whose sums overflow 16 bits, and which onnxruntime really computes on codes.

use std::path::Path;

use super::builder::{Attributes, Builder, Size, Value, analyse};
use super::quantise::every;
use super::rules::runtime;
use crate::data::{DataSet, DataSource, declared_inputs};
use crate::dimensions::Analysis;
use crate::engine::Pass;
use crate::events::Silent;
use crate::layers::Layer;
use crate::onnx::ElementType::{Float, Int8, Uint8};
use crate::onnx::{ElementType, Model, from_raw, to_f32};
use crate::quantise::{QuantiseSettings, Quantised, Subject, WeightBits, quantise};
use crate::runtime::{IntegerSums, Optimisation, Provider, SessionOptions, Tensor};
use crate::validate::{Fusion, fused};

/// Codes of a weight by place.
type Codes = fn(usize) -> i8;

/// A weight of 127 at every other place in memory.
const EVERY_OTHER: Codes = |at| if at.is_multiple_of(2) { 127 } else { 0 };
const ALL: Codes = |_| 127;

fn coded(builder: Builder, name: &str, dims: &[usize], codes: Codes) -> Builder {
    let count: usize = dims.iter().product();
    let bytes: Vec<u8> = (0..count).map(|at| codes(at) as u8).collect();
    builder.tensor(from_raw(name, Int8, dims, bytes))
}

fn scalars(builder: Builder) -> Builder {
    let scale = |name: &str, number: f32| from_raw(name, Float, &[], number.to_le_bytes().to_vec());
    builder
        .tensor(scale("s", 1.0 / 255.0))
        .tensor(scale("ws", 0.01))
        .tensor(scale("ys", 0.05))
        .tensor(from_raw("z", Uint8, &[], vec![0]))
        .tensor(from_raw("wz", Int8, &[], vec![0]))
}

/// A weight of codes between QuantizeLinear and DequantizeLinear.
fn between(
    operator: &str,
    sizes: &[i64],
    dims: &[usize],
    codes: Codes,
    attributes: Attributes,
) -> Model {
    let builder = scalars(Builder::new(17).input("x", sizes));
    coded(builder, "w", dims, codes)
        .node("QuantizeLinear", "x s z -> xq", &[])
        .node("DequantizeLinear", "xq s z -> xd", &[])
        .node("DequantizeLinear", "w ws wz -> wd", &[])
        .node(operator, "xd wd -> y", attributes)
        .node("QuantizeLinear", "y ys z -> yq", &[])
        .node("DequantizeLinear", "yq ys z -> out", &[])
        .output("out")
        .model()
}

/// By weight its rows, and those that overflow.
fn rows(model: &Model) -> Vec<(String, usize, usize)> {
    let analysis = analyse(model);
    let layers = Layer::coded(&analysis).into_iter();
    let rows = layers.map(|layer| {
        let tensor = analysis.graph().constant(layer.value).expect("a constant");
        let codes = to_f32(tensor).expect("numbers").into_iter();
        let codes = layer.gather(&codes.map(|code| code as i32).collect::<Vec<i32>>());
        let overflow = layer.saturable(&codes);
        (layer.name.clone(), layer.batches() * layer.rows(), overflow)
    });
    rows.collect()
}

fn found(rows: usize, overflow: usize) -> Vec<(String, usize, usize)> {
    vec![("w".to_owned(), rows, overflow)]
}

/// Each as kernels for AVX2 without VNNI compute it: neighbours are channels at one place, then the next place.
#[test]
fn rows_overflow_where_neighbours_are_large() {
    let images = |channels: i64| [1, channels, 8, 8];
    let conv = |channels, dims: &[usize], codes| {
        rows(&between("Conv", &images(channels), dims, codes, &[]))
    };
    assert_eq!(conv(4, &[8, 4, 3, 3], ALL), found(8, 8));
    assert_eq!(conv(4, &[8, 4, 3, 3], |_| 64), found(8, 0));
    assert_eq!(conv(4, &[8, 4, 3, 3], |_| -65), found(8, 8));
    // Channels 0 and 2, or 1 and 2, are no neighbours.
    let channels: [Codes; 2] = [
        |at| if at / 9 % 2 == 0 { 127 } else { 0 },
        |at| if matches!(at / 9 % 4, 1 | 2) { 127 } else { 0 },
    ];
    for codes in channels {
        assert_eq!(conv(4, &[8, 4, 3, 3], codes), found(8, 0));
    }
    // Of three channels, the last of a place and the first of the next are.
    let ends: Codes = |at| if at / 9 % 3 == 1 { 0 } else { 127 };
    assert_eq!(conv(3, &[8, 3, 3, 3], ends), found(8, 8));
    // Of one channel, places are.
    assert_eq!(conv(1, &[8, 1, 3, 3], ALL), found(8, 8));
    let places: Codes = |at| if (at % 9).is_multiple_of(2) { 127 } else { 0 };
    assert_eq!(conv(1, &[8, 1, 3, 3], places), found(8, 0));
    // Opposite signs do not add up.
    let signs: Codes = |at| if at / 9 % 2 == 0 { 127 } else { -128 };
    assert_eq!(conv(4, &[8, 4, 3, 3], signs), found(8, 0));
    let groups = [("group", Value::Int(8))];
    let grouped =
        |dims: &[usize], channels| rows(&between("Conv", &images(channels), dims, ALL, &groups));
    assert_eq!(grouped(&[8, 1, 3, 3], 8), found(8, 0), "depthwise");
    assert_eq!(
        grouped(&[16, 1, 3, 3], 8),
        found(16, 16),
        "two filters each"
    );
    assert_eq!(grouped(&[16, 2, 3, 3], 16), found(16, 16), "grouped");
    let product = |codes| rows(&between("MatMul", &[4, 6], &[6, 5], codes, &[]));
    assert_eq!(product(ALL), found(5, 5));
    // Columns of a matrix are rows of the layer: large ones stand apart.
    assert_eq!(
        product(|at| if at / 5 % 2 == 0 { 127 } else { 0 }),
        found(5, 0)
    );
    let one: Codes = |at| if at % 5 == 3 { 127 } else { 0 };
    assert_eq!(product(one), found(5, 1));
}

/// The rows of a weight, of 127 at every other place, in an operator that reads codes of a type.
fn on_codes(
    data: ElementType,
    sizes: &[i64],
    dims: &[usize],
    operator: &str,
    wiring: &str,
) -> Vec<(String, usize, usize)> {
    let sizes: Vec<Size> = sizes.iter().map(|&size| size.into()).collect();
    let builder = scalars(Builder::new(17).input_of("x", data, &sizes));
    let contrib = operator == "QGemm";
    let turned = [("transB", Value::Int(1))];
    let attributes: Attributes = if contrib { &turned } else { &[] };
    let mut builder = coded(builder, "w", dims, EVERY_OTHER)
        .node(operator, wiring, attributes)
        .output_of("y", data);
    if contrib {
        builder.graph_proto().node[0].domain = Some("com.microsoft".to_owned());
    }
    rows(&builder.model())
}

#[test]
fn operators_on_codes_are_found_as_well() {
    let images = [1, 4, 8, 8];
    let linear = "x s z w ws wz ys z -> y";
    let conv = |data| on_codes(data, &images, &[8, 4, 1, 2], "QLinearConv", linear);
    assert_eq!(conv(Uint8), found(8, 8));
    assert_eq!(conv(Int8), []);
    let product = |dims| on_codes(Uint8, &[4, 6], dims, "QLinearMatMul", linear);
    assert_eq!(product(&[6, 5]), found(5, 0));
    assert_eq!(product(&[6, 4]), found(4, 2));
    let sums = |operator, sizes: &[i64], dims: &[usize]| {
        on_codes(Uint8, sizes, dims, operator, "x w z wz -> y")
    };
    assert_eq!(sums("MatMulInteger", &[4, 6], &[6, 4]), found(4, 2));
    // Rows of a transposed matrix have their neighbours side by side.
    let gemm = |dims| on_codes(Uint8, &[4, 6], dims, "QGemm", "x s z w ws wz -> y");
    assert_eq!(gemm(&[5, 6]), found(5, 0));
    // A weight that comes first is multiplied otherwise.
    let left = "w ws wz x s z ys z -> y";
    assert_eq!(on_codes(Uint8, &[6, 4], &[4, 6], "QLinearMatMul", left), []);
    assert_eq!(sums("ConvInteger", &images, &[8, 4, 1, 2]), []);
}

#[test]
fn what_is_no_product_of_codes_with_sign_is_not_reported() {
    // Weights alone are codes: the product is one of real numbers.
    let stored = coded(
        scalars(Builder::new(17).input("x", &[4, 6])),
        "w",
        &[6, 5],
        ALL,
    )
    .node("DequantizeLinear", "w ws wz -> wd", &[])
    .node("MatMul", "x wd -> y", &[])
    .output("y");
    assert_eq!(rows(&stored.model()), []);
    let cast = coded(Builder::new(17).input("x", &[4, 6]), "w", &[6, 5], ALL)
        .node("Cast", "w -> wd", &[("to", Value::Int(1))])
        .node("MatMul", "x wd -> y", &[])
        .output("y");
    assert_eq!(rows(&cast.model()), []);
    let mut unsigned = between("MatMul", &[4, 6], &[6, 5], ALL, &[]);
    let graph = unsigned.proto.graph.as_mut().expect("a graph");
    for tensor in &mut graph.initializer {
        if ["w", "wz"].contains(&tensor.name()) {
            tensor.data_type = Some(Uint8.number());
        }
    }
    assert_eq!(rows(&unsigned), []);
    let real = Builder::new(17)
        .input("x", &[4, 6])
        .weight("w", &[6, 5])
        .node("MatMul", "x w -> y", &[])
        .output("y");
    assert_eq!(rows(&real.model()), []);
}

/// What a model of large codes makes of ones.
fn run(model: &Model, sums: IntegerSums, optimisation: Optimisation) -> Vec<f64> {
    let options = SessionOptions {
        sums,
        optimisation,
        ..SessionOptions::default()
    };
    let session = runtime().session_with(model, "the model", &options);
    let ones = Tensor::Float(ndarray::ArrayD::ones(vec![4, 6]));
    let outputs = session.expect("a session").run(&[("x".to_owned(), ones)]);
    outputs.expect("a run")[0].1.to_f64()
}

#[test]
fn exact_sums_are_those_of_real_numbers_on_every_processor() {
    let model = between("MatMul", &[4, 6], &[6, 5], ALL, &[]);
    let real = run(&model, IntegerSums::Fast, Optimisation::Off);
    assert_eq!(run(&model, IntegerSums::Exact, Optimisation::Full), real);
    // Whether the others overflow depends on the processor; if they do, they are smaller.
    let fast = run(&model, IntegerSums::Fast, Optimisation::Full);
    assert!(fast.iter().zip(&real).all(|(fast, real)| fast <= real));
}

fn quantised(analysis: &Analysis, settings: &QuantiseSettings) -> Quantised {
    let source = DataSource::Random {
        samples: 10,
        seed: 1,
    };
    let data = DataSet::open(&source, &declared_inputs(analysis), analysis, 1);
    let data = data.expect("data").in_batches(1);
    let pass = Pass {
        runtime: &runtime(),
        provider: &Provider::Cpu,
        data: &data,
    };
    quantise(&Subject::alone(analysis), settings, pass, &mut Silent).expect("a quantised model")
}

fn fusion(found: &Quantised) -> Fusion {
    let names = found.weights.iter().map(|of| of.name.as_str());
    fused(&found.model, names, &runtime()).expect("the rewritten model")
}

#[test]
fn all_layers_of_trained_models_become_products_of_codes() {
    for (name, layers) in [("vit_fashion", 18), ("bert_spam", 14)] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/trained");
        let model = Model::load(path.join(format!("{name}.onnx"))).expect("a model");
        let found = quantised(&analyse(&model), &every());
        let fusion = fusion(&found);
        assert_eq!((fusion.planned, fusion.integer), (layers, layers), "{name}");
        assert_eq!(fusion.rest, [], "{name}");
    }
}

/// Onnxruntime makes one operator of a product and what is added to it, which needs a bias of codes.
#[test]
fn a_product_and_a_sum_behind_it_are_one_product_of_codes() {
    let builder = Builder::new(17)
        .input("x", &[1, 6])
        .weight("w1", &[6, 8])
        .weight("b1", &[8])
        .weight("w2", &[8, 5])
        .node("MatMul", "x w1 -> m", &[])
        .node("Add", "b1 m -> a", &[])
        .node("Tanh", "a -> t", &[])
        .node("MatMul", "t w2 -> y", &[])
        .output("y");
    let found = quantised(&analyse(&builder.model()), &every());
    assert!(found.weights.iter().all(|weight| weight.bias.is_some()));
    let fusion = fusion(&found);
    assert_eq!((fusion.integer, fusion.rest), (2, Vec::new()));
}

#[test]
fn a_layer_that_does_not_fuse_is_named_with_who_reads_it() {
    let pads = &[("pads", Value::from([1, 1, 1, 1]))];
    // How far the first cut goes, the data says: no rounding can take its place.
    let builder = Builder::new(17)
        .input("x", &[1, 4, 8, 8])
        .weight("w1", &[8, 4, 3, 3])
        .weight("w2", &[8, 8, 3, 3])
        .weight("w3", &[8, 5])
        .weight("b3", &[5])
        .tensor(from_raw("low", Float, &[], vec![0; 4]))
        .node("ReduceMax", "x -> high", &[("keepdims", Value::Int(0))])
        .node("Conv", "x w1 -> c1", pads)
        .node("Clip", "c1 low high -> r1", &[])
        .node("Conv", "r1 w2 -> c2", pads)
        .node("Relu", "c2 -> r2", &[])
        .node("GlobalAveragePool", "r2 -> p", &[])
        .node("Flatten", "p -> f", &[])
        .node("Gemm", "f w3 b3 -> y", &[])
        .output("y");
    let settings = QuantiseSettings {
        weights: Some(WeightBits::Eight),
        ..every()
    };
    let found = quantised(&analyse(&builder.model()), &settings);
    let fusion = fusion(&found);
    assert_eq!((fusion.planned, fusion.integer), (3, 2), "{fusion:?}");
    assert_eq!(fusion.rest[0].name, "w1");
    let reason = &fusion.rest[0].reason;
    assert!(
        reason.contains("at every run") && reason.contains("Conv"),
        "{reason}"
    );
    // Every file can be looked at, and the rows that overflow are those that were counted when it was written.
    for (name, _, overflow) in rows(&found.model) {
        assert_eq!(found.saturable[&name], overflow, "{name}");
    }
    assert!(found.saturable["w1"] > 0);
}
