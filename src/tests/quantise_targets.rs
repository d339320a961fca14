//! Models quantised for other kernels: where codes stand, of which type they are, and that the proof sees both.

use std::collections::{BTreeSet, HashMap};

use super::builder::{Builder, Value, analyse};
use super::quantise::{every, is_proven_with, net, quantised};
use super::rules::runtime;
use crate::dimensions::Analysis;
use crate::onnx::proto::{GraphProto, NodeProto};
use crate::onnx::{ElementType, Model, from_raw, packed, to_f32};
use crate::patterns::Patterns;
use crate::quantise::{
    CodeRules, CodeSites, KernelTarget, QuantiseSettings, Quantised, WeightBits,
};
use crate::validate::{PlacedFor, fused, same_structure};

fn settings(target: KernelTarget) -> QuantiseSettings {
    QuantiseSettings { target, ..every() }
}

fn sites(analysis: &Analysis, target: KernelTarget) -> CodeSites {
    let none = Patterns::new(std::iter::empty()).expect("patterns");
    CodeSites::of(
        analysis,
        &CodeRules {
            kept: &none,
            dear: &HashMap::new(),
            every: true,
            target,
        },
    )
}

/// The names of the values that are rounded.
fn rounded(analysis: &Analysis, target: KernelTarget) -> BTreeSet<&str> {
    let values = sites(analysis, target).rounded;
    let names = values.keys();
    names
        .map(|&value| analysis.graph().value(value).name.as_str())
        .collect()
}

/// Hidden layers with a bias each way that there is.
fn mlp() -> Analysis {
    let builder = Builder::new(17)
        .input("x", &[8, 6])
        .weight("w1", &[6, 16])
        .weight("b1", &[16])
        .weight("w2", &[16, 12])
        .weight("b2", &[12])
        .weight("w3", &[12, 5])
        .node("MatMul", "x w1 -> m1", &[])
        .node("Add", "m1 b1 -> a1", &[])
        .node("Relu", "a1 -> r1", &[])
        .node("Gemm", "r1 w2 b2 -> g2", &[])
        .node("Relu", "g2 -> r2", &[])
        .node("MatMul", "r2 w3 -> y", &[])
        .output("y");
    analyse(&builder.model())
}

/// A convolution beside a wider shortcut, pooled before the next.
fn wide() -> Analysis {
    let pads = &[("pads", Value::from([1, 1, 1, 1]))];
    let pool = &[("kernel_shape", Value::from([2, 2]))];
    let builder = Builder::new(17)
        .input("x", &[8, 4, 8, 8])
        .weight("w1", &[8, 4, 3, 3])
        .weight("w2", &[8, 8, 3, 3])
        .weight("wd", &[8, 4, 1, 1])
        .weight("w3", &[4, 8, 3, 3])
        .node("Conv", "x w1 -> c1", pads)
        .node("Relu", "c1 -> r1", &[])
        .node("Conv", "r1 w2 -> c2", pads)
        .node("Conv", "x wd -> d", &[])
        .node("Add", "c2 d -> s", &[])
        .node("Relu", "s -> r2", &[])
        .node("MaxPool", "r2 -> p", pool)
        .node("Conv", "p w3 -> y", pads)
        .output("y");
    analyse(&builder.model())
}

