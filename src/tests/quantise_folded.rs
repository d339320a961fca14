//! Batch normalisations in the layers before them, and layers that stay real since they are small.

use super::builder::{Builder, Value, analyse, floats, noise};
use super::quantise::{data, every, quantised};
use super::rules::runtime;
use crate::dimensions::Analysis;
use crate::metrics::Gap;
use crate::onnx::{Model, to_f32};
use crate::patterns::Patterns;
use crate::quantise::{CodeRules, CodeSites, KernelTarget, QuantiseSettings, folded};

/// A normalisation of so many channels.
fn normalised(builder: Builder, number: usize, channels: usize, wiring: &str) -> Builder {
    let name = |what: &str| format!("{what}{number}");
    let variance = to_f32(&noise(&name("variance"), &[channels])).expect("noise");
    let variance: Vec<f32> = variance.iter().map(|x| x.abs() + 0.1).collect();
    let (from, to) = wiring.split_once(" -> ").expect("a wiring");
    let inputs = ["scale", "shift", "mean", "variance"].map(name);
    builder
        .weight(&inputs[0], &[channels])
        .weight(&inputs[1], &[channels])
        .weight(&inputs[2], &[channels])
        .tensor(floats(&inputs[3], &[channels], &variance))
        .node(
            "BatchNormalization",
            &format!("{from} {} -> {to}", inputs.join(" ")),
            &[("epsilon", Value::from(0.01))],
        )
}

fn normalisations(model: &Model) -> usize {
    let graph = model.proto.graph.as_ref().expect("a graph");
    let nodes = graph.node.iter();
    nodes
        .filter(|node| node.op_type() == "BatchNormalization")
        .count()
}

/// Folds what can be; so many normalisations are left, and the outputs are the same.
fn leaves(analysis: &Analysis, left: usize) {
    let before = analysis.graph().model();
    let model = folded(analysis, &runtime()).expect("it is folded");
    let Some(model) = model else {
        assert_eq!(normalisations(before), left);
        return;
    };
    let model = model.settled();
    assert_eq!(normalisations(&model), left);
    assert!(normalisations(before) > left);
    let inputs = data(analysis).batch(0).expect("a batch").inputs;
    let run = |model: &Model| {
        let mut session = runtime().session(model, "the model").expect("a session");
        session.run(&inputs).expect("a run")
    };
    let (before, after) = (run(before), run(&model));
    assert_eq!(before.len(), after.len());
    for ((name, before), (other, after)) in before.iter().zip(&after) {
        assert_eq!(name, other);
        let gap = Gap::between(before, after);
        assert!(gap.scale > 0.0 && gap.error <= 1e-5 * gap.scale, "{name}");
    }
}

#[test]
fn normalisations_go_into_the_layers_before_them() {
    let mut builder = Builder::new(17)
        .input("x", &[8, 3, 8, 8])
        .weight("w1", &[8, 3, 3, 3])
        .weight("b1", &[8])
        .weight("w2", &[12, 4, 3, 3])
        .weight("w3", &[12, 6, 1, 1])
        .weight("w4", &[6, 7])
        .weight("b4", &[7])
        .weight("w5", &[5, 7])
        .node("Conv", "x w1 b1 -> c1", &[]);
    builder = normalised(builder, 1, 8, "c1 -> n1")
        .node("Relu", "n1 -> r1", &[])
        .node("Conv", "r1 w2 -> c2", &[("group", Value::from(2))]);
    builder = normalised(builder, 2, 12, "c2 -> n2")
        .node("Relu", "n2 -> r2", &[])
        .node("ConvTranspose", "r2 w3 -> c3", &[]);
    builder = normalised(builder, 3, 6, "c3 -> n3")
        .node("GlobalAveragePool", "n3 -> p", &[])
        .node("Flatten", "p -> f", &[])
        .node("Gemm", "f w4 b4 -> g4", &[]);
    builder = normalised(builder, 4, 7, "g4 -> n4").node(
        "Gemm",
        "n4 w5 -> g5",
        &[("transB", Value::from(1))],
    );
    builder = normalised(builder, 5, 5, "g5 -> y").output("y");
    leaves(&analyse(&builder.model()), 0);
}

