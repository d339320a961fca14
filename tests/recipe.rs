//! Recipes as a user sees them: a whole pipeline, and what is kept from run to run.

mod common;
mod kitchen;

use std::fs;
use std::path::Path;

use serde_json::Value;

use common::fixture;
use kitchen::{Kitchen, WHOLE, state, states};

fn metadata(path: &Path, key: &str) -> String {
    let model = secateur::Model::load(path).expect("a model");
    model.metadata(key).expect("it is embedded").to_owned()
}

#[test]
fn a_pipeline_runs_once_and_what_did_not_change_is_kept() {
    let kitchen = Kitchen::new(WHOLE);
    let foreseen = kitchen.run(&["--dry-run"]);
    assert!(states(&foreseen).iter().all(|(_, state)| state == "due"));
    assert!(
        !kitchen.at("small.onnx.secateur").exists(),
        "looking makes nothing"
    );
    let first = kitchen.run(&[]);
    assert_eq!(state(&first, "clean"), "unchanged");
    for step in ["prune", "tune", "quantise", "validate"] {
        assert_eq!(state(&first, step), "done", "{step}");
    }
    assert_eq!(first["schema"], "secateur.run/1");
    assert_eq!(first["steps"][1]["report"]["schema"], "secateur.prune/1");
    assert!(kitchen.at("small.plan.json").is_file());
    let made = fs::read(kitchen.at("small.onnx")).expect("the output");
    let recipe = metadata(&kitchen.at("small.onnx"), "secateur.recipe");
    assert!(
        recipe.contains("macs = 0.6") && !recipe.contains('/'),
        "{recipe}"
    );
    let results = metadata(&kitchen.at("small.onnx"), "secateur.results");
    let results: Value = serde_json::from_str(&results).expect("JSON");
    assert!(results["prune.macs.after"].is_number(), "{results}");

    fs::remove_file(kitchen.at("small.onnx")).expect("removed");
    let second = kitchen.run(&[]);
    assert!(
        states(&second).iter().all(|(_, state)| state == "kept"),
        "{:?}",
        states(&second)
    );
    assert_eq!(second["steps"][1]["report"], first["steps"][1]["report"]);
    assert!(
        made == fs::read(kitchen.at("small.onnx")).expect("the output"),
        "the same bytes"
    );

    // What comes behind a change runs again, and what comes before it does not.
    let third = kitchen.run(&["--set", "prune.macs=0.5"]);
    let expected = ["kept", "done", "done", "done", "done"];
    let found = states(&third);
    assert!(
        found.iter().map(|(_, state)| state).eq(expected.iter()),
        "{found:?}"
    );

    // The same from an empty folder is the same to the bit.
    let other = Kitchen::new(WHOLE);
    other.run(&[]);
    assert!(
        made == fs::read(other.at("small.onnx")).expect("the output"),
        "the same bytes"
    );
}

#[test]
fn damaged_and_deleted_work_is_made_anew() {
    let kitchen =
        Kitchen::new("model = \"MODEL\"\noutput = \"o.onnx\"\n[prune]\nratio = 0.3\n[inspect]\n");
    kitchen.run(&[]);
    let model = kitchen.at("o.onnx.secateur/prune/model.onnx");
    let whole = fs::read(&model).expect("the step's model");
    let mut damaged = whole.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 0x40;
    fs::write(&model, &damaged).expect("written");
    assert_eq!(state(&kitchen.run(&[]), "prune"), "done");
    assert!(whole == fs::read(&model).expect("made anew"));
    fs::remove_file(&model).expect("removed");
    let again = kitchen.run(&[]);
    assert_eq!(
        (state(&again, "prune"), state(&again, "inspect")),
        ("done".into(), "kept".into())
    );
    for entry in fs::read_dir(kitchen.at("o.onnx.secateur"))
        .expect("a folder")
        .flatten()
    {
        if entry.file_name().to_string_lossy().starts_with("step-") {
            fs::write(entry.path(), "{}").expect("written");
        }
    }
    assert_eq!(state(&kitchen.run(&[]), "prune"), "done");
}

