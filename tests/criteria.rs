//! Criteria on the command line: norms, distances, scales, thresholds, files of scores; and patterns that match nothing.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{fixture, json, lenet, secateur};
use serde_json::{Value, json};
use tempfile::TempDir;

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// A plan of the model with these flags.
fn plan(model: &Path, flags: &[&str]) -> Value {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("plan.json");
    secateur()
        .args(["prune", text(model), "--dry-run", "--plan-out", text(&path)])
        .args(flags)
        .assert()
        .success();
    let plan = fs::read(&path).expect("a plan");
    serde_json::from_slice(&plan).expect("JSON")
}

/// A file of scores for all dimensions, with those scores.
fn scored(folder: &TempDir, model: &Path) -> (PathBuf, Value) {
    let found = json(&["inspect", text(model)]);
    let mut scores = serde_json::Map::new();
    for dimension in found["dimensions"].as_array().expect("dimensions") {
        let size = dimension["size"].as_u64().expect("a size");
        let numbers: Vec<u64> = (0..size).map(|n| (n * 37) % 101).collect();
        let name = dimension["name"].as_str().expect("a name");
        scores.insert(name.to_owned(), json!(numbers));
    }
    let path = folder.path().join("scores.json");
    let scores = Value::Object(scores);
    fs::write(&path, scores.to_string()).expect("space");
    (path, scores)
}

#[test]
fn every_criterion_of_weights_prunes_and_is_proven() {
    let model = fixture("trained/resnet8_fashion.bn.onnx");
    let folder = TempDir::new().expect("a folder");
    let out = folder.path().join("out.onnx");
    for criterion in [
        "linf",
        "lp:3",
        "lp:0.5",
        "fpgm",
        "bn-scale",
        "threshold:1.5",
    ] {
        let report = json(&[
            "prune",
            text(&model),
            "-o",
            text(&out),
            "--criterion",
            criterion,
        ]);
        let params = |when: &str| report[when]["params"].as_u64().expect("a number");
        assert!(params("after") < params("before"), "{criterion}");
        assert!(report["verification"].is_object(), "{criterion}");
    }
}

#[test]
fn losses_are_taken_of_as_many_samples_as_are_run() {
    let (model, data) = (lenet(), fixture("data/mnist_200.npz"));
    let flags = ["--criterion", "loss", "--calibration", text(&data)];
    let cheap = ["--recover", "none", "--scope", "uniform"];
    plan(&model, &[flags, cheap].concat());
}

#[test]
fn scores_of_a_file_choose_what_stays_and_plans_say_which_file() {
    let model = lenet();
    let folder = TempDir::new().expect("a folder");
    let (path, scores) = scored(&folder, &model);
    let criterion = format!("scores:{}", text(&path));
    let found = plan(&model, &["--criterion", &criterion]);
    assert_eq!(found["settings"]["criterion"], json!(criterion));
    let hash = blake3::hash(&fs::read(&path).expect("a file")).to_hex();
    assert_eq!(found["settings"]["scores_hash"], json!(hash.as_str()));
    for dimension in found["dimensions"].as_array().expect("dimensions") {
        let own = scores[dimension["name"].as_str().expect("a name")].as_array();
        let own: Vec<u64> = own
            .expect("scores")
            .iter()
            .filter_map(Value::as_u64)
            .collect();
        let kept: Vec<usize> = serde_json::from_value(dimension["kept"].clone()).expect("places");
        let least = kept.iter().map(|&at| own[at]).min();
        let gone = (0..own.len()).filter(|at| !kept.contains(at));
        assert!(gone.map(|at| own[at]).max() <= least);
    }
    // What is left after a round has its scores still.
    let rounds = plan(
        &model,
        &[
            "--criterion",
            &criterion,
            "--iterations",
            "3",
            "--round-to",
            "1",
        ],
    );
    let once = plan(&model, &["--criterion", &criterion, "--round-to", "1"]);
    assert_eq!(rounds["dimensions"], once["dimensions"]);
}

#[test]
fn arrays_by_name_are_as_good_as_lists() {
    let model = lenet();
    let folder = TempDir::new().expect("a folder");
    let (path, scores) = scored(&folder, &model);
    let archive = folder.path().join("scores.npz");
    let mut file = ndarray_npy::NpzWriter::new(fs::File::create(&archive).expect("space"));
    for (name, numbers) in scores.as_object().expect("lists") {
        let numbers: Vec<f32> = serde_json::from_value(numbers.clone()).expect("numbers");
        let array = ndarray::Array1::from(numbers);
        file.add_array(name, &array).expect("space");
    }
    file.finish().expect("space");
    let of = |path: &Path| plan(&model, &["--criterion", &format!("scores:{}", text(path))]);
    assert_eq!(of(&path)["dimensions"], of(&archive)["dimensions"]);
}

#[test]
fn searches_and_sensitivities_take_scores() {
    let model = lenet();
    let folder = TempDir::new().expect("a folder");
    let (path, _) = scored(&folder, &model);
    let (criterion, out) = (
        format!("scores:{}", text(&path)),
        folder.path().join("out.onnx"),
    );
    let data = fixture("data/mnist_200.npz");
    let (data, output) = (text(&data), text(&out));
    json(&[
        "search",
        text(&model),
        "--data",
        data,
        "--max-kl",
        "0.2",
        "-o",
        output,
        "--only",
        "/conv2/*",
        "--criterion",
        &criterion,
    ]);
    let plan = fs::read(folder.path().join("out.plan.json")).expect("a plan");
    let plan: Value = serde_json::from_slice(&plan).expect("JSON");
    assert!(plan["settings"]["scores_hash"].is_string());
    let sensitivity = |criterion: &str| {
        let flags = [
            "--only",
            "fc1*",
            "--samples",
            "60",
            "--criterion",
            criterion,
        ];
        let mut all = vec!["sensitivity", text(&model), "--data", data];
        all.extend(flags);
        let mut found = json(&all);
        found["rows"].take()
    };
    assert_ne!(sensitivity(&criterion), sensitivity("fpgm"));
}

