//! Training inside the file as a user sees it.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use ndarray::{Array1, ArrayD};
use ndarray_npy::{NpzReader, NpzWriter};
use predicates::prelude::PredicateBooleanExt;
use predicates::str::contains;
use serde_json::Value;
use tempfile::TempDir;

use common::{fixture, json, lenet, secateur};

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

fn digits() -> PathBuf {
    fixture("data/mnist_200.npz")
}

/// LeNet with a quarter of its operations, by weights alone, in `folder`.
fn pruned(folder: &Path) -> PathBuf {
    let out = folder.join("pruned.onnx");
    let words = ["--macs", "0.25", "--no-verify"];
    secateur()
        .args(["prune", text(&lenet()), "-o", text(&out)])
        .args(words)
        .assert()
        .success();
    out
}

/// The divergence of two models' outputs on the digits.
fn divergence(model: &Path) -> f64 {
    let (lenet, data) = (lenet(), digits());
    let words = ["validate", text(&lenet), text(model), "--provider", "cpu"];
    let document = json(&[&words[..], &["--data", text(&data)]].concat());
    let drift = &document["providers"][0]["conditions"][0]["total"][0]["kl"];
    drift
        .as_f64()
        .unwrap_or_else(|| panic!("no divergence in {document}"))
}

fn losses(document: &Value) -> Vec<f64> {
    let judged = document["training"]["judgements"]
        .as_array()
        .expect("a list");
    let loss = |judged: &Value| judged["loss"].as_f64().expect("a number");
    judged.iter().map(loss).collect()
}

#[test]
fn a_pruned_net_learns_from_the_dense_one_without_labels() {
    let folder = TempDir::new().expect("a folder");
    let start = pruned(folder.path());
    let out = folder.path().join("tuned.onnx");
    let (lenet, data) = (lenet(), digits());
    let words = [
        "tune",
        text(&start),
        "-o",
        text(&out),
        "--teacher",
        text(&lenet),
    ];
    let document = json(&[&words[..], &["--data", text(&data), "--steps", "120"]].concat());
    let losses = losses(&document);
    let best = losses.iter().copied().fold(f64::INFINITY, f64::min);
    assert!(best < 0.7 * losses[0], "{losses:?}");
    assert!(divergence(&out) < 0.7 * divergence(&start));
    let augmented = &document["training"]["augmentation"][0];
    assert!(augmented.as_str().is_some_and(|a| a.contains("mirrored")));
}

#[test]
fn a_plan_with_training_is_still_proven() {
    let folder = TempDir::new().expect("a folder");
    let out = folder.path().join("tuned.onnx");
    let plan = folder.path().join("plan.json");
    let (lenet, data) = (lenet(), digits());
    let words = [
        "prune",
        text(&lenet),
        "-o",
        text(&out),
        "--macs",
        "0.1",
        "--calibration",
    ];
    let more = [
        text(&data),
        "--tune",
        "--steps",
        "60",
        "--plan-out",
        text(&plan),
    ];
    let document = json(&[&words[..], &more].concat());
    assert!(document["verification"]["proven"].as_u64() >= Some(2));
    let losses = losses(&document);
    assert!(losses.iter().any(|&loss| loss < losses[0]), "{losses:?}");
    assert_eq!(document["training"]["held_out"], 40);
}

/// Prunes LeNet to a tenth of its operations on 40 digits, with training in few steps and scores that cost
/// little.
fn in_rounds(folder: &Path, out: &str, more: &[&str]) -> assert_cmd::assert::Assert {
    let (lenet, data, out) = (lenet(), digits(), folder.join(out));
    let words = ["prune", text(&lenet), "-o", text(&out), "--macs", "0.1"];
    let tune = ["--calibration", text(&data), "--samples", "40", "--tune"];
    let cheap = "--criterion l2 --scope uniform --recover none";
    secateur()
        .args(words)
        .args(tune)
        .args(cheap.split(' '))
        .args(more)
        .arg("--json")
        .assert()
}

fn document(run: assert_cmd::assert::Assert) -> Value {
    let printed = run.success().get_output().stdout.clone();
    serde_json::from_slice(&printed).expect("a document")
}

