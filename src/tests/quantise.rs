//! Quantised models: the proof finds every damage, and codes stand where the operators' rows say.

use std::collections::HashMap;
use std::sync::LazyLock;

use bytes::Bytes;

use super::builder::{Builder, Value, analyse};
use super::rules::runtime;
use crate::data::{DataSet, DataSource, declared_inputs};
use crate::dimensions::Analysis;
use crate::engine::Pass;
use crate::events::Silent;
use crate::graph::Graph;
use crate::onnx::proto::{GraphProto, NodeProto, TensorProto};
use crate::onnx::{Model, packed_bytes};
use crate::patterns::Patterns;
use crate::quantise::{
    CodeRules, CodeSites, KernelTarget, QuantiseSettings, Quantised, Subject, WeightBits, folded,
    quantise, store,
};
use crate::runtime::Provider;
use crate::validate::{PlacedFor, same_structure, verify_integers};

/// Two convolutions with a residual sum between them, pooled, and a classifier.
pub(super) fn net() -> Analysis {
    let pads = &[("pads", Value::from([1, 1, 1, 1]))];
    let builder = Builder::new(17)
        .input("x", &[8, 3, 8, 8])
        .weight("w1", &[8, 3, 3, 3])
        .weight("b1", &[8])
        .weight("w2", &[8, 8, 3, 3])
        .weight("b2", &[8])
        .weight("w3", &[8, 5])
        .weight("b3", &[5])
        .node("Conv", "x w1 b1 -> c1", pads)
        .node("Relu", "c1 -> r1", &[])
        .node("Conv", "r1 w2 b2 -> c2", pads)
        .node("Add", "c2 r1 -> s", &[])
        .node("Relu", "s -> r2", &[])
        .node("GlobalAveragePool", "r2 -> p", &[])
        .node("Flatten", "p -> f", &[])
        .node("Gemm", "f w3 b3 -> y", &[])
        .output("y");
    analyse(&builder.model())
}

/// All layers, however small.
pub(super) fn every() -> QuantiseSettings {
    QuantiseSettings {
        every_layer: true,
        ..QuantiseSettings::default()
    }
}

pub(super) fn wanted<'a>(kept: &'a Patterns<'a>) -> CodeRules<'a> {
    static NONE: LazyLock<HashMap<String, String>> = LazyLock::new(HashMap::new);
    CodeRules {
        kept,
        dear: &NONE,
        every: true,
        target: KernelTarget::Cpu,
    }
}

pub(super) fn data(analysis: &Analysis) -> DataSet<'_> {
    let source = DataSource::Random {
        samples: 40,
        seed: 1,
    };
    let set = DataSet::open(&source, &declared_inputs(analysis), analysis, 1);
    set.expect("data").in_batches(8)
}

pub(super) fn quantised(analysis: &Analysis, settings: &QuantiseSettings) -> Quantised {
    let data = data(analysis);
    let pass = Pass {
        runtime: &runtime(),
        provider: &Provider::Cpu,
        data: &data,
    };
    quantise(&Subject::alone(analysis), settings, pass, &mut Silent).expect("a quantised model")
}

/// The net, and what became of it.
static WHOLE: LazyLock<(Analysis, Quantised)> = LazyLock::new(|| {
    let analysis = net();
    let found = quantised(&analysis, &every());
    (analysis, found)
});

fn is_proven(analysis: &Analysis, found: &Quantised, written: &Model) -> bool {
    is_proven_with(analysis, found, written, &["y"], PlacedFor::Onnxruntime)
}

/// True if the proof passes, with products that make these values as real numbers.
pub(super) fn is_proven_with(
    analysis: &Analysis,
    found: &Quantised,
    written: &Model,
    products: &[&str],
    kernels: PlacedFor,
) -> bool {
    let batch = data(analysis).batch(0).expect("a batch");
    let products: Vec<String> = products.iter().map(|&name| name.to_owned()).collect();
    verify_integers(
        &found.planned,
        written,
        &products,
        &batch,
        &runtime(),
        kernels,
    )
    .is_ok()
}

#[test]
fn codes_stand_behind_chains_and_before_products() {
    let analysis = net();
    let none = Patterns::new(std::iter::empty()).expect("patterns");
    let placement = CodeSites::of(&analysis, &wanted(&none));
    let graph = analysis.graph();
    let name = |value| graph.value(value).name.as_str();
    let rounded: Vec<&str> = placement.rounded.keys().map(|&value| name(value)).collect();
    for value in ["x", "r1", "c2", "r2", "p", "f"] {
        assert!(
            rounded.contains(&value),
            "{value} is not rounded: {rounded:?}"
        );
    }
    assert_eq!(rounded.len(), 6);
    let class = |of: &str| placement.rounded[&graph.find(of).expect("a value")];
    // Codes pass through Flatten, and not through a mean.
    assert_eq!(class("p"), class("f"));
    assert_ne!(class("r2"), class("p"));
    assert_eq!(placement.layers.len(), 3);
}