#[test]
fn what_contradicts_itself_or_says_nothing_is_refused() {
    let folder = TempDir::new().expect("a folder");
    let out = folder.path().join("out.onnx");
    let short = folder.path().join("short.json");
    fs::write(&short, r#"{"conv1.weight": [1], "nothing": [2]}"#).expect("space");
    let short = format!("scores:{}", text(&short));
    for (flags, code, part) in [
        (
            &["--criterion", "threshold:1", "--ratio", "0.3"][..],
            2,
            "leave --ratio out",
        ),
        (&["--criterion", "lp:0"], 2, "above 0"),
        (&["--criterion", "fpmg"], 2, "is fpgm meant?"),
        (
            &["--criterion", "threshold:0.0001"],
            3,
            "none of its 32 channels has a norm under 0.0001",
        ),
        (
            &["--criterion", "threshold:0.5", "--macs", "0.1"],
            3,
            "give a larger one",
        ),
        (
            &["--criterion", "bn-scale"],
            3,
            "folded into its convolution",
        ),
        (
            &["--criterion", "scores:no/such/file"],
            3,
            "cannot read no/such/file",
        ),
        (&["--criterion", &short], 3, "no dimension 'nothing'"),
        (
            &["--criterion", &short],
            3,
            "'conv1.weight' has 1 scores for 32 channels",
        ),
    ] {
        let run = secateur()
            .args(["prune", text(&lenet()), "-o", text(&out)])
            .args(flags)
            .assert()
            .code(code);
        let said = String::from_utf8_lossy(&run.get_output().stderr).into_owned();
        assert!(said.contains(part), "{flags:?}: {said}");
        assert!(!out.exists());
    }
}

#[test]
fn a_file_of_scores_is_not_overwritten() {
    let model = lenet();
    let folder = TempDir::new().expect("a folder");
    let (path, _) = scored(&folder, &model);
    let before = fs::read(&path).expect("a file");
    let criterion = format!("scores:{}", text(&path));
    secateur()
        .args([
            "prune",
            text(&model),
            "-o",
            text(&path),
            "--criterion",
            &criterion,
        ])
        .assert()
        .code(2);
    assert_eq!(fs::read(&path).expect("a file"), before);
}

#[test]
fn patterns_that_match_nothing_name_what_is_like_them() {
    let (model, data) = (lenet(), fixture("data/mnist_200.npz"));
    let blocks = fixture("trained/vit_fashion.onnx");
    let folder = TempDir::new().expect("a folder");
    let out = folder.path().join("out.onnx");
    let (model, data, out) = (text(&model), text(&data), text(&out));
    let sensitivity = ["sensitivity", model, "--data", data, "--samples", "40"];
    let with = |start: &[&'static str], rest: &[&str]| -> Vec<String> {
        let mut all: Vec<String> = start.iter().map(|word| (*word).to_owned()).collect();
        all.extend(rest.iter().map(|word| (*word).to_owned()));
        all
    };
    let mut calls = Vec::new();
    for flag in ["--only=cnov2*", "--skip=cnov2*", "--ratio-for=cnov2*=0.5"] {
        calls.push(with(&["prune"], &[model, "-o", out, flag]));
    }
    for flag in [
        "--only=cnov2*",
        "--skip=cnov2*",
        "--sparsity-for=cnov2*=0.5",
        "--include=cnov2*",
    ] {
        calls.push(with(&["mask"], &[model, "-o", out, "--sparsity=0.5", flag]));
    }
    for flag in ["--only=cnov2*", "--skip=cnov2*"] {
        calls.push(with(&[], &[&sensitivity[..], &[flag]].concat()));
        calls.push(with(
            &[],
            &[&sensitivity[..], &["--of=bits", flag]].concat(),
        ));
        let bound = "--max-kl=0.1";
        calls.push(with(
            &["search"],
            &[model, "--data", data, bound, "-o", out, flag],
        ));
    }
    for flag in ["--only=cnov2*", "--freeze=cnov2*"] {
        let flags = [
            model,
            "--data",
            data,
            "--labels",
            "--steps=1",
            "-o",
            out,
            flag,
        ];
        calls.push(with(&["tune"], &flags));
    }
    calls.push(with(
        &["quantise"],
        &[model, "-o", out, "--weight-only", "--keep=cnov2*"],
    ));
    let samples = ["--calibration", data, "--samples=20", "--keep=cnov2*"];
    calls.push(with(
        &["quantise"],
        &[&[model, "-o", out][..], &samples].concat(),
    ));
    for call in calls {
        let run = secateur().args(&call).assert().code(2);
        let said = String::from_utf8_lossy(&run.get_output().stderr).into_owned();
        assert!(said.contains("'cnov2*' matches no"), "{call:?}: {said}");
        assert!(said.contains("conv2"), "{call:?}: {said}");
    }
    secateur()
        .args([
            "prune",
            text(&blocks),
            "-o",
            out,
            "--drop-blocks=*blcoks.3/fc1",
        ])
        .assert()
        .code(2)
        .stderr(predicates::str::contains(
            "(the nearest: '/blocks/blocks.3/fc1'",
        ));
}
