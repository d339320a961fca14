//! A batch that is run in parts, against the same batch at once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::rules::runtime;
use super::training::{graph, numbers, softmax, tensor};
use crate::events::Silent;
use crate::grad::BoundGraph;
use crate::graph::{Graph, declaration};
use crate::job::{TuneOptions, tune};
use crate::onnx::proto::ValueInfoProto;
use crate::onnx::{ElementType, Model, packed, to_f32};
use crate::rewrite::{Edit, with_weights};
use crate::runtime::{Runtime, Tensor};
use crate::train::{
    Comparison, PartsFor, StepNames, StepOptions, Trainable, TrainingRecord, Tuning, of_run, step,
};

const ROWS: usize = 8;
const STEPS: usize = 4;

/// Losses, norms and weights after some steps of 8 rows in so many parts.
fn stepped(
    runtime: &Runtime,
    comparisons: &[(&str, Comparison)],
    labelled: bool,
    parts: usize,
) -> (Vec<f64>, Vec<f32>) {
    let graph = graph();
    let rows = ROWS / parts;
    let bound = BoundGraph::of(&graph, &[("x".to_owned(), vec![rows, 3])], None).expect("sizes");
    let comparisons = comparisons.iter();
    let comparisons: Vec<_> = comparisons
        .map(|(name, how)| ((*name).to_owned(), *how))
        .collect();
    let choice = Trainable {
        masked: ["a".to_owned()].into(),
        ..Trainable::default()
    };
    let options = StepOptions {
        comparisons: &comparisons,
        labelled: labelled.then(|| comparisons[0].0.as_str()),
        taught: true,
        choice: &choice,
        decays: true,
        parts,
        on_processor: true,
    };
    let made = step(&bound, &options).expect("a step");
    let names = &made.names;
    let weights = made.parameters.flat(&graph).expect("weights");
    let mut session = runtime.session(&made.model, "a step").expect("a session");
    let start = made.start(&weights).expect("a state");
    session.keep(&names.state, start).expect("it is kept");
    let scalar = |number: f32| tensor(&[], &[number]);
    let mut found = Vec::new();
    for number in 0..STEPS {
        let mut sum = 0.0;
        let asked = asked(names, number);
        for part in 0..parts {
            let cut = |(name, all, width): &(String, Vec<f32>, usize)| {
                let own = &all[part * rows * width..(part + 1) * rows * width];
                (name.clone(), tensor(&[rows, *width], own))
            };
            let mut inputs: Vec<(String, Tensor)> = asked.iter().map(cut).collect();
            let last = f32::from(u8::from(part + 1 == parts));
            let rates = [last * 1e-2 / (1.0 - 0.9_f32.powi(number as i32 + 1)), 900.0];
            let rates = names.rates.iter().zip(rates);
            let shares = names.mix.iter().flatten().zip([0.7, 0.3]);
            let others = names.decay.iter().map(|name| (name, last * 1e-2));
            let others = others.chain(names.last.iter().map(|name| (name, last)));
            let all = rates.chain(shares).chain(others);
            inputs.extend(all.map(|(name, number)| (name.clone(), scalar(number))));
            for (of, name) in &names.energies {
                let (_, all, _) = asked.iter().find(|(name, ..)| name == of).expect("it");
                inputs.push((name.clone(), scalar(all.iter().map(|x| x * x).sum())));
            }
            let read = [names.loss.clone(), names.norm.clone()];
            let made = session.step(&inputs, &read).expect("it runs");
            sum += made[0].1.to_f64()[0];
            if last == 1.0 {
                found.extend([sum, made[1].1.to_f64()[0]]);
            } else {
                let state = session.state(&[names.state[0].0.clone()]).expect("a state");
                let before = session.state(&[names.state[1].0.clone()]).expect("a state");
                assert!(state[0].1.to_f64().iter().all(|weight| weight.is_finite()));
                if number == 0 {
                    let unmoved: Vec<f64> = weights.iter().map(|&w| w.into()).collect();
                    assert_eq!(state[0].1.to_f64(), unmoved);
                    assert!(before[0].1.to_f64().iter().all(|&moment| moment == 0.0));
                }
            }
        }
    }
    let state = session.state(&[names.state[0].0.clone()]).expect("a state");
    let weights = state[0].1.to_f64().into_iter().map(|weight| weight as f32);
    (found, weights.collect())
}

/// What a step reads of all rows: name, numbers and numbers of a row.
fn asked(names: &StepNames, number: usize) -> Vec<(String, Vec<f32>, usize)> {
    let mut asked = vec![("x".to_owned(), numbers(7 + number, ROWS * 3), 3)];
    for (output, input) in &names.teacher {
        let width = if output == "numbers" { 2 } else { 5 };
        let raw = numbers(11 + width + number, ROWS * width);
        let given = match output.as_str() {
            "probabilities" => softmax(&raw, width),
            _ => raw,
        };
        asked.push((input.clone(), given, width));
    }
    if let Some((name, sizes)) = &names.answers {
        let width = sizes[1];
        let ones =
            (0..ROWS * width).map(|place| f32::from(u8::from(place % width == place / width % 2)));
        asked.push((name.clone(), ones.collect(), width));
    }
    asked
}

