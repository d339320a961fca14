//! Training as codes: what is trained is what is written, and gradients go straight through rounding.

use std::collections::BTreeMap;

use super::builder::{Builder, analyse, floats};
use super::gradient_model::gradient_model;
use super::quantise::{data, every, net, quantised};
use super::rules::runtime;
use crate::Class;
use crate::dimensions::Analysis;
use crate::engine::Pass;
use crate::events::Silent;
use crate::grad::BoundGraph;
use crate::job::{TuneOptions, tune};
use crate::metrics::Gap;
use crate::onnx::{ElementType, Model, packed, to_f32};
use crate::quantise::{QuantiseSettings, Quantised, RoundedStudent, WeightBits};
use crate::rewrite::Edit;
use crate::runtime::{Optimisation, Provider, SessionOptions};

/// How far what a model makes is from what another one makes, as a share.
fn gap(analysis: &Analysis, models: [&Model; 2]) -> f64 {
    let batch = data(analysis).batch(0).expect("a batch");
    let [a, b] = models.map(|model| {
        // As it stands: kernels for codes round by themselves.
        let options = SessionOptions {
            optimisation: Optimisation::Off,
            ..SessionOptions::default()
        };
        let session = runtime().session_with(model, "the model", &options);
        let mut session = session.expect("a session");
        let outputs = batch.run(&mut session).expect("a run");
        outputs.into_iter().next().expect("an output").1
    });
    let gap = Gap::between(&a, &b);
    gap.error / gap.scale
}

/// What a model that was taught becomes as codes.
fn coded(
    analysis: &Analysis,
    (found, student): (&Quantised, &RoundedStudent),
    taught: &Analysis,
    settings: &QuantiseSettings,
) -> Quantised {
    let data = data(analysis);
    let pass = Pass {
        runtime: &runtime(),
        provider: &Provider::Cpu,
        data: &data,
    };
    let coded = found.of_taught((analysis, student), taught, (settings, pass), &mut Silent);
    coded.expect("a quantised model")
}

#[test]
fn what_is_trained_is_what_is_written() {
    let analysis = net();
    for weights in [WeightBits::Seven, WeightBits::Eight] {
        let settings = QuantiseSettings {
            weights: Some(weights),
            ..every()
        };
        let found = quantised(&analysis, &settings);
        let student = found.student(&analysis, &settings).expect("a student");
        let taught = student.taught(&BTreeMap::new()).expect("a model");
        let coded = coded(&analysis, (&found, &student), &taught, &settings);
        let planned = &coded.planned.model;
        let trained = student.graph.model();
        assert!(gap(&analysis, [trained, planned]) < 1e-4);
        assert!(gap(&analysis, [trained, analysis.graph().model()]) > 1e-3);
        assert_eq!(student.held.len(), 3);
    }
}

#[test]
fn steps_follow_the_weights() {
    let analysis = net();
    let settings = every();
    let found = quantised(&analysis, &settings);
    let student = found.student(&analysis, &settings).expect("a student");
    let w1 = student.graph.find("w1").expect("a weight");
    let numbers = to_f32(student.graph.constant(w1).expect("a constant")).expect("numbers");
    let steps = |factor: f32| {
        let moved: Vec<f32> = numbers.iter().map(|number| number * factor).collect();
        let edit = Edit::Bytes(packed(&moved, ElementType::Float).into());
        let taught = student.taught(&BTreeMap::from([(w1, edit)]));
        let taught = taught.expect("a model");
        let coded = coded(&analysis, (&found, &student), &taught, &settings);
        let own = coded.weights.into_iter().find(|of| of.name == "w1");
        own.expect("it has codes").steps
    };
    for (one, three) in steps(1.0).into_iter().zip(steps(3.0)) {
        assert!((three / one - 3.0).abs() < 1e-3, "{one} became {three}");
    }
}

#[test]
fn what_cannot_become_codes_is_refused_before_it_is_trained() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let path = folder.path().join("old.onnx");
    let refused = |opset: i64, settings: QuantiseSettings| {
        let builder = Builder::new(opset)
            .input("x", &[2, 3])
            .weight("w", &[3, 4])
            .node("MatMul", "x w -> y", &[])
            .output("y");
        builder.model().save(&path).expect("a file");
        let options = TuneOptions {
            quantised: Some(settings),
            ..TuneOptions::new(path.clone(), "missing.npz")
        };
        let fault = tune(&path, &options, &mut Silent).expect_err("it is refused");
        (fault.class(), fault.to_string())
    };
    let (class, fault) = refused(11, QuantiseSettings::default());
    assert_eq!(class, Class::Usage);
    assert!(fault.contains("operator set 11") && fault.contains("train without"));
    let stored = QuantiseSettings {
        weight_only: true,
        ..QuantiseSettings::default()
    };
    let (class, fault) = refused(17, stored);
    assert_eq!(class, Class::Usage);
    assert!(fault.contains("secateur quantise"), "{fault}");
}

/// What is computed on codes has no slope that could be trusted: what lies before gets no gradient at all.
#[test]
fn no_gradient_goes_through_what_computes_on_codes() {
    let builder = Builder::new(17)
        .input("x", &[2, 3, 4, 4])
        .weight("w", &[3, 1, 1])
        .tensor(floats("s", &[], &[0.02]))
        .node("Mul", "x w -> m", &[])
        .node("QuantizeLinear", "m s -> codes", &[])
        .node("GlobalMaxPool", "codes -> most", &[])
        .node("DequantizeLinear", "most s -> d", &[])
        .node("Add", "d w -> y", &[])
        .output("y");
    let analysis = analyse(&builder.model());
    let bound = BoundGraph::of(analysis.graph(), &[], None).expect("sizes");
    let find = |name: &str| bound.graph().find(name).expect("a value");
    let made = gradient_model(&bound, &[find("y")], &[find("w"), find("x")]).expect("a model");
    let [stop] = &made.gradients.stops[..] else {
        panic!("{:?}", made.gradients.stops);
    };
    assert_eq!(stop.why, "it computes on codes");
    assert_eq!(made.gradients.behind, [find("w"), find("x")]);
}
