//! Documents that claim more than they know: statistics of other data, numbers that cannot be, plans that say of
//! dimensions what is not so.

mod common;

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use common::{fixture, secateur};

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

/// The exit code and the message of a calibrated call.
fn calibrated(folder: &Path, samples: &str) -> (Option<i32>, String) {
    let output = secateur()
        .current_dir(folder)
        .args(["prune", "model.onnx", "-o", "out.onnx", "--force"])
        .args([
            "--calibration",
            "d.npz",
            "--stats",
            "s",
            "--samples",
            samples,
        ])
        .output()
        .expect("it runs");
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), message)
}

#[test]
fn statistics_are_those_of_the_data_at_hand() {
    let folder = TempDir::new().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let data = |name: &str| fs::copy(fixture(&format!("hostile/{name}")), at("d.npz"));
    fs::copy(fixture("hostile/good.onnx"), at("model.onnx")).expect("a model");
    data("rows.npz").expect("data");
    assert_eq!(calibrated(folder.path(), "32").0, Some(0));
    assert_eq!(calibrated(folder.path(), "32").0, Some(0));
    for (change, fragment) in [
        ("rows_other.npz", "data with hash"),
        ("rows.npz", "samples"),
    ] {
        data(change).expect("data");
        let samples = if change == "rows.npz" { "16" } else { "32" };
        let (code, message) = calibrated(folder.path(), samples);
        assert_eq!(code, Some(3), "{message}");
        assert!(
            message.contains(fragment) && message.contains("delete it"),
            "{message}"
        );
    }
    let stats = fs::read(at("s")).expect("statistics");
    let version = stats.windows(18).position(|w| w == b"\"secateur.runtime\"");
    let mut other = stats.clone();
    other[version.expect("a version") + 20] = b'0';
    fs::write(at("s"), other).expect("statistics");
    let (code, message) = calibrated(folder.path(), "32");
    assert_eq!(code, Some(3), "{message}");
    assert!(message.contains("onnxruntime '0"), "{message}");
}

/// Every kind of number, made impossible.
#[test]
fn impossible_statistics_are_refused() {
    let folder = TempDir::new().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    fs::copy(fixture("hostile/good.onnx"), at("model.onnx")).expect("a model");
    fs::copy(fixture("hostile/rows.npz"), at("d.npz")).expect("data");
    assert_eq!(calibrated(folder.path(), "32").0, Some(0));
    let stats = fs::read(at("s")).expect("statistics");
    let length = u64::from_le_bytes(stats[..8].try_into().expect("eight bytes")) as usize;
    let header: Value = serde_json::from_slice(&stats[8..8 + length]).expect("a header");
    let tensors = header.as_object().expect("an object");
    let damage = [
        ("mean", f64::NAN),
        ("mean", f64::INFINITY),
        ("covariance", f64::NAN),
        ("covariance", -1e6),
        ("min", f64::INFINITY),
        ("max", f64::NAN),
        ("zeros", -0.5),
        ("zeros", 2.0),
    ];
    for (what, number) in damage {
        let mut bytes = stats.clone();
        for (name, info) in tensors {
            if !name.ends_with(&format!(".{what}")) {
                continue;
            }
            let from = 8 + length + info["data_offsets"][0].as_u64().expect("a place") as usize;
            match info["dtype"].as_str() {
                Some("F64") => bytes[from..from + 8].copy_from_slice(&number.to_le_bytes()),
                _ => bytes[from..from + 4].copy_from_slice(&(number as f32).to_le_bytes()),
            }
        }
        fs::write(at("s"), bytes).expect("statistics");
        let (code, message) = calibrated(folder.path(), "32");
        assert_eq!(code, Some(3), "{what} {number}: {message}");
        assert!(
            message.contains("no finite data"),
            "{what} {number}: {message}"
        );
    }
    let mut huge = stats.clone();
    huge[7] = 0x10;
    for bytes in [&stats[..20], &stats[..stats.len() - 4], &huge] {
        fs::write(at("s"), bytes).expect("statistics");
        let (code, message) = calibrated(folder.path(), "32");
        assert_eq!(code, Some(3), "{message}");
        assert!(message.contains("safetensors"), "{message}");
    }
}