fn near(found: &[f64], wanted: &[f64], what: &str) {
    assert_eq!(found.len(), wanted.len(), "{what}");
    for (a, b) in found.iter().zip(wanted) {
        assert!((a - b).abs() <= 1e-5 * b.abs(), "{what}: {a}, not {b}");
    }
}

/// That vectors differ by no more than one in 100,000 of their length.
fn alike(found: &[f32], wanted: &[f32], what: &str) {
    let squares = |numbers: &mut dyn Iterator<Item = f32>| -> f32 { numbers.map(|x| x * x).sum() };
    let error = squares(&mut found.iter().zip(wanted).map(|(a, b)| a - b)).sqrt();
    let length = squares(&mut wanted.iter().copied()).sqrt();
    assert!(error <= 1e-5 * length, "{what}: {error} of {length}");
}

#[test]
fn gradients_of_parts_add_up_to_those_of_the_batch() {
    let runtime = runtime();
    let logits = ("logits", Comparison::Logits);
    let probabilities = ("probabilities", Comparison::Probabilities);
    let values = ("numbers", Comparison::Values);
    let cases: [(&[(&str, Comparison)], bool); 5] = [
        (&[logits], false),
        (&[probabilities], true),
        (&[values], false),
        (&[values], true),
        (&[logits, probabilities, values], true),
    ];
    for (comparisons, labelled) in cases {
        let (losses, weights) = stepped(&runtime, comparisons, labelled, 1);
        let start = graph();
        let start = start
            .constant(start.find("c").expect("it"))
            .expect("a weight");
        assert!(
            !weights.ends_with(&to_f32(start).expect("numbers")),
            "nothing moves"
        );
        for parts in [2, 4] {
            let what = format!("{comparisons:?} {labelled} in {parts}");
            let (found, other) = stepped(&runtime, comparisons, labelled, parts);
            near(&found, &losses, &what);
            alike(&other, &weights, &what);
        }
    }
}

fn fixture(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.join("fixtures").join(name)
}

/// LeNet with half of its weights zero and the others smaller, in a file.
fn damaged(path: &Path) {
    let model = Model::load(fixture("trained/lenet_mnist.onnx")).expect("a model");
    let graph = Graph::new(&model).expect("a graph");
    let mut edits = BTreeMap::new();
    for value in graph.value_ids() {
        let Some(tensor) = graph.constant(value).filter(|tensor| tensor.dims.len() > 1) else {
            continue;
        };
        let Ok(numbers) = to_f32(tensor) else {
            continue;
        };
        let mean = numbers.iter().map(|x| x.abs()).sum::<f32>() / numbers.len() as f32;
        let changed = numbers
            .iter()
            .map(|&x| if x.abs() < mean { 0.0 } else { 0.9 * x });
        let changed: Vec<f32> = changed.collect();
        let bytes = packed(&changed, ElementType::Float);
        edits.insert(value, Edit::Bytes(bytes.into()));
    }
    let model = with_weights(&graph, &edits).expect("weights");
    model.save(path).expect("it is written");
}

/// The model of a file as one of a single sample, beside it.
fn of_one_sample(path: &Path, to: &Path) {
    let mut model = Model::load(path).expect("a model");
    let graph = model.proto.graph.as_mut().expect("a graph");
    let of_one = |value: &ValueInfoProto, shape: &[i64]| {
        let shape: Vec<Option<i64>> = shape.iter().map(|&size| Some(size)).collect();
        declaration(value.name(), Some(ElementType::Float), Some(&shape))
    };
    graph.input[0] = of_one(&graph.input[0], &[1, 1, 28, 28]);
    graph.output[0] = of_one(&graph.output[0], &[1, 10]);
    model.save(to).expect("it is written");
}

fn tuned(start: &Path, tuning: Tuning) -> crate::Result<(TrainingRecord, Vec<f32>)> {
    taught(&fixture("trained/lenet_mnist.onnx"), start, tuning)
}

fn taught(
    teacher: &Path,
    start: &Path,
    tuning: Tuning,
) -> crate::Result<(TrainingRecord, Vec<f32>)> {
    let out = start.with_extension("tuned.onnx");
    let data = fixture("data/mnist_200.npz");
    let mut options = TuneOptions::new(teacher, data);
    options.tuning = tuning;
    options.output = Some(out.clone());
    let report = tune(start, &options, &mut Silent)?;
    let model = Model::load(&out)?;
    let tensors = model
        .proto
        .graph
        .iter()
        .flat_map(|graph| &graph.initializer);
    let real = tensors.filter(|tensor| tensor.data_type() == ElementType::Float.number());
    let weights = real.flat_map(|tensor| to_f32(tensor).expect("numbers"));
    Ok((report.training.0, weights.collect()))
}

