//! The command line as a user sees it: outputs, exit codes, what is left behind.

mod common;

use std::fs;
use std::path::PathBuf;

use assert_cmd::Command;
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;
use tempfile::TempDir;

use common::{fixture, lenet, secateur};

fn json(command: &mut Command) -> Value {
    let output = command
        .arg("--json")
        .assert()
        .success()
        .get_output()
        .clone();
    assert!(!output.stderr.is_empty(), "text for people goes to stderr");
    serde_json::from_slice(&output.stdout).expect("stdout is JSON alone")
}

#[test]
fn trained_models_are_pruned_and_proven() {
    let folder = TempDir::new().expect("a folder");
    for model in [
        "lenet_mnist",
        "resnet8_fashion.bn",
        "gru_fashion",
        "lstm_spam",
        "vit_fashion",
        "bert_spam",
    ] {
        let output = folder.path().join("out.onnx");
        let report = json(
            secateur()
                .arg("prune")
                .arg(fixture(&format!("trained/{model}.onnx")))
                .arg("-o")
                .arg(&output),
        );
        let proof = &report["verification"];
        assert_eq!(proof["left_out"], 0, "{model}");
        assert!(proof["proven"].as_u64() > Some(0), "{model}");
        for deviation in proof["outputs"].as_array().expect("outputs") {
            assert!(
                deviation["relative"].as_f64() <= Some(1e-4),
                "{model}: {deviation}"
            );
            assert_eq!(deviation["informative"], true, "{model}");
        }
        let params = |when: &str| report[when]["params"].as_u64().expect("a number");
        assert!(params("after") < params("before") / 2, "{model}");
        assert_eq!(
            report["file_bytes_after"].as_u64(),
            fs::metadata(&output).ok().map(|m| m.len()),
            "{model}"
        );
    }
}

#[test]
fn a_plan_replays_to_the_same_bytes_at_any_thread_count() {
    let folder = TempDir::new().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let model = fixture("trained/bert_spam.onnx");
    for (threads, output, plan) in [("1", "a.onnx", "a.json"), ("7", "b.onnx", "b.json")] {
        secateur()
            .env("RAYON_NUM_THREADS", threads)
            .args(["prune", "--no-verify", "--ratio", "0.3"])
            .arg(&model)
            .arg("-o")
            .arg(at(output))
            .arg("--plan-out")
            .arg(at(plan))
            .assert()
            .success();
    }
    secateur()
        .args(["prune", "--no-verify"])
        .arg(&model)
        .arg("--plan")
        .arg(at("a.json"))
        .arg("-o")
        .arg(at("c.onnx"))
        .assert()
        .success();
    let bytes = |name: &str| fs::read(at(name)).expect("a file");
    assert!(
        bytes("a.onnx") == bytes("b.onnx"),
        "thread counts differ in the model"
    );
    assert!(
        bytes("a.json") == bytes("b.json"),
        "thread counts differ in the plan"
    );
    assert!(
        bytes("a.onnx") == bytes("c.onnx"),
        "the replayed plan differs"
    );
}

#[test]
fn whole_groups_go_and_their_plan_replays_to_the_same_bytes() {
    let folder = TempDir::new().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let model = fixture("field/grouped_transposed_convolution.onnx");
    let groups = ["--groups", "whole"];
    let found = json(secateur().arg("inspect").arg(&model).args(groups));
    assert_eq!(found["dimensions"].as_array().map(Vec::len), Some(1));
    assert_eq!(found["dimensions"][0]["size"], 4);
    let prune = |name: &str| {
        let mut command = secateur();
        command.arg("prune").arg(&model).arg("-o").arg(at(name));
        command
    };
    let made = json(
        prune("a.onnx")
            .args(groups)
            .arg("--plan-out")
            .arg(at("plan.json")),
    );
    assert_eq!(made["dimensions"][0]["kept"], 2);
    assert_eq!(made["verification"]["proven"], 1);
    let plan = fs::read_to_string(at("plan.json")).expect("a plan");
    assert!(plan.contains("\"groups\": \"whole\""), "{plan}");
    let replayed = json(prune("b.onnx").arg("--plan").arg(at("plan.json")));
    assert_eq!(replayed["verification"]["proven"], 1);
    let bytes = |name: &str| fs::read(at(name)).expect("a file");
    assert!(
        bytes("a.onnx") == bytes("b.onnx"),
        "the replayed plan differs"
    );
    secateur()
        .arg("twin")
        .arg(&model)
        .arg("--plan")
        .arg(at("plan.json"))
        .arg("-o")
        .arg(at("twin.onnx"))
        .assert()
        .success();
    prune("c.onnx")
        .args(["--groups", "halves"])
        .assert()
        .code(2)
        .stderr(contains("choose one of inside, whole"));
}

