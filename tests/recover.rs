//! `secateur prune --calibration` as a user sees it.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use ndarray::{Array, IxDyn};
use ndarray_npy::NpzWriter;
use predicates::prelude::PredicateBooleanExt;
use predicates::str::contains;
use tempfile::TempDir;

use common::{fixture, json, lenet, secateur};

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

fn digits() -> PathBuf {
    fixture("data/mnist_200.npz")
}

/// An `.npz` of LeNet's input.
fn images(path: &Path, count: usize, number: impl Fn(usize) -> f32) {
    let numbers = (0..count * 28 * 28).map(number).collect();
    let array = Array::from_shape_vec(IxDyn(&[count, 1, 28, 28]), numbers).expect("an array");
    let mut file = NpzWriter::new(fs::File::create(path).expect("a file"));
    file.add_array("input", &array).expect("written");
    file.finish().expect("written");
}

#[test]
fn half_of_a_network_goes_and_its_answers_stay() {
    let folder = TempDir::new().expect("a folder");
    let data = fixture("data/fashion_512.npz");
    let model = fixture("trained/resnet8_fashion.bn.onnx");
    let agreement = |flags: &[&str], name: &str| {
        let out = folder.path().join(name);
        let mut words = vec!["prune", text(&model), "-o", text(&out), "--macs", "0.5"];
        words.extend(flags);
        let report = json(&words);
        assert!(report["budget"]["got"].as_f64().expect("a number") <= 0.5);
        let judged = json(&[
            "validate",
            text(&model),
            text(&out),
            "--data",
            text(&data),
            "--provider",
            "cpu",
        ]);
        let metrics = judged["providers"][0]["conditions"][0]["task"]["metrics"]
            .as_array()
            .expect("metrics");
        let of = metrics
            .iter()
            .find(|m| m["name"] == "accuracy")
            .expect("accuracy");
        (of["drop"].as_f64().expect("a number"), report)
    };
    // Only half of the images are calibrated on.
    let few = ["--calibration", text(&data), "--samples", "256"];
    let (drop, report) = agreement(&few, "recovered.onnx");
    assert!(drop < 0.03, "{drop}");
    let (plain, _) = agreement(&[], "plain.onnx");
    assert!(plain > 0.3, "{plain}");
    let layers = report["recovery"]["layers"].as_array().expect("layers");
    assert!(layers.iter().any(|layer| layer["method"] == "solve"));
    assert!(
        layers
            .iter()
            .any(|layer| !layer["with"].as_array().expect("names").is_empty())
    );
    for layer in layers {
        assert!(
            layer["after"].as_f64() <= layer["before"].as_f64(),
            "{layer}"
        );
    }
    assert!(report["verification"]["outputs"].is_array());
}

#[test]
fn every_criterion_scope_and_recovery_works_together() {
    let folder = TempDir::new().expect("a folder");
    let out = folder.path().join("out.onnx");
    let (model, data) = (lenet(), digits());
    let base = [
        "prune",
        text(&model),
        "-o",
        text(&out),
        "--calibration",
        text(&data),
        "--samples",
        "48",
    ];
    for criterion in [
        "obs",
        "reconstruction",
        "wanda",
        "act-mean",
        "act-max",
        "act-min",
        "act-var",
        "act-zero",
        "loss",
        "taylor",
        "fisher",
        "obs-fisher",
        "l1",
        "l2",
        "random",
    ] {
        let report = json(
            &[
                &base[..],
                &[
                    "--criterion",
                    criterion,
                    "--scope",
                    "global",
                    "--params",
                    "0.4",
                ],
            ]
            .concat(),
        );
        assert!(
            report["after"]["params"].as_u64() < report["before"]["params"].as_u64(),
            "{criterion}"
        );
    }
    for recovery in ["none", "bias", "fold", "solve"] {
        let report = json(
            &[
                &base[..],
                &["--recover", recovery, "--iterations", "2", "--ratio", "0.4"],
            ]
            .concat(),
        );
        assert_eq!(report["recovery"].is_null(), recovery == "none");
    }
}

