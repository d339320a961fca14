//! `docs/json.md` against what the commands print: no field without a line, no line without a field.

mod common;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use common::{fixture, json};

/// Documented fields that the runs below cannot show, or not all of them: they need a GPU, stored outputs, zeros, sums,
/// slow widths, budgets of time, weights of integers, layers that do not fuse or that no kernel for codes takes, or a dry run.
const ELSEWHERE: [&str; 26] = [
    "gone[]",
    "signature[]",
    "signature_held[]",
    "vocabulary.",
    "latency.",
    "verification.caches[]",
    "verification.unseen[]",
    "verification.mixed_by[]",
    "warnings[]",
    "forecast.",
    "patterns[]",
    "placement[]",
    "provider_drift[]",
    "stored[]",
    "stops[]",
    "frozen[]",
    "integers[]",
    "rest[]",
    "blocks[]",
    "unread[]",
    "pruned.",
    "unsupported[]",
    "with[]",
    "points[].dropped[]",
    "quantisation.real[]",
    "quantisation.settings.keep[]",
];

/// The documented paths of a schema, braces expanded.
fn documented(schema: &str) -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/json.md");
    let text = std::fs::read_to_string(path).expect("docs/json.md");
    let heading = format!("## {schema}\n");
    let section = text
        .split(&heading)
        .nth(1)
        .unwrap_or_else(|| panic!("no section {schema}"));
    let section = section.split("\n## ").next().unwrap_or(section);
    let lines = section
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    lines.flat_map(|(path, _)| expand(path)).collect()
}

fn expand(path: &str) -> Vec<String> {
    let Some((before, rest)) = path.split_once('{') else {
        return vec![path.to_owned()];
    };
    let (names, after) = rest.split_once('}').expect("a closed brace");
    let each = names
        .split(',')
        .flat_map(|name| expand(&format!("{before}{name}{after}")));
    each.collect()
}

/// Every path of a document: leaves, and what holds them.
fn paths(value: &Value, path: &str, leaves: &mut BTreeSet<String>, all: &mut BTreeSet<String>) {
    all.insert(path.to_owned());
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let dot = if path.is_empty() { "" } else { "." };
                paths(value, &format!("{path}{dot}{name}"), leaves, all);
            }
        }
        Value::Array(items) => {
            for item in items {
                paths(item, &format!("{path}[]"), leaves, all);
            }
        }
        _ => {
            leaves.insert(path.to_owned());
        }
    }
}

/// That a document has no field without a line; returns its schema, and all paths of it and of the lines.
fn check_fields(arguments: &[&str]) -> (String, [BTreeSet<String>; 2]) {
    let document = json(arguments);
    let schema = document["schema"].as_str().expect("a schema").to_owned();
    let documented = documented(&schema);
    let (mut leaves, mut all) = (BTreeSet::new(), BTreeSet::new());
    paths(&document, "", &mut leaves, &mut all);
    let missing: Vec<&String> = leaves.difference(&documented).collect();
    assert!(missing.is_empty(), "{schema}: not documented: {missing:?}");
    (schema, [all, documented])
}

fn check(arguments: &[&str]) {
    let (schema, [all, documented]) = check_fields(arguments);
    let elsewhere = |path: &&String| !ELSEWHERE.iter().any(|part| path.contains(part));
    let gone: Vec<&String> = documented.difference(&all).filter(elsewhere).collect();
    assert!(
        gone.is_empty(),
        "{schema}: documented, but not there: {gone:?}"
    );
}