#[test]
fn a_dry_run_explains_every_dimension_and_writes_the_plan_only() {
    let folder = TempDir::new().expect("a folder");
    let plan = folder.path().join("plan.json");
    secateur()
        .args([
            "prune",
            "--dry-run",
            "--skip",
            "conv1*",
            "--min-channels",
            "80",
        ])
        .arg(lenet())
        .arg("--plan-out")
        .arg(&plan)
        .assert()
        .success()
        .stdout(contains("left alone: skipped by --skip 'conv1*'"))
        .stdout(contains("left alone: --min-channels 80 keeps all 64"))
        .stdout(contains("dry run: nothing was written"));
    let plan: Value =
        serde_json::from_str(&fs::read_to_string(&plan).expect("a plan")).expect("JSON");
    let dimension = &plan["dimensions"][0];
    assert_eq!(dimension["name"], "fc1.weight");
    assert_eq!(dimension["kept"].as_array().map(Vec::len), Some(80));
    assert_eq!(dimension["scores"].as_array().map(Vec::len), Some(100));
    let touched: Vec<(&str, u64)> = plan["initializers"]
        .as_array()
        .expect("initializers")
        .iter()
        .map(|i| {
            (
                i["name"].as_str().unwrap_or(""),
                i["axes"][0]["axis"].as_u64().unwrap_or(9),
            )
        })
        .collect();
    assert_eq!(
        touched,
        [("fc1.weight", 0), ("fc1.bias", 0), ("fc2.weight", 1)]
    );
    assert_eq!(fs::read_dir(folder.path()).expect("the folder").count(), 1);
}

#[test]
fn kept_channels_are_rounded_up() {
    let report = json(
        secateur()
            .args(["prune", "--dry-run", "--ratio", "0.3", "--round-to", "16"])
            .arg(lenet()),
    );
    let kept: Vec<&Value> = report["dimensions"]
        .as_array()
        .expect("dimensions")
        .iter()
        .map(|d| &d["kept"])
        .collect();
    assert_eq!(kept, [32, 48, 80]);
    assert_eq!(
        report["dimensions"][0]["left"],
        "--round-to 16 keeps all 32"
    );
}

#[test]
fn only_prunes_what_it_names() {
    let folder = TempDir::new().expect("a folder");
    let report = json(
        secateur()
            .args(["prune", "--only", "/conv2/*"])
            .arg(lenet())
            .arg("-o")
            .arg(folder.path().join("out.onnx")),
    );
    let pruned: Vec<&Value> = report["dimensions"]
        .as_array()
        .expect("dimensions")
        .iter()
        .filter(|d| d["left"].is_null())
        .map(|d| &d["name"])
        .collect();
    assert_eq!(pruned, ["conv2.weight"]);
}

#[test]
fn exact_leaves_mixing_dimensions_alone() {
    let folder = TempDir::new().expect("a folder");
    let report = json(
        secateur()
            .args(["prune", "--exact"])
            .arg(fixture("trained/vit_fashion.onnx"))
            .arg("-o")
            .arg(folder.path().join("out.onnx")),
    );
    assert_eq!(report["verification"]["left_out"], 0);
    assert_eq!(report["verification"]["proven"], 8);
}

