//! Statistics, calibrated criteria, costs and allocation against plain statements of the same things.

use std::sync::Arc;

use faer::Mat;

use super::builder::{Builder, Size, analyse};
use super::rules::runtime;
use crate::algebra::{Damped, columns, inner, square};
use crate::axes::{Kept, Type};
use crate::criteria::{Criterion, calibrated_scores};
use crate::data::{DataSet, DataSource, declared_inputs};
use crate::dimensions::{Analysis, Meter, Totals};
use crate::events::Silent;
use crate::job::{Calibration, PruneOptions};
use crate::layers::{Layer, Layers};
use crate::onnx::{ElementType, Model};
use crate::plan::{Cost, CostBudget, Decision, RoundTo, Scope, Settings};
use crate::runtime::Provider;
use crate::search::{Effects, Ranking};
use crate::statistics::{Stats, Walk};

fn data(analysis: &Analysis) -> DataSet<'_> {
    let source = DataSource::Random {
        samples: 50,
        seed: 5,
    };
    DataSet::open(&source, &declared_inputs(analysis), analysis, 8).expect("random data")
}

fn stats(analysis: &Analysis, layers: &[&Layer]) -> Stats {
    let (runtime, data) = (runtime(), data(analysis));
    let walk = Walk {
        analysis,
        runtime: &runtime,
        provider: Provider::Cpu,
        data: &data,
        in_order: false,
    };
    Stats::measure(&walk, layers, &mut Silent).expect("statistics")
}

fn perceptron() -> Builder {
    let sizes: [Size; 2] = ["n".into(), 7.into()];
    Builder::new(17)
        .input_of("x", ElementType::Float, &sizes)
        .weight("w1", &[7, 6])
        .node("MatMul", "x w1 -> a", &[])
        .node("Relu", "a -> h", &[])
        .weight("w2", &[6, 5])
        .node("MatMul", "h w2 -> y", &[])
        .output("y")
}

/// What no output depends on is never measured, and changes nothing at any size.
#[test]
fn layers_that_nothing_reads_are_no_matter_of_data() {
    let model = perceptron()
        .weight("w3", &[7, 6])
        .node("MatMul", "x w3 -> d", &[])
        .weight("w4", &[6, 4])
        .node("MatMul", "d w4 -> e", &[])
        .model();
    let data = DataSource::Random {
        samples: 50,
        seed: 5,
    };
    let options = PruneOptions {
        calibration: Some(Calibration::new(data)),
        ..PruneOptions::default()
    };
    let pruned = crate::prune(model, &options).expect("a pruned model");
    assert!(pruned.report.verification.is_some());
}

#[test]
fn statistics_are_those_of_the_data() {
    let model = perceptron().model();
    let analysis = analyse(&model);
    let layers = Layers::of(&analysis).layers;
    let layers: Vec<&Layer> = layers.iter().collect();
    let stats = stats(&analysis, &layers);
    let data = data(&analysis);
    let mut rows: Vec<Vec<f64>> = Vec::new();
    for number in 0..data.batches() {
        let inputs = data.batch(number).expect("a batch").inputs;
        rows.extend(inputs[0].1.to_f64().chunks(7).map(<[f64]>::to_vec));
    }
    let first = layers
        .iter()
        .find(|layer| layer.name == "w1")
        .expect("a layer");
    let found = stats.layer(first).expect("measured");
    let covariance = stats.covariance(first, 0).expect("measured");
    let count = rows.len() as f64;
    assert_eq!(stats.rows(first).expect("measured"), rows.len() as u64);
    let mean = |j: usize| rows.iter().map(|row| row[j]).sum::<f64>() / count;
    for i in 0..7 {
        let column = rows.iter().map(|row| row[i]);
        assert!((found.mean[0][i] - mean(i)).abs() < 1e-5);
        let least = column.clone().fold(f64::INFINITY, f64::min);
        let largest = column.clone().fold(f64::NEG_INFINITY, f64::max);
        assert!((found.min[0][i] - least).abs() < 1e-6);
        assert!((found.max[0][i] - largest).abs() < 1e-6);
        for j in 0..7 {
            let products = rows
                .iter()
                .map(|row| (row[i] - mean(i)) * (row[j] - mean(j)));
            let expected = products.sum::<f64>() / count;
            assert!((covariance[(i, j)] - expected).abs() < 1e-5);
        }
    }
    // Behind a ReLU about half of all numbers are zero.
    let second = layers
        .iter()
        .find(|layer| layer.name == "w2")
        .expect("a layer");
    let found = stats.layer(second).expect("measured");
    assert!(
        found.zeros[0]
            .iter()
            .any(|&share| share > 0.1 && share < 0.9)
    );
    assert!(found.min[0].iter().all(|&least| least == 0.0));
}