#[test]
fn far_cuts_are_made_and_trained_in_two_rounds() {
    let folder = TempDir::new().expect("a folder");
    let plan = folder.path().join("plan.json");
    let state = folder.path().join("state");
    let words = ["--steps", "40", "--checkpoints", text(&state)];
    let run = in_rounds(
        folder.path(),
        "a.onnx",
        &[&words[..], &["--plan-out", text(&plan)]].concat(),
    );
    let whole = document(run);
    let first = &whole["rounds"][0];
    assert_eq!(whole["rounds"].as_array().map(Vec::len), Some(1));
    assert_eq!(first["training"]["steps"], 28);
    assert_eq!(whole["training"]["steps"], 40);
    for training in [&first["training"], &whole["training"]] {
        assert!(training["best_step"].as_u64() > Some(0), "{training}");
    }
    assert!(whole["verification"]["proven"].as_u64() >= Some(2));
    assert!(whole["budget"]["got"].as_f64() <= Some(0.1));
    let text_of_plan = fs::read_to_string(&plan).expect("a plan");
    assert!(text_of_plan.contains("\"iterations\": 2"));
    // Both states are taken up, so that nothing is left to train and the same comes out.
    document(in_rounds(
        folder.path(),
        "b.onnx",
        &[&words[..], &["--resume"]].concat(),
    ));
    let read = |name: &str| fs::read(folder.path().join(name)).expect("a model");
    assert_eq!(read("a.onnx"), read("b.onnx"));
    for round in ["round-1-of-2", "round-2-of-2"] {
        assert!(state.join(round).join("training.safetensors").exists());
    }
}

#[test]
fn rounds_whose_training_gains_nothing_keep_their_start() {
    let folder = TempDir::new().expect("a folder");
    // At this rate every step is harmful.
    let words = ["--steps", "10", "--lr", "1"];
    let found = document(in_rounds(folder.path(), "a.onnx", &words));
    assert_eq!(found["rounds"][0]["training"]["best_step"], 0);
    assert_eq!(found["training"]["best_step"], 0);
    assert!(found["verification"]["proven"].as_u64() >= Some(2));
    // Said to be one round, it is.
    let words = ["--steps", "10", "--iterations", "1"];
    let found = document(in_rounds(folder.path(), "b.onnx", &words));
    assert_eq!(found["rounds"].as_array().map(Vec::len), Some(0));
    assert_eq!(found["training"]["steps"], 10);
}

#[test]
fn zeros_of_masks_stay_zeros() {
    let folder = TempDir::new().expect("a folder");
    let out = folder.path().join("masked.onnx");
    let (lenet, data) = (lenet(), digits());
    let words = [
        "mask",
        text(&lenet),
        "-o",
        text(&out),
        "--sparsity",
        "0.9",
        "--calibration",
    ];
    let more = [
        text(&data),
        "--criterion",
        "wanda",
        "--tune",
        "--steps",
        "60",
    ];
    let document = json(&[&words[..], &more].concat());
    let losses = losses(&document);
    assert!(
        losses.iter().any(|&loss| loss < 0.7 * losses[0]),
        "{losses:?}"
    );
    let zeros = document["zeros_after"].as_u64().expect("a number");
    let sparsity = json(&["inspect", "--sparsity", text(&out)]);
    let rows = sparsity["initializers"].as_array().expect("a list");
    let there: u64 = rows.iter().filter_map(|row| row["zeros"].as_u64()).sum();
    assert!(there >= zeros, "{there} of {zeros}");
}

#[test]
fn a_training_goes_on_to_the_same_bits() {
    let folder = TempDir::new().expect("a folder");
    let start = pruned(folder.path());
    let (lenet, data) = (lenet(), digits());
    let train = |out: &str, state: &str, more: &[&str]| {
        let (out, state) = (folder.path().join(out), folder.path().join(state));
        let assertion = secateur()
            .args([
                "tune",
                text(&start),
                "-o",
                text(&out),
                "--teacher",
                text(&lenet),
            ])
            .args([
                "--data",
                text(&data),
                "--steps",
                "40",
                "--checkpoints",
                text(&state),
            ])
            .args(more)
            .assert();
        (out, assertion)
    };
    let (whole, assertion) = train("whole.onnx", "a", &[]);
    assertion.success();
    // The state after all steps: nothing is left to do, and the best weights are the same.
    let (again, assertion) = train("again.onnx", "a", &["--resume"]);
    assertion.success();
    assert_eq!(
        fs::read(&whole).expect("a file"),
        fs::read(&again).expect("a file")
    );
    train("other.onnx", "a", &["--resume", "--batch", "8"])
        .1
        .code(3)
        .stderr(contains("batch"));
}

