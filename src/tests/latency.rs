//! Budgets of time, with times that are made up.

use super::builder::analyse;
use super::rules::runtime;
use crate::criteria::{Criterion, scores};
use crate::dimensions::Analysis;
use crate::error::{Error, Result};
use crate::latency::LatencyModel;
use crate::onnx::Model;
use crate::plan::{Cost, Decision, Scope, Selection, Settings};
use crate::quantise::{QuantiseSettings, without_data};
use crate::search::{Effects, Ranking, select};

fn load(name: &str) -> Analysis {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = root.join("fixtures/trained").join(name);
    analyse(&Model::load(path).expect("a fixture"))
}

fn chosen(analysis: &Analysis, settings: &Settings, effects: &Effects) -> Result<Selection> {
    let scores = scores(analysis, Criterion::L2, 0).expect("scores");
    Ranking::new(analysis, &scores, settings)?.select(effects)
}

fn channels(analysis: &Analysis, selection: &Selection) -> Vec<usize> {
    let pairs = analysis.dimensions().iter().zip(&selection.decisions);
    let count = pairs.map(|(dimension, decision)| match decision {
        Decision::Prune(kept) => kept.len(),
        Decision::Leave(_) => dimension.size,
    });
    count.collect()
}

/// By node that it is left.
fn all(analysis: &Analysis) -> Vec<bool> {
    vec![true; analysis.graph().node_count()]
}

fn asking(share: f64, scope: Scope) -> Settings {
    Settings {
        scope: Some(scope),
        ..Settings::keeping(Cost::Latency, share)
    }
}

#[test]
fn every_scope_meets_a_budget_of_time() {
    for name in ["lenet_mnist.onnx", "resnet8_fashion.bn.onnx"] {
        let analysis = load(name);
        let model = LatencyModel::imagined(&analysis, |_| 20.0);
        for scope in [Scope::Uniform, Scope::Global, Scope::Isomorphic] {
            for share in [0.7, 0.4] {
                let effects = Effects {
                    latency: Some(model.clone()),
                    ..Effects::default()
                };
                let selection = chosen(&analysis, &asking(share, scope), &effects);
                let got = model.share(
                    &channels(&analysis, &selection.expect("a selection")),
                    &all(&analysis),
                );
                assert!(got <= share && got > 0.5 * share, "{name} {scope}: {got}");
            }
        }
    }
}

/// What is slow goes first where all dimensions cost the same at the outputs.
#[test]
fn a_dimension_that_takes_no_time_stays() {
    let analysis = load("lenet_mnist.onnx");
    let curve = |size: usize| {
        let sizes = (1..size).rev();
        sizes
            .map(|left| (left, (1.0 - left as f64 / size as f64).powi(2)))
            .collect()
    };
    let sizes = analysis.dimensions().iter().map(|of| of.size);
    let curves: Vec<Vec<(usize, f64)>> = sizes.map(curve).collect();
    let kept = |slow: &str, share: f64| {
        let each = |node: &str| if node.contains(slow) { 100.0 } else { 0.01 };
        let effects = Effects {
            curves: curves.clone(),
            latency: Some(LatencyModel::imagined(&analysis, each)),
            ..Effects::default()
        };
        let settings = asking(share, Scope::Allocated);
        let selection = chosen(&analysis, &settings, &effects).expect("a selection");
        let model = effects.latency.expect("times");
        let channels = channels(&analysis, &selection);
        assert!(model.share(&channels, &all(&analysis)) <= share);
        channels
    };
    assert_eq!(kept("conv", 0.5)[2], 100, "the dense layers take no time");
    let dense = kept("fc", 0.5);
    assert_eq!(dense[0], 32, "the first convolution takes no time");
    assert!(dense[2] < 100);
}

/// A result that was slower than expected makes the next one smaller.
#[test]
fn what_was_measured_corrects_what_is_expected() {
    let analysis = load("lenet_mnist.onnx");
    let model = LatencyModel::imagined(&analysis, |_| 20.0);
    let half: Vec<usize> = analysis.dimensions().iter().map(|of| of.size / 2).collect();
    let all = all(&analysis);
    let expected = model.share(&half, &all);
    let corrected = model.corrected(&half, &all, 1.25 * expected);
    assert!((corrected.share(&half, &all) / (1.25 * expected) - 1.0).abs() < 1e-3);
    let again = corrected.corrected(&half, &all, expected);
    assert!((again.share(&half, &all) / expected - 1.0).abs() < 1e-3);
}

#[test]
fn a_budget_of_time_needs_times_and_has_to_be_possible() {
    let analysis = load("lenet_mnist.onnx");
    let scores = scores(&analysis, Criterion::L2, 0).expect("scores");
    let without = select(&analysis, &scores, &asking(0.5, Scope::Uniform));
    let fault = without.expect_err("there are no times");
    assert!(matches!(fault, Error::Usage(_)) && fault.to_string().contains("latency"));
    let effects = Effects {
        latency: Some(LatencyModel::imagined(&analysis, |_| 20.0)),
        ..Effects::default()
    };
    let impossible = chosen(&analysis, &asking(1e-6, Scope::Uniform), &effects);
    assert!(matches!(impossible, Err(Error::Budget { .. })));
}

/// What is timed for results with products of codes has them where a quantised model has them, and runs.
#[test]
fn a_form_without_data_has_codes() {
    let analysis = load("lenet_mnist.onnx");
    let model = without_data(&analysis, &QuantiseSettings::default()).expect("a model");
    let graph = model.proto.graph.as_ref().expect("a graph");
    let count = |operator: &str| {
        let nodes = graph.node.iter();
        nodes.filter(|node| node.op_type() == operator).count()
    };
    // The input and what follows each of three layers; their weights and biases besides.
    assert!(count("QuantizeLinear") >= 4);
    assert!(count("DequantizeLinear") >= 4 + 6);
    let session = runtime().session(&model, "the form");
    assert_eq!(session.expect("a session").outputs().len(), 1);
}