/// Losses and norms of the steps.
fn curve(record: &TrainingRecord) -> Vec<f64> {
    let points = record.losses.iter();
    points.flat_map(|point| [point.loss, point.norm]).collect()
}

#[test]
fn a_model_of_one_sample_at_a_time_learns_from_batches() {
    let folder = tempfile::tempdir().expect("a folder");
    let [start, fixed, teacher] =
        ["start", "fixed", "teacher"].map(|name| folder.path().join(name).with_extension("onnx"));
    damaged(&start);
    of_one_sample(&start, &fixed);
    of_one_sample(&fixture("trained/lenet_mnist.onnx"), &teacher);
    let tuning = || Tuning {
        steps: Some(4),
        batch: Some(6),
        ..Tuning::default()
    };
    let (whole, weights) = tuned(&start, tuning()).expect("it is trained");
    let (single, same) = taught(&teacher, &fixed, tuning()).expect("it is trained");
    assert_eq!(
        (single.parts, single.split),
        (6, Some(PartsFor::FixedBatch))
    );
    near(&curve(&single), &curve(&whole), "losses and norms");
    alike(&same, &weights, "weights");
}

#[test]
fn memory_is_that_of_what_is_alive_at_once() {
    let sizes = [("x".to_owned(), vec![ROWS, 3])];
    let bound = BoundGraph::of(&graph(), &sizes, None).expect("sizes");
    let counted = of_run(bound.graph(), &|name| bound.bytes_of(name));
    let [weights, input, outputs, raw] = [3 * (5 + 5 + 2), ROWS * 3, ROWS * (5 + 5 + 2), ROWS * 5];
    assert_eq!(counted, 4 * (weights + input + outputs + raw) as u64);
}

#[test]
fn a_memory_bound_changes_nothing_but_rounding() {
    let folder = tempfile::tempdir().expect("a folder");
    let start = folder.path().join("start.onnx");
    damaged(&start);
    let tuning = |memory: Option<u64>| Tuning {
        steps: Some(5),
        batch: Some(32),
        decay: 0.1,
        labels: true,
        memory,
        ..Tuning::default()
    };
    let (whole, weights) = tuned(&start, tuning(None)).expect("it is trained");
    assert_eq!(whole.parts, 1);
    assert!(whole.masked > 0 && whole.best_step == 5, "{whole:?}");
    let (least, _) = tuned(
        &start,
        Tuning {
            batch: Some(1),
            ..tuning(None)
        },
    )
    .expect("one");
    let mut most = 1;
    for eighths in [5, 1] {
        let bytes = least.memory + (whole.memory - least.memory) * eighths / 8;
        let (parts, other) = tuned(&start, tuning(Some(bytes))).expect("it is trained");
        assert!(parts.parts > most, "{} parts", parts.parts);
        assert!(parts.memory <= bytes && parts.split == Some(PartsFor::Memory));
        most = parts.parts;
        near(&curve(&parts), &curve(&whole), "losses and norms");
        let judged = |record: &TrainingRecord| -> Vec<f64> {
            let judgements = record.judgements.iter();
            judgements.filter_map(|judged| judged.loss).collect()
        };
        near(&judged(&parts), &judged(&whole), "judgements");
        alike(&other, &weights, "weights");
    }
    let fault = tuned(&start, tuning(Some(least.memory / 2))).expect_err("too little");
    assert_eq!(fault.class(), crate::Class::Usage);
    assert!(fault.to_string().contains("`memory`"), "{fault}");
}

#[test]
fn a_training_that_goes_on_has_the_parts_that_it_began_with() {
    let folder = tempfile::tempdir().expect("a folder");
    let start = folder.path().join("start.onnx");
    damaged(&start);
    let tuning = |memory: Option<u64>, resume: bool| Tuning {
        steps: Some(5),
        batch: Some(32),
        memory,
        checkpoints: Some(folder.path().join("state")),
        resume,
        ..Tuning::default()
    };
    let free = Tuning {
        checkpoints: None,
        ..tuning(None, false)
    };
    let (whole, _) = tuned(&start, free).expect("it is trained");
    let bytes = whole.memory * 3 / 4;
    let (parts, weights) = tuned(&start, tuning(Some(bytes), false)).expect("it is trained");
    assert!(parts.parts > 1);
    let (again, same) = tuned(&start, tuning(None, true)).expect("it goes on");
    assert_eq!((again.parts, same), (parts.parts, weights));
    let fault = tuned(&start, tuning(Some(whole.memory), true)).expect_err("another number");
    assert!(fault.to_string().contains("`parts` was"), "{fault}");
}
