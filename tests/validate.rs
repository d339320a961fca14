//! `validate` and `bench` as a user sees them: every form of data, every gate, every refusal.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use ndarray::{Array1, Array2, Array4, s};
use ndarray_npy::{NpzReader, NpzWriter, write_npy};
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;
use tempfile::TempDir;

use common::{fixture, lenet, secateur};

fn perceptron() -> PathBuf {
    fixture("models/perceptron.onnx")
}

fn digits() -> PathBuf {
    fixture("data/mnist_200.npz")
}

/// LeNet with a share of its channels removed.
fn pruned(folder: &TempDir, ratio: &str) -> PathBuf {
    let output = folder.path().join(format!("pruned_{ratio}.onnx"));
    secateur()
        .args(["prune", "--no-verify", "--ratio", ratio])
        .arg(lenet())
        .arg("-o")
        .arg(&output)
        .assert()
        .success();
    output
}

fn validate(reference: &Path, candidate: &Path) -> Command {
    let mut command = secateur();
    command
        .arg("validate")
        .arg(reference)
        .arg(candidate)
        .args(["--provider", "cpu"]);
    command
}

fn json(command: &mut Command, code: i32) -> Value {
    let output = command
        .arg("--json")
        .assert()
        .code(code)
        .get_output()
        .clone();
    serde_json::from_slice(&output.stdout).expect("stdout is JSON alone")
}

/// The images and labels of `digits`.
fn arrays() -> (Array4<f32>, Array1<i64>) {
    let file = fs::File::open(digits()).expect("the fixture");
    let mut archive = NpzReader::new(file).expect("an archive");
    let images = archive.by_name("input").expect("images");
    (images, archive.by_name("label").expect("labels"))
}

#[test]
fn a_model_equals_itself() {
    let report = json(
        validate(&lenet(), &lenet())
            .arg("--data")
            .arg(digits())
            .args([
                "--max-drop",
                "accuracy=0",
                "--max-error",
                "0",
                "--min-agreement",
                "1",
            ]),
        0,
    );
    let condition = &report["providers"][0]["conditions"][0];
    assert_eq!(condition["pruning_drift"][0]["max_absolute"], 0.0);
    assert_eq!(
        condition["pruning_drift"][0]["cosine"]
            .as_f64()
            .map(|c| c > 0.999_999),
        Some(true)
    );
    assert_eq!(condition["task"]["metrics"][0]["within_noise"], true);
    assert_eq!(condition["task"]["samples"], 200);
    assert!(
        report["gates"]
            .as_array()
            .expect("gates")
            .iter()
            .all(|gate| gate["passed"] == true)
    );
}

#[test]
fn a_gate_that_fails_is_named_and_exits_with_1() {
    let folder = TempDir::new().expect("a folder");
    let candidate = pruned(&folder, "0.6");
    let gates = ["--max-drop", "accuracy=0.001", "--min-agreement", "0.5"];
    validate(&lenet(), &candidate)
        .arg("--data")
        .arg(digits())
        .args(gates)
        .assert()
        .code(1)
        .stdout(contains("drop of accuracy <= 0.001").and(contains("FAILED")))
        .stderr(contains("1 gate(s) failed").and(contains("drop of accuracy <= 0.001 on cpu")));
    let report = json(
        validate(&lenet(), &candidate)
            .arg("--data")
            .arg(digits())
            .args(gates),
        1,
    );
    let verdicts: Vec<&Value> = report["gates"]
        .as_array()
        .expect("gates")
        .iter()
        .map(|gate| &gate["passed"])
        .collect();
    assert_eq!(verdicts, [true, false, true]);
    let task = &report["providers"][0]["conditions"][0]["task"];
    let accuracy = &task["metrics"][0];
    let (low, high) = (
        accuracy["interval"][0].as_f64(),
        accuracy["interval"][1].as_f64(),
    );
    assert!(low <= accuracy["drop"].as_f64() && accuracy["drop"].as_f64() <= high);
    let confusion = task["confusion"].as_array().expect("a matrix");
    let total: u64 = confusion
        .iter()
        .flat_map(|row| row.as_array().expect("a row"))
        .filter_map(Value::as_u64)
        .sum();
    assert_eq!((confusion.len(), total), (10, 200));
}

#[test]
fn perturbed_inputs_repeat_the_metrics_the_same_way() {
    let call = || {
        let mut command = validate(&lenet(), &lenet());
        command.arg("--data").arg(digits());
        command.args(["--perturb", "gaussian:0.5", "--perturb", "dropout:0.3"]);
        json(&mut command, 0)
    };
    let (first, second) = (call(), call());
    let conditions = first["providers"][0]["conditions"]
        .as_array()
        .expect("conditions");
    let names: Vec<&Value> = conditions.iter().map(|c| &c["condition"]).collect();
    assert_eq!(names, ["as given", "gaussian:0.5", "dropout:0.3"]);
    let accuracy = |place: usize| conditions[place]["task"]["metrics"][0]["reference"].as_f64();
    assert!(accuracy(1) < accuracy(0));
    assert_eq!(first["providers"], second["providers"]);
}

