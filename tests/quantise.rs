//! Quantisation as a user sees it.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use predicates::prelude::PredicateBooleanExt;
use predicates::str::contains;
use serde_json::Value;
use tempfile::TempDir;

use common::{fixture, json, lenet, secateur};

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// The largest divergence of two models' outputs on the digits, over what was measured.
fn divergence(model: &Path) -> f64 {
    let (lenet, data) = (lenet(), fixture("data/mnist_200.npz"));
    let words = ["validate", text(&lenet), text(model), "--provider", "cpu"];
    let document = json(&[&words[..], &["--data", text(&data)]].concat());
    let drift = &document["providers"][0]["conditions"][0]["total"][0]["kl"];
    drift.as_f64().expect("a number")
}

/// Warnings but for that of a slow model, which depends on the machine.
fn warnings(document: &Value) -> usize {
    let all = document["warnings"].as_array().expect("a list");
    let slow = |of: &&Value| of.as_str().is_some_and(|of| of.contains("times the speed"));
    all.iter().filter(|of| !slow(of)).count()
}

fn bytes(path: &Path) -> u64 {
    fs::metadata(path).expect("a file").len()
}

#[test]
fn a_net_becomes_products_of_integers_that_are_proven() {
    let folder = TempDir::new().expect("a folder");
    let out = folder.path().join("out.onnx");
    let (model, data) = (lenet(), fixture("data/mnist_200.npz"));
    let words = ["quantise", text(&model), "-o", text(&out)];
    let more = ["--calibration", text(&data), "--every-layer"];
    let document = json(&[&words[..], &more].concat());
    let layers = document["layers"].as_array().expect("a list");
    assert_eq!(layers.len(), 4);
    assert!(document["proof"]["codes"].as_u64() > Some(10_000));
    let fused = &document["fused"];
    assert_eq!(
        (&fused["planned"], &fused["integer"]),
        (&4.into(), &4.into())
    );
    assert_eq!(warnings(&document), 0);
    let error = |layer: &Value, way: &str| {
        let errors = layer["rounding"]["errors"].as_array().expect("a list");
        let found = errors.iter().find(|of| of["way"] == way).expect("a way");
        found["error"].as_f64().expect("a number")
    };
    for layer in layers {
        let method = layer["rounding"]["method"].as_str().expect("a method");
        assert!(error(layer, method) <= error(layer, "nearest"));
        assert_eq!(layer["saturable"], 0);
    }
    assert!(3 * bytes(&out) < bytes(&model));
    assert!(divergence(&out) < 2e-4);
    // What is quantised already has nothing left to quantise.
    let again = folder.path().join("again.onnx");
    secateur()
        .args(["quantise", text(&out), "-o", text(&again)])
        .args(more)
        .assert()
        .code(2)
        .stderr(contains("nothing can be quantised").and(contains("codes already")));
    assert!(!again.exists());
}

#[test]
fn codes_with_sign_reach_the_same_kernels() {
    let folder = TempDir::new().expect("a folder");
    let out = folder.path().join("out.onnx");
    let (model, data) = (lenet(), fixture("data/mnist_200.npz"));
    let words = ["quantise", text(&model), "-o", text(&out)];
    let more = ["--calibration", text(&data), "--target", "symmetric"];
    let document = json(&[&words[..], &more].concat());
    let settings = &document["settings"];
    let chosen = [&settings["target"], &settings["weights"]];
    assert_eq!(chosen, ["symmetric", "seven"]);
    let fused = &document["fused"];
    assert_eq!(
        (&fused["planned"], &fused["integer"]),
        (&4.into(), &4.into())
    );
    assert_eq!(warnings(&document), 0);
    assert!(3 * bytes(&out) < bytes(&model));
    assert!(divergence(&out) < 1e-3);
}

