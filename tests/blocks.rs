//! `secateur prune --drop-blocks` as a user sees it.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use predicates::prelude::PredicateBooleanExt;
use predicates::str::contains;
use serde_json::Value;
use tempfile::TempDir;

use common::{fixture, json, secateur};

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

fn vit() -> PathBuf {
    fixture("trained/vit_fashion.onnx")
}

fn clothes() -> PathBuf {
    fixture("data/fashion_512.npz")
}

fn names(report: &Value) -> Vec<&str> {
    let dropped = report["dropped_blocks"].as_array().expect("a list");
    let names = dropped.iter().map(|row| row["name"].as_str());
    names.map(|name| name.expect("a name")).collect()
}

/// Share of the MACs that is left.
fn left(report: &Value) -> f64 {
    let macs = |of: &str| report[of]["macs"].as_f64().expect("a number");
    macs("after") / macs("before")
}

#[test]
fn the_blocks_that_matter_least_go_and_the_rest_is_refitted() {
    let folder = TempDir::new().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let (model, data, out, plan) = (vit(), clothes(), at("a.onnx"), at("plan.json"));
    let words = ["prune", text(&model), "--calibration", text(&data), "-o"];
    let two = ["--drop-blocks", "2", "--plan-out", text(&plan)];
    let report = json(&[&words[..], &[text(&out)], &two].concat());
    assert_eq!(names(&report).len(), 2);
    assert_eq!(report["verification"]["dropped_blocks"], 2);
    assert_eq!(report["verification"]["proven"], 0);
    // Nothing else goes without being asked for.
    let dimensions = report["dimensions"].as_array().expect("a list");
    assert!(dimensions.iter().all(|row| row["kept"] == row["size"]));
    assert!((0.7..0.8).contains(&left(&report)), "{}", left(&report));
    let divergence = report["recovery"]["divergence"].as_array().expect("two");
    let [sliced, recovered] = [0, 1].map(|at: usize| divergence[at].as_f64().expect("a number"));
    assert!(2.0 * recovered < sliced, "{recovered} of {sliced}");
    let layers = report["recovery"]["layers"].as_array().expect("a list");
    assert!(layers.iter().any(|layer| layer["method"] == "solve"));
    assert_eq!(layers.len(), 14);
    assert!(layers.iter().all(|layer| layer["left"].is_null()));
    // The same plan and what was solved give the same totals once more.
    let again = at("b.onnx");
    let words = [
        "prune",
        text(&model),
        "-o",
        text(&again),
        "--plan",
        text(&plan),
    ];
    let replayed = json(&words);
    assert_eq!(names(&replayed), names(&report));
    assert_eq!(replayed["after"], report["after"]);
    let found = json(&["inspect", text(&out)]);
    assert_eq!(found["totals"], report["after"]);
    assert_eq!(found["blocks"].as_array().expect("a list").len(), 6);
}

#[test]
fn blocks_and_channels_go_together_within_a_budget() {
    let folder = TempDir::new().expect("a folder");
    let (model, out) = (vit(), folder.path().join("a.onnx"));
    let words = ["prune", text(&model), "-o", text(&out), "--macs", "0.6"];
    let globs = ["--drop-blocks", "*blocks.1/*", "--drop-blocks", "*.3/fc1"];
    let exact = ["--exact", "--round-to", "1"];
    let report = json(&[&words[..], &globs, &exact].concat());
    let wanted = [
        "/blocks/blocks.1/attn/qkv",
        "/blocks/blocks.1/fc1",
        "/blocks/blocks.3/fc1",
    ];
    assert_eq!(names(&report), wanted);
    assert!((0.55..=0.6).contains(&left(&report)), "{}", left(&report));
    let dimensions = report["dimensions"].as_array().expect("a list");
    let gone = |row: &&Value| {
        row["left"]
            .as_str()
            .is_some_and(|why| why.contains("goes with a block"))
    };
    assert_eq!(dimensions.iter().filter(gone).count(), 4);
    assert!(dimensions.iter().any(|row| row["left"].is_null()));
    assert_eq!(json(&["inspect", text(&out)])["totals"], report["after"]);
}

#[test]
fn blocks_go_before_rounds_training_and_rounding() {
    let folder = TempDir::new().expect("a folder");
    let (model, data, out) = (vit(), clothes(), folder.path().join("a.onnx"));
    let words = ["prune", text(&model), "-o", text(&out), "--force"];
    let data = ["--calibration", text(&data), "--samples", "40"];
    let block = ["--drop-blocks", "*.3/fc1"];
    let rounds = [
        "--tune",
        "--steps",
        "4",
        "--iterations",
        "2",
        "--macs",
        "0.4",
        "--scope",
        "isomorphic",
    ];
    for more in [&rounds[..], &["--quantise"]] {
        let report = json(&[&words[..], &data, &block, more].concat());
        assert_eq!(names(&report), ["/blocks/blocks.3/fc1"]);
        let coded = &report["quantisation"];
        assert!(coded.is_null() || coded["for_original"] == true);
        assert_eq!(report["verification"]["dropped_blocks"], 1);
    }
}

#[test]
fn what_cannot_be_dropped_is_said() {
    let folder = TempDir::new().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let (model, data, out) = (vit(), clothes(), at("a.onnx"));
    let refused = |words: &[&str], code: i32, parts: [&str; 2]| {
        let mut command = secateur();
        command.args(["prune", text(&model), "-o", text(&out)]);
        let refused = command.args(words).assert().code(code);
        refused.stderr(contains(parts[0]).and(contains(parts[1])));
        assert!(!out.exists());
    };
    let data = [
        "--calibration",
        text(&data),
        "--samples",
        "16",
        "--drop-blocks",
    ];
    refused(
        &["--drop-blocks", "2"],
        2,
        ["give some with --calibration", "globs"],
    );
    refused(
        &[&data[..], &["9"]].concat(),
        2,
        ["9 is more", "8 residual block(s)"],
    );
    refused(&["--drop-blocks", "0"], 2, ["0 drops nothing", "positive"]);
    refused(
        &["--drop-blocks", "fc9"],
        2,
        ["'fc9' matches no residual block", "inspect"],
    );
    let both = ["--drop-blocks", "1", "--drop-blocks", "*"];
    refused(&both, 2, ["stands alone", "globs"]);
    let plan = at("plan.json");
    let (aside, first) = (at("b.onnx"), "/blocks/blocks.0/fc1");
    let words = [
        "prune",
        text(&model),
        "-o",
        text(&aside),
        "--drop-blocks",
        first,
    ];
    json(&[&words[..], &["--plan-out", text(&plan)]].concat());
    let right = fs::read_to_string(&plan).expect("a plan");
    let quoted = format!("\"{first}\"");
    for (wrong, why) in [
        (right.replace(&quoted, "\"fc9\""), "no residual block 'fc9'"),
        (
            right.replace(&quoted, &format!("{quoted}, {quoted}")),
            "is there twice",
        ),
    ] {
        fs::write(&plan, wrong).expect("written");
        refused(&["--plan", text(&plan)], 3, ["the plan does not fit", why]);
    }
}
