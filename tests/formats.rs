//! The newest versions of the format, and what is newer: carried as it is, or refused with both versions named.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use predicates::prelude::*;
use predicates::str::contains;
use secateur::onnx::Model;
use tempfile::TempDir;

use common::{fixture, json, lenet, secateur};

fn newest(name: &str) -> PathBuf {
    fixture(&format!("element_types/{name}.onnx"))
}

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

#[test]
fn a_model_of_the_newest_versions_is_pruned_and_proven() {
    let folder = TempDir::new().expect("a folder");
    let out = folder.path().join("out.onnx");
    let report = json(&["prune", text(&newest("newest")), "-o", text(&out)]);
    assert_eq!(report["verification"]["proven"], 1);
    let model = Model::load(&out).expect("a model");
    assert_eq!((model.ir_version(), model.opset()), (14, 28));
}

#[test]
fn a_model_that_is_too_new_for_onnxruntime_is_told_both_versions() {
    let folder = TempDir::new().expect("a folder");
    let out = folder.path().join("out.onnx");
    let version = json(&["runtime", "status"])["version"].clone();
    let version = version.as_str().expect("a version").to_owned();
    let model = newest("newer_ir");
    let refused = || {
        contains("it has IR version 15")
            .and(contains(format!(
                "onnxruntime {version} reads versions up to 14"
            )))
            .and(contains("src/").not())
    };
    let mut prune = secateur();
    prune.args(["prune", text(&model), "-o", text(&out)]);
    prune.assert().code(4).stderr(refused());
    let mut validate = secateur();
    validate.args(["validate", text(&model), text(&model)]);
    validate.assert().code(4).stderr(refused());
    assert!(!out.exists());

    let model = newest("newer_opset");
    let mut validate = secateur();
    let refused = contains("it has version 29 of operator set ai.onnx").and(contains(format!(
        "onnxruntime {version} reads versions up to 28"
    )));
    validate.args(["validate", text(&model), text(&model)]);
    validate.assert().code(4).stderr(refused);
    // No row was compared with it.
    let mut prune = secateur();
    prune.args(["prune", text(&model), "-o", text(&out)]);
    prune
        .assert()
        .code(3)
        .stderr(contains("not compared with an operator set as new"));
    assert!(!out.exists());
}

/// The model with a field that no version has so far, in the message itself.
fn with_field(model: &Path, folder: &TempDir) -> PathBuf {
    let mut bytes = fs::read(model).expect("a model");
    // Number 126, three bytes.
    bytes.extend([0xf2, 0x07, 3, b'a', b'b', b'c']);
    let path = folder.path().join("field.onnx");
    fs::write(&path, bytes).expect("a file");
    path
}

#[test]
fn a_field_that_would_be_lost_is_refused() {
    let folder = TempDir::new().expect("a folder");
    let model = with_field(&newest("newer_ir"), &folder);
    let out = folder.path().join("out.onnx");
    for call in [
        &["inspect", text(&model)][..],
        &["prune", text(&model), "-o", text(&out), "--no-verify"],
        &["mask", text(&model), "-o", text(&out)],
    ] {
        let named = contains("(IR version 15) is too new to be read without loss")
            .and(contains("a ModelProto of it has a field 126"))
            .and(contains("IR version 14"));
        secateur().args(call).assert().code(3).stderr(named);
    }
    assert!(!out.exists());
}

#[test]
fn reports_and_models_name_the_onnxruntime() {
    let folder = TempDir::new().expect("a folder");
    let [proven, plain, masked] =
        ["proven", "plain", "masked"].map(|name| folder.path().join(name));
    let version = json(&["runtime", "status"])["version"].clone();
    assert!(version.as_str().expect("a version").starts_with("1."));
    let lenet = lenet();
    let report = json(&["prune", text(&lenet), "-o", text(&proven)]);
    assert_eq!(report["onnxruntime"], version);
    let report = json(&["prune", text(&lenet), "-o", text(&plain), "--no-verify"]);
    assert!(report["onnxruntime"].is_null());
    let report = json(&[
        "mask",
        text(&lenet),
        "-o",
        text(&masked),
        "--store",
        "sparse",
    ]);
    assert_eq!(report["onnxruntime"], version);
    for (path, expected) in [
        (&proven, version.as_str()),
        (&plain, None),
        (&masked, version.as_str()),
    ] {
        let model = Model::load(path).expect("a model");
        assert_eq!(model.metadata("secateur.onnxruntime"), expected);
    }
    let report = json(&["validate", text(&lenet), text(&proven)]);
    assert_eq!(report["onnxruntime"], version);
    let report = json(&["bench", text(&lenet), "--runs", "1"]);
    assert_eq!(report["onnxruntime"], version);
}
