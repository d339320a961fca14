//! `secateur mask`, `clean` and `inspect --sparsity` as a user sees them.

mod common;

use std::fs;
use std::path::Path;

use predicates::prelude::PredicateBooleanExt;
use predicates::str::contains;
use tempfile::TempDir;

use common::{fixture, json, lenet, secateur};

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

fn lenet_text() -> String {
    text(&lenet()).to_owned()
}

/// Zeros of every initializer.
fn zeros(model: &Path) -> Vec<(String, u64)> {
    let report = json(&["inspect", "--sparsity", text(model)]);
    let rows = report["initializers"].as_array().expect("rows").iter();
    rows.map(|row| {
        (
            row["name"].as_str().expect("a name").to_owned(),
            row["zeros"].as_u64().expect("a number"),
        )
    })
    .collect()
}

#[test]
fn every_trained_model_is_masked_and_runs() {
    let folder = TempDir::new().expect("a folder");
    let out = folder.path().join("masked.onnx");
    for name in [
        "lenet_mnist",
        "resnet8_fashion.bn",
        "vit_fashion",
        "gru_fashion",
        "bert_spam",
        "lstm_spam",
    ] {
        let model = fixture(&format!("trained/{name}.onnx"));
        for flags in [
            &["--sparsity", "0.6"][..],
            &[
                "--pattern",
                "2:4",
                "--criterion",
                "sparsegpt",
                "--samples",
                "16",
            ],
            &["--criterion", "wanda", "--sequential", "--samples", "16"],
        ] {
            let report = json(&[&["mask", text(&model), "-o", text(&out)], flags].concat());
            let share = report["zeros_after"].as_f64().expect("zeros")
                / report["weights"].as_f64().expect("weights");
            let wanted = if flags[0] == "--sparsity" { 0.6 } else { 0.5 };
            assert!((share - wanted).abs() < 2e-3, "{name} {flags:?}: {share}");
            secateur()
                .args([
                    "validate",
                    text(&model),
                    text(&out),
                    "--provider",
                    "cpu",
                    "--samples",
                    "4",
                ])
                .assert()
                .success();
        }
    }
}

#[test]
fn calibration_keeps_more_accuracy_than_magnitude() {
    let folder = TempDir::new().expect("a folder");
    let out = folder.path().join("masked.onnx");
    let data = fixture("data/mnist_200.npz");
    let mut drops = Vec::new();
    for flags in [
        &["--criterion", "magnitude"][..],
        &["--criterion", "sparsegpt", "--calibration", text(&data)],
    ] {
        let lenet = lenet_text();
        let arguments = ["mask", &lenet, "-o", text(&out), "--sparsity", "0.8"];
        json(&[&arguments, flags].concat());
        let report = json(&[
            "validate",
            &lenet_text(),
            text(&out),
            "--provider",
            "cpu",
            "--data",
            text(&data),
        ]);
        let metrics = report["providers"][0]["conditions"][0]["task"]["metrics"]
            .as_array()
            .expect("metrics")
            .clone();
        drops.push(metrics[0]["drop"].as_f64().expect("a drop"));
    }
    assert!(drops[0] > 0.2 && drops[1] < 0.03, "{drops:?}");
}

#[test]
fn the_same_call_gives_the_same_bytes_at_any_number_of_threads() {
    let folder = TempDir::new().expect("a folder");
    for flags in [
        &["--criterion", "sparsegpt", "--samples", "32"][..],
        &["--criterion", "random", "--seed", "5"],
        &["--scope", "global"],
    ] {
        let run = |name: &str, threads: &str| {
            let out = folder.path().join(name);
            secateur()
                .args(["mask", &lenet_text(), "-o", text(&out)])
                .args(flags)
                .env("RAYON_NUM_THREADS", threads)
                .assert()
                .success();
            fs::read(out).expect("a model")
        };
        assert!(run("one.onnx", "1") == run("two.onnx", "2"), "{flags:?}");
    }
}

#[test]
fn masks_go_to_a_file_and_come_back() {
    let folder = TempDir::new().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let (masks, first, second) = (path("masks.npz"), path("first.onnx"), path("second.onnx"));
    for flags in [
        &["--sparsity", "0.37"][..],
        &["--pattern", "1:4"],
        &["--scope", "row"],
    ] {
        let lenet = lenet_text();
        let arguments = [
            "mask",
            &lenet,
            "-o",
            text(&first),
            "--mask-out",
            text(&masks),
        ];
        let made = json(&[&arguments, flags].concat());
        let applied = json(&[
            "mask",
            &lenet_text(),
            "-o",
            text(&second),
            "--mask",
            text(&masks),
        ]);
        assert_eq!(made["zeros_after"], applied["zeros_after"]);
        assert_eq!(zeros(&first), zeros(&second));
    }
}

