//! The proof, gates and outputs as a user meets them.

mod common;

use std::fs;

use predicates::prelude::*;
use predicates::str::contains;
use tempfile::TempDir;

use common::{fixture, json, lenet, secateur};

fn path(path: &std::path::Path) -> &str {
    path.to_str().expect("a path")
}

#[test]
fn a_right_result_behind_a_sigmoid_that_rarely_fires_is_no_failure() {
    let folder = TempDir::new().expect("a folder");
    let output = folder.path().join("out.onnx");
    let model = fixture("field/proof/sigmoid_that_rarely_fires.onnx");
    let report = json(&["prune", path(&model), "-o", path(&output), "--strict"]);
    let proof = &report["verification"];
    assert_eq!(proof["outputs"][0]["informative"], true);
    assert!(proof["outputs"][0]["relative"].as_f64() <= proof["outputs"][0]["allowed"].as_f64());
    assert!(report["warnings"].as_array().is_some_and(Vec::is_empty));
}

#[test]
fn a_result_that_says_how_little_it_did_names_what_holds_the_weights() {
    let folder = TempDir::new().expect("a folder");
    let output = folder.path().join("out.onnx");
    let model = fixture("field/mostly_held.onnx");
    let report = json(&["prune", path(&model), "-o", path(&output)]);
    let warning = report["warnings"][0].as_str().expect("a warning");
    assert!(warning.contains("little was removed"), "{warning}");
    assert!(warning.contains("by Gather"), "{warning}");
    let without_rule = "by SequenceConstruct (the operator has no rule yet)";
    assert!(warning.contains(without_rule), "{warning}");
    let inspection = json(&["inspect", path(&model)]);
    let held = inspection["held"].as_array().expect("rows");
    let shares: Vec<f64> = held
        .iter()
        .filter_map(|row| row["share"].as_f64())
        .collect();
    assert!(
        shares.windows(2).all(|pair| pair[0] >= pair[1]),
        "{shares:?}"
    );
    // 2000 x 16 in the table, 16 x 1200 in the sequence, 16 x 24 + 24 x 4 elsewhere.
    let all = 32_000.0 + 19_200.0 + 480.0;
    assert!((shares[0] - 32_000.0 / all).abs() < 1e-9 && (shares[1] - 19_200.0 / all).abs() < 1e-9);
    let much = json(&["prune", path(&lenet()), "-o", path(&output)]);
    assert!(much["warnings"].as_array().is_some_and(Vec::is_empty));
}

#[test]
fn nothing_to_prune_is_said_with_and_without_data() {
    let folder = TempDir::new().expect("a folder");
    let (model, data) = (
        fixture("field/nothing_to_prune.onnx"),
        fixture("field/nothing_to_prune.npz"),
    );
    for extra in [&[][..], &["--calibration", path(&data)], &["--macs", "0.5"]] {
        secateur()
            .args(["prune", path(&model)])
            .arg("-o")
            .arg(folder.path().join("out.onnx"))
            .args(extra)
            .assert()
            .code(3)
            .stderr(contains("nothing can be pruned"));
    }
}

#[test]
fn two_outputs_that_are_one_file_are_refused() {
    let folder = TempDir::new().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("sub")).expect("a folder");
    let others = [at("out"), at("sub/../out"), folder.path().join("./out")];
    for other in &others {
        secateur()
            .args(["prune", "--no-verify", "--force", path(&lenet())])
            .args(["-o", path(&at("out")), "--plan-out", path(other)])
            .assert()
            .code(2)
            .stderr(contains("two outputs are the same file"));
        secateur()
            .args(["mask", path(&lenet())])
            .args(["-o", path(&at("out")), "--mask-out", path(other)])
            .assert()
            .code(2)
            .stderr(contains("two outputs are the same file"));
    }
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(at("out"), at("link")).expect("a link");
        secateur()
            .args(["prune", "--no-verify", path(&lenet())])
            .args(["-o", path(&at("out")), "--plan-out", path(&at("link"))])
            .assert()
            .code(2)
            .stderr(contains("two outputs are the same file"));
    }
    assert!(!at("out").exists());
}