#[test]
fn weights_that_nodes_rearrange_become_constants() {
    let builder = Builder::new(17)
        .input("x", &[8, 6])
        .weight("w", &[5, 6])
        .node("Transpose", "w -> t", &[])
        .node("MatMul", "x t -> y", &[])
        .output("y");
    let analysis = analyse(&builder.model());
    let none = Patterns::new(std::iter::empty()).expect("patterns");
    assert!(CodeSites::of(&analysis, &wanted(&none)).layers.is_empty());
    let model = folded(&analysis, &runtime()).expect("it is folded");
    let model = model.expect("there is something to fold").settled();
    let folded = analyse(&model);
    assert_eq!(folded.graph().node_count(), 1);
    assert_eq!(CodeSites::of(&folded, &wanted(&none)).layers.len(), 1);
    let inputs = data(&analysis).batch(0).expect("a batch").inputs;
    let run = |model: &Model| {
        let mut session = runtime().session(model, "the model").expect("a session");
        session.run(&inputs).expect("a run")
    };
    assert_eq!(run(&model), run(analysis.graph().model()));
}

#[test]
fn what_is_kept_stays_real() {
    let analysis = net();
    let settings = QuantiseSettings {
        keep: vec!["w2".to_owned()],
        ..every()
    };
    let found = quantised(&analysis, &settings);
    assert_eq!(found.weights.len(), 2);
    assert_eq!(found.placement().real.len(), 1);
    assert!(is_proven(&analysis, &found, &found.model));
}

#[test]
fn seven_bits_cannot_overflow_and_eight_can() {
    let (_, found) = &*WHOLE;
    assert!(found.saturable.values().all(|&rows| rows == 0));
    let analysis = net();
    let settings = QuantiseSettings {
        weights: Some(WeightBits::Eight),
        ..every()
    };
    let found = quantised(&analysis, &settings);
    assert!(found.saturable.values().any(|&rows| rows > 0));
}

/// The node that makes a value.
fn maker<'a>(graph: &'a mut GraphProto, output: &str) -> &'a mut NodeProto {
    let mut nodes = graph.node.iter_mut();
    let made = nodes.find(|node| node.output.iter().any(|name| name == output));
    made.expect("a node")
}

/// The node that reads a value first.
fn reader<'a>(graph: &'a mut GraphProto, input: &str) -> &'a mut NodeProto {
    let mut nodes = graph.node.iter_mut();
    let read = nodes.find(|node| node.input.iter().any(|name| name == input));
    read.expect("a node")
}

fn change(graph: &mut GraphProto, name: &str, change: &dyn Fn(&mut Vec<u8>)) {
    let mut tensors = graph.initializer.iter_mut();
    let tensor = tensors.find(|tensor| tensor.name() == name);
    let tensor: &mut TensorProto = tensor.expect("an initializer");
    let mut bytes = packed_bytes(tensor).expect("bytes").to_vec();
    change(&mut bytes);
    tensor.raw_data = Some(Bytes::from(bytes));
}

fn scaled(factor: f32) -> impl Fn(&mut Vec<u8>) {
    move |bytes| {
        let number = f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        bytes[..4].copy_from_slice(&(number * factor).to_le_bytes());
    }
}

type Damage = (&'static str, fn(&mut GraphProto));

/// The second input, the scale, of what makes numbers of the codes of a constant.
fn scale_of(graph: &mut GraphProto, codes: &str) -> String {
    reader(graph, codes).input[1].clone()
}

fn rounding_of(graph: &mut GraphProto, value: &str) -> Vec<String> {
    let code = maker(graph, value).input[0].clone();
    maker(graph, &code).input.clone()
}

/// The node that makes what is rounded to a value.
fn product<'a>(graph: &'a mut GraphProto, value: &str) -> &'a mut NodeProto {
    let real = rounding_of(graph, value)[0].clone();
    maker(graph, &real)
}

