//! Criteria from weights and files, against plain statements of the same things.

mod codes;
mod files;
mod thresholds;

use std::path::Path;

use super::builder::{Builder, analyse, floats};
use crate::criteria::{Criterion, scores};
use crate::dimensions::Analysis;
use crate::onnx::{Model, to_f32};
use crate::plan::{Decision, RoundTo, Settings};
use crate::search::select;

fn fixture(name: &str) -> Model {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    Model::load(root.join("fixtures/trained").join(name)).expect("a fixture")
}

fn found(analysis: &Analysis, criterion: Criterion) -> Vec<Vec<f64>> {
    scores(analysis, criterion, 0).expect("scores")
}

fn place(analysis: &Analysis, name: &str) -> usize {
    let mut dimensions = analysis.dimensions().iter();
    let place = dimensions.position(|dimension| dimension.name == name);
    place.unwrap_or_else(|| panic!("there is no dimension {name}"))
}

/// The numbers of a weight.
fn numbers(analysis: &Analysis, name: &str) -> Vec<f64> {
    let graph = analysis.graph();
    let mut ids = graph.value_ids();
    let id = ids.find(|&id| graph.value(id).name == name);
    let tensor = id.and_then(|id| graph.constant(id)).expect("a weight");
    let numbers = to_f32(tensor).expect("numbers").into_iter();
    numbers.map(f64::from).collect()
}

/// Two grouped layers, whose channels stand in a block view of the second one's weight, and a concatenation.
fn grouped() -> Model {
    Builder::new(17)
        .input("x", &[2, 3, 6, 6])
        .weight("w1", &[8, 3, 3, 3])
        .node("Conv", "x w1 -> a", &[])
        .weight("w2", &[8, 4, 1, 1])
        .node("Conv", "a w2 -> b", &[("group", 2.into())])
        .node("Concat", "a b -> c", &[("axis", 1.into())])
        .weight("w3", &[5, 16, 1, 1])
        .node("Conv", "c w3 -> y", &[])
        .output("y")
        .model()
}

fn models() -> Vec<Model> {
    let names = [
        "vit_fashion.onnx",
        "gru_fashion.onnx",
        "resnet8_fashion.bn.onnx",
    ];
    let mut models: Vec<Model> = names.map(fixture).into();
    models.push(grouped());
    models
}

#[test]
fn powers_of_one_and_two_are_the_norms_of_these_names() {
    for model in models() {
        let analysis = analyse(&model);
        for (power, same) in [(1.0, Criterion::L1), (2.0, Criterion::L2)] {
            let (powers, same) = (
                found(&analysis, Criterion::Lp(power)),
                found(&analysis, same),
            );
            for (power, same) in powers.iter().flatten().zip(same.iter().flatten()) {
                assert!((power - same).abs() < 1e-4 * same.abs(), "{power} {same}");
            }
        }
    }
}

#[test]
fn high_powers_come_to_the_largest_number() {
    for model in models() {
        let analysis = analyse(&model);
        let largest = found(&analysis, Criterion::Linf);
        let powers = found(&analysis, Criterion::Lp(2000.0));
        for (power, largest) in powers.iter().flatten().zip(largest.iter().flatten()) {
            assert!(
                (power - largest).abs() < 0.01 * largest,
                "{power} {largest}"
            );
        }
    }
}

#[test]
fn the_largest_number_of_a_channel_is_found_wherever_it_stands() {
    let analysis = analyse(&fixture("lenet_mnist.onnx"));
    let largest = |numbers: &[f64], of: &dyn Fn(usize) -> usize| -> Vec<f64> {
        let mut out = vec![0.0_f64; 32];
        for (at, number) in numbers.iter().enumerate() {
            out[of(at)] = out[of(at)].max(number.abs());
        }
        let mean = out.iter().sum::<f64>() / 32.0;
        out.iter().map(|largest| largest / mean).collect()
    };
    let (first, second) = (
        numbers(&analysis, "conv1.weight"),
        numbers(&analysis, "conv2.weight"),
    );
    let (filter, window) = (first.len() / 32, second.len() / 64 / 32);
    let parts = [
        largest(&first, &|at| at / filter),
        largest(&numbers(&analysis, "conv1.bias"), &|at| at),
        largest(&second, &|at| at / window % 32),
    ];
    let scores = found(&analysis, Criterion::Linf);
    let scores = &scores[place(&analysis, "conv1.weight")];
    for (channel, score) in scores.iter().enumerate() {
        let sum: f64 = parts.iter().map(|part| part[channel]).sum();
        assert!((score - sum).abs() < 1e-6, "{channel}: {score} {sum}");
    }
}

/// Mean distances of rows, pair by pair.
fn distances(rows: &[&[f64]], block: usize) -> Vec<f64> {
    let distance = |a: &[f64], b: &[f64]| {
        let squares = a.iter().zip(b).map(|(a, b)| (a - b) * (a - b));
        squares.sum::<f64>().sqrt()
    };
    let mean = rows.iter().enumerate().map(|(channel, row)| {
        let from = channel / block * block;
        let others = rows[from..from + block].iter();
        others.map(|other| distance(row, other)).sum::<f64>() / (block - 1) as f64
    });
    mean.collect()
}