/// Inputs of two kinds of rows and their labels.
fn rows(path: &Path, labels: impl Fn(usize) -> i64) {
    let images: ArrayD<f32> = {
        let file = fs::File::open(digits()).expect("a file");
        let mut archive = NpzReader::new(file).expect("an archive");
        archive.by_name("input").expect("images")
    };
    let count = images.shape()[0];
    let mut file = NpzWriter::new(fs::File::create(path).expect("a file"));
    file.add_array("input", &images).expect("written");
    let labels: Array1<i64> = (0..count).map(labels).collect();
    file.add_array("label", &labels).expect("written");
    file.finish().expect("written");
}

#[test]
fn a_new_head_learns_labels_on_a_frozen_trunk() {
    let folder = TempDir::new().expect("a folder");
    let (data, out) = (folder.path().join("x.npz"), folder.path().join("head.onnx"));
    let file = fs::File::open(digits()).expect("a file");
    let classes: Array1<i64> = NpzReader::new(file)
        .expect("an archive")
        .by_name("label")
        .expect("labels");
    rows(&data, |sample| classes[sample] % 2);
    let lenet = lenet();
    let words = [
        "tune",
        text(&lenet),
        "-o",
        text(&out),
        "--data",
        text(&data),
    ];
    let more = ["--replace-head", "2", "--steps", "100", "--lr", "0.01"];
    let document = json(&[&words[..], &more].concat());
    let losses = losses(&document);
    let best = losses.iter().copied().fold(f64::INFINITY, f64::min);
    assert!(best < 0.4, "{losses:?}");
    assert_eq!(document["training"]["tensors"], 2);
}

#[test]
fn what_cannot_be_trained_is_said() {
    let folder = TempDir::new().expect("a folder");
    let out = folder.path().join("out.onnx");
    let (lenet, digits) = (lenet(), digits());
    let tune = |data: &Path, more: &[&str]| {
        secateur()
            .args(["tune", text(&lenet), "-o", text(&out), "--data", text(data)])
            .args(more)
            .assert()
    };
    let wrong = folder.path().join("wrong.npz");
    rows(&wrong, |_| 11);
    tune(&wrong, &[])
        .code(3)
        .stderr(contains("class 11").and(contains("10 classes")));
    let teacher = ["--teacher", text(&lenet)];
    let few = [&teacher[..], &["--samples", "3"]].concat();
    tune(&digits, &few).code(3).stderr(contains("at least 5"));
    let nothing = [&teacher[..], &["--freeze", "*"]].concat();
    tune(&digits, &nothing)
        .code(2)
        .stderr(contains("nothing can be trained"));
    let unknown = [&teacher[..], &["--only", "nothing*"]].concat();
    tune(&digits, &unknown)
        .code(2)
        .stderr(contains("matches no weight"));
    let other = fixture("trained/gru_fashion.onnx");
    tune(&digits, &["--teacher", text(&other)]).code(3);
    tune(&digits, &["--lr", "0"]).code(2);
    let little = [&teacher[..], &["--memory", "1MB"]].concat();
    tune(&digits, &little)
        .code(2)
        .stderr(contains("may take 1 MB").and(contains("--memory")));
    tune(&digits, &["--memory", "1 egg"]).code(2);
    let wild = folder.path().join("wild.npz");
    let mut file = NpzWriter::new(fs::File::create(&wild).expect("a file"));
    let nan: ArrayD<f32> = ArrayD::from_elem(vec![20, 1, 28, 28], f32::NAN);
    file.add_array("input", &nan).expect("written");
    file.finish().expect("written");
    let vit = fixture("trained/vit_fashion.onnx");
    secateur()
        .args([
            "tune",
            text(&vit),
            "-o",
            text(&out),
            "--teacher",
            text(&vit),
        ])
        .args(["--data", text(&wild), "--steps", "20"])
        .assert()
        .code(3)
        .stderr(contains("no number"));
    // So steep that it diverges: the start is kept.
    tune(
        &digits,
        &[
            &teacher[..],
            &["--steps", "20", "--lr", "1", "--augment", "none"],
        ]
        .concat(),
    )
    .success()
    .stdout(contains("kept the start"));
}
