//! Searches and sensitivity as a user sees them.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use predicates::str::contains;
use serde_json::Value;
use tempfile::TempDir;

use common::{fixture, json, lenet, secateur};

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

fn digits() -> PathBuf {
    fixture("data/mnist_200.npz")
}

/// A search that takes seconds: few dimensions and no solving.
const QUICK: [&str; 6] = [
    "--recover",
    "bias",
    "--only",
    "/conv2/*",
    "--max-drop",
    "accuracy=0.05",
];

/// The words of a search of LeNet.
fn search<'a>(words: &[&'a str], model: &'a Path, data: &'a Path) -> Vec<&'a str> {
    let start = ["search", text(model), "--data", text(data)];
    [&start[..], &QUICK, words].concat()
}

fn content(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|fault| panic!("{}: {fault}", path.display()))
}

/// Evaluations in a folder.
fn evaluations(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.ends_with(".json")).count()
}

#[test]
fn the_smallest_model_that_holds_is_written_with_all_that_is_known_of_it() {
    let folder = TempDir::new().expect("a folder");
    let (out, front) = (folder.path().join("s.onnx"), folder.path().join("front"));
    let words = ["-o", text(&out), "--keep-front", text(&front)];
    let (model, data) = (lenet(), digits());
    let report = json(&search(&words, &model, &data));
    let chosen = &report["points"][report["chosen"].as_u64().expect("one") as usize];
    assert!(chosen["got"].as_f64().expect("a share") < 0.9);
    assert_eq!(chosen["holds"], true);
    assert_eq!(report["verdict"][0]["samples"], 50);
    assert!(
        report["looks"]
            .as_u64()
            .is_some_and(|looks| (1..=4).contains(&looks))
    );
    assert!(report["verification"]["worst"].is_null() && report["verification"].is_object());
    // What is smaller does not hold on the samples that were looked at, or not on the others.
    let points = report["points"].as_array().expect("a list");
    let got = |point: &Value| point["got"].as_f64().expect("a share");
    assert!(points.windows(2).all(|pair| got(&pair[0]) <= got(&pair[1])));
    let record: Value =
        serde_json::from_slice(&content(&out.with_extension("search.json"))).expect("JSON");
    assert_eq!(record["points"], report["points"]);
    let svg = String::from_utf8(content(&out.with_extension("search.svg"))).expect("text");
    assert!(svg.contains("-title\">drop of accuracy"), "{svg}");
    let csv = String::from_utf8(content(&out.with_extension("search.csv"))).expect("text");
    assert_eq!(csv.lines().count(), points.len() + 1);
    let on_front = points.iter().filter(|point| point["on_front"] == true);
    let models = fs::read_dir(&front).expect("a folder").flatten();
    let models = models.filter(|of| of.path().extension().is_some_and(|e| e == "onnx"));
    assert_eq!(models.count(), on_front.count());
    // The plan leaves the same.
    let again = folder.path().join("again.onnx");
    let plan = out.with_extension("plan.json");
    let words = [
        "prune",
        text(&model),
        "-o",
        text(&again),
        "--plan",
        text(&plan),
    ];
    let replayed = json(&words);
    assert_eq!(replayed["after"]["macs"], chosen["after"]["macs"]);
}

#[test]
fn an_impossible_floor_is_said_before_anything_is_cut() {
    let (model, data) = (lenet(), digits());
    let start = [
        "search",
        text(&model),
        "--data",
        text(&data),
        "-o",
        "/nowhere/x.onnx",
    ];
    let refused = |words: &[&str], code: i32, says: &str| {
        let words = [&start[..4], words, &["--dry-run"]].concat();
        secateur()
            .args(words)
            .assert()
            .code(code)
            .stderr(contains(says));
    };
    refused(
        &["--floor", "accuracy=0.9999"],
        1,
        "the original itself has accuracy",
    );
    refused(&["--max-drop", "acuracy=0.01"], 2, "choose one of accuracy");
    refused(&[], 2, "--max-drop");
    refused(&["--max-drop", "accuracy"], 2, "write METRIC=NUMBER");
    refused(
        &["--max-drop", "accuracy=0.01", "--samples", "60"],
        3,
        "of which one is",
    );
    refused(
        &["--max-drop", "accuracy=0.1", "--samples", "10"],
        3,
        "too little to be split",
    );
    refused(
        &["--max-kl", "0.1", "--shard", "3/2", "--results", "x"],
        2,
        "is no shard",
    );
}