#[test]
fn a_folder_of_npy_files_is_data() {
    let folder = TempDir::new().expect("a folder");
    let (images, labels) = arrays();
    write_npy(
        folder.path().join("input.npy"),
        &images.slice(s![..40, .., .., ..]).to_owned(),
    )
    .expect("written");
    write_npy(
        folder.path().join("label.npy"),
        &labels.slice(s![..40]).to_owned(),
    )
    .expect("written");
    let report = json(
        validate(&lenet(), &lenet())
            .arg("--data")
            .arg(folder.path()),
        0,
    );
    assert_eq!(
        report["providers"][0]["conditions"][0]["task"]["samples"],
        40
    );
}

#[test]
fn stored_test_cases_are_data_and_their_outputs_are_compared() {
    let folder = TempDir::new().expect("a folder");
    let case = folder.path().join("test_data_set_0");
    fs::create_dir(&case).expect("a folder");
    let tensor = |dims: &[u8], numbers: &[f32]| {
        let mut bytes: Vec<u8> = dims.iter().flat_map(|&dim| [0x08, dim]).collect();
        bytes.extend([0x10, 1, 0x4a, 4 * numbers.len() as u8]);
        bytes.extend(numbers.iter().flat_map(|n| n.to_le_bytes()));
        bytes
    };
    fs::write(case.join("input_0.pb"), tensor(&[2, 6], &[0.0; 12])).expect("written");
    fs::write(case.join("output_0.pb"), tensor(&[2, 4], &[0.5; 8])).expect("written");
    let report = json(
        validate(&perceptron(), &perceptron())
            .arg("--data")
            .arg(folder.path()),
        0,
    );
    // Without inputs the perceptron, which has no biases, gives 0.
    assert_eq!(
        report["providers"][0]["conditions"][0]["stored"][0]["max_absolute"],
        0.5
    );
    fs::write(case.join("input_0.pb"), tensor(&[2, 5], &[0.0; 10])).expect("written");
    validate(&perceptron(), &perceptron())
        .arg("--data")
        .arg(folder.path())
        .assert()
        .code(3)
        .stderr(contains("'x' has shape [2, 5]"));
}

#[test]
fn folders_of_images_are_data() {
    let folder = TempDir::new().expect("a folder");
    let (images, labels) = arrays();
    let mut csv = "file,class\n".to_owned();
    for place in 0..30 {
        let class = folder.path().join(format!("classes/{}", labels[place]));
        let flat = folder.path().join("flat");
        fs::create_dir_all(&class).expect("a folder");
        fs::create_dir_all(&flat).expect("a folder");
        let pixels = images
            .slice(s![place, 0, .., ..])
            .mapv(|x| (x * 255.0).round() as u8);
        let picture = image::GrayImage::from_raw(28, 28, pixels.into_raw_vec_and_offset().0);
        let picture = picture.expect("a picture");
        picture
            .save(class.join(format!("{place}.png")))
            .expect("written");
        picture
            .save(flat.join(format!("{place}.png")))
            .expect("written");
        csv += &format!("{place}.png,{}\n", labels[place]);
    }
    for class in 0..10 {
        fs::create_dir_all(folder.path().join(format!("classes/{class}"))).expect("a folder");
    }
    let labels = folder.path().join("labels.csv");
    fs::write(&labels, csv).expect("written");
    let by_class = json(
        validate(&lenet(), &lenet())
            .arg("--images")
            .arg(folder.path().join("classes")),
        0,
    );
    let mut by_csv = validate(&lenet(), &lenet());
    by_csv
        .arg("--images")
        .arg(folder.path().join("flat"))
        .arg("--labels")
        .arg(&labels);
    let by_csv = json(&mut by_csv, 0);
    let accuracy = |report: &Value| {
        report["providers"][0]["conditions"][0]["task"]["metrics"][0]["reference"].as_f64()
    };
    assert!(accuracy(&by_class) > Some(0.9), "{:?}", accuracy(&by_class));
    assert_eq!(accuracy(&by_class), accuracy(&by_csv));
    validate(&lenet(), &lenet())
        .arg("--images")
        .arg(folder.path().join("classes"))
        .args(["--image-size", "32x32"])
        .assert()
        .code(3)
        .stderr(contains("(32, 32) is not the image size"));
}

#[test]
fn misfits_of_data_are_named_all_at_once() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("wrong.npz");
    let mut archive = NpzWriter::new(fs::File::create(&path).expect("a file"));
    archive
        .add_array("x", &Array2::<i64>::zeros((4, 5)))
        .expect("added");
    archive
        .add_array("extra", &Array1::<f32>::zeros(3))
        .expect("added");
    archive
        .add_array("label", &Array1::<i64>::zeros(3))
        .expect("added");
    archive.finish().expect("written");
    validate(&perceptron(), &perceptron())
        .arg("--data")
        .arg(&path)
        .assert()
        .code(3)
        .stderr(contains("'x' has type int64, the model takes float32"))
        .stderr(contains("the model has no input 'extra'"))
        .stderr(contains("'label' has 3 samples along axis 0"));
}