#[test]
fn masks_and_plans_combine_in_either_order() {
    let folder = TempDir::new().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let (masked, pruned, both) = (path("masked.onnx"), path("pruned.onnx"), path("both.onnx"));
    json(&[
        "mask",
        &lenet_text(),
        "-o",
        text(&masked),
        "--pattern",
        "2:4",
    ]);
    let report = json(&["prune", text(&masked), "-o", text(&both), "--ratio", "0.25"]);
    assert!(report["verification"]["proven"].as_u64() > Some(0));
    assert!(
        zeros(&both)
            .iter()
            .any(|(name, zeros)| name == "fc1.weight" && *zeros > 30_000)
    );
    json(&[
        "prune",
        &lenet_text(),
        "-o",
        text(&pruned),
        "--ratio",
        "0.25",
        "--round-to",
        "1",
    ]);
    let report = json(&["mask", text(&pruned), "-o", text(&both), "--pattern", "2:4"]);
    // 75 units are no multiple of 4, which is said: of the last three weights in each of 10 rows two stay.
    let (weights, zeros) = (report["weights"].as_u64(), report["zeros_after"].as_u64());
    assert_eq!(2 * zeros.expect("zeros") + 10, weights.expect("weights"));
    assert!(
        report["warnings"][0]
            .as_str()
            .expect("a warning")
            .contains("no multiple of the pattern's group")
    );
}

#[test]
fn sparse_storage_is_smaller_and_computes_the_same() {
    let folder = TempDir::new().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let (dense, sparse, again) = (path("dense.onnx"), path("sparse.onnx"), path("again.onnx"));
    json(&[
        "mask",
        &lenet_text(),
        "-o",
        text(&dense),
        "--sparsity",
        "0.9",
    ]);
    let report = json(&[
        "mask",
        &lenet_text(),
        "-o",
        text(&sparse),
        "--sparsity",
        "0.9",
        "--store",
        "sparse",
    ]);
    assert_eq!(report["gains"]["stored_sparsely"], 4);
    assert_eq!(report["verification"][0]["relative"], 0.0);
    let bytes = |path: &Path| fs::metadata(path).expect("a file").len();
    assert!(
        bytes(&sparse) < bytes(&dense) * 35 / 100,
        "{} {}",
        bytes(&sparse),
        bytes(&dense)
    );
    // It is read again as any model: the same zeros, and it can be pruned.
    let sorted = |path: &Path| {
        let mut rows = zeros(path);
        rows.sort();
        rows
    };
    assert_eq!(sorted(&sparse), sorted(&dense));
    json(&["prune", text(&sparse), "-o", text(&again)]);
}

#[test]
fn what_zeros_have_made_dead_is_removed_without_loss() {
    let folder = TempDir::new().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let (masked, small) = (path("masked.onnx"), path("small.onnx"));
    // Whole inputs of the dense layer go, so that channels die.
    json(&[
        "mask",
        &lenet_text(),
        "-o",
        text(&masked),
        "--pattern",
        "block:100x25",
        "--only",
        "fc1.weight",
    ]);
    let report = json(&["clean", text(&masked), "-o", text(&small)]);
    let row = |name: &str| {
        let rows = report["dimensions"].as_array().expect("rows");
        rows.iter()
            .find(|row| row["name"] == name)
            .expect("a row")
            .clone()
    };
    assert_eq!(row("conv2.weight")["kept"], 32);
    assert!(
        report["verification"]["outputs"][0]["relative"]
            .as_f64()
            .expect("a number")
            < 1e-5
    );
    secateur()
        .args([
            "validate",
            text(&masked),
            text(&small),
            "--provider",
            "cpu",
            "--max-error",
            "1e-5",
        ])
        .args(["--data", text(&fixture("data/mnist_200.npz"))])
        .assert()
        .success();
    secateur()
        .args(["clean", &lenet_text(), "-o", text(&path("none.onnx"))])
        .assert()
        .code(3)
        .stderr(contains(
            "dimension 'conv1.weight' (32): it has no dead channel",
        ));
    assert!(!path("none.onnx").exists());
}

#[test]
fn the_printout_says_what_zeros_buy_and_what_not() {
    let folder = TempDir::new().expect("a folder");
    let out = folder.path().join("masked.onnx");
    secateur()
        .args(["mask", &lenet_text(), "-o", text(&out), "--pattern", "2:4"])
        .assert()
        .success()
        .stdout(
            contains("what the zeros buy: deflated")
                .and(contains("dense kernels run no faster on zeros"))
                .and(contains("2:4 sparse tensor cores: 1 of 3 layer(s)"))
                .and(contains("left alone: 'conv1.weight' (288 weights): its reduction axis has 1 position(s)"))
                .and(contains("No training was done")),
        );
    secateur()
        .args(["inspect", "--sparsity", text(&out)])
        .assert()
        .success()
        .stdout(contains("2:4 4:8").and(contains("zeros: 89,716 of 179,926 weights")));
}