#[test]
fn a_gate_that_fails_leaves_no_output_but_what_was_made() {
    let recipe = "model = \"MODEL\"\noutput = \"o.onnx\"\ndata = \"DATA\"\n\
        report = [\"r.html\", \"metrics.json\"]\n[prune]\nratio = 0.5\n\
        [check]\ncommand = \"validate\"\nmax-error = 1e-9\n[inspect]\n";
    let kitchen = Kitchen::new(recipe);
    let output = kitchen.command(&["--json"]).assert().code(1);
    let report: Value = serde_json::from_slice(&output.get_output().stdout).expect("JSON");
    let said = String::from_utf8(output.get_output().stderr.clone()).expect("a text");
    assert!(said.contains("step 'check': 1 gate(s) failed"), "{said}");
    let found = states(&report);
    let found: Vec<&str> = found.iter().map(|(_, state)| state.as_str()).collect();
    assert_eq!(found, ["done", "failed", "left"]);
    assert!(!kitchen.at("o.onnx").exists());
    assert!(kitchen.at("o.onnx.secateur/prune/model.onnx").is_file());
    let page = fs::read_to_string(kitchen.at("r.html")).expect("the report is there");
    assert!(
        page.contains("Step check failed") && page.contains("prune"),
        "{page}"
    );
    let metrics = fs::read_to_string(kitchen.at("metrics.json")).expect("numbers");
    let metrics: Value = serde_json::from_str(&metrics).expect("JSON");
    assert!(
        metrics["prune.macs.left"].is_number() && metrics["check.gates.failed"] == 1,
        "{metrics}"
    );
    // The gate is judged again, and nothing else.
    let said = kitchen.fails(1, &[]);
    assert!(said.contains("gate"), "{said}");
    let passed = kitchen.run(&["--set", "check.max-error=10"]);
    assert_eq!(
        (state(&passed, "prune"), state(&passed, "check")),
        ("kept".into(), "done".into())
    );
    assert!(kitchen.at("o.onnx").is_file());
}

#[test]
fn recipes_stand_on_others_and_steps_take_from_each_other() {
    let kitchen = Kitchen::new(
        "extends = \"base/base.yaml\"\noutput = \"o.onnx\"\n[prune]\nratio = 0.1\n\
        [other]\ncommand = \"prune\"\nfrom = \"model\"\nratio = 0.3\ncalibration = false\n\
        [mirror]\ncommand = \"twin\"\nfrom = \"model\"\nplan = { step = \"other\", file = \"plan-out\" }\n\
        [validate]\nreference = { step = \"mirror\" }\ncandidate = { step = \"other\" }\nmax-error = 0.001\n\
        [last]\ncommand = \"quantise\"\nfrom = \"prune\"\nweight-only = true\n",
    );
    fs::create_dir(kitchen.at("base")).expect("a folder");
    kitchen.write(
        "base/base.yaml",
        "model: MODEL\ndata: calib.npz\nprune:\n  ratio: 0.7\n  min_channels: 2\ntune:\n  steps: 5\n",
    );
    fs::copy(fixture("data/mnist_200.npz"), kitchen.at("base/calib.npz")).expect("copied");
    let report = kitchen.run(&["--set", "tune=false"]);
    let found = states(&report);
    let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["prune", "other", "mirror", "validate", "last"]);
    let share = |step: usize| {
        let report = &report["steps"][step]["report"];
        report["after"]["macs"].as_f64().expect("a number")
            / report["before"]["macs"].as_f64().expect("a number")
    };
    assert!(
        (0.7..1.0).contains(&share(0)),
        "what stands above counts: {}",
        share(0)
    );
    let printed = kitchen
        .command(&["--set", "tune=false", "--print-recipe"])
        .assert()
        .success();
    let printed = String::from_utf8(printed.get_output().stdout.clone()).expect("a text");
    for line in [
        "ratio = 0.1",
        "min-channels = 2",
        "file = \"plan-out\"",
        "from = \"model\"",
    ] {
        assert!(printed.contains(line), "{line}: {printed}");
    }
    // What is printed does the same: everything is kept.
    fs::write(kitchen.at("recipe.toml"), printed).expect("written");
    let again = kitchen.run(&[]);
    assert!(
        states(&again).iter().all(|(_, state)| state == "kept"),
        "{:?}",
        states(&again)
    );
}
