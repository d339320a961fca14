//! Files of recipes: no run replaces what it reads, and what is damaged is made anew.

mod common;
mod kitchen;

use std::fs;

use common::{fixture, secateur};
use kitchen::{Kitchen, state};

const SMALL: &str = "model = \"MODEL\"\noutput = \"o.onnx\"\nreport = \"r.json\"\n[prune]\nratio = 0.3\nplan-out = \"plan.json\"\n\
    [mirror]\ncommand = \"twin\"\nfrom = \"model\"\nplan = { step = \"prune\", file = \"plan-out\" }\n\
    [last]\ncommand = \"clean\"\nfrom = \"prune\"\n";

#[test]
fn who_only_looks_changes_nothing() {
    let kitchen = Kitchen::new(SMALL);
    kitchen.run(&[]);
    let report = fs::read(kitchen.at("r.json")).expect("the report");
    let foreseen = kitchen.run(&["--dry-run", "--set", "prune.ratio=0.4"]);
    assert!(report == fs::read(kitchen.at("r.json")).expect("the report"));
    // What is made of a plan that will be another one will be another one.
    assert_eq!(state(&foreseen, "prune"), "due");
    assert_eq!(state(&foreseen, "mirror"), "due");
    let other = kitchen.at("other.json").display().to_string();
    kitchen.run(&["--dry-run", "--report", &other]);
    assert!(kitchen.at("other.json").is_file(), "it was asked for");
}

#[test]
fn a_report_of_the_call_replaces_no_file_of_the_recipe() {
    let kitchen = Kitchen::new(SMALL);
    kitchen.write("base.json", "{\"model\": \"MODEL\"}");
    kitchen.write("recipe.toml", &format!("extends = \"base.json\"\n{SMALL}"));
    fs::create_dir(kitchen.at("data")).expect("a folder");
    for (change, what) in [
        ("work=data/work", "steps are kept in"),
        ("report=data/r.json", "is read by"),
    ] {
        let change = change.replace("data", &kitchen.at("data").display().to_string());
        let folder = format!("prune.calibration={}", kitchen.at("data").display());
        let said = kitchen.fails(2, &["--set", &folder, "--set", &change]);
        assert!(said.contains(what), "{change}: {said}");
    }
    for (name, what) in [
        ("base.json", "is the recipe"),
        ("plan.json", "is written twice"),
        ("r.json", "is written twice"),
    ] {
        let path = kitchen.at(name).display().to_string();
        let said = kitchen.fails(2, &["--report", &path]);
        assert!(said.contains(what), "{name}: {said}");
    }
    assert!(!kitchen.at("o.onnx").exists());
}

#[test]
fn an_output_is_no_data_file_of_a_model() {
    let kitchen = Kitchen::new("");
    for name in ["perceptron.onnx", "weights.bin"] {
        fs::copy(fixture(&format!("external/{name}")), kitchen.at(name)).expect("copied");
    }
    let weights = kitchen.at("weights.bin");
    let before = fs::read(&weights).expect("weights lie beside it");
    for end in [
        "output = \"weights.bin\"\n[prune]\nratio = 0.3\n",
        "output = \"o.onnx\"\n[prune]\nratio = 0.3\nplan-out = \"weights.bin\"\n",
    ] {
        kitchen.write(
            "recipe.toml",
            &format!("model = \"perceptron.onnx\"\n{end}"),
        );
        let said = kitchen.fails(3, &[]);
        assert!(said.contains("the weights of a model"), "{said}");
        assert!(before == fs::read(&weights).expect("the weights"));
    }
}

#[test]
fn a_work_folder_without_its_mark_is_mended() {
    let kitchen = Kitchen::new(SMALL);
    kitchen.run(&[]);
    let mark = kitchen.at("o.onnx.secateur/results.json");
    fs::remove_file(&mark).expect("removed");
    assert_eq!(state(&kitchen.run(&[]), "prune"), "kept");
    for damaged in ["", "{\"schema\": \"x\", \"of\": {}}"] {
        fs::write(&mark, damaged).expect("written");
        assert_eq!(state(&kitchen.run(&[]), "prune"), "kept");
    }
}

#[cfg(unix)]
#[test]
fn what_a_link_leads_to_is_left_alone() {
    let kitchen = Kitchen::new(SMALL);
    kitchen.run(&[]);
    let (others, step) = (kitchen.at("others"), kitchen.at("o.onnx.secateur/prune"));
    fs::create_dir(&others).expect("a folder");
    fs::write(others.join("file"), b"x").expect("written");
    fs::remove_dir_all(&step).expect("removed");
    std::os::unix::fs::symlink(&others, &step).expect("a link");
    assert_eq!(state(&kitchen.run(&[]), "prune"), "done");
    assert!(others.join("file").is_file());
    assert!(!others.join("model.onnx").exists());
}

#[test]
fn a_branch_counts_for_nothing_in_what_is_left() {
    let recipe = "model = \"MODEL\"\noutput = \"o.onnx\"\nreport = \"metrics.json\"\n[inspect]\n[branch]\ncommand = \"prune\"\n\
        ratio = 0.6\n[prune]\nfrom = \"model\"\nratio = 0.2\n";
    let kitchen = Kitchen::new(recipe);
    let report = kitchen.run(&[]);
    let text = fs::read_to_string(kitchen.at("metrics.json")).expect("numbers");
    let numbers: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(numbers["macs.left"], numbers["prune.macs.left"]);
    assert_ne!(numbers["macs.left"], numbers["branch.macs.left"]);
    assert_eq!(state(&report, "branch"), "done");
    // A twin is a yardstick.
    let recipe = "model = \"MODEL\"\noutput = \"o.onnx\"\n[prune]\nratio = 0.6\n[twin]\nfrom = \"model\"\n\
        plan = { step = \"prune\", file = \"plan-out\" }\n[bench]\n";
    kitchen.write("recipe.toml", recipe);
    let printed = kitchen.command(&["--print-recipe"]).assert().success();
    let printed = String::from_utf8(printed.get_output().stdout.clone()).expect("a text");
    assert!(printed.contains("{ step = \"prune\" }]"), "{printed}");
}

#[test]
fn there_is_an_end_to_steps() {
    let kitchen = Kitchen::new("");
    let steps = (0..300).map(|place| format!("[s{place}]\ncommand = \"inspect\"\n"));
    kitchen.write(
        "recipe.toml",
        &format!("model = \"MODEL\"\n{}", steps.collect::<String>()),
    );
    let said = kitchen.fails(3, &["--dry-run"]);
    assert!(said.contains("more than 256 steps"), "{said}");
    let said = secateur().args(["run", "-"]).assert().code(3);
    let said = String::from_utf8(said.get_output().stderr.clone()).expect("a text");
    assert!(said.contains("pipes are not read"), "{said}");
}