fn plan_of(folder: &Path, model: &Path) -> Value {
    let plan = folder.join("p.json");
    secateur()
        .args([
            "prune",
            text(model),
            "--dry-run",
            "--plan-out",
            text(&plan),
            "--force",
        ])
        .assert()
        .success();
    serde_json::from_slice(&fs::read(&plan).expect("a plan")).expect("JSON")
}

fn replayed(folder: &Path, model: &Path, plan: &Value) -> (Option<i32>, String, Value) {
    fs::write(folder.join("t.json"), plan.to_string()).expect("a plan");
    let output = secateur()
        .current_dir(folder)
        .args([
            "prune",
            text(model),
            "--plan",
            "t.json",
            "-o",
            "out.onnx",
            "--force",
            "--json",
        ])
        .args(["--plan-out", "q.json"])
        .output()
        .expect("it runs");
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    let report = serde_json::from_slice(&output.stdout).unwrap_or_default();
    (output.status.code(), message, report)
}

#[test]
fn what_a_plan_says_of_mixing_is_found_anew() {
    let folder = TempDir::new().expect("a folder");
    let model = fixture("trained/vit_fashion.onnx");
    let plan = plan_of(folder.path(), &model);
    let honest = replayed(folder.path(), &model, &plan);
    let mixing = |plan: &Value| {
        let dimensions = plan["dimensions"].as_array().expect("a list").iter();
        let mixes: Vec<bool> = dimensions
            .map(|d| d["mixing"].as_bool().expect("a claim"))
            .collect();
        mixes
    };
    assert!(mixing(&plan).contains(&true));
    let mut lie = plan.clone();
    for dimension in lie["dimensions"].as_array_mut().expect("a list") {
        let claim = dimension["mixing"].as_bool().expect("a claim");
        dimension["mixing"] = json!(!claim);
    }
    lie["initializers"] = json!([{"name": "none", "axes": []}]);
    let told = replayed(folder.path(), &model, &lie);
    assert_eq!((honest.0, told.0), (Some(0), Some(0)), "{}", told.1);
    assert_eq!(
        honest.2["verification"]["proven"],
        told.2["verification"]["proven"]
    );
    assert_eq!(honest.2["dimensions"], told.2["dimensions"]);
    let written = fs::read(folder.path().join("q.json")).expect("a plan");
    let written: Value = serde_json::from_slice(&written).expect("JSON");
    assert_eq!(mixing(&written), mixing(&plan));
    assert_eq!(written["initializers"], plan["initializers"]);
}

#[test]
fn plans_that_cannot_be_are_refused() {
    let folder = TempDir::new().expect("a folder");
    let model = fixture("hostile/good.onnx");
    let plan = plan_of(folder.path(), &model);
    let size = plan["dimensions"][0]["size"].as_u64().expect("a size");
    let all: Vec<u64> = (0..size).collect();
    let changes: [(&str, Value); 11] = [
        ("/dimensions/0/name", json!("nothing")),
        ("/dimensions/0/size", json!(size + 1)),
        ("/dimensions/0/kept", json!([])),
        ("/dimensions/0/kept", json!([0, size])),
        ("/dimensions/0/kept", json!([1, 0])),
        ("/dimensions/0/kept", json!([0, 0])),
        ("/dimensions/0/kept", json!([-1])),
        ("/dimensions/0/kept", json!([4_294_967_296_u64])),
        ("/dimensions/0/kept", json!(all)),
        ("/dimensions/0/scores", json!([1.0])),
        ("/model_hash", json!("0")),
    ];
    for (place, value) in changes {
        let mut other = plan.clone();
        *other.pointer_mut(place).expect("a place") = value;
        let (code, message, _) = replayed(folder.path(), &model, &other);
        assert_eq!(code, Some(3), "{place}: {message}");
        assert!(!folder.path().join("out.onnx").exists(), "{place}");
    }
    let mut twice = plan.clone();
    let first = twice["dimensions"][0].clone();
    twice["dimensions"]
        .as_array_mut()
        .expect("a list")
        .push(first);
    assert_eq!(replayed(folder.path(), &model, &twice).0, Some(3));
    let deep = folder.path().join("deep.json");
    fs::write(&deep, "[".repeat(100_000)).expect("a file");
    for arguments in [["prune", "--plan"], ["mask", "--mask"]] {
        secateur()
            .current_dir(folder.path())
            .args([
                arguments[0],
                text(&model),
                "-o",
                "out.onnx",
                arguments[1],
                "deep.json",
            ])
            .assert()
            .code(3);
    }
}