#[test]
fn tensorrt_rounds_before_products_and_beside_a_sum() {
    let names = |all: &[&'static str]| all.iter().copied().collect::<BTreeSet<_>>();
    let analysis = net();
    let found = rounded(&analysis, KernelTarget::Tensorrt);
    // Nothing behind the convolutions; from the classifier up across Flatten, not across the mean.
    assert_eq!(found, names(&["x", "r1", "p", "f"]));
    let analysis = mlp();
    assert_eq!(
        rounded(&analysis, KernelTarget::Tensorrt),
        names(&["x", "r1", "r2"])
    );
    let analysis = wide();
    let found = sites(&analysis, KernelTarget::Tensorrt);
    // Of two convolutions that are added up the shortcut has codes, which go up across the pool.
    assert_eq!(
        rounded(&analysis, KernelTarget::Tensorrt),
        names(&["x", "r1", "d", "r2", "p"])
    );
    let class = |of: &str| found.rounded[&analysis.graph().find(of).expect("a value")];
    assert_eq!(class("r2"), class("p"));
    // The last convolution makes an output, which needs no codes.
    assert_eq!((found.layers.len(), found.real), (4, Vec::new()));
}

#[test]
fn symmetric_codes_stand_before_a_cut_as_well() {
    let analysis = net();
    let found = sites(&analysis, KernelTarget::Symmetric);
    let all = ["c1", "c2", "f", "p", "r1", "r2", "s", "x"];
    assert_eq!(rounded(&analysis, KernelTarget::Symmetric), all.into());
    let value = |of: &str| analysis.graph().find(of).expect("a value");
    assert_eq!(found.rounded[&value("c1")], found.rounded[&value("r1")]);
    assert_eq!(found.uncut, [value("c1"), value("s")].into());
    let analysis = mlp();
    let all = ["a1", "g2", "r1", "r2", "x"];
    assert_eq!(rounded(&analysis, KernelTarget::Symmetric), all.into());
}

fn graph(model: &Model) -> &GraphProto {
    model.proto.graph.as_ref().expect("a graph")
}

/// The zero point of a node that makes codes, or numbers of them, with its type.
fn zero(graph: &GraphProto, node: &NodeProto) -> Option<(ElementType, Vec<u8>)> {
    let name = node.input.get(2)?;
    let mut tensors = graph.initializer.iter();
    let tensor = tensors.find(|tensor| tensor.name() == name)?;
    let bytes = tensor.raw_data.as_ref().map(|bytes| bytes.to_vec());
    Some((ElementType::of(tensor.data_type())?, bytes?))
}

fn nodes<'a>(graph: &'a GraphProto, kind: &str) -> Vec<&'a NodeProto> {
    let nodes = graph.node.iter();
    nodes.filter(|node| node.op_type() == kind).collect()
}

fn element(graph: &GraphProto, name: &str) -> Option<ElementType> {
    let mut tensors = graph.initializer.iter();
    let tensor = tensors.find(|tensor| tensor.name() == name)?;
    ElementType::of(tensor.data_type())
}

#[test]
fn codes_have_a_sign_and_zero_stands_for_zero() {
    for (target, bias) in [
        (KernelTarget::Cpu, ElementType::Int32),
        (KernelTarget::Symmetric, ElementType::Int32),
        (KernelTarget::Tensorrt, ElementType::Float),
    ] {
        let found = quantised(&net(), &settings(target));
        let graph = graph(&found.model);
        let rounding = nodes(graph, "QuantizeLinear");
        assert!(!rounding.is_empty());
        for node in rounding {
            let (element, byte) = zero(graph, node).expect("a zero point");
            match target {
                KernelTarget::Cpu => assert_eq!(element, ElementType::Uint8),
                _ => assert_eq!((element, byte), (ElementType::Int8, vec![0])),
            }
        }
        for name in ["w1", "w2", "w3"] {
            assert_eq!(element(graph, name), Some(ElementType::Int8), "{target}");
        }
        for name in ["b1", "b2", "b3"] {
            assert_eq!(element(graph, name), Some(bias), "{target}");
        }
    }
}

#[test]
fn eight_bits_are_the_default_where_nothing_overflows() {
    assert_eq!(settings(KernelTarget::Cpu).weight_bits(), WeightBits::Seven);
    assert_eq!(
        settings(KernelTarget::Symmetric).weight_bits(),
        WeightBits::Seven
    );
    assert_eq!(
        settings(KernelTarget::Tensorrt).weight_bits(),
        WeightBits::Eight
    );
    let stored = QuantiseSettings {
        weight_only: true,
        ..settings(KernelTarget::Tensorrt)
    };
    let refused = stored.check(17, "").expect_err("numbers have no kernels");
    assert!(refused.to_string().contains("tensorrt"), "{refused}");
    assert!(settings(KernelTarget::Tensorrt).check(12, "").is_err());
    assert!(settings(KernelTarget::Tensorrt).check(13, "").is_ok());
}

#[test]
fn symmetric_codes_reach_the_kernels() {
    for (what, analysis, layers) in [("net", net(), 3), ("mlp", mlp(), 3), ("wide", wide(), 3)] {
        let found = quantised(&analysis, &settings(KernelTarget::Symmetric));
        let names = found.weights.iter().map(|of| of.name.as_str());
        let fusion = fused(&found.model, names, &runtime()).expect("the rewritten model");
        assert_eq!((fusion.planned, fusion.integer), (layers, layers), "{what}");
    }
}

/// What products make as real numbers, by target.
fn products(target: KernelTarget) -> &'static [&'static str] {
    match target {
        KernelTarget::Tensorrt => &["c1", "c2", "y"],
        _ => &["y"],
    }
}

/// The pair that makes a value: what makes its codes, and of what numbers are made again.
fn pair(graph: &GraphProto, value: &str) -> [usize; 2] {
    let makes = |graph: &GraphProto, name: &str| {
        let mut nodes = graph.node.iter();
        let place = nodes.position(|node| node.output.iter().any(|output| output == name));
        place.expect("a node")
    };
    let number = makes(graph, value);
    let code = graph.node[number].input[0].clone();
    [makes(graph, &code), number]
}

