//! Data as it comes from the field: time first, single numbers, fixed states, half precision, other orders,
//! outputs that are no tensors.

mod common;

use std::path::Path;

use ndarray::{Array2, Array3};
use ndarray_npy::NpzWriter;
use predicates::str::contains;
use tempfile::TempDir;

use common::{fixture, json, secateur};

fn path(name: &str) -> String {
    fixture(&format!("field/{name}")).display().to_string()
}

/// Prunes with calibration data; returns the report.
fn calibrated(name: &str, more: &[&str]) -> serde_json::Value {
    let folder = TempDir::new().expect("a folder");
    let output = folder.path().join("o.onnx").display().to_string();
    let (model, data) = (path(&format!("{name}.onnx")), path(&format!("{name}.npz")));
    let mut arguments = vec!["prune", &model, "-o", &output, "--calibration", &data];
    arguments.extend(more);
    json(&arguments)
}

/// Compares a model with itself on its data; returns the report.
fn compared(name: &str) -> serde_json::Value {
    let (model, data) = (path(&format!("{name}.onnx")), path(&format!("{name}.npz")));
    let report = json(&[
        "validate",
        &model,
        &model,
        "--data",
        &data,
        "--provider",
        "cpu",
    ]);
    let total = report["providers"][0]["conditions"][0]["total"].clone();
    for output in total.as_array().expect("outputs") {
        assert_eq!(output["max_absolute"], 0.0, "{name}");
    }
    report
}

#[test]
fn samples_are_counted_where_the_symbols_say() {
    for (name, samples) in [
        ("time_major_lengths", 32),
        ("scalar_rate_input", 32),
        ("fixed_state", 30),
    ] {
        let report = calibrated(name, &[]);
        assert_eq!(report["calibration"]["samples"], samples, "{name}");
        assert_eq!(report["verification"]["proven"], 1, "{name}");
        compared(name);
    }
    assert_eq!(compared("fixed_state")["batch"], 1);
}

#[test]
fn random_inputs_follow_the_symbols() {
    let model = path("time_major_lengths.onnx");
    let report = json(&["bench", &model, "--batch", "1,4", "--runs", "2"]);
    assert_eq!(report["settings"].as_array().map(Vec::len), Some(2));
    secateur()
        .args([
            "bench",
            "--batch",
            "4",
            "--runs",
            "2",
            &path("fixed_state.onnx"),
        ])
        .assert()
        .code(2)
        .stderr(contains("fixed batch of 1"));
}

#[test]
fn the_sample_axis_can_be_named() {
    let folder = TempDir::new().expect("a folder");
    let data = folder.path().join("d.npz");
    let mut file = NpzWriter::new(std::fs::File::create(&data).expect("a file"));
    file.add_array("x", &Array2::<f32>::ones((20, 6)))
        .expect("an array");
    file.finish().expect("a file");
    let data = data.display().to_string();
    let model = path("fortran_order.onnx");
    let compare = [
        "validate",
        &model,
        &model,
        "--provider",
        "cpu",
        "--data",
        &data,
    ];
    let report = json(&[&compare[..], &["--sample-axis", "x=none"]].concat());
    assert_eq!(report["batch"], 1);
    for (axis, message) in [
        ("x=5", "has 2 axes"),
        ("z=0", "no input called 'z'"),
        ("x", "INPUT=AXIS"),
    ] {
        secateur()
            .args(compare)
            .args(["--sample-axis", axis])
            .assert()
            .code(2)
            .stderr(contains(message));
    }
}

#[test]
fn arrays_of_any_width_and_order_are_read() {
    assert_eq!(
        calibrated("half_model_half_data", &[])["verification"]["proven"],
        1
    );
    assert_eq!(
        calibrated("bfloat16_input", &[])["verification"]["proven"],
        1
    );
    compared("bfloat16_input");
    compared("fortran_order");
    assert_eq!(
        calibrated("fortran_order", &[])["calibration"]["samples"],
        32
    );
}

fn refused(model: &str, data: &Path, message: &str) {
    secateur()
        .args([
            "validate",
            &path(model),
            &path(model),
            "--provider",
            "cpu",
            "--data",
        ])
        .arg(data)
        .assert()
        .code(3)
        .stderr(contains(message));
}

#[test]
fn data_that_does_not_fit_is_named_with_its_axis() {
    let folder = TempDir::new().expect("a folder");
    let data = folder.path().join("d.npz");
    let mut file = NpzWriter::new(std::fs::File::create(&data).expect("a file"));
    file.add_array("x", &Array3::<f32>::ones((6, 32, 5)))
        .expect("an array");
    file.add_array("lens", &ndarray::Array1::<i32>::ones(31))
        .expect("an array");
    file.finish().expect("a file");
    refused(
        "time_major_lengths.onnx",
        &data,
        "'lens' has 31 samples along axis 0, 'x' has 32 along axis 1",
    );
    let whole = std::fs::read(path("fortran_order.npz")).expect("a file");
    // A stored array whose header says more than there is.
    let mut array = b"\x93NUMPY\x01\x00".to_vec();
    let header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (32, 6), }\n";
    array.extend((header.len() as u16).to_le_bytes());
    array.extend(header);
    array.extend(&whole[..16]);
    let arrays = folder.path().join("arrays");
    std::fs::create_dir(&arrays).expect("a folder");
    std::fs::write(arrays.join("x.npy"), array).expect("a file");
    refused("fortran_order.onnx", &arrays, "array 'x' is cut off");
}

#[test]
fn outputs_that_are_no_tensors_are_left_out_by_name() {
    let report = calibrated("zipmap_output", &[]);
    assert_eq!(report["unread"][0]["name"], "prob");
    assert_eq!(report["unread"][0]["kind"], "sequence");
    assert_eq!(compared("zipmap_output")["unread"][0]["name"], "prob");
    json(&["bench", &path("zipmap_output.onnx"), "--runs", "2"]);
    json(&["bench", &path("sequence_output_alone.onnx"), "--runs", "2"]);
    let folder = TempDir::new().expect("a folder");
    secateur()
        .args(["prune", &path("sequence_output_alone.onnx"), "-o"])
        .arg(folder.path().join("o.onnx"))
        .assert()
        .code(4)
        .stderr(contains("'s' (sequence)"))
        .stderr(contains("--no-verify"));
}
