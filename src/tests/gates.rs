//! Gradients of gates against finite differences, closed forms and themselves.

use std::path::Path;

use ndarray::{Array1, Array2};
use ndarray_npy::NpzWriter;

use super::builder::{Builder, Size, analyse, floats, noise};
use super::rules::runtime;
use crate::data::{DataSet, DataSource, declared_inputs};
use crate::dimensions::{Analysis, Meter};
use crate::events::Silent;
use crate::layers::{Layer, Layers};
use crate::onnx::{ElementType, Model, to_f32};
use crate::plan::{Cost, CostBudget, Decision, RoundTo, Scope, Settings};
use crate::runtime::{Provider, Tensor};
use crate::search::{AnswerSource, Effects, GateScores, Outputs, Ranking, gate_scores};
use crate::statistics::{Stats, Walk};

/// Scores of a model on data.
fn scores(analysis: &Analysis, source: &DataSource, answer: AnswerSource, seed: u64) -> GateScores {
    let runtime = runtime();
    let data = DataSet::open(source, &declared_inputs(analysis), analysis, 8).expect("data");
    let layers = Layers::of(analysis).layers;
    let all: Vec<&Layer> = layers.iter().collect();
    let walk = Walk {
        analysis,
        runtime: &runtime,
        provider: Provider::Cpu,
        data: &data,
        in_order: false,
    };
    let stats = Stats::measure(&walk, &all, &mut Silent).expect("statistics");
    let runs = Outputs {
        analysis,
        layers: &layers,
        stats: &stats,
        runtime: &runtime,
        provider: &Provider::Cpu,
        data: &data,
    };
    gate_scores(&runs, answer, seed, &mut Silent).expect("scores")
}

fn random(samples: usize) -> DataSource {
    DataSource::Random { samples, seed: 3 }
}

/// Samples of noise for an input with labels, in an archive.
fn labelled(path: &Path, [samples, width, classes]: [usize; 3]) -> Array2<f32> {
    let numbers = to_f32(&noise("samples", &[samples, width])).expect("numbers");
    let inputs = Array2::from_shape_vec((samples, width), numbers).expect("rows");
    let labels = Array1::from_iter((0..samples).map(|sample| (sample * 7 % classes) as i64));
    let mut file = NpzWriter::new(std::fs::File::create(path).expect("a file"));
    file.add_array("x", &inputs).expect("an array");
    file.add_array("label", &labels).expect("an array");
    file.finish().expect("an archive");
    inputs
}

/// A hidden layer whose units two layers read, one of them in a second output.
fn forked(factor: impl Fn(usize) -> f32) -> Builder {
    let columns = |name: &str, width: usize| {
        let numbers = to_f32(&noise(name, &[6, width]))
            .expect("numbers")
            .into_iter();
        let scaled = numbers.enumerate().map(|(at, w)| w * factor(at / width));
        floats(name, &[6, width], &scaled.collect::<Vec<_>>())
    };
    let sizes: [Size; 2] = ["n".into(), 7.into()];
    Builder::new(17)
        .input_of("x", ElementType::Float, &sizes)
        .weight("w1", &[7, 6])
        .node("MatMul", "x w1 -> a", &[])
        .node("Tanh", "a -> h", &[])
        .tensor(columns("w2", 4))
        .tensor(columns("w3", 4))
        .node("MatMul", "h w2 -> p", &[])
        .node("MatMul", "h w3 -> q", &[])
        .node("Tanh", "q -> r", &[])
        .node("Add", "p r -> y", &[])
        .output("y")
}

/// The log-likelihood of a label for one sample.
fn likelihood(model: &Model, sample: &[f32], label: usize) -> f64 {
    let mut session = runtime().session(model, "the model").expect("a session");
    let numbers: Vec<f64> = sample.iter().map(|&x| f64::from(x)).collect();
    let x = Tensor::from_f64(ElementType::Float, &[1, sample.len()], &numbers).expect("a tensor");
    let out = session.run(&[("x".to_owned(), x)]).expect("a run");
    let z = out[0].1.to_f64();
    let sum: f64 = z.iter().map(|z| z.exp()).sum();
    z[label] - sum.ln()
}