#[test]
fn without_labels_there_are_other_bounds() {
    let folder = TempDir::new().expect("a folder");
    let data = folder.path().join("plain.npz");
    common_without_labels(&data);
    let model = lenet();
    let start = ["search", text(&model), "--data", text(&data), "--dry-run"];
    let words = [&start[..], &["--max-drop", "accuracy=0.05"]].concat();
    secateur()
        .args(words)
        .assert()
        .code(3)
        .stderr(contains("needs labels"));
    let bounds = [
        "--max-kl",
        "0.02",
        "--min-agreement",
        "0.9",
        "--recover",
        "bias",
    ];
    let report = json(&[&start[..], &bounds, &["--only", "/conv2/*"]].concat());
    assert_eq!(report["verdict"].as_array().map(Vec::len), Some(2));
    assert_eq!(report["original"]["metrics"], Value::Array(Vec::new()));
}

/// The whole model in 8 bits is a candidate, counted in the bytes that it has.
#[test]
fn codes_are_weighed_in_bytes() {
    let folder = TempDir::new().expect("a folder");
    let out = folder.path().join("q.onnx");
    let (model, data) = (lenet(), digits());
    let start = [
        "search",
        text(&model),
        "--data",
        text(&data),
        "-o",
        text(&out),
    ];
    let words = [
        "--max-kl",
        "0.0001",
        "--minimize",
        "bytes",
        "--quantise",
        "--only",
        "/conv2/*",
    ];
    let report = json(&[&start[..], &words, &["--recover", "bias"]].concat());
    let chosen = &report["points"][report["chosen"].as_u64().expect("one") as usize];
    assert_eq!(chosen["coded"], true);
    assert!(chosen["got"].as_f64().expect("a share") < 0.4);
    let bytes = fs::metadata(&out).expect("a model").len();
    assert_eq!(report["file_bytes_after"], bytes);
    assert_eq!(report["verdict"][0]["holds"], true);
}

/// What is chosen by times is timed; how fast it is is no matter here.
#[test]
fn time_is_minimised_where_the_model_runs() {
    let folder = TempDir::new().expect("a folder");
    let (model, data) = (lenet(), digits());
    let out = folder.path().join("t.onnx");
    let start = [
        "search",
        text(&model),
        "--data",
        text(&data),
        "-o",
        text(&out),
    ];
    let words = [
        "--max-kl",
        "0.5",
        "--minimize",
        "latency",
        "--only",
        "/conv2/*",
    ];
    let output = secateur()
        .args(
            [
                &start[..],
                &words,
                &["--recover", "bias", "--time-budget", "20", "--json"],
            ]
            .concat(),
        )
        .env("SECATEUR_CACHE", folder.path().join("cache"))
        .output()
        .expect("it runs");
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let points = report["points"].as_array().expect("a list");
    assert!(
        points
            .iter()
            .all(|point| point["time"].as_f64().is_some_and(|time| time > 0.0))
    );
    assert_eq!(report["minimised"], "latency");
}

/// The digits without their labels.
fn common_without_labels(path: &Path) {
    use ndarray_npy::{NpzReader, NpzWriter};
    let file = fs::File::open(digits()).expect("data");
    let mut all = NpzReader::new(file).expect("an archive");
    let input: ndarray::ArrayD<f32> = all.by_name("input").expect("an array");
    let mut out = NpzWriter::new(fs::File::create(path).expect("a file"));
    out.add_array("input", &input).expect("written");
    out.finish().expect("written");
}

/// Starts a process that makes its share.
fn shard(number: &str, results: &Path) -> std::process::Child {
    let (model, data) = (lenet(), digits());
    let words = ["--shard", number, "--results", text(results)];
    Command::new(env!("CARGO_BIN_EXE_secateur"))
        .args(search(&words, &model, &data))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts")
}

#[test]
fn shards_share_a_folder_though_one_is_killed_and_find_what_one_process_finds() {
    let folder = TempDir::new().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let results = at("results");
    let (mut first, mut second) = (shard("1/2", &results), shard("2/2", &results));
    let start = Instant::now();
    while evaluations(&results) < 3 && start.elapsed() < Duration::from_secs(120) {
        std::thread::sleep(Duration::from_millis(5));
    }
    second.kill().expect("it is killed");
    second.wait().expect("it ended");
    assert!(first.wait().expect("it ends").success());
    let made = evaluations(&results);
    let (model, data) = (lenet(), digits());
    let (merged, alone) = (at("merged.onnx"), at("alone.onnx"));
    let words = ["--merge", text(&results), "-o", text(&merged)];
    json(&search(&words, &model, &data));
    // What a descent asks for beyond the shares is little.
    assert!(evaluations(&results) - made < 16);
    secateur()
        .args(search(&["-o", text(&alone)], &model, &data))
        .env("RAYON_NUM_THREADS", "1")
        .assert()
        .success();
    assert_eq!(content(&merged), content(&alone));
    let record = |of: &Path| -> Value {
        serde_json::from_slice(&content(&of.with_extension("search.json"))).expect("JSON")
    };
    assert_eq!(record(&merged)["points"], record(&alone)["points"]);
    // Nothing is made anew that is there.
    let there = evaluations(&results);
    let words = ["--resume", text(&results), "--dry-run"];
    json(&search(&words, &model, &data));
    assert_eq!(evaluations(&results), there);
}

