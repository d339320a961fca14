//! Stored weights, budgets and plans as a user of the command sees them.

mod common;

use std::fs;
use std::path::Path;

use predicates::prelude::PredicateBooleanExt;
use predicates::str::contains;
use tempfile::TempDir;

use common::{fixture, json, secateur};

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

fn bytes(path: &Path) -> u64 {
    fs::metadata(path).expect("a file").len()
}

#[test]
fn fewer_bits_and_halves_shrink_a_file() {
    let folder = TempDir::new().expect("a folder");
    let out = folder.path().join("out.onnx");
    let model = fixture("trained/vit_fashion.onnx");
    let words = ["quantise", text(&model), "-o", text(&out)];
    let sizes = [
        (&["--store", "float16"][..], 0.5),
        (&["--store", "bfloat16"], 0.5),
        (&["--weight-only"], 0.25),
        (&["--weight-only", "--bits", "4"], 0.125 + 1.0 / 32.0),
        (&["--weight-only", "--bits", "3"], 0.1),
        (&["--weight-only", "--bits", "2"], 0.05),
    ];
    let before = bytes(&model) as f64;
    for (more, share) in sizes {
        let document = json(&[&words[..], more].concat());
        let made = bytes(&out);
        assert_eq!(document["bytes"][1].as_u64(), Some(made));
        assert!(document["divergence"].is_null());
        let share = share * before;
        let made = made as f64;
        // What is no weight, names and nodes are left.
        assert!(
            made > share && made < share + 0.11 * before,
            "{more:?}: {made}"
        );
    }
}

#[test]
fn operator_sets_that_are_too_old_are_told() {
    let folder = TempDir::new().expect("a folder");
    let out = folder.path().join("out.onnx");
    let model = fixture("field/opset9_cnn.onnx");
    let words = ["quantise", text(&model), "-o", text(&out), "--weight-only"];
    let run = |more: &[&str]| secateur().args(words).args(more).assert();
    run(&["--bits", "4"])
        .code(2)
        .stderr(contains("operator set 9").and(contains("`bits` 8")));
    assert!(!out.exists());
    run(&["--bits", "8"]).code(0);
    assert!(out.exists());
}

#[test]
fn budgets_are_kept_or_refused_with_what_can_be_had() {
    let folder = TempDir::new().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let (out, plan, again) = (at("out.onnx"), at("plan.json"), at("again.onnx"));
    let model = fixture("field/opset9_cnn.onnx");
    let newer = fixture("field/scaler_mlp.onnx");
    let data = fixture("field/scaler_mlp.npz");
    let words = ["quantise", text(&newer), "-o", text(&out)];
    let calibrated = ["--calibration", text(&data)];
    let run = |more: &[&str]| secateur().args(words).args(calibrated).args(more).assert();
    run(&["--budget", "100B"])
        .code(2)
        .stderr(contains("cannot have 100 bytes").and(contains("it has")));
    run(&["--budget", "1.5"])
        .code(2)
        .stderr(contains("a share"));
    run(&["--weight-only", "--max-kl", "1e-9"]).code(1);
    assert!(!out.exists());
    let planned = [
        "--weight-only",
        "--max-kl",
        "0.5",
        "--plan-out",
        text(&plan),
    ];
    run(&planned).code(0);
    let replay = |model: &Path| {
        let words = ["quantise", text(model), "-o", text(&again)];
        let plan = ["--plan", text(&plan)];
        secateur().args(words).args(calibrated).args(plan).assert()
    };
    replay(&newer).code(0);
    assert_eq!(fs::read(&out).ok(), fs::read(&again).ok());
    fs::remove_file(&again).expect("a file");
    replay(&model).code(3).stderr(contains("another model"));
    fs::write(&plan, "{").expect("a file");
    replay(&newer)
        .code(3)
        .stderr(contains("is no plan of a quantisation"));
    fs::remove_file(&plan).expect("a file");
    replay(&newer).code(3).stderr(contains("plan.json"));
    assert!(!again.exists());
}
