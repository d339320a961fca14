//! Runs that are killed at any moment leave the old model with its data or the new one, and nothing that stays.
#![cfg(unix)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use secateur::Model;
use tempfile::TempDir;

use common::lenet;

/// Kills of a run of the tests; the variable of this name sets another number.
const KILLS: (&str, u32) = ("SECATEUR_TEST_KILLS", 40);

/// A field of a message, shorter than 128 bytes.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len()).expect("a short field");
    [&[number << 3 | 2, length], content].concat()
}

/// Writes LeNet with one more weight, which is in a file of its own: its copies keep all their weights in one.
fn write_model(folder: &Path) {
    let location = [field(1, b"location"), field(2, b"more.bin")].concat();
    let one_float_outside = [
        &[0x08, 1, 0x10, 1, 0x70, 1],
        &*field(8, b"more"),
        &*field(13, &location),
    ];
    // A message that is appended to another is merged with it.
    let more = field(7, &field(5, &one_float_outside.concat()));
    let model = [fs::read(lenet()).expect("a model"), more].concat();
    fs::write(folder.join("source.onnx"), model).expect("a model");
    fs::write(folder.join("more.bin"), 1_f32.to_le_bytes()).expect("its data");
}

fn prune(folder: &Path, ratio: &str) -> Command {
    let mut call = Command::new(env!("CARGO_BIN_EXE_secateur"));
    call.arg("prune")
        .arg(folder.join("source.onnx"))
        .args(["--no-verify", "--ratio", ratio, "--force", "-o"])
        .arg(folder.join("o.onnx"))
        .arg("--plan-out")
        .arg(folder.join("p.json"))
        .env("TMPDIR", folder.join("tmp"))
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    call
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").flatten();
    entries.map(|entry| entry.path()).collect()
}

/// The weights of a model with its data.
fn content(path: &Path) -> Vec<u8> {
    let model = Model::load(path).expect("a whole pair");
    model.to_bytes().expect("a small model")
}

#[test]
fn a_killed_run_leaves_one_whole_pair_and_nothing_that_stays() {
    let folder = TempDir::new().expect("a folder");
    let (place, output) = (folder.path(), folder.path().join("o.onnx"));
    fs::create_dir(place.join("tmp")).expect("a folder");
    write_model(place);
    let ratios = ["0.3", "0.5"];
    let made = ratios.map(|ratio| {
        assert!(prune(place, ratio).status().expect("it runs").success());
        content(&output)
    });
    assert_ne!(made[0], made[1]);
    let start = Instant::now();
    assert!(prune(place, ratios[0]).status().expect("it runs").success());
    let whole = start.elapsed();
    let clean = files(place).len();
    assert_eq!(clean, 6, "two models with data, the plan and the folder");
    let kills = std::env::var(KILLS.0).ok();
    let kills = kills.map_or(KILLS.1, |text| text.parse().expect("a number"));
    let mut left = 0;
    for round in 0..kills {
        let mut child = prune(place, ratios[round as usize % 2])
            .spawn()
            .expect("it runs");
        // Steps of the golden ratio spread over the whole run.
        let moment = (f64::from(round) * 0.618_034).fract();
        std::thread::sleep(whole.mul_f64(moment).max(Duration::from_millis(1)));
        let signal = ["-KILL", "-KILL", "-INT", "-TERM"][round as usize % 4];
        let id = child.id().to_string();
        let _ = Command::new("kill").args([signal, &id]).status();
        child.wait().expect("it ends");
        let now = content(&output);
        assert!(made.contains(&now), "round {round}: a mixed pair");
        let more = files(place).len() - clean;
        assert!(
            signal == "-KILL" || more <= left,
            "round {round}: {signal} left files"
        );
        left = more;
    }
    assert!(prune(place, ratios[0]).status().expect("it runs").success());
    assert_eq!(files(place).len(), clean, "{:?}", files(place));
    assert_eq!(files(&place.join("tmp")).len(), 0);
    println!("{kills} kills");
}
