//! What the tests of the binary share.

use std::path::{Path, PathBuf};

use assert_cmd::Command;
use serde_json::Value;

/// A file of `fixtures/`.
#[allow(dead_code, reason = "not every test file needs it")]
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures")
        .join(name)
}

/// The binary.
pub fn secateur() -> Command {
    Command::cargo_bin("secateur").expect("the binary is built")
}

/// A small convolutional net.
#[allow(dead_code, reason = "not every test file needs it")]
pub fn lenet() -> PathBuf {
    fixture("trained/lenet_mnist.onnx")
}

/// Runs a command that succeeds; returns its JSON document.
#[allow(dead_code, reason = "not every test file needs it")]
pub fn json(arguments: &[&str]) -> Value {
    let output = secateur()
        .args(arguments)
        .arg("--json")
        .assert()
        .success()
        .get_output()
        .clone();
    serde_json::from_slice(&output.stdout).expect("JSON")
}
