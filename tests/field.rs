//! Models as they come from the field: small ones of the kinds that exporters write and pipelines use, each with
//! what must happen.

mod common;

use std::path::Path;

use predicates::str::contains;
use serde_json::Value;
use tempfile::TempDir;

use common::{fixture, secateur};

/// `[before, after]` of every pruned dimension of a report, largest first.
fn pruned(report: &Value) -> Vec<[u64; 2]> {
    let rows = report["dimensions"].as_array().expect("dimensions");
    let sizes = rows.iter().map(|row| [&row["size"], &row["kept"]]);
    let sizes = sizes.map(|pair| pair.map(|n| n.as_u64().expect("a number")));
    let mut sizes: Vec<[u64; 2]> = sizes.filter(|[size, kept]| kept < size).collect();
    sizes.sort_by(|a, b| b.cmp(a));
    sizes
}

/// Runs `prune` on a model of `fixtures/field`, with its data where it has some, and checks that what was written
/// still has its operator set.
fn prune(name: &str, more: &[&str]) -> Value {
    let folder = TempDir::new().expect("a folder");
    prune_to(&folder.path().join("out.onnx"), name, more)
}

fn prune_to(output: &Path, name: &str, more: &[&str]) -> Value {
    let (model, data) = (
        fixture(&format!("field/{name}.onnx")),
        fixture(&format!("field/{name}.npz")),
    );
    let mut command = secateur();
    command.arg("prune").arg(&model).arg("-o").arg(output);
    if data.exists() {
        command.arg("--calibration").arg(data);
    }
    let result = command.args(more).arg("--json").assert().success();
    let report = serde_json::from_slice(&result.get_output().stdout).expect("JSON");
    assert_eq!(opset(&model), opset(output), "{name}");
    report
}

fn opset(model: &Path) -> Value {
    let result = secateur()
        .arg("inspect")
        .arg(model)
        .arg("--json")
        .assert()
        .success();
    let report: Value = serde_json::from_slice(&result.get_output().stdout).expect("JSON");
    report["opset"].clone()
}

/// What onnxruntime does not load or run, validate does not compare.
fn runs(model: &Path) {
    secateur()
        .arg("validate")
        .args([model, model])
        .args(["--provider", "cpu", "--samples", "4"])
        .assert()
        .success();
}

/// Every model is pruned on its data, whatever the scope, and proven.
fn is_pruned(name: &str, dimensions: usize) {
    for more in [
        &[][..],
        &["--scope", "uniform"],
        &["--scope", "global", "--params", "0.6"],
    ] {
        let report = prune(name, more);
        let found = pruned(&report);
        assert!(
            !found.is_empty() && found.len() <= dimensions,
            "{name} {more:?}: {found:?}"
        );
        let proven = report["verification"]["proven"].as_u64();
        assert!(proven.is_some_and(|proven| proven > 0), "{name} {more:?}");
    }
    let folder = TempDir::new().expect("a folder");
    for criterion in ["wanda", "sparsegpt"] {
        secateur()
            .arg("mask")
            .arg(fixture(&format!("field/{name}.onnx")))
            .arg("-o")
            .arg(folder.path().join("masked.onnx"))
            .args(["--criterion", criterion, "--calibration"])
            .arg(fixture(&format!("field/{name}.npz")))
            .assert()
            .success();
    }
}

macro_rules! pruned_on_data {
    ($($name:ident: $dimensions:literal,)*) => {
        $(
            #[test]
            fn $name() {
                is_pruned(stringify!($name), $dimensions);
            }
        )*
    };
}

pruned_on_data! {
    unnamed_cnn: 2,
    constant_weights: 2,
    opset9_cnn: 2,
    qkv_gather: 3,
    shuffle_of_two_groups: 3,
    convtranspose_depthwise: 1,
    biases_in_constant_nodes: 2,
    einsum_of_three: 2,
    einsum_of_three_with_dots: 3,
    grouped_transposed_convolution: 2,
    initializers_among_inputs: 1,
    names_that_are_taken: 1,
    nested_functions_without_names: 3,
    opset7_cnn: 2,
    packed_attention_in_constant_nodes: 3,
    position_table_times_projection: 2,
    two_recurrent_layers_without_names: 2,
    attention23_ffn: 2,
    scaler_mlp: 2,
    conv_bilstm_dynamic_length: 2,
    behind_a_branch: 1,
    heads_by_mul: 1,
    heads_by_mul_of_a_slice: 1,
    heads_by_division: 1,
    heads_by_addition: 1,
}

/// What a model says of its sizes by arithmetic follows the sizes that are left, or the axes are held: a model that is
/// written without a proof runs as well.
#[test]
fn shape_arithmetic_follows_what_is_left() {
    let folder = TempDir::new().expect("a folder");
    let output = folder.path().join("out.onnx");
    for name in [
        "heads_by_mul",
        "heads_by_mul_of_a_slice",
        "heads_by_division",
        "heads_by_addition",
    ] {
        let report = prune_to(&output, name, &["--no-verify"]);
        assert_eq!(pruned(&report), [[4, 2]], "{name}");
        runs(&output);
        secateur()
            .arg("prune")
            .arg(fixture(&format!("field/{name}.onnx")))
            .args(["--no-verify", "-o"])
            .arg(&output)
            .assert()
            .success();
        runs(&output);
    }
}

#[test]
fn functions_without_node_names_are_pruned_and_masked() {
    let report = prune("function_unnamed_body", &[]);
    assert_eq!(pruned(&report).len(), 1);
    let folder = TempDir::new().expect("a folder");
    let output = folder.path().join("masked.onnx");
    secateur()
        .arg("mask")
        .arg(fixture("field/function_unnamed_body.onnx"))
        .arg("-o")
        .arg(&output)
        .assert()
        .success();
    runs(&output);
}

#[test]
fn weights_that_nothing_reads_are_no_dimensions() {
    let folder = TempDir::new().expect("a folder");
    for name in ["unused_weight", "nothing_to_prune"] {
        let mut command = secateur();
        command
            .arg("prune")
            .arg(fixture(&format!("field/{name}.onnx")))
            .arg("-o")
            .arg(folder.path().join("out.onnx"));
        let data = fixture(&format!("field/{name}.npz"));
        if data.exists() {
            command.arg("--calibration").arg(data);
        }
        command
            .assert()
            .code(3)
            .stderr(contains("nothing can be pruned"));
    }
}