#[test]
fn evaluations_of_another_run_are_refused() {
    let folder = TempDir::new().expect("a folder");
    let results = folder.path().join("results");
    let (model, data) = (lenet(), digits());
    let words = [
        "--results",
        text(&results),
        "--time-budget",
        "0.001",
        "--dry-run",
    ];
    secateur()
        .args(search(&words, &model, &data))
        .assert()
        .code(1)
        .stderr(contains(
            "no model was made: the search ended after 0 step(s): the time was over",
        ));
    let refused = |words: &[&str], says: &str| {
        let words = [words, &["--resume", text(&results), "--dry-run"]].concat();
        secateur()
            .args(search(&words, &model, &data))
            .assert()
            .code(3)
            .stderr(contains(says));
    };
    refused(&["--seed", "1"], "another seed (0, not 1)");
    refused(&["--samples", "150"], "another data");
    let file = folder.path().join("file");
    fs::write(&file, "x").expect("written");
    let words = ["--results", text(&file), "--dry-run"];
    secateur()
        .args(search(&words, &model, &data))
        .assert()
        .code(4)
        .stderr(contains("cannot write"));
    let nothing = folder.path().join("nothing");
    let words = ["--merge", text(&nothing), "--dry-run"];
    secateur()
        .args(search(&words, &model, &data))
        .assert()
        .code(3)
        .stderr(contains("nothing to go on from"));
}

#[test]
fn sensitivity_is_a_table_a_picture_and_a_document() {
    let folder = TempDir::new().expect("a folder");
    let (csv, svg) = (folder.path().join("s.csv"), folder.path().join("s.svg"));
    let (model, data) = (lenet(), digits());
    let start = ["sensitivity", text(&model), "--data", text(&data)];
    let files = ["--csv", text(&csv), "--svg", text(&svg)];
    let report = json(&[&start[..], &files].concat());
    let rows = report["rows"].as_array().expect("a list");
    let points: usize = rows
        .iter()
        .map(|row| row["points"].as_array().map_or(0, Vec::len))
        .sum();
    assert!(points >= 9 * 3, "{points}");
    let lines = String::from_utf8(content(&csv)).expect("text");
    assert_eq!(lines.lines().count(), points + 1);
    let picture = String::from_utf8(content(&svg)).expect("text");
    let named = |row: &Value| picture.contains(row["name"].as_str().expect("a name"));
    assert!(rows.iter().all(named));
    // Folding helps where most is gone.
    let plain = json(&[&start[..], &["--recover", "none"]].concat());
    let last = |report: &Value| -> f64 {
        let rows = report["rows"].as_array().expect("a list").clone();
        let last = |row: &Value| row["points"].as_array()?.last()?["divergence"].as_f64();
        rows.iter().filter_map(last).sum()
    };
    assert!(last(&report) < 0.8 * last(&plain));
    let vit = fixture("trained/vit_fashion.onnx");
    let clothes = fixture("data/fashion_512.npz");
    let words = [
        "sensitivity",
        text(&vit),
        "--data",
        text(&clothes),
        "--of",
        "blocks",
    ];
    let blocks = json(&[&words[..], &["--samples", "40"]].concat());
    assert_eq!(blocks["rows"].as_array().map(Vec::len), Some(8));
    for of in ["weights", "bits"] {
        let report = json(&[&start[..], &["--of", of, "--samples", "40"]].concat());
        let first = &report["rows"][0]["points"];
        let divergences: Vec<f64> = (first.as_array().expect("a list").iter())
            .map(|point| point["divergence"].as_f64().expect("a number"))
            .collect();
        assert!(divergences[0] < 0.01 && divergences.last() > divergences.first());
    }
    secateur()
        .args([&start[..], &["--recover", "solve"]].concat())
        .assert()
        .code(2)
        .stderr(contains("none or fold"));
}