fn proportional(found: &[f64], plain: &[f64], what: &str) {
    let scale = found[0] / plain[0];
    for (found, plain) in found.iter().zip(plain) {
        assert!(
            (found - scale * plain).abs() < 1e-6 * found.abs().max(1e-3),
            "{what}: {found} {plain}"
        );
    }
}

#[test]
fn distances_are_those_of_the_filters() {
    let analysis = analyse(&fixture("lenet_mnist.onnx"));
    let found = found(&analysis, Criterion::Fpgm);
    for (name, size) in [
        ("conv1.weight", 32),
        ("conv2.weight", 64),
        ("fc1.weight", 100),
    ] {
        let numbers = numbers(&analysis, name);
        let rows: Vec<&[f64]> = numbers.chunks(numbers.len() / size).collect();
        let scores = &found[place(&analysis, name)];
        proportional(scores, &distances(&rows, size), name);
    }
}

#[test]
fn distances_in_groups_are_to_channels_of_the_same_group() {
    let analysis = analyse(&grouped());
    let found = found(&analysis, Criterion::Fpgm);
    let numbers = numbers(&analysis, "w1");
    let rows: Vec<&[f64]> = numbers.chunks(27).collect();
    let place = place(&analysis, "w1");
    let block = 8 / analysis.dimensions()[place].blocks;
    proportional(&found[place], &distances(&rows, block), "w1");
}

#[test]
fn what_is_like_another_is_nearest_to_all() {
    let mut rows: Vec<f32> = (0..6 * 7).map(|n| ((n * 31) % 17) as f32 - 8.0).collect();
    // The last channel is the mean of the others.
    for column in 0..7 {
        let mean = (0..5).map(|row| rows[row * 7 + column]).sum::<f32>() / 5.0;
        rows[5 * 7 + column] = mean;
    }
    let model = Builder::new(17)
        .input("x", &[3, 7])
        .tensor(floats("w1", &[6, 7], &rows))
        .node("Gemm", "x w1 -> a", &[("transB", 1.into())])
        .weight("w2", &[6, 5])
        .node("MatMul", "a w2 -> y", &[])
        .output("y")
        .model();
    let analysis = analyse(&model);
    let found = found(&analysis, Criterion::Fpgm).remove(0);
    assert!((0..5).all(|other| found[5] < found[other]), "{found:?}");
}

#[test]
fn scales_are_those_of_the_normalisations() {
    let analysis = analyse(&fixture("resnet8_fashion.bn.onnx"));
    let found = found(&analysis, Criterion::BnScale);
    assert!(found.iter().all(|scores| !scores.is_empty()));
    let mut compared = 0;
    for (dimension, scores) in analysis.dimensions().iter().zip(&found) {
        let graph = analysis.graph();
        let gammas = dimension.sites.iter().filter_map(|site| {
            let name = &graph.value(site.value).name;
            let read = graph.value(site.value).consumers.first()?;
            let normalises = graph.node_proto(read.0).op_type() == "BatchNormalization";
            (normalises && read.1 == 1).then(|| numbers(&analysis, name))
        });
        let gammas: Vec<Vec<f64>> = gammas.collect();
        assert!(!gammas.is_empty());
        let sum = |channel: usize| {
            let own = gammas.iter().map(|gamma| {
                let mean = gamma.iter().map(|g| g.abs()).sum::<f64>() / gamma.len() as f64;
                gamma[channel].abs() / mean
            });
            own.sum::<f64>()
        };
        for (channel, score) in scores.iter().enumerate() {
            assert!((score - sum(channel)).abs() < 1e-9, "{}", dimension.name);
            compared += 1;
        }
    }
    assert!(compared > 0);
}

#[test]
fn other_scales_by_channel_count_and_what_has_none_is_left_alone() {
    let model = Builder::new(17)
        .input("x", &[3, 7])
        .weight("w1", &[7, 6])
        .node("MatMul", "x w1 -> a", &[])
        .tensor(floats("scale", &[6], &[1.0, -4.0, 2.0, 3.0, 0.5, 6.0]))
        .node("Mul", "a scale -> b", &[])
        .node("Relu", "b -> c", &[])
        .weight("w2", &[6, 5])
        .node("MatMul", "c w2 -> d", &[])
        .node("Relu", "d -> e", &[])
        .weight("w3", &[5, 4])
        .node("MatMul", "e w3 -> y", &[])
        .output("y")
        .model();
    let analysis = analyse(&model);
    let found = found(&analysis, Criterion::BnScale);
    proportional(&found[0], &[1.0, 4.0, 2.0, 3.0, 0.5, 6.0], "scale");
    assert!(found[1].is_empty());
    let settings = Settings {
        criterion: Some(Criterion::BnScale),
        round_to: RoundTo::Multiple(1),
        ..Settings::default()
    };
    let selection = select(&analysis, &found, &settings).expect("a selection");
    assert_eq!(selection.decisions[0], Decision::Prune(vec![1, 3, 5]));
    match &selection.decisions[1] {
        Decision::Leave(left) => assert!(left.why.contains("no score for it"), "{}", left.why),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_model_without_scales_says_that_they_may_be_folded() {
    let analysis = analyse(&fixture("lenet_mnist.onnx"));
    let fault = scores(&analysis, Criterion::BnScale, 0).expect_err("no scales");
    assert_eq!(fault.class().exit_code(), 3);
    assert!(
        fault.to_string().contains("folded into its convolution"),
        "{fault}"
    );
}