#[test]
fn the_gradient_of_a_gate_is_that_of_all_readers_together() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let path = folder.path().join("data.npz");
    let samples = labelled(&path, [5, 7, 4]);
    let analysis = analyse(&forked(|_| 1.0).model());
    let found = scores(&analysis, &DataSource::Path(path), AnswerSource::Given, 0);
    assert_eq!(analysis.dimensions().len(), 1);
    const STEP: f32 = 1e-2;
    for unit in 0..6 {
        let moved = |by: f32| forked(move |of| if of == unit { 1.0 + by } else { 1.0 }).model();
        let models = [moved(STEP), moved(-STEP)];
        let gradients: Vec<f64> = (0..5)
            .map(|sample| {
                let row = samples.row(sample).to_vec();
                let both = [0, 1].map(|of| likelihood(&models[of], &row, sample * 7 % 4));
                (both[0] - both[1]) / (2.0 * f64::from(STEP))
            })
            .collect();
        let mean = gradients.iter().sum::<f64>() / 5.0;
        let square = gradients.iter().map(|g| g * g).sum::<f64>() / 5.0;
        let taylor = found.taylor[0].as_ref().expect("known")[unit];
        let fisher = found.fisher[0].as_ref().expect("known")[unit];
        assert!((taylor - mean.abs()).abs() < 1e-3, "{taylor} {mean}");
        assert!(
            (fisher - square).abs() < 1e-3 * (1.0 + square),
            "{fisher} {square}"
        );
    }
}

/// `E (sum_k (1[k = y] - p_k) w_ck x_c)^2` over labels y of a linear softmax classifier is
/// `x_c^2 (sum_k p_k w_ck^2 - (sum_k p_k w_ck)^2)`.
#[test]
fn fisher_information_of_a_linear_classifier_is_the_closed_form() {
    let sizes: [Size; 2] = ["n".into(), 7.into()];
    let model = |probabilities: bool| {
        let net = Builder::new(17)
            .input_of("x", ElementType::Float, &sizes)
            .weight("w1", &[7, 6])
            .node("MatMul", "x w1 -> h", &[])
            .weight("w2", &[6, 5])
            .node("MatMul", "h w2 -> z", &[]);
        match probabilities {
            true => net.node("Softmax", "z -> y", &[]).output("y").model(),
            false => net.output("z").model(),
        }
    };
    let logits = analyse(&model(false));
    let data = DataSet::open(&random(1500), &declared_inputs(&logits), &logits, 64).expect("data");
    let w1 = to_f32(&noise("w1", &[7, 6])).expect("numbers");
    let w2 = to_f32(&noise("w2", &[6, 5])).expect("numbers");
    let mut expected = [0.0; 6];
    for number in 0..data.batches() {
        let inputs = data.batch(number).expect("a batch").inputs[0].1.to_f64();
        for x in inputs.chunks(7) {
            let h = |c: usize| (0..7).map(|i| x[i] * f64::from(w1[i * 6 + c])).sum::<f64>();
            let h: Vec<f64> = (0..6).map(h).collect();
            let w = |c: usize, k: usize| f64::from(w2[c * 5 + k]);
            let power = |k: usize| (0..6).map(|c| h[c] * w(c, k)).sum::<f64>().exp();
            let total: f64 = (0..5).map(power).sum();
            for c in 0..6 {
                let mean: f64 = (0..5).map(|k| power(k) / total * w(c, k)).sum();
                let square: f64 = (0..5).map(|k| power(k) / total * w(c, k).powi(2)).sum();
                expected[c] += h[c] * h[c] * (square - mean * mean) / 1500.0;
            }
        }
    }
    for probabilities in [false, true] {
        let analysis = analyse(&model(probabilities));
        let found = scores(&analysis, &random(1500), AnswerSource::Drawn, 1);
        let found = found.fisher[0].clone().expect("known");
        for (found, expected) in found.iter().zip(expected) {
            assert!((found / expected - 1.0).abs() < 0.12, "{found} {expected}");
        }
    }
}

