//! Budgets of time as a user sees them: what is asked, predicted and got, times that are kept, plans that are replayed. No
//! time is compared with another: machines are busy.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use assert_cmd::Command;
use predicates::prelude::*;
use predicates::str::contains;
use secateur::Silent;
use secateur::runtime::{Package, install};
use serde_json::Value;
use tempfile::TempDir;

use common::{below, fixture, lenet, secateur};

/// The library, whatever cache a test has.
static LIBRARY: LazyLock<PathBuf> = LazyLock::new(|| {
    let library = install(Package::Cpu, &mut Silent);
    library.expect("onnxruntime").path
});

/// A call with a cache of its own.
fn prune(cache: &Path) -> Command {
    let mut command = secateur();
    command.env("SECATEUR_CACHE", cache);
    command.arg("prune").arg(lenet());
    command.arg("--onnxruntime").arg(&*LIBRARY);
    command
}

fn report(command: &mut Command) -> Value {
    let output = command.arg("--json").assert().success();
    serde_json::from_slice(&output.get_output().stdout).expect("JSON")
}

/// The one file with times.
fn times(cache: &Path) -> PathBuf {
    let mut files = below(&cache.join("latency"));
    assert_eq!(files.len(), 1, "{files:?}");
    files.remove(0)
}

#[test]
fn a_budget_is_a_share_and_the_only_one() {
    for words in [
        ["--latency", "0.5", "--ratio", "0.5"],
        ["--latency", "0.5", "--macs", "0.5"],
        ["--latency", "0.5", "--params", "0.5"],
        ["--latency", "0.5", "--bytes", "0.5"],
        ["--latency", "0.5", "--plan", "plan.json"],
    ] {
        let mut command = secateur();
        command.arg("prune").arg(lenet()).args(["-o", "out.onnx"]);
        command.args(words).assert().code(2);
    }
    for share in ["1.5", "1", "0", "-1", "half"] {
        let mut command = secateur();
        command.arg("prune").arg(lenet()).args(["-o", "out.onnx"]);
        let word = format!("--latency={share}");
        command.arg(word).assert().code(2);
    }
}

#[test]
fn times_are_asked_predicted_got_and_kept() {
    let folder = TempDir::new().expect("a folder");
    let cache = TempDir::new().expect("a folder");
    let [first, replayed] = ["first.onnx", "replayed.onnx"].map(|name| folder.path().join(name));
    let plan = folder.path().join("plan.json");
    let asked = || {
        let mut command = prune(cache.path());
        command.args(["--latency", "0.8", "--force", "-o"]);
        command.arg(&first).arg("--plan-out").arg(&plan);
        command
    };
    let found = report(&mut asked());
    let row = &found["latency"];
    assert_eq!((&row["asked"], &row["known"]), (&0.8.into(), &false.into()));
    assert_eq!(
        (&row["provider"], &row["threads"]),
        (&"cpu".into(), &1.into())
    );
    assert!(row["timed"].as_u64() > Some(16), "{row}");
    for share in ["predicted", "got"] {
        assert!(row[share].as_f64() > Some(0.0), "{row}");
    }
    assert!(row["interval"][0].as_f64() <= row["interval"][1].as_f64());
    assert_eq!(found["budget"]["cost"], "latency");
    assert_eq!(found["budget"]["got"], row["got"]);
    let params = |when: &str| found[when]["params"].as_u64();
    assert!(params("after") < params("before"));

    let again = report(&mut asked());
    assert_eq!(again["latency"]["known"], true);
    assert_eq!(again["latency"]["timed"], row["timed"]);

    // A plan says all: nothing is timed, and the bytes are the same.
    let written = fs::read(&first).expect("a model");
    let empty = TempDir::new().expect("a folder");
    let mut command = prune(empty.path());
    command.arg("--plan").arg(&plan).arg("-o").arg(&replayed);
    let replay = report(&mut command);
    assert_eq!(replay["latency"], Value::Null);
    assert_eq!(fs::read(&replayed).expect("a model"), written);
    assert!(below(empty.path()).is_empty());
}

#[test]
fn times_that_are_damaged_or_of_another_machine_are_measured_anew() {
    let cache = TempDir::new().expect("a folder");
    let known = |words: &[&str]| {
        let mut command = prune(cache.path());
        command.args(["--latency", "0.8", "--dry-run"]).args(words);
        let found = report(&mut command);
        found["latency"]["known"].as_bool().expect("a word")
    };
    assert!(!known(&[]) && known(&[]));
    let path = times(cache.path());
    let text = fs::read_to_string(&path).expect("text");
    let mut foreign: Value = serde_json::from_str(&text).expect("JSON");
    foreign["of"]["machine"][1] = "another".into();
    for damaged in [text[..text.len() / 3].to_owned(), foreign.to_string()] {
        fs::write(&path, damaged).expect("a file");
        assert!(!known(&[]), "it is used");
        assert!(known(&[]), "it is not mended");
    }
    // Runs of two samples have times of their own.
    assert!(!known(&["--dim", "batch=2"]));
    assert_eq!(below(&cache.path().join("latency")).len(), 2);
}

#[test]
fn a_cache_that_cannot_be_written_is_no_fault() {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("file");
    fs::write(&file, "no folder").expect("a file");
    let mut command = prune(&file);
    command.args(["--latency", "0.8", "--dry-run"]);
    let output = command.assert().success();
    output.stderr(contains("not kept for later runs"));
    assert_eq!(fs::read(&file).expect("a file"), b"no folder");
}

#[test]
fn what_cannot_be_reached_is_said() {
    let cache = TempDir::new().expect("a folder");
    let mut command = secateur();
    command.env("SECATEUR_CACHE", cache.path());
    command
        .arg("prune")
        .arg(fixture("trained/vit_fashion.onnx"));
    command.arg("--onnxruntime").arg(&*LIBRARY);
    command.args(["--latency", "0.001", "--dry-run"]);
    let output = command.assert().code(3);
    output.stderr(contains("latency").and(contains("--dim")));
}