/// A convolution with a normalisation that others see.
fn seen(rest: impl Fn(Builder) -> Builder) -> Analysis {
    let builder = Builder::new(17)
        .input("x", &[8, 3, 8, 8])
        .weight("w", &[8, 3, 3, 3])
        .weight("b", &[8])
        .node("Conv", "x w b -> c", &[]);
    let builder = normalised(builder, 1, 8, "c -> n").output("n");
    analyse(&rest(builder).model())
}

#[test]
fn normalisations_stay_where_others_see_what_is_normalised() {
    leaves(&seen(|b| b.output("c")), 1);
    leaves(&seen(|b| b.node("Exp", "c -> e", &[]).output("e")), 1);
    leaves(&seen(|b| b.node("Conv", "x w b -> d", &[]).output("d")), 1);
    leaves(&seen(|b| normalised(b, 2, 8, "c -> m").output("m")), 2);
    // A bias that another layer has as well is copied.
    leaves(
        &seen(|b| {
            b.weight("v", &[8, 3, 1, 1])
                .node("Conv", "x v b -> d", &[])
                .output("d")
        }),
        0,
    );
    // One behind the other: the first goes, the second normalises what is left.
    leaves(&seen(|b| normalised(b, 2, 8, "n -> m").output("m")), 1);
}

#[test]
fn small_layers_stay_real_unless_every_layer_is_wanted() {
    let builder = Builder::new(17)
        .input("x", &[8, 3, 8, 8])
        .weight("first", &[16, 3, 3, 3])
        .weight("second", &[64, 16, 1, 1])
        .weight("b2", &[64])
        .weight("wide", &[64, 64])
        .weight("b3", &[64])
        .weight("narrow", &[64, 10])
        .node("Conv", "x first -> c1", &[])
        .node("Relu", "c1 -> r1", &[])
        .node("Conv", "r1 second b2 -> c2", &[])
        .node("Relu", "c2 -> r2", &[])
        .node("GlobalAveragePool", "r2 -> p", &[])
        .node("Flatten", "p -> f", &[])
        .node("Gemm", "f wide b3 -> g3", &[])
        .node("Relu", "g3 -> r3", &[])
        .node("Gemm", "r3 narrow -> y", &[])
        .output("y");
    let analysis = analyse(&builder.model());
    let none = Patterns::new(std::iter::empty()).expect("patterns");
    let placed = |every, target| {
        let dear = std::collections::HashMap::new();
        let wanted = CodeRules {
            kept: &none,
            dear: &dear,
            every,
            target,
        };
        CodeSites::of(&analysis, &wanted)
    };
    let found = placed(false, KernelTarget::Cpu);
    let names: Vec<&str> = found
        .layers
        .iter()
        .map(|of| of.layer.name.as_str())
        .collect();
    assert_eq!(names, ["first", "second", "wide"]);
    let real: Vec<&str> = found.real.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(real, ["narrow"]);
    assert!(found.real.iter().all(|(_, why)| why.contains("small")));
    assert_eq!(placed(true, KernelTarget::Cpu).layers.len(), 4);
    // The setting says so as well, and other targets take all.
    let taken = |settings: QuantiseSettings| settings.takes_every_layer();
    assert!(!taken(QuantiseSettings::default()) && taken(every()));
    assert!(taken(QuantiseSettings {
        target: KernelTarget::Tensorrt,
        ..QuantiseSettings::default()
    }));
}

#[test]
fn a_product_with_a_cut_behind_it_is_one_of_integers() {
    let builder = Builder::new(17)
        .input("x", &[8, 64])
        .weight("w1", &[64, 64])
        .weight("b1", &[64])
        .weight("w2", &[64, 65])
        .weight("b2", &[65])
        .node("Gemm", "x w1 b1 -> g1", &[])
        .node("Relu", "g1 -> r1", &[])
        .node("Gemm", "r1 w2 b2 -> y", &[])
        .output("y");
    let analysis = analyse(&builder.model());
    let found = quantised(&analysis, &QuantiseSettings::default());
    assert_eq!(found.weights.len(), 2);
    let fused = found.fused.as_ref().expect("it was looked at");
    assert_eq!((fused.planned, fused.integer), (2, 2), "{:?}", fused.rest);
}
