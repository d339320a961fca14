//! What the tests of the binary share.

use std::fs;
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

/// A field of a message, with its length.
#[allow(dead_code, reason = "not every test file needs it")]
pub fn field(tag: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    let mut length = bytes.len();
    while length > 127 {
        out.push(length as u8 & 0x7f | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend(bytes);
    out
}

/// A model with a graph of these encoded fields.
#[allow(dead_code, reason = "not every test file needs it")]
pub fn model_of(graph: &[u8]) -> Vec<u8> {
    [vec![0x08, 9], field(0x3a, graph), field(0x42, &[0x10, 17])].concat()
}

/// All files and folders below a folder.
#[allow(dead_code, reason = "not every test file needs it")]
pub fn below(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut out = Vec::new();
    for path in entries.map(|entry| entry.expect("an entry").path()) {
        out.push(path.clone());
        out.extend(below(&path));
    }
    out.sort();
    out
}