#[test]
fn data_that_cannot_be_used_is_refused() {
    let folder = TempDir::new().expect("a folder");
    let write = |name: &str, images: usize, label: i64| {
        let path = folder.path().join(name);
        let mut archive = NpzWriter::new(fs::File::create(&path).expect("a file"));
        archive
            .add_array("input", &Array4::<f32>::zeros((images, 1, 28, 28)))
            .expect("added");
        archive
            .add_array("label", &Array1::<i64>::from_elem(images, label))
            .expect("added");
        archive.finish().expect("written");
        path
    };
    let cases = [
        (
            write("range.npz", 3, 10),
            lenet(),
            "10 is out of range, the model has 10 classes",
        ),
        (write("negative.npz", 3, -1), lenet(), "-1 is no class"),
        (write("empty.npz", 0, 0), lenet(), "it is empty"),
        (
            fixture("data/pickled.npz"),
            perceptron(),
            "pickled objects are refused",
        ),
        (fixture("generate.py"), lenet(), "it is no .npz archive"),
        (folder.path().join("nowhere.npz"), lenet(), "cannot read"),
    ];
    for (path, model, message) in cases {
        validate(&model, &model)
            .arg("--data")
            .arg(path)
            .assert()
            .code(3)
            .stderr(contains(message));
    }
    validate(&lenet(), &lenet())
        .args(["--max-drop", "accuracy=0.1"])
        .assert()
        .code(3)
        .stderr(contains("needs labels"));
    for (flag, value, message) in [
        ("--max-drop", "accuracy", "METRIC=BOUND"),
        ("--max-error", "nan", "'nan' is no bound"),
        ("--perturb", "gaussian:-1", "no perturbation"),
        ("--provider", "abacus", "there is no provider 'abacus'"),
    ] {
        validate(&lenet(), &lenet())
            .args([flag, value])
            .assert()
            .code(2)
            .stderr(contains(message));
    }
    validate(&lenet(), &lenet())
        .arg("--data")
        .arg(digits())
        .args(["--max-drop", "beauty=0.1"])
        .assert()
        .code(2)
        .stderr(contains(
            "there is no metric 'beauty'; choose one of accuracy, top5",
        ));
}

#[test]
fn models_with_different_signatures_are_not_compared() {
    validate(&lenet(), &perceptron())
        .assert()
        .code(3)
        .stderr(contains("the candidate has no input 'input'"))
        .stderr(contains("the reference has no output 'y'"));
}

#[test]
fn outputs_that_are_not_finite_fail_a_gate() {
    validate(&perceptron(), &fixture("models/perceptron_nan.onnx"))
        .args(["--samples", "2"])
        .assert()
        .code(1)
        .stderr(contains("finite outputs on cpu"));
}

#[test]
fn an_unavailable_provider_is_said_and_not_replaced() {
    let library = fixture("generate.py");
    let plugin = format!("plugin:{}", library.display());
    for (provider, reason) in [
        ("cuda", "secateur runtime install cuda"),
        (plugin.as_str(), "is unavailable"),
        ("plugin:/no/such/library.so", "is not a file"),
    ] {
        secateur()
            .arg("validate")
            .arg(lenet())
            .arg(lenet())
            .args([
                "--samples",
                "1",
                "--provider",
                "cpu",
                "--provider",
                provider,
            ])
            .assert()
            .code(4)
            .stdout(contains("provider cpu").and(contains("unavailable: ")))
            .stderr(contains(reason));
    }
}

#[test]
fn bench_measures_side_by_side() {
    let folder = TempDir::new().expect("a folder");
    let candidate = pruned(&folder, "0.5");
    let report = json(
        secateur().arg("bench").arg(lenet()).arg(&candidate).args([
            "--batch",
            "1,4",
            "--threads",
            "1",
            "--runs",
            "10",
            "--profile",
        ]),
        0,
    );
    let settings = report["settings"].as_array().expect("settings");
    assert_eq!(settings.len(), 2);
    for setting in settings {
        let timings = setting["timings"].as_array().expect("timings");
        assert_eq!(timings.len(), 2);
        assert!(
            timings[0]["ratio"].is_null() && timings[1]["ratio"]["speedup"].as_f64() > Some(0.0)
        );
        for timing in timings {
            let latency = |name: &str| timing["latency"][name].as_f64();
            assert!(
                latency("p5_ms") <= latency("median_ms")
                    && latency("median_ms") <= latency("p95_ms")
            );
            assert!(
                cfg!(not(target_os = "linux")) || timing["peak_bytes"].as_u64() > Some(1_000_000)
            );
        }
        let operators = setting["operators"].as_array().expect("operators");
        assert!(
            operators.iter().any(|row| row["operator"] == "Conv"),
            "{operators:?}"
        );
    }
    secateur()
        .arg("bench")
        .arg(perceptron())
        .args(["--batch", "8", "--runs", "1"])
        .assert()
        .code(2)
        .stderr(contains("fixed batch of 2"));
}