/// A damage by name.
type Damage<'a> = (&'static str, &'a dyn Fn(&mut GraphProto));

fn damaged(found: &Quantised, damage: &dyn Fn(&mut GraphProto)) -> Model {
    let mut proto = found.model.proto.clone();
    damage(proto.graph.as_mut().expect("a graph"));
    found.model.with(proto, found.model.lazy.clone())
}

#[test]
fn the_proof_holds_for_each_target_and_finds_damage() {
    let analysis = net();
    for target in [KernelTarget::Symmetric, KernelTarget::Tensorrt] {
        let found = quantised(&analysis, &settings(target));
        let kernels = match target {
            KernelTarget::Tensorrt => PlacedFor::Others,
            _ => PlacedFor::Onnxruntime,
        };
        let limit = settings(target).weight_bits().codes().limit;
        let holds =
            |written: &Model| is_proven_with(&analysis, &found, written, products(target), kernels);
        let same = |written: &Model| {
            same_structure(&found.planned, written, &found.weights, limit).is_ok()
        };
        assert!(holds(&found.model) && same(&found.model), "{target}");
        let unscaled = |graph: &mut GraphProto| {
            let other = graph.node[pair(graph, "f")[0]].input[1].clone();
            let [_, number] = pair(graph, "r1");
            graph.node[number].input[1] = other;
        };
        let unrounded = |graph: &mut GraphProto| {
            let [code, number] = pair(graph, "r1");
            let real = graph.node[code].input[0].clone();
            graph.node[number].op_type = Some("Identity".to_owned());
            graph.node[number].input = vec![real];
        };
        let turned = |graph: &mut GraphProto| {
            let mut nodes = graph.node.iter_mut();
            let sum = nodes.find(|node| node.op_type() == "Add").expect("a sum");
            sum.op_type = Some("Sub".to_owned());
        };
        let damages: [Damage; 3] = [
            ("another value's scale", &unscaled),
            ("real numbers", &unrounded),
            ("a difference", &turned),
        ];
        for (what, damage) in damages {
            let written = damaged(&found, damage);
            assert!(!same(&written), "{target}: the same with {what}");
            assert!(!holds(&written), "{target}: not found: {what}");
        }
    }
}

/// Two layers, the first with one channel that is much larger than the others, which the second reads as much smaller.
fn uneven() -> Analysis {
    const FACTOR: f32 = 300.0;
    let builder = Builder::new(17)
        .input("x", &[8, 6])
        .weight("w1", &[16, 6])
        .weight("b1", &[16])
        .weight("w2", &[5, 16])
        .weight("b2", &[5])
        .node("Gemm", "x w1 b1 -> g", &[("transB", Value::Int(1))])
        .node("Relu", "g -> r", &[])
        .node("Gemm", "r w2 b2 -> y", &[("transB", Value::Int(1))])
        .output("y");
    let model = builder.model();
    let mut proto = model.proto.clone();
    let graph = proto.graph.as_mut().expect("a graph");
    let mut scale = |name: &str, which: &dyn Fn(usize) -> bool, factor: f32| {
        let mut tensors = graph.initializer.iter_mut();
        let tensor = tensors.find(|tensor| tensor.name() == name);
        let tensor = tensor.expect("a tensor");
        let numbers = to_f32(tensor).expect("numbers").into_iter().enumerate();
        let scaled = numbers.map(|(at, number)| number * if which(at) { factor } else { 1.0 });
        let scaled: Vec<f32> = scaled.collect();
        let dims: Vec<usize> = tensor.dims.iter().map(|&dim| dim as usize).collect();
        let bytes = packed(&scaled, ElementType::Float);
        *tensor = from_raw(name, ElementType::Float, &dims, bytes);
    };
    scale("w1", &|at| at < 6, FACTOR);
    scale("b1", &|at| at == 0, FACTOR);
    scale("w2", &|at| at % 16 == 0, 1.0 / FACTOR);
    analyse(&model.with(proto, model.lazy.clone()))
}

#[test]
fn channels_are_brought_to_one_size_around_zero_as_well() {
    let analysis = uneven();
    for target in [
        KernelTarget::Cpu,
        KernelTarget::Symmetric,
        KernelTarget::Tensorrt,
    ] {
        let found = quantised(&analysis, &settings(target));
        assert!(found.equalised() > 0, "{target}");
        let kernels = PlacedFor::Others;
        let proven = is_proven_with(&analysis, &found, &found.model, &["y"], kernels);
        assert!(proven, "{target}");
    }
}