#[test]
fn a_model_for_other_kernels_is_proven_without_them() {
    let folder = TempDir::new().expect("a folder");
    let out = folder.path().join("out.onnx");
    let (model, data) = (
        fixture("trained/vit_fashion.onnx"),
        fixture("data/fashion_512.npz"),
    );
    let words = ["quantise", text(&model), "-o", text(&out)];
    let more = ["--calibration", text(&data), "--samples", "100"];
    let target = ["--target", "tensorrt"];
    let document = json(&[&words[..], &more, &target].concat());
    let settings = &document["settings"];
    let chosen = [&settings["target"], &settings["weights"]];
    assert_eq!(chosen, ["tensorrt", "eight"]);
    assert_eq!(document["layers"].as_array().map(Vec::len), Some(18));
    assert!(document["proof"]["codes"].as_u64() > Some(10_000));
    assert!(document["divergence"].as_f64() < Some(1e-3));
    // Onnxruntime's kernels are not what it is for.
    assert!(document["fused"].is_null());
    assert_eq!(warnings(&document), 0);
    assert!(2 * bytes(&out) < bytes(&model));
}

#[test]
fn rows_that_overflow_are_counted_in_the_file_and_can_be_avoided() {
    let folder = TempDir::new().expect("a folder");
    let out = folder.path().join("out.onnx");
    let (model, data) = (lenet(), fixture("data/mnist_200.npz"));
    let words = ["quantise", text(&model), "-o", text(&out), "--weights", "8"];
    let more = [
        "--calibration",
        text(&data),
        "--samples",
        "20",
        "--every-layer",
    ];
    // On x86 without VNNI the proof fails, which is right: what follows needs the file.
    let written = secateur().args(words).args(more).assert();
    if written.get_output().status.code() == Some(1) {
        return;
    }
    let found = json(&["inspect", text(&out)]);
    let rows = found["integers"].as_array().expect("a list");
    assert_eq!(rows.len(), 4);
    let overflow = |row: &Value| row["saturable"].as_u64() > Some(0);
    assert!(rows.iter().any(overflow));
    let shown = secateur().args(["inspect", text(&out)]).assert().code(0);
    shown.stdout(contains("session.x64quantprecision").and(contains("that can overflow")));
    let plain = secateur().args(["inspect", text(&model)]).assert().code(0);
    plain.stdout(contains("8-bit").not());
    let words = ["validate", text(&model), text(&out), "--provider", "cpu"];
    let exact = ["--data", text(&data), "--exact-integers"];
    let found = json(&[&words[..], &exact].concat());
    let drift = &found["providers"][0]["conditions"][0]["total"][0]["kl"];
    assert!(drift.as_f64() < Some(2e-4));
    let words = ["bench", text(&out), "--runs", "2", "--exact-integers"];
    let found = json(&words);
    assert!(found["settings"][0]["timings"][0]["peak_bytes"].as_u64() > Some(0));
}

#[test]
fn weights_alone_need_no_data_and_any_operator_may_read_them() {
    let folder = TempDir::new().expect("a folder");
    let out = folder.path().join("out.onnx");
    let gru = fixture("trained/gru_fashion.onnx");
    let words = ["quantise", text(&gru), "-o", text(&out), "--weight-only"];
    let document = json(&words);
    assert!(document["divergence"].is_null() && document["proof"].is_null());
    let verified = document["verification"].as_array().expect("a list");
    assert!(
        verified
            .iter()
            .all(|output| output["relative"].as_f64() < Some(1e-6))
    );
    assert!(3 * bytes(&out) < bytes(&gru));
    let data = fixture("data/mnist_200.npz");
    let out = folder.path().join("lenet.onnx");
    let (model, data) = (lenet(), text(&data).to_owned());
    let words = ["quantise", text(&model), "-o", text(&out), "--weight-only"];
    let document = json(&[&words[..], &["--calibration", &data]].concat());
    assert!(document["divergence"].as_f64() < Some(1e-4));
    assert!(divergence(&out) < 1e-4);
}