/// Numbers y = x W: with noise of the width that makes half the squared error in units of the energy.
#[test]
fn numbers_count_by_their_squared_error() {
    let sizes: [Size; 2] = ["n".into(), 7.into()];
    let model = Builder::new(17)
        .input_of("x", ElementType::Float, &sizes)
        .weight("w1", &[7, 6])
        .node("MatMul", "x w1 -> h", &[])
        .weight("w2", &[6, 1])
        .node("MatMul", "h w2 -> y", &[])
        .output("y")
        .model();
    let analysis = analyse(&model);
    let found = scores(&analysis, &random(1280), AnswerSource::Drawn, 1);
    let fisher = found.fisher[0].clone().expect("known");
    let w1 = to_f32(&noise("w1", &[7, 6])).expect("numbers");
    let w2 = to_f32(&noise("w2", &[6, 1])).expect("numbers");
    let data = DataSet::open(&random(1280), &declared_inputs(&analysis), &analysis, 64);
    let data = data.expect("data");
    let mut expected = [0.0; 6];
    for number in 0..data.batches() {
        let inputs = data.batch(number).expect("a batch").inputs[0].1.to_f64();
        let (mut parts, mut energy) = ([0.0; 6], 0.0);
        for x in inputs.chunks(7) {
            let part = |c: usize| {
                let h = (0..7).map(|i| x[i] * f64::from(w1[i * 6 + c])).sum::<f64>();
                h * f64::from(w2[c])
            };
            energy += (0..6).map(part).sum::<f64>().powi(2);
            (0..6).for_each(|c| parts[c] += part(c).powi(2));
        }
        (0..6).for_each(|c| expected[c] += 2.0 * parts[c] / energy / data.batches() as f64);
    }
    for (found, expected) in fisher.iter().zip(expected) {
        assert!((found / expected - 1.0).abs() < 0.12, "{found} {expected}");
    }
}

#[test]
fn the_same_call_gives_the_same_scores_and_another_seed_others() {
    let analysis = analyse(&forked(|_| 1.0).model());
    let of = |seed: u64| scores(&analysis, &random(50), AnswerSource::Drawn, seed).fisher;
    assert_eq!(of(1), of(1));
    assert_ne!(of(1), of(2));
}

#[test]
fn dimensions_before_a_stop_have_no_scores_and_the_stop_is_named() {
    let sizes: [Size; 2] = ["n".into(), 7.into()];
    let model = Builder::new(17)
        .input_of("x", ElementType::Float, &sizes)
        .weight("w1", &[7, 6])
        .node("MatMul", "x w1 -> h", &[])
        .weight("w2", &[6, 16])
        .node("MatMul", "h w2 -> a", &[])
        .ints("square", &[0, 4, 4])
        .node("Reshape", "a square -> b", &[])
        .node("Det", "b -> c", &[])
        .ints("last", &[1])
        .node("Unsqueeze", "c last -> d", &[])
        .weight("w3", &[1, 5])
        .node("MatMul", "d w3 -> e", &[])
        .node("Relu", "e -> f", &[])
        .weight("w4", &[5, 3])
        .node("MatMul", "f w4 -> y", &[])
        .output("y")
        .model();
    let analysis = analyse(&model);
    let found = scores(&analysis, &random(40), AnswerSource::Drawn, 1);
    for (dimension, fisher) in analysis.dimensions().iter().zip(&found.fisher) {
        assert_eq!(fisher.is_some(), dimension.size == 5, "{}", dimension.name);
    }
    let sizes: Vec<usize> = analysis.dimensions().iter().map(|d| d.size).collect();
    assert!(sizes.contains(&6) && sizes.contains(&5), "{sizes:?}");
    assert_eq!(found.stops.len(), 1);
    assert!(found.stops[0].contains("Det"), "{:?}", found.stops);
}

/// What two outputs say adds up, whatever they are.
#[test]
fn several_outputs_add_up() {
    let sizes: [Size; 2] = ["n".into(), 7.into()];
    let net = |outputs: &[&str]| {
        let net = Builder::new(17)
            .input_of("x", ElementType::Float, &sizes)
            .weight("w1", &[7, 6])
            .node("MatMul", "x w1 -> a", &[])
            .node("Relu", "a -> h", &[])
            .weight("w2", &[6, 4])
            .node("MatMul", "h w2 -> classes", &[])
            .weight("w3", &[6, 1])
            .node("MatMul", "h w3 -> number", &[]);
        outputs
            .iter()
            .fold(net, |net, name| net.output(name))
            .model()
    };
    let of = |outputs: &[&str]| {
        let analysis = analyse(&net(outputs));
        let found = scores(&analysis, &random(800), AnswerSource::Drawn, 1);
        found.fisher[0].clone().expect("known")
    };
    let (both, classes, number) = (
        of(&["classes", "number"]),
        of(&["classes"]),
        of(&["number"]),
    );
    for (channel, both) in both.iter().enumerate() {
        let sum = classes[channel] + number[channel];
        assert!((both / sum - 1.0).abs() < 0.15, "{channel}: {both} {sum}");
    }
}