#[test]
fn norms_biases_and_embeddings_are_masked_only_if_asked_for() {
    let folder = TempDir::new().expect("a folder");
    let out = folder.path().join("masked.onnx");
    let model = fixture("trained/bert_spam.onnx");
    let report = json(&["mask", text(&model), "-o", text(&out)]);
    let layers = report["layers"].as_array().expect("layers");
    assert!(layers.iter().all(|row| row["operator"] != "-"));
    let report = json(&[
        "mask",
        text(&model),
        "-o",
        text(&out),
        "--include",
        "word.weight",
    ]);
    let found = zeros(&out)
        .into_iter()
        .find(|(name, _)| name == "word.weight")
        .expect("the table");
    assert!(found.1 > 0);
    assert_eq!(
        report["layers"].as_array().expect("layers").len(),
        layers.len() + 1
    );
}

/// Arguments, exit code and what the message says.
const REFUSED: [(&[&str], i32, &str); 17] = [
    (&["--sparsity", "1.5"], 2, "a number from 0 to 1"),
    (&["--sparsity", "-0.5"], 2, "a number from 0 to 1"),
    (&["--sparsity-for", "fc*=7"], 2, "a number from 0 to 1"),
    (
        &["--threshold", "-1"],
        2,
        "the threshold -1 is no positive number",
    ),
    (
        &["--threshold", "0.1", "--sparsity", "0.5"],
        2,
        "cannot be used with",
    ),
    (
        &["--threshold", "0.1", "--criterion", "wanda"],
        2,
        "a threshold is one of magnitude",
    ),
    (
        &["--pattern", "3:2"],
        2,
        "N weights of M cannot stay if N is above M",
    ),
    (
        &["--pattern", "2:x"],
        2,
        "write unstructured, N:M as in 2:4, or block:RxC",
    ),
    (
        &["--pattern", "2:4", "--scope", "row"],
        2,
        "leave out --scope",
    ),
    (
        &["--pattern", "2:4", "--sparsity", "0.5"],
        2,
        "leave out --sparsity",
    ),
    (
        &["--pattern", "2:4096"],
        3,
        "fewer than the 4096 of a group",
    ),
    (
        &["--pattern", "block:4x4", "--scope", "row"],
        2,
        "blocks span rows",
    ),
    (
        &["--scope", "global", "--budget", "erk"],
        2,
        "leave out --budget",
    ),
    (
        &["--criterion", "sparsegpt", "--scope", "global"],
        2,
        "SparseGPT solves one layer after the other",
    ),
    (
        &["--criterion", "wanda", "--scope", "global", "--sequential"],
        2,
        "leave out --sequential",
    ),
    (
        &["--only", "layer7"],
        2,
        "the pattern 'layer7' matches no layer (the nearest: ",
    ),
    (&["--mask", "nowhere.npz"], 3, "cannot read nowhere.npz"),
];

#[test]
fn wrong_calls_say_why_and_leave_nothing() {
    let folder = TempDir::new().expect("a folder");
    let out = folder.path().join("masked.onnx");
    for (flags, code, message) in REFUSED {
        secateur()
            .args(["mask", &lenet_text(), "-o", text(&out)])
            .args(flags)
            .assert()
            .code(code)
            .stderr(contains(message));
        assert_eq!(
            fs::read_dir(folder.path()).expect("a folder").count(),
            0,
            "{flags:?}"
        );
    }
}

#[test]
fn masks_and_data_that_do_not_fit_are_named() {
    let folder = TempDir::new().expect("a folder");
    let out = folder.path().join("masked.onnx");
    let other = fixture("masks/layer_30.npz");
    let gru = fixture("trained/gru_fashion.onnx");
    secateur()
        .args(["mask", text(&gru), "-o", text(&out), "--mask", text(&other)])
        .assert()
        .code(3)
        .stderr(
            contains("the mask of 'fc1.weight' is larger than the initializer [64, 96]")
                .and(contains("no initializer of real numbers 'conv1.weight'")),
        );
    secateur()
        .args(["mask", text(&gru), "-o", text(&out), "--criterion", "wanda"])
        .args(["--calibration", text(&fixture("data/mnist_200.npz"))])
        .assert()
        .code(3)
        .stderr(contains("there is no array 'seq'"));
    secateur()
        .args([
            "mask",
            text(&fixture("models/perceptron_nan.onnx")),
            "-o",
            text(&out),
            "--threshold",
            "0.1",
        ])
        .assert()
        .code(3)
        .stderr(contains("no numbers (NaN)"));
    secateur()
        .args([
            "mask",
            &lenet_text(),
            "-o",
            text(&out),
            "--mask",
            text(&fixture("data/pickled.npz")),
        ])
        .assert()
        .code(3);
    assert!(!out.exists());
}

#[test]
fn too_little_data_is_damped_and_said() {
    let folder = TempDir::new().expect("a folder");
    let out = folder.path().join("masked.onnx");
    let report = json(&[
        "mask",
        &lenet_text(),
        "-o",
        text(&out),
        "--criterion",
        "sparsegpt",
        "--samples",
        "2",
    ]);
    let warnings = report["warnings"].to_string();
    assert!(
        warnings.contains("calibrated on random numbers"),
        "{warnings}"
    );
    assert!(
        warnings.contains("their Gram matrices are singular and were damped"),
        "{warnings}"
    );
}