#[test]
fn every_document_is_as_documented() {
    let folder = TempDir::new().expect("a folder");
    let text = |path: PathBuf| path.display().to_string();
    let model = text(fixture("trained/lenet_mnist.onnx"));
    let data = text(fixture("data/mnist_200.npz"));
    let pruned = text(folder.path().join("pruned.onnx"));
    let both = text(folder.path().join("both.onnx"));
    let data_words = ["--calibration", &data, "--samples", "40"];
    let tuning = ["--tune", "--steps", "10"];
    let pruning = ["prune", &model, "--macs", "0.3", "-o"];
    json(&[&pruning[..], &[&pruned], &data_words].concat());
    let all = ["--iterations", "2", "--bench", "--quantise"];
    check(&[&pruning[..], &[&both], &data_words, &tuning, &all].concat());
    let tuned = text(folder.path().join("tuned.onnx"));
    let training = ["tune", &pruned, "-o", &tuned, "--teacher", &model];
    let rounded = ["--data", &data, "--steps", "10", "--quantised"];
    let steep = ["--lr", "0.3", "--augment", "none"];
    check(&[&training[..], &rounded, &steep].concat());
    check(&["inspect", &model]);
    let residual = text(fixture("trained/resnet8_fashion.bn.onnx"));
    let shallow = text(folder.path().join("shallow.onnx"));
    check(&["inspect", &residual]);
    check_fields(&["prune", &residual, "-o", &shallow, "--drop-blocks", "*"]);
    let [reader, pieces, texts] = ["bert.onnx", "wordpiece.json", "corpus.txt"]
        .map(|name| text(fixture("vocabulary").join(name)));
    let vocabulary = ["--tokenizer", &pieces, "--corpus", &texts];
    check_fields(&[&["prune", &reader, "-o", &shallow][..], &vocabulary].concat());
    check(&["inspect", "--sparsity", &model]);
    let masked = text(folder.path().join("masked.onnx"));
    let masking = [
        "mask",
        &model,
        "-o",
        &masked,
        "--sparsity",
        "0.9",
        "--store",
        "sparse",
    ];
    check(
        &[
            &masking[..],
            &["--criterion", "wanda"],
            &data_words,
            &tuning,
        ]
        .concat(),
    );
    let coded = text(folder.path().join("coded.onnx"));
    let quantising = ["quantise", &model, "-o", &coded, "--keep", "fc*.weight"];
    check(&[&quantising[..], &data_words].concat());
    check(&["inspect", &coded]);
    check(&["runtime", "status"]);
    let found = text(folder.path().join("found.onnx"));
    let searching = ["search", &model, "--data", &data, "-o", &found];
    let asked = [
        "--max-drop",
        "accuracy=0.2",
        "--recover",
        "bias",
        "--only",
        "/conv2/*",
    ];
    check(&[&searching[..], &asked].concat());
    let tried = ["sensitivity", &model, "--data", &data, "--samples", "40"];
    check(&[&tried[..], &["--only", "/conv2/*"]].concat());
    check(&[
        "validate",
        &model,
        &pruned,
        "--provider",
        "cpu",
        "--data",
        &data,
    ]);
    check(&["bench", &model, &pruned, "--runs", "3", "--profile"]);
}

/// Reports of steps are documents of their own.
#[test]
fn a_run_of_a_recipe_is_as_documented() {
    let folder = TempDir::new().expect("a folder");
    let recipe = folder.path().join("recipe.toml");
    let model = fixture("trained/lenet_mnist.onnx").display().to_string();
    let text = format!("model = {model:?}\noutput = \"o.onnx\"\n[prune]\nratio = 0.3\n[inspect]\n");
    std::fs::write(&recipe, text).expect("written");
    let mut document = json(&["run", &recipe.display().to_string()]);
    for step in document["steps"].as_array_mut().expect("steps") {
        assert!(step["report"]["schema"].is_string());
        step["report"] = Value::Null;
    }
    let (mut leaves, mut all) = (BTreeSet::new(), BTreeSet::new());
    paths(&document, "", &mut leaves, &mut all);
    let documented = documented("secateur.run/1");
    let missing: Vec<&String> = leaves.difference(&documented).collect();
    assert!(missing.is_empty(), "not documented: {missing:?}");
    let gone: Vec<&String> = documented.difference(&all).collect();
    assert!(gone.is_empty(), "documented, but not there: {gone:?}");
}

#[test]
fn budgets_of_time_are_as_documented() {
    let model = fixture("trained/lenet_mnist.onnx").display().to_string();
    let document = json(&["prune", &model, "--latency", "0.9", "--dry-run"]);
    let (mut leaves, mut all) = (BTreeSet::new(), BTreeSet::new());
    paths(&document, "", &mut leaves, &mut all);
    let documented = documented("secateur.prune/1");
    let timed = |paths: &BTreeSet<String>| -> BTreeSet<String> {
        let paths = paths.iter().filter(|path| path.starts_with("latency."));
        paths.cloned().collect()
    };
    assert_eq!(timed(&leaves), timed(&documented));
    assert!(!timed(&leaves).is_empty());
}