/// Scaling a unit of an LSTM everywhere it is masked: where it is made, and where it is read.
#[test]
fn units_of_recurrent_layers_are_scored_by_their_weights() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let path = folder.path().join("data.npz");
    let samples = labelled(&path, [1, 6, 3]);
    let net = |unit: usize, by: f32| {
        let scaled = |name: &str, dims: &[usize], by: &dyn Fn(usize) -> f32| {
            let numbers = to_f32(&noise(name, dims)).expect("numbers").into_iter();
            let numbers = numbers.enumerate().map(|(at, w)| w * by(at));
            floats(name, dims, &numbers.collect::<Vec<_>>())
        };
        let own = |of: usize| if of == unit { by } else { 1.0 };
        let sizes: [Size; 2] = ["n".into(), 6.into()];
        Builder::new(17)
            .input_of("x", ElementType::Float, &sizes)
            .ints("steps", &[0, 3, 2])
            .node("Reshape", "x steps -> s", &[])
            .node("Transpose", "s -> t", &[("perm", [1, 0, 2].into())])
            .tensor(scaled("w", &[1, 16, 2], &|at| own(at / 2 % 4)))
            .tensor(scaled("r", &[1, 16, 4], &|at| {
                own(at / 4 % 4) * own(at % 4)
            }))
            .tensor(scaled("b", &[1, 32], &|at| own(at % 4)))
            .node("LSTM", "t w r b -> ys yh", &[("hidden_size", 4.into())])
            .ints("zero", &[0])
            .node("Squeeze", "yh zero -> h", &[])
            .tensor(scaled("v", &[4, 3], &|at| own(at / 3)))
            .node("MatMul", "h v -> y", &[])
            .output("y")
            .model()
    };
    let analysis = analyse(&net(9, 1.0));
    let found = scores(&analysis, &DataSource::Path(path), AnswerSource::Given, 0);
    let place = analysis
        .dimensions()
        .iter()
        .position(|d| d.size == 4)
        .expect("the units");
    let taylor = found.taylor[place].as_ref().expect("known");
    const STEP: f32 = 1e-2;
    for unit in 0..4 {
        let row = samples.row(0).to_vec();
        let both = [STEP, -STEP].map(|by| likelihood(&net(unit, 1.0 + by), &row, 0));
        let expected = ((both[0] - both[1]) / (2.0 * f64::from(STEP))).abs();
        assert!(
            (taylor[unit] - expected).abs() < 2e-3,
            "{taylor:?} {expected}"
        );
    }
}

#[test]
fn the_fisher_scope_spares_what_is_dear_and_meets_the_budget() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/trained");
    let model = Model::load(root.join("resnet8_fashion.bn.onnx")).expect("a fixture");
    let analysis = analyse(&model);
    let dimensions = analysis.dimensions();
    let scores: Vec<Vec<f64>> = dimensions
        .iter()
        .map(|d| (0..d.size).map(|channel| channel as f64).collect())
        .collect();
    let settings = Settings {
        scope: Some(Scope::Fisher),
        budget: Some(CostBudget {
            cost: Cost::Macs,
            share: 0.5,
        }),
        round_to: RoundTo::Multiple(1),
        ..Settings::default()
    };
    let fisher = dimensions.iter().enumerate().map(|(place, d)| {
        let price = if place == 0 { 1e6 } else { 1.0 };
        // The last one is not known.
        (place + 1 < dimensions.len()).then(|| (0..d.size).map(|c| price * c as f64).collect())
    });
    let effects = Effects {
        fisher: fisher.collect(),
        ..Effects::default()
    };
    let ranking = Ranking::new(&analysis, &scores, &settings).expect("a ranking");
    let selection = ranking.select(&effects).expect("a selection");
    let kept = |place: usize| match &selection.decisions[place] {
        Decision::Prune(kept) => kept.clone(),
        Decision::Leave(_) => (0u32..).take(dimensions[place].size).collect(),
    };
    let counts: Vec<usize> = (0..dimensions.len())
        .map(|place| kept(place).len())
        .collect();
    let budget = analysis.model_totals().macs / 2;
    assert!(Meter::new(analysis.costs(), counts.clone()).totals().macs <= budget);
    assert!(counts[0] > 9 * dimensions[0].size / 10, "{counts:?}");
    for (place, dimension) in dimensions.iter().enumerate() {
        assert!(10 * counts[place] >= dimension.size, "{counts:?}");
        // Which channels stay is what the scores say.
        let best = (dimension.size - counts[place]) as u32..dimension.size as u32;
        assert_eq!(kept(place), best.collect::<Vec<u32>>());
    }
    let last = dimensions.len() - 1;
    assert!(counts[last] < dimensions[last].size, "{counts:?}");
}