/// Half the damped error of a reader that keeps these columns, in units of its energy.
fn ridge_error(weights: &Mat<f64>, covariance: &Mat<f64>, kept: &[usize]) -> f64 {
    let size = covariance.nrows();
    let unit = (0..size).map(|i| covariance[(i, i)]).sum::<f64>() / size as f64;
    let mut damped = covariance.clone();
    (0..size).for_each(|i| damped[(i, i)] += 1e-2 * unit);
    let block = square(damped.as_ref(), kept);
    let cross = weights * columns(damped.as_ref(), kept);
    let solved = Damped::new(block, 0.0).solve(cross.as_ref());
    let whole = inner((weights * &damped).as_ref(), weights.as_ref());
    let explained = inner(solved.as_ref(), cross.as_ref());
    let energy = inner((weights * covariance).as_ref(), weights.as_ref());
    0.5 * (whole - explained) / energy
}

#[test]
fn brain_surgery_finds_the_errors_that_solving_each_subset_gives() {
    let model = perceptron().model();
    let analysis = analyse(&model);
    let layers = Layers::of(&analysis).layers;
    let layers: Vec<&Layer> = layers.iter().collect();
    let stats = stats(&analysis, &layers);
    let scores = calibrated_scores(&analysis, &layers, &Criterion::Obs, &stats, &mut Silent);
    let scores = scores.expect("scores").remove(0).expect("a reader");
    let reader = layers
        .iter()
        .find(|layer| layer.name == "w2")
        .expect("a layer");
    let covariance = stats.covariance(reader, 0).expect("measured");
    let weights = reader
        .matrices(analysis.graph())
        .expect("numbers")
        .remove(0);
    let mut kept: Vec<usize> = (0..6).collect();
    while kept.len() > 1 {
        let without = |gone: usize| -> Vec<usize> {
            kept.iter()
                .copied()
                .filter(|&other| other != gone)
                .collect()
        };
        let errors: Vec<(f64, usize)> = kept
            .iter()
            .map(|&gone| (ridge_error(&weights, &covariance, &without(gone)), gone))
            .collect();
        let best = errors
            .iter()
            .min_by(|a, b| a.0.total_cmp(&b.0))
            .expect("some");
        // Greedy: the next to go is the one whose loss is least once the others are solved again.
        assert!(
            (scores[best.1] - best.0).abs() < 1e-6,
            "{scores:?} {errors:?}"
        );
        kept = without(best.1);
    }
}

#[test]
fn every_calibrated_criterion_scores_what_is_read() {
    let model = perceptron().model();
    let analysis = analyse(&model);
    let layers = Layers::of(&analysis).layers;
    let layers: Vec<&Layer> = layers.iter().collect();
    let stats = stats(&analysis, &layers);
    let mut all = Vec::new();
    for criterion in [
        Criterion::Obs,
        Criterion::Reconstruction,
        Criterion::Wanda,
        Criterion::ActMean,
        Criterion::ActMax,
        Criterion::ActVar,
        Criterion::ActZero,
    ] {
        let scores = calibrated_scores(&analysis, &layers, &criterion, &stats, &mut Silent);
        let scores = scores.expect("scores").remove(0).expect("a reader");
        assert!(
            scores
                .iter()
                .all(|score| score.is_finite() && *score >= 0.0),
            "{criterion}"
        );
        assert!(!all.contains(&scores), "{criterion} is like another");
        all.push(scores);
    }
}

fn fixture(name: &str) -> Model {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    Model::load(root.join("fixtures").join(name)).expect("a fixture")
}