#[test]
fn what_cannot_be_is_said_and_nothing_is_written() {
    let folder = TempDir::new().expect("a folder");
    let out = folder.path().join("out.onnx");
    let (model, data) = (lenet(), fixture("data/mnist_200.npz"));
    let run = |words: &[&str]| {
        let mut command = secateur();
        command.args(["quantise", text(&model), "-o", text(&out)]);
        command.args(words).assert()
    };
    run(&[]).code(2).stderr(contains("--calibration"));
    let data = text(&data);
    run(&["--calibration", data, "--keep", "nothing*"])
        .code(2)
        .stderr(contains("nothing*"));
    run(&["--calibration", data, "--weights", "9"])
        .code(2)
        .stderr(contains("7 or 8"));
    run(&["--calibration", data, "--target", "tpu"])
        .code(2)
        .stderr(contains("cpu, tensorrt or symmetric"));
    run(&["--weight-only", "--target", "tensorrt"])
        .code(2)
        .stderr(contains("--weight-only"));
    run(&["--calibration", data, "--keep", "*"])
        .code(2)
        .stderr(contains("is kept, as asked"));
    run(&["--calibration", "missing.npz"])
        .code(3)
        .stderr(contains("missing.npz").and(contains("panicked").not()));
    assert!(!out.exists());
}

#[test]
fn one_run_prunes_and_quantises_and_a_plan_gives_the_same_bytes() {
    let folder = TempDir::new().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let (out, plan, again) = (at("out.onnx"), at("plan.json"), at("again.onnx"));
    let (model, data) = (lenet(), fixture("data/mnist_200.npz"));
    let calibrated = ["--calibration", text(&data), "--samples", "100"];
    let calibrated = [&calibrated[..], &["--quantise"]].concat();
    let words = ["prune", text(&model), "-o", text(&out), "--macs", "0.3"];
    let words = [&words[..], &calibrated, &["--plan-out", text(&plan)]].concat();
    let document = json(&words);
    let found = &document["quantisation"];
    assert_eq!(found["layers"].as_array().map(Vec::len), Some(4));
    assert_eq!(found["for_original"], true);
    assert_eq!(found["settings"]["weights"], "seven");
    assert!(found["proof"]["codes"].as_u64() > Some(0));
    assert!(document["verification"]["proven"].as_u64() > Some(0));
    let recovered = document["recovery"]["divergence"][1].as_f64();
    let rounded = found["divergence"].as_f64().expect("a number");
    assert!(rounded < recovered.expect("a number") + 1e-3);
    assert_eq!(document["file_bytes_after"].as_u64(), Some(bytes(&out)));
    assert!(5 * bytes(&out) < bytes(&model));
    let words = ["prune", text(&model), "-o", text(&again)];
    json(&[&words[..], &calibrated, &["--plan", text(&plan)]].concat());
    assert_eq!(fs::read(&out).ok(), fs::read(&again).ok());
    // Without recovery, rounding does what it would have done.
    let bare = at("bare.onnx");
    let words = [
        "prune",
        text(&model),
        "-o",
        text(&bare),
        "--plan",
        text(&plan),
    ];
    let document = json(&[&words[..], &calibrated, &["--recover", "none"]].concat());
    assert!(document["recovery"].is_null());
    assert!(divergence(&bare) < 0.02);
}

#[test]
fn pruning_to_codes_needs_data_and_bits_that_there_are() {
    let folder = TempDir::new().expect("a folder");
    let out = folder.path().join("out.onnx");
    let model = lenet();
    let run = |words: &[&str]| {
        let mut command = secateur();
        command.args(["prune", text(&model), "-o", text(&out)]);
        command.args(words).assert().code(2)
    };
    run(&["--quantise"]).stderr(contains("--quantise").and(contains("--calibration")));
    run(&["--quantise=9"]).stderr(contains("7 or 8"));
    assert!(!out.exists());
}

