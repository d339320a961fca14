//! What happens to the process that runs onnxruntime: a crash, a kill and the end of the command that started it.
#![cfg(target_os = "linux")]

mod common;

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use assert_cmd::cargo::cargo_bin;
use predicates::prelude::PredicateBooleanExt;
use predicates::str::contains;
use secateur::runtime::{Apart, end_apart, run_apart};
use secateur::{Error, PruneOptions, prune};
use tempfile::TempDir;

use common::{fixture, json, lenet, secateur};

/// Longer than any of these steps takes, shorter than forever.
const LIMIT: Duration = Duration::from_secs(60);

/// What `look` finds before the limit.
fn awaited<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < LIMIT, "{what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// A proof that goes on for days, and the process that runs it.
fn long(folder: &TempDir) -> (Child, u32) {
    let child = Command::new(cargo_bin("secateur"))
        .arg("prune")
        .arg(fixture("hostile/long_loop.onnx"))
        .args(["-o", "out.onnx"])
        .current_dir(folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let worker = awaited("no process was started", || busy_child(child.id()));
    (child, worker)
}

/// A child of the process that has computed for half a second.
fn busy_child(parent: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok()?;
    let child: u32 = children.split_whitespace().next()?.parse().ok()?;
    let stat = fs::read_to_string(format!("/proc/{child}/stat")).ok()?;
    let user_ticks: u64 = stat.split_whitespace().nth(13)?.parse().ok()?;
    (user_ticks > 50).then_some(child)
}

fn kill(process: u32) {
    let killed = Command::new("kill")
        .args(["-KILL", &process.to_string()])
        .status();
    assert!(killed.expect("kill").success());
}

#[test]
fn a_crash_of_onnxruntime_is_a_message() {
    let folder = TempDir::new().expect("a folder");
    let mut call = secateur();
    call.current_dir(folder.path())
        .arg("prune")
        .arg(fixture("hostile/einsum_empty_input.onnx"))
        .args(["-o", "out.onnx"])
        .timeout(LIMIT)
        .assert()
        .code(4)
        .stderr(contains("crashed on the masked twin"));
    assert_eq!(fs::read_dir(folder.path()).expect("the folder").count(), 0);
}

#[test]
fn a_kill_in_the_midst_of_a_run_is_a_message() {
    let folder = TempDir::new().expect("a folder");
    let (child, worker) = long(&folder);
    kill(worker);
    let output = child.wait_with_output().expect("it ends");
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{message}");
    assert!(message.contains("was killed on"), "{message}");
    assert_eq!(fs::read_dir(folder.path()).expect("the folder").count(), 0);
}

/// The code of the library is gone, but not the rest of its file.
#[test]
fn a_crash_while_the_library_is_loaded_is_a_message() {
    let folder = TempDir::new().expect("a folder");
    let library = folder.path().join("libonnxruntime.so");
    let sound = json(&["runtime", "status"])["library"].clone();
    let mut bytes = fs::read(sound.as_str().expect("a path")).expect("the library");
    let (start, end) = (bytes.len() / 8, bytes.len() / 8 * 6);
    bytes[start..end].fill(0);
    fs::write(&library, bytes).expect("a copy");
    for command in [vec!["runtime", "status"], vec!["validate", "a", "b"]] {
        let command = command.into_iter().map(|word| match word {
            "a" | "b" => lenet(),
            word => word.into(),
        });
        secateur()
            .args(command)
            .env("ORT_DYLIB_PATH", &library)
            .timeout(LIMIT)
            .assert()
            .code(4)
            .stderr(contains("crashed on").and(contains("libonnxruntime.so")));
    }
}

/// One process has one library and one set of limits: all that a program does in turn.
#[test]
fn a_program_lives_on_after_a_crash_and_gives_up_after_a_run_that_does_not_end() {
    let begun = run_apart(Apart {
        program: cargo_bin("secateur"),
        arguments: Vec::new(),
        environment: Vec::new(),
        time_limit: Some(Duration::from_secs(10)),
        memory_limit: Some(700 << 20),
    });
    assert!(begun);
    let pruned = |path: PathBuf| {
        let options = PruneOptions::default();
        prune(path, &options).map(|pruned| pruned.model)
    };
    let crash = |name: &str| match pruned(fixture(name)) {
        Err(Error::Crash { reason, .. }) => reason,
        other => panic!("{name}: {other:?}"),
    };
    pruned(lenet()).expect("a proven model");
    assert!(crash("hostile/einsum_empty_input.onnx").contains("crashed on the masked twin"));
    pruned(lenet()).expect("a proven model");
    assert!(crash("hostile/large_expand.onnx").contains("more memory than there is for it"));
    pruned(lenet()).expect("a proven model");
    let late = "did not come back from";
    assert!(crash("hostile/long_loop.onnx").contains(late));
    assert!(crash("trained/lenet_mnist.onnx").contains(late));
    end_apart();
}

#[test]
fn no_process_outlives_the_command() {
    let folder = TempDir::new().expect("a folder");
    let (mut child, worker) = long(&folder);
    kill(child.id());
    child.wait().expect("it ends");
    awaited("its process goes on", || {
        let stat = fs::read_to_string(format!("/proc/{worker}/stat"));
        let gone = stat.map_or(true, |stat| stat.contains(") Z "));
        gone.then_some(())
    });
}