#[test]
fn the_twin_is_written_with_masks_inside_or_as_inputs() {
    let folder = TempDir::new().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    secateur()
        .args(["prune", "--dry-run"])
        .arg(lenet())
        .arg("--plan-out")
        .arg(at("plan.json"))
        .assert()
        .success();
    for (extra, name) in [(None, "twin.onnx"), (Some("--mask-inputs"), "inputs.onnx")] {
        secateur()
            .arg("twin")
            .arg(lenet())
            .arg("--plan")
            .arg(at("plan.json"))
            .arg("-o")
            .arg(at(name))
            .args(extra)
            .assert()
            .success();
        let model = secateur::onnx::Model::load(at(name)).expect("a model");
        let graph = secateur::graph::Graph::new(&model)
            .expect("a graph")
            .to_string();
        assert_eq!(graph.matches("Mul '").count(), 3, "{graph}");
        assert_eq!(
            graph.contains("input secateur.mask.0"),
            extra.is_some(),
            "{graph}"
        );
    }
}

#[test]
fn inspect_lists_dimensions_and_says_what_holds_the_rest() {
    secateur()
        .arg("inspect")
        .arg(fixture("trained/bert_spam.onnx"))
        .assert()
        .success()
        .stdout(contains("word.weight").and(contains("mixing")))
        .stdout(contains(
            "Gather '/word/Gather' (is selected from by index)",
        ))
        .stdout(contains("'logits' (is an output of the graph)"));
    let report = json(secateur().arg("inspect").arg(lenet()));
    assert_eq!(report["totals"]["params"], 179_926);
    assert_eq!(report["totals"]["macs"], 2_585_960);
    assert_eq!(report["dimensions"][1]["consumers"][0], "Gemm '/fc1/Gemm'");
    let doubled = json(
        secateur()
            .arg("inspect")
            .arg(lenet())
            .args(["--dim", "batch=2"]),
    );
    assert_eq!(doubled["totals"]["macs"], 2 * 2_585_960);
}

#[test]
fn external_data_is_read_and_written() {
    let folder = TempDir::new().expect("a folder");
    let output = folder.path().join("out.onnx");
    let model = fixture("external/perceptron.onnx");
    secateur()
        .arg("prune")
        .arg(&model)
        .arg("-o")
        .arg(&output)
        .assert()
        .success();
    assert!(output.is_file());
    let pruned = secateur::onnx::Model::load(&output).expect("a model");
    let graph = secateur::graph::Graph::new(&pruned)
        .expect("a graph")
        .to_string();
    assert!(graph.contains("weight w2: float32[4, 4]"), "{graph}");
}

#[test]
fn provenance_is_in_the_metadata() {
    let folder = TempDir::new().expect("a folder");
    let output = folder.path().join("out.onnx");
    let model = lenet();
    secateur()
        .args(["prune", "--no-verify", "--skip", "conv1*", "--exact"])
        .arg(&model)
        .arg("-o")
        .arg(&output)
        .assert()
        .success();
    let source = secateur::onnx::Model::load(&model).expect("a model");
    let pruned = secateur::onnx::Model::load(&output).expect("a model");
    assert_eq!(pruned.metadata("secateur.source_hash"), Some(source.hash()));
    assert_eq!(
        pruned.metadata("secateur.command"),
        Some("prune --ratio 0.5 --criterion l2 --skip 'conv1*' --exact")
    );
    assert_eq!(
        (pruned.opset(), pruned.ir_version()),
        (source.opset(), source.ir_version())
    );
}

#[test]
fn wrong_calls_are_usage_errors() {
    let folder = TempDir::new().expect("a folder");
    let output = folder.path().join("out.onnx");
    let calls: [(&[&str], &str); 7] = [
        (&["--ratio", "1"], "from 0 to below 1"),
        (&["--ratio", "nan"], "from 0 to below 1"),
        (&["--criterion", "magic"], "choose one of l1, l2, linf"),
        (&["--only", "nothing*"], "matches no dimension"),
        (&["--skip", "a[b"], "no glob pattern"),
        (&["--dim", "height=3"], "the dynamic axes are batch"),
        (&["--dim", "batch=0"], "no positive size"),
    ];
    for (extra, message) in calls {
        secateur()
            .arg("prune")
            .arg(lenet())
            .arg("-o")
            .arg(&output)
            .args(extra)
            .assert()
            .code(2)
            .stderr(contains(message));
    }
    secateur()
        .arg("prune")
        .arg(lenet())
        .assert()
        .code(2)
        .stderr(contains("--output"));
    assert!(!output.exists());
}