const DAMAGES: &[Damage] = &[
    ("a scale of a row", |graph| {
        let scale = scale_of(graph, "w2");
        change(graph, &scale, &scaled(1.05));
    }),
    ("scales of rows exchanged", |graph| {
        let scale = scale_of(graph, "w2");
        change(graph, &scale, &|bytes| bytes.rotate_left(4));
    }),
    ("the axis of the scales", |graph| {
        reader(graph, "w2").attribute[0].i = Some(1);
    }),
    ("a code with the other sign", |graph| {
        change(graph, "w2", &|bytes| {
            let most = bytes.iter().position(|&code| (code as i8).abs() > 30);
            let most = most.expect("a large code");
            bytes[most] = (-(bytes[most] as i8)) as u8;
        });
    }),
    ("codes one row on", |graph| {
        change(graph, "w1", &|bytes| bytes.rotate_left(27));
    }),
    ("a window turned around", |graph| {
        change(graph, "w2", &|bytes| {
            bytes.chunks_mut(9).for_each(<[u8]>::reverse);
        });
    }),
    ("codes that ran over", |graph| {
        change(graph, "w2", &|bytes| {
            bytes
                .iter_mut()
                .for_each(|code| *code = code.wrapping_mul(3));
        });
    }),
    ("a transposed classifier", |graph| {
        change(graph, "w3", &|bytes| {
            let old = bytes.clone();
            for (at, code) in bytes.iter_mut().enumerate() {
                *code = old[(at % 8) * 5 + at / 8];
            }
        });
    }),
    ("a scale of a bias", |graph| {
        let scale = scale_of(graph, "b2");
        change(graph, &scale, &|bytes| bytes.rotate_left(12));
    }),
    ("a bias that is zero", |graph| {
        change(graph, "b2", &|bytes| bytes.fill(0));
    }),
    ("a bias one row on", |graph| {
        change(graph, "b3", &|bytes| bytes.rotate_left(4));
    }),
    ("a bias of another layer", |graph| {
        let other = reader(graph, "b1").output[0].clone();
        product(graph, "c2").input[2] = other;
    }),
    ("the sign of a scale", |graph| {
        let scale = scale_of(graph, "w1");
        change(graph, &scale, &scaled(-1.0));
    }),
    ("a scale of a value, on both sides", |graph| {
        let scale = rounding_of(graph, "r1")[1].clone();
        change(graph, &scale, &scaled(1.1));
    }),
    ("a scale of a value, on one side", |graph| {
        let other = rounding_of(graph, "r2")[1].clone();
        maker(graph, "r1").input[1] = other;
    }),
    ("a zero point of a weight", |graph| {
        let zero = reader(graph, "w2").input[2].clone();
        change(graph, &zero, &|bytes| bytes[1] = 3);
    }),
    ("a zero point", |graph| {
        let zero = rounding_of(graph, "c2")[2].clone();
        change(graph, &zero, &|bytes| bytes[0] = bytes[0].wrapping_add(9));
    }),
    ("no zero point where numbers are made again", |graph| {
        maker(graph, "c2").input.truncate(2);
    }),
    ("a value that is not rounded", |graph| {
        let real = rounding_of(graph, "r1")[0].clone();
        let sum = reader(graph, "c2");
        let place = sum.input.iter().position(|name| name == "r1");
        sum.input[place.expect("the shortcut")] = real;
    }),
    ("other pads", |graph| {
        product(graph, "c2").attribute[0].ints = vec![2, 0, 1, 1];
    }),
    ("a sum of the same twice", |graph| {
        let sum = reader(graph, "c2");
        sum.input = vec!["c2".to_owned(), "c2".to_owned()];
    }),
    ("codes of one value read as another's", |graph| {
        let code = maker(graph, "c2").input[0].clone();
        maker(graph, "r1").input[0] = code;
    }),
];

#[test]
fn every_damage_of_a_written_model_is_found() {
    let (analysis, found) = &*WHOLE;
    assert!(is_proven(analysis, found, &found.model));
    assert!(DAMAGES.len() >= 20);
    for (what, damage) in DAMAGES {
        let mut proto = found.model.proto.clone();
        let graph = proto.graph.as_mut().expect("a graph");
        damage(graph);
        let written = found.model.with(proto, found.model.lazy.clone());
        let same = same_structure(&found.planned, &written, &found.weights, 64);
        assert!(same.is_err(), "the same structure: {what}");
        let written = Graph::new(&written).map(Graph::into_model);
        let proven = written.is_ok_and(|written| is_proven(analysis, found, &written));
        assert!(!proven, "not found: {what}");
    }
    let same = same_structure(&found.planned, &found.model, &found.weights, 64);
    assert!(same.is_ok(), "{same:?}");
}

#[test]
fn stored_weights_are_the_numbers_that_codes_stand_for() {
    let analysis = net();
    let settings = QuantiseSettings {
        weight_only: true,
        ..every()
    };
    let stored = store(&analysis, &settings, None, &mut Silent).expect("a stored model");
    assert_eq!(stored.weights.len(), 3);
    let data = data(&analysis);
    let inputs = data.batch(0).expect("a batch").inputs;
    let run = |model: &Model| {
        let mut session = runtime().session(model, "the model").expect("a session");
        session.run(&inputs).expect("a run")
    };
    assert_eq!(run(&stored.planned), run(&stored.model));
}