#[test]
fn the_same_call_gives_the_same_bytes_at_any_number_of_threads() {
    let folder = TempDir::new().expect("a folder");
    let run = |name: &str, threads: &str| {
        let out = folder.path().join(name);
        secateur()
            .env("RAYON_NUM_THREADS", threads)
            .args(["prune", text(&lenet()), "-o", text(&out), "--macs", "0.3"])
            .args(["--calibration", text(&digits()), "--samples", "64"])
            .assert()
            .success();
        fs::read(out).expect("a model")
    };
    let first = run("a.onnx", "1");
    assert!(first == run("b.onnx", "1") && first == run("c.onnx", "2"));
}

#[test]
fn statistics_are_saved_and_used_again() {
    let folder = TempDir::new().expect("a folder");
    let stats = folder.path().join("s.safetensors");
    let (first, second) = (folder.path().join("1.onnx"), folder.path().join("2.onnx"));
    let (model, data) = (lenet(), digits());
    let call = |out: &Path| {
        json(&[
            "prune",
            text(&model),
            "-o",
            text(out),
            "--macs",
            "0.4",
            "--calibration",
            text(&data),
            "--samples",
            "64",
            "--stats",
            text(&stats),
        ])
    };
    assert!(call(&first)["calibration"]["statistics_of"].is_null());
    let bytes = fs::read(&stats).expect("statistics");
    assert!(call(&second)["calibration"]["statistics_of"].is_string());
    assert_eq!(bytes, fs::read(&stats).expect("statistics"));
    assert_eq!(
        fs::read(&first).expect("a model"),
        fs::read(&second).expect("a model")
    );
    // Not those of another model, nor what is no statistics.
    let gru = fixture("trained/vit_fashion.onnx");
    let fashion = fixture("data/fashion_512.npz");
    let other = |stats: &Path| {
        secateur()
            .args([
                "prune",
                text(&gru),
                "-o",
                text(&first),
                "--calibration",
                text(&fashion),
            ])
            .args(["--stats", text(stats)])
            .assert()
            .code(3)
    };
    other(&stats).stderr(contains("another file"));
    fs::write(&stats, b"nothing of the kind").expect("written");
    other(&stats).stderr(contains("is no safetensors file"));
}

#[test]
fn data_that_cannot_be_used_is_refused_and_nothing_is_written() {
    let folder = TempDir::new().expect("a folder");
    let (out, data) = (
        folder.path().join("out.onnx"),
        folder.path().join("data.npz"),
    );
    let run = |more: &[&str]| {
        let mut command = secateur();
        command.args([
            "prune",
            text(&lenet()),
            "-o",
            text(&out),
            "--calibration",
            text(&data),
        ]);
        command.args(more).assert()
    };
    images(&data, 20, |place| if place == 777 { f32::NAN } else { 0.5 });
    run(&[]).code(3).stderr(contains("not finite"));
    assert!(!out.exists());
    images(&data, 20, |place| (place % 13) as f32);
    run(&["--macs", "0.0001"])
        .code(3)
        .stderr(contains("leave 0.0220 at least"));
    run(&["--criterion", "nonsense"]).code(2);
    assert!(!out.exists());
    // Constant activations and a single sample are no reason to give up.
    images(&data, 20, |_| 0.0);
    run(&["--macs", "0.5"]).success();
    images(&data, 1, |place| (place % 13) as f32 / 13.0);
    run(&["--macs", "0.5"])
        .success()
        .stdout(contains("rank at most").and(contains("judged on the samples it was fitted to")));
}

#[test]
fn what_needs_data_says_so() {
    let folder = TempDir::new().expect("a folder");
    let out = folder.path().join("out.onnx");
    for flags in [
        &["--criterion", "obs"][..],
        &["--scope", "allocated"],
        &["--criterion", "loss"],
        &["--criterion", "fisher"],
        &["--scope", "fisher"],
    ] {
        secateur()
            .args(["prune", text(&lenet()), "-o", text(&out)])
            .args(flags)
            .assert()
            .code(2)
            .stderr(contains("--calibration"));
    }
    for flags in [["--recover", "fold"], ["--stats", "s"], ["--samples", "3"]] {
        secateur()
            .args(["prune", text(&lenet()), "-o", text(&out)])
            .args(flags)
            .assert()
            .code(2);
    }
    assert!(!out.exists());
}