/// Trained and quantised as `words` say, from LeNet at a quarter of its operations.
fn trained_as_codes(folder: &Path, words: &[&str]) -> (assert_cmd::assert::Assert, PathBuf) {
    let (start, out) = (folder.join("start.onnx"), folder.join("out.onnx"));
    let (model, data) = (lenet(), fixture("data/mnist_200.npz"));
    let pruning = ["prune", text(&model), "-o", text(&start), "--macs", "0.25"];
    let pruning = secateur().args(pruning).arg("--no-verify").assert();
    pruning.success();
    let tuning = [
        "tune",
        text(&start),
        "-o",
        text(&out),
        "--data",
        text(&data),
    ];
    let run = secateur().args(tuning).args(words).arg("--json").assert();
    (run, out)
}

#[test]
fn a_pruned_net_is_trained_as_the_codes_that_are_written() {
    let folder = TempDir::new().expect("a folder");
    let dense = lenet();
    let words = ["--teacher", text(&dense), "--steps", "60", "--quantised"];
    let (run, out) = trained_as_codes(folder.path(), &words);
    let printed = run.success().get_output().stdout.clone();
    let document: Value = serde_json::from_slice(&printed).expect("a document");
    let found = &document["quantisation"];
    let before = found["before"].as_f64().expect("a number");
    let candidates = found["candidates"].as_array().expect("a list");
    let loss = |of: &Value| of["loss"].as_f64().expect("a number");
    let best = candidates.iter().map(loss).fold(f64::INFINITY, f64::min);
    let taken = candidates.iter().find(|of| of["way"] == found["taken"]);
    assert_eq!(taken.map(loss), Some(best));
    assert_eq!(candidates.len(), 3);
    assert_eq!(candidates[0]["way"], "untrained");
    assert!(best < 0.8 * before && before < 1.1 * loss(&candidates[0]));
    assert!(found["proof"]["codes"].as_u64() > Some(1000));
    assert_eq!(found["fused"]["integer"], found["fused"]["planned"]);
    let frozen = document["training"]["frozen"].as_array().expect("a list");
    assert_eq!(frozen.len(), 0, "{frozen:?}");
    let start = folder.path().join("start.onnx");
    assert!(divergence(&out) < 0.8 * divergence(&start));
    assert!(2 * bytes(&out) < bytes(&start));
}

#[test]
fn where_training_as_codes_gains_nothing_codes_are_those_of_the_model_as_it_was() {
    let folder = TempDir::new().expect("a folder");
    let dense = lenet();
    let words = ["--teacher", text(&dense), "--quantised=8"];
    let steep = ["--steps", "10", "--lr", "1", "--augment", "none"];
    let (run, out) = trained_as_codes(folder.path(), &[&words[..], &steep].concat());
    // On x86 without VNNI the proof of 8 bits fails.
    if run.get_output().status.code() == Some(1) {
        return;
    }
    let printed = run.success().get_output().stdout.clone();
    let document: Value = serde_json::from_slice(&printed).expect("a document");
    let found = &document["quantisation"];
    assert_eq!(found["taken"], "untrained");
    assert_eq!(found["candidates"].as_array().map(Vec::len), Some(1));
    let warnings = document["warnings"].to_string();
    assert!(warnings.contains("no better"), "{warnings}");
    let (start, data) = (
        folder.path().join("start.onnx"),
        fixture("data/mnist_200.npz"),
    );
    let plain = folder.path().join("plain.onnx");
    let words = [
        "quantise",
        text(&start),
        "-o",
        text(&plain),
        "--weights",
        "8",
    ];
    json(&[&words[..], &["--calibration", text(&data)]].concat());
    // Which layers are faster as codes is measured, and may differ.
    assert!((divergence(&out) - divergence(&plain)).abs() < 0.01 * divergence(&plain));
}

#[test]
fn what_cannot_be_trained_as_codes_is_said() {
    let folder = TempDir::new().expect("a folder");
    let head = ["--quantised", "--replace-head", "3"];
    let (run, out) = trained_as_codes(folder.path(), &head);
    run.code(2).stderr(contains("--replace-head"));
    let dense = lenet();
    let (run, _) = trained_as_codes(folder.path(), &["--quantised=4", "--teacher", text(&dense)]);
    run.code(2).stderr(contains("7 or 8"));
    assert!(!out.exists());
}