#[test]
fn the_input_is_not_replaced_without_force() {
    let folder = TempDir::new().expect("a folder");
    let model = folder.path().join("model.onnx");
    fs::copy(lenet(), &model).expect("a copy");
    let before = fs::read(&model).expect("bytes");
    let call = |extra: &[&str]| {
        let mut command = secateur();
        command
            .args(["prune", "--no-verify"])
            .arg(&model)
            .arg("-o")
            .arg(&model)
            .args(extra);
        command
    };
    call(&[]).assert().code(2).stderr(contains("--force"));
    assert!(fs::read(&model).expect("bytes") == before);
    call(&["--force"]).assert().success();
    assert!(fs::read(&model).expect("bytes").len() < before.len() / 3);
}

#[test]
fn a_plan_of_another_model_is_refused() {
    let folder = TempDir::new().expect("a folder");
    let plan = folder.path().join("plan.json");
    secateur()
        .args(["prune", "--dry-run"])
        .arg(lenet())
        .arg("--plan-out")
        .arg(&plan)
        .assert()
        .success();
    let replay = |model: PathBuf| {
        let mut command = secateur();
        command.args(["prune", "--no-verify", "--plan"]).arg(&plan);
        command
            .arg(model)
            .arg("-o")
            .arg(folder.path().join("out.onnx"));
        command
    };
    replay(fixture("trained/gru_fashion.onnx"))
        .assert()
        .code(3)
        .stderr(contains("made for a model with hash"));
    let text = fs::read_to_string(&plan).expect("a plan");
    for (from, to, message) in [
        (
            "\"name\": \"conv1.weight\"",
            "\"name\": \"conv9.weight\"",
            "no dimension 'conv9.weight'",
        ),
        (
            "\"size\": 32",
            "\"size\": 33",
            "33 channels in the plan and 32 in the model",
        ),
        ("\"secateur_plan\": 1", "\"secateur_plan\": 2", "version 2"),
        ("\"dimensions\"", "\"dimension\"", "is no plan"),
    ] {
        fs::write(&plan, text.replacen(from, to, 1)).expect("a changed plan");
        replay(lenet()).assert().code(3).stderr(contains(message));
    }
}

#[test]
fn trouble_with_files_and_runtimes_has_its_own_code() {
    let folder = TempDir::new().expect("a folder");
    let nowhere = folder.path().join("no/such/folder/out.onnx");
    secateur()
        .args(["prune", "--no-verify"])
        .arg(lenet())
        .arg("-o")
        .arg(&nowhere)
        .assert()
        .code(4)
        .stderr(contains("cannot write").and(contains("nothing was written")));
    let output = folder.path().join("out.onnx");
    let prune = |extra: &[&str]| {
        let mut command = secateur();
        command
            .arg("prune")
            .arg(lenet())
            .arg("-o")
            .arg(&output)
            .args(extra);
        command
    };
    prune(&["--onnxruntime", "/no/such/library"])
        .assert()
        .code(4)
        .stderr(contains("is not a file"));
    let text = fixture("generate.py");
    prune(&["--onnxruntime", text.to_str().expect("a path")])
        .assert()
        .code(4)
        .stderr(contains("cannot be loaded"));
    prune(&["--offline"])
        .env("SECATEUR_CACHE", folder.path())
        .env("PATH", "")
        .env_remove("ORT_DYLIB_PATH")
        .assert()
        .code(4)
        .stderr(contains("--offline forbids to install one"));
    assert!(!output.exists());
}

#[test]
fn the_runtime_is_found_where_it_was_installed() {
    secateur()
        .args(["runtime", "install", "cpu"])
        .assert()
        .success()
        .stderr(contains("installed: "));
    let status = json(
        secateur()
            .args(["runtime", "status"])
            .env_remove("ORT_DYLIB_PATH"),
    );
    assert_eq!(status["source"], "secateur's cache");
    assert_eq!(status["pinned_version"], "1.32.0");
}

#[cfg(unix)]
#[test]
fn words_that_are_no_unicode_are_wrong_calls() {
    use std::os::unix::ffi::OsStrExt;
    let word = std::ffi::OsStr::from_bytes(b"\xff");
    secateur().arg(word).assert().code(2);
    let mut no_command = secateur();
    no_command.arg("runtime-worker").assert().code(4);
}