#[test]
fn what_a_command_reads_is_not_replaced() {
    let folder = TempDir::new().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    fs::copy(fixture("data/mnist_200.npz"), at("data.npz")).expect("a copy");
    let before = fs::read(at("data.npz")).expect("bytes");
    secateur()
        .args([
            "prune",
            path(&lenet()),
            "--calibration",
            path(&at("data.npz")),
        ])
        .args(["-o", path(&at("data.npz"))])
        .assert()
        .code(2)
        .stderr(contains("is a file that this command reads").and(contains("--force")));
    secateur()
        .args(["mask", "--criterion", "wanda", path(&lenet())])
        .args(["--calibration", path(&at("data.npz"))])
        .args([
            "-o",
            path(&at("out.onnx")),
            "--mask-out",
            path(&at("data.npz")),
        ])
        .assert()
        .code(2)
        .stderr(contains("is a file that this command reads"));
    assert!(fs::read(at("data.npz")).expect("bytes") == before);
}

#[test]
fn a_gate_on_what_was_not_measured_fails() {
    let model = fixture("field/proof/sigmoid_that_rarely_fires.onnx");
    let gate = |extra: &[&str]| {
        let mut command = secateur();
        command.args(["validate", path(&model), path(&model)]);
        command
            .args(["--provider", "cpu", "--samples", "4"])
            .args(extra);
        command
    };
    gate(&["--max-error", "0"]).assert().success();
    secateur()
        .args([
            "validate",
            path(&lenet()),
            path(&lenet()),
            "--provider",
            "cpu",
        ])
        .args(["--data", path(&fixture("data/mnist_200.npz"))])
        .args(["--max-drop", "r2=0.1"])
        .assert()
        .code(1)
        .stderr(contains("not measured: this data gives accuracy"));
    gate(&["--max-drop", "acuracy=0.1"]).assert().failure();
}

/// A tokenizer and texts, both ways to renumber ids, and what is refused.
#[test]
fn a_vocabulary_is_cut_with_its_tokenizer() {
    let folder = TempDir::new().expect("a folder");
    let output = folder.path().join("small.onnx");
    let tokenizer = folder.path().join("small.tokenizer.json");
    let of = |name: &str| path(&fixture(&format!("vocabulary/{name}"))).to_owned();
    let (pieces, texts) = (of("bytes.json"), of("corpus.txt"));
    let words = [
        "--tokenizer",
        &pieces,
        "--corpus",
        &texts,
        "-o",
        path(&output),
    ];
    let model = of("gpt.onnx");
    let report = json(&[&["prune", &model][..], &words].concat());
    let row = &report["vocabulary"];
    let after = row["after"].as_u64().expect("a number");
    assert!(row["before"] == 600 && after < 600 && row["texts"].as_u64() > Some(0));
    assert_eq!(row["tokenizer"], path(&tokenizer));
    assert_eq!(report["verification"]["outputs"][0]["relative"], 0.0);
    let text = fs::read_to_string(&tokenizer).expect("the smaller tokenizer");
    let written: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let added = written["added_tokens"].as_array().expect("a list");
    assert!(added.iter().all(|piece| piece["id"].as_u64() < Some(after)));
    assert!(
        written["model"]["vocab"]
            .as_object()
            .is_some_and(|all| all.len() as u64 <= after)
    );
    fs::remove_file(&tokenizer).expect("it was there");
    let inside = json(&[&["prune", &model][..], &words, &["--remap", "inside"]].concat());
    assert_eq!(inside["vocabulary"]["tokenizer"], serde_json::Value::Null);
    assert!(!tokenizer.exists() && inside["signature"].as_array().is_some_and(Vec::is_empty));
    for (more, code, why) in [
        (&["--ratio", "0.5"][..], 2, "cannot be used with"),
        (
            &["--max-ratio", "0.5", "--plan-out", path(&output)],
            2,
            "the same file",
        ),
        (&["--vocabulary", &texts], 3, "is no number"),
    ] {
        let refused = secateur()
            .args(["prune", &model])
            .args(words)
            .args(more)
            .assert();
        refused.code(code).stderr(contains(why));
    }
    let foreign = secateur()
        .args(["prune", &of("bert.onnx")])
        .args(words)
        .assert();
    foreign
        .code(3)
        .stderr(contains("it is not the tokenizer of this model"));
}