#[test]
fn cost_polynomials_count_what_the_model_has() {
    for name in [
        "trained/resnet8_fashion.bn.onnx",
        "trained/vit_fashion.onnx",
        "trained/lstm_spam.onnx",
        "densenet121",
        "shufflenet_v2_x1_0",
        "resnext50_32x4d",
    ] {
        let model = match name.strip_suffix(".onnx") {
            Some(_) => fixture(name),
            None => super::zoo::load(name),
        };
        let analysis = analyse(&model);
        let whole: Vec<usize> = analysis.dimensions().iter().map(|d| d.size).collect();
        let mut meter = Meter::new(analysis.costs(), whole);
        for third in [1, 2, 3] {
            let mut kept = analysis.everything();
            for (place, dimension) in analysis.dimensions().iter().enumerate() {
                let block = dimension.size / dimension.blocks;
                let count = (block * third / 3).max(1 + place % block.min(2)) * dimension.blocks;
                meter.set(place, count);
                if count < dimension.size {
                    kept.insert(dimension.var, Arc::from_iter(0..count as u32));
                }
            }
            // Changed dimension by dimension, from the whole, and by a plain count of types.
            assert_eq!(meter.totals(), analysis.totals(&kept), "{name}");
            assert_eq!(meter.totals(), plain(&analysis, &kept), "{name}");
        }
    }
}

/// Costs without a polynomial: sizes of types, multiplied and added.
fn plain(analysis: &Analysis, kept: &Kept) -> Totals {
    let size = |ty: &Type| analysis.number(&analysis.state.types.kept_extent(ty, kept));
    let mut totals = Totals {
        nodes: analysis.graph().node_count(),
        ..Totals::default()
    };
    for id in analysis.graph().value_ids() {
        let value = analysis.graph().value(id);
        let (Some(tensor), Some(axes)) = (analysis.graph().constant(id), analysis.state.axes(id))
        else {
            continue;
        };
        if value.consumers.is_empty() && !value.is_output {
            continue;
        }
        let element = ElementType::of(tensor.data_type()).expect("a type");
        let count = axes.iter().map(size).product::<u64>();
        totals.bytes += (count * u64::from(element.bits())).div_ceil(8);
        totals.params += if element.is_index() { 0 } else { count };
    }
    for cost in analysis.state.costs() {
        let sizes = cost.produced.iter().chain(&cost.contracted);
        totals.macs += sizes.map(size).product::<u64>();
    }
    totals
}

#[test]
fn what_nothing_reads_costs_nothing() {
    let model = perceptron().model();
    let wasteful = perceptron().weight("unread", &[1000, 6]).model();
    assert_eq!(
        analyse(&model).model_totals(),
        analyse(&wasteful).model_totals()
    );
}

#[test]
fn allocation_meets_the_budget_and_spares_what_is_dear() {
    let analysis = analyse(&fixture("trained/resnet8_fashion.bn.onnx"));
    let dimensions = analysis.dimensions();
    let scores: Vec<Vec<f64>> = dimensions
        .iter()
        .map(|d| (0..d.size).map(|i| i as f64).collect())
        .collect();
    let settings = Settings {
        scope: Some(Scope::Allocated),
        budget: Some(CostBudget {
            cost: Cost::Macs,
            share: 0.5,
        }),
        round_to: RoundTo::Multiple(1),
        ..Settings::default()
    };
    // The first dimension is a thousand times as dear as the others.
    let curve = |place: usize, size: usize| {
        let price = if place == 0 { 1.0 } else { 1e-3 };
        let steps = (1..8).rev();
        let point = |step: usize| {
            let gone = 1.0 - step as f64 / 8.0;
            (size * step / 8, price * gone * gone)
        };
        steps.map(point).collect::<Vec<_>>()
    };
    let curves: Vec<_> = dimensions
        .iter()
        .enumerate()
        .map(|(p, d)| curve(p, d.size))
        .collect();
    let ranking = Ranking::new(&analysis, &scores, &settings).expect("a ranking");
    let selection = ranking
        .select(&Effects {
            curves,
            ..Effects::default()
        })
        .expect("a selection");
    let counts: Vec<usize> = dimensions
        .iter()
        .zip(&selection.decisions)
        .map(|(dimension, decision)| match decision {
            Decision::Prune(kept) => kept.len(),
            Decision::Leave(_) => dimension.size,
        })
        .collect();
    let budget = analysis.model_totals().macs / 2;
    assert!(Meter::new(analysis.costs(), counts.clone()).totals().macs <= budget);
    for place in (0..counts.len()).filter(|&place| counts[place] < dimensions[place].size) {
        let mut more = counts.clone();
        more[place] += 1;
        assert!(
            Meter::new(analysis.costs(), more).totals().macs > budget,
            "one channel more fits: {counts:?}"
        );
    }
    let left = |place: usize| counts[place] as f64 / dimensions[place].size as f64;
    assert!(
        (1..counts.len()).all(|place| left(0) > left(place)),
        "{counts:?}"
    );
}
