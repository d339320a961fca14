//! The files of `ci/` are what they claim to be, and the steps of the action run.
#![cfg(unix)]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::fixture;
use saphyr::{LoadableYamlNode, Yaml};
use tempfile::TempDir;

fn file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(path).expect("a file")
}

fn yaml(text: &str) -> Yaml<'_> {
    let documents = Yaml::load_from_str(text).expect("YAML");
    documents.into_iter().next().expect("a document")
}

fn keys<'a>(table: &'a Yaml<'_>) -> BTreeSet<&'a str> {
    let table = table.as_mapping().expect("a table");
    table.keys().filter_map(Yaml::as_str).collect()
}

fn text<'a>(table: &'a Yaml<'_>, key: &str) -> &'a str {
    let value = table.as_mapping_get(key).and_then(Yaml::as_str);
    value.unwrap_or_default()
}

fn at<'a, 'b>(table: &'a Yaml<'b>, key: &str) -> &'a Yaml<'b> {
    table.as_mapping_get(key).expect("a key")
}

fn list<'a, 'b>(table: &'a Yaml<'b>, key: &str) -> Vec<&'a Yaml<'b>> {
    let list = at(table, key).as_sequence().expect("a list");
    list.iter().collect()
}

fn none_but(found: &BTreeSet<&str>, known: &[&str]) {
    let other: Vec<_> = found.iter().filter(|key| !known.contains(key)).collect();
    assert!(other.is_empty(), "{other:?} is none of {known:?}");
}

/// What stands between `${{ ` and ` }}`.
fn expressions(text: &str) -> Vec<&str> {
    let parts = text.split("${{ ").skip(1);
    parts.filter_map(|rest| rest.split(" }}").next()).collect()
}

#[test]
fn the_action_has_the_fields_of_actions_and_uses_its_inputs() {
    let source = file("ci/action/action.yml");
    let action = yaml(&source);
    let known = ["name", "author", "description", "inputs", "outputs"];
    none_but(
        &keys(&action),
        &[&known[..], &["runs", "branding"]].concat(),
    );
    let mut inputs = BTreeSet::new();
    for name in keys(at(&action, "inputs")) {
        let input = at(at(&action, "inputs"), name);
        none_but(&keys(input), &["description", "required", "default"]);
        assert!(!text(input, "description").is_empty(), "{name}");
        inputs.insert(format!("inputs.{name}"));
    }
    assert_eq!(text(at(&action, "runs"), "using"), "composite");
    let mut steps = BTreeSet::new();
    for step in list(at(&action, "runs"), "steps") {
        let known = ["name", "id", "if", "shell", "run", "env"];
        none_but(&keys(step), &[&known[..], &["working-directory"]].concat());
        assert_eq!(text(step, "shell"), "bash", "a step of an action says it");
        // What a person wrote is no part of a script.
        assert!(expressions(text(step, "run")).is_empty());
        steps.insert(text(step, "id"));
    }
    let said = expressions(&source);
    let used: BTreeSet<String> = said.iter().map(|one| (*one).to_owned()).collect();
    let of_steps = |one: &&String| !one.starts_with("steps.");
    assert_eq!(
        used.iter().filter(of_steps).cloned().collect::<Vec<_>>(),
        inputs.into_iter().collect::<Vec<_>>()
    );
    assert!(used.contains("steps.run.outputs.exit-code") && steps.contains("run"));
}

#[test]
fn the_workflow_gives_the_action_inputs_that_it_has() {
    let (source, action) = (file("ci/workflow.yml"), file("ci/action/action.yml"));
    let (workflow, action) = (yaml(&source), yaml(&action));
    none_but(&keys(&workflow), &["name", "on", "permissions", "jobs"]);
    let inputs = keys(at(&action, "inputs"));
    let mut called = 0;
    for name in keys(at(&workflow, "jobs")) {
        let job = at(at(&workflow, "jobs"), name);
        none_but(&keys(job), &["runs-on", "timeout-minutes", "steps"]);
        for step in list(job, "steps") {
            none_but(&keys(step), &["name", "uses", "with", "run"]);
            if text(step, "uses") == "./ci/action" {
                called += 1;
                let given = keys(at(step, "with"));
                none_but(&given, &inputs.iter().copied().collect::<Vec<_>>());
            }
        }
    }
    assert_eq!(called, 1);
    let page = file("docs/pipelines.md");
    for input in inputs {
        assert!(page.contains(&format!("| `{input}` |")), "{input}");
    }
}

/// A folder with the program.
fn programs() -> TempDir {
    let folder = TempDir::new().expect("a folder");
    let program = PathBuf::from(env!("CARGO_BIN_EXE_secateur"));
    std::os::unix::fs::symlink(&program, folder.path().join("secateur")).expect("a link");
    folder
}

/// Where programs are looked for: in this folder first.
fn path(programs: &TempDir) -> String {
    let inherited = std::env::var("PATH").expect("a path");
    format!("{}:{inherited}", programs.path().display())
}

/// What the action left behind.
struct Ran {
    code: Option<i32>,
    summary: String,
    output: String,
    said: String,
}

/// Runs the steps of the action with these inputs in a folder.
fn act(folder: &Path, inputs: &[(&str, &str)]) -> Ran {
    let source = file("ci/action/action.yml");
    let action = yaml(&source);
    let programs = programs();
    let (summary, output) = (folder.join("summary"), folder.join("output"));
    fs::write(&summary, "").expect("space");
    fs::write(&output, "").expect("space");
    let mut ran = Ran {
        code: Some(0),
        summary: String::new(),
        output: String::new(),
        said: String::new(),
    };
    for step in list(at(&action, "runs"), "steps") {
        if ran.code != Some(0) {
            break;
        }
        let mut command = Command::new("bash");
        // As runners call it.
        command.args(["--noprofile", "--norc", "-eo", "pipefail", "-c"]);
        command.arg(text(step, "run")).current_dir(folder);
        command.env("PATH", path(&programs));
        command.env("GITHUB_STEP_SUMMARY", &summary);
        command.env("GITHUB_OUTPUT", &output);
        for name in keys(at(step, "env")) {
            let value = expressions(text(at(step, "env"), name))[0];
            let input = value.strip_prefix("inputs.").expect("an input");
            let given = inputs.iter().find(|(name, _)| *name == input);
            let default = text(at(at(&action, "inputs"), input), "default");
            command.env(name, given.map_or(default, |(_, value)| value));
        }
        let ended = command.output().expect("bash");
        ran.code = ended.status.code();
        ran.said += &String::from_utf8_lossy(&ended.stdout);
        ran.said += &String::from_utf8_lossy(&ended.stderr);
    }
    ran.summary = fs::read_to_string(summary).expect("a summary");
    ran.output = fs::read_to_string(output).expect("an output");
    ran
}

fn folder() -> TempDir {
    let folder = TempDir::new().expect("a folder");
    for (name, what) in [
        ("a model.onnx", "trained/lenet_mnist.onnx"),
        ("small.onnx", "trained/lenet_mnist.onnx"),
        ("test.npz", "data/mnist_200.npz"),
    ] {
        fs::copy(fixture(what), folder.path().join(name)).expect("a fixture");
    }
    folder
}

#[test]
fn the_action_runs_a_command_and_puts_its_report_into_the_summary() {
    let folder = folder();
    let words = "validate 'a model.onnx' small.onnx --data test.npz --max-drop accuracy=0.01";
    let ran = act(folder.path(), &[("arguments", words)]);
    assert_eq!(ran.code, Some(0), "{}", ran.said);
    assert!(ran.summary.contains("accuracy"), "{}", ran.summary);
    assert_eq!(ran.output, "exit-code=0\n");
}

#[test]
fn a_gate_that_fails_fails_the_action_and_is_in_the_summary() {
    let folder = folder();
    let words = "validate 'a model.onnx' small.onnx --data test.npz --min-speedup 100";
    let ran = act(folder.path(), &[("arguments", words)]);
    assert_eq!(ran.code, Some(1), "{}", ran.said);
    assert!(!ran.summary.is_empty() && ran.said.contains("::error::"));
    assert_eq!(ran.output, "exit-code=1\n");
}

#[test]
fn what_a_person_wrote_is_words_and_no_script() {
    let folder = folder();
    let words = "inspect $(touch hacked) `touch hacked`; touch hacked";
    let ran = act(folder.path(), &[("arguments", words)]);
    assert_ne!(ran.code, Some(0));
    assert!(!folder.path().join("hacked").exists());
    let ran = act(folder.path(), &[]);
    assert_eq!((ran.code, ran.output.as_str()), (Some(2), "exit-code=2\n"));
    assert!(
        ran.said.contains("say a recipe or arguments"),
        "{}",
        ran.said
    );
}

#[test]
fn a_recipe_alone_is_enough_for_the_action() {
    let folder = folder();
    let recipe = "model = \"small.onnx\"\noutput = \"out.onnx\"\n[prune]\nratio = 0.5\n";
    fs::write(folder.path().join("recipe.toml"), recipe).expect("space");
    let ran = act(folder.path(), &[("recipe", "recipe.toml")]);
    assert_eq!(ran.code, Some(0), "{}", ran.said);
    assert!(!ran.summary.is_empty() && folder.path().join("out.onnx").exists());
    fs::remove_file(folder.path().join("out.onnx")).expect("it is there");
    let inputs = [
        ("recipe", "recipe.toml"),
        ("model", "a model.onnx"),
        ("arguments", "--set prune.ratio=0.25"),
    ];
    let ran = act(folder.path(), &inputs);
    assert_eq!(ran.code, Some(0), "{}", ran.said);
    assert!(
        ran.summary.contains("a model.onnx") || ran.summary.contains("a model"),
        "{}",
        ran.summary
    );
}

#[test]
fn a_quote_that_is_not_closed_takes_no_gate_away() {
    let folder = folder();
    let words =
        "validate 'a model.onnx' small.onnx --data test.npz --seed 1 it's --min-speedup 100";
    let ran = act(folder.path(), &[("arguments", words)]);
    assert_eq!((ran.code, ran.output.as_str()), (Some(2), "exit-code=2\n"));
    assert!(ran.said.contains("is not closed"), "{}", ran.said);
}

#[test]
fn hooks_have_the_fields_of_hooks_and_run() {
    let source = file("ci/pre-commit-hooks.yaml");
    let hooks = yaml(&source);
    let folder = folder();
    let recipe = "model = \"a model.onnx\"\noutput = \"out.onnx\"\n[prune]\nratio = 0.5\n";
    fs::write(folder.path().join("recipe.toml"), recipe).expect("space");
    fs::write(folder.path().join("broken.onnx"), "no model").expect("space");
    fs::write(folder.path().join("broken.toml"), "[prune]\nrato = 1\n").expect("space");
    let programs = programs();
    for hook in hooks.as_sequence().expect("a list") {
        let known = ["id", "name", "description", "entry", "language", "files"];
        none_but(&keys(hook), &known);
        let [good, bad] = match text(hook, "id") {
            "secateur-recipe" => ["recipe.toml", "broken.toml"],
            _ => ["a model.onnx", "broken.onnx"],
        };
        for (files, passes) in [(&[good][..], true), (&[good, bad][..], false)] {
            let words = shlex::split(text(hook, "entry")).expect("words of a shell");
            let mut command = Command::new(&words[0]);
            command.args(&words[1..]).args(files);
            command
                .current_dir(folder.path())
                .env("PATH", path(&programs));
            let ended = command.output().expect("it runs");
            let said = String::from_utf8_lossy(&ended.stderr).into_owned();
            assert_eq!(
                ended.status.success(),
                passes,
                "{words:?} {files:?}: {said}"
            );
        }
        assert!(!folder.path().join("out.onnx").exists());
    }
}

#[test]
fn the_container_is_built_from_stages_that_there_are_and_runs_without_rights() {
    let source = file("ci/Dockerfile");
    let lines = source
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    let (mut stages, mut user) = (BTreeSet::new(), String::new());
    for line in lines {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[0] {
            "FROM" => {
                let (_, tag) = words[1].split_once(':').expect("a tag");
                assert_ne!(tag, "latest");
                stages.extend(words.get(3).map(|name| (*name).to_owned()));
                user.clear();
            }
            "COPY" => {
                let from = words.iter().find_map(|word| word.strip_prefix("--from="));
                assert!(from.is_none_or(|stage| stages.contains(stage)), "{line}");
            }
            "USER" => words[1].clone_into(&mut user),
            "WORKDIR" | "RUN" | "ENV" | "ENTRYPOINT" | "CMD" => {}
            other => panic!("no instruction: {other}"),
        }
    }
    assert!(
        user.parse::<u32>().is_ok_and(|id| id > 0),
        "it runs as {user:?}"
    );
    let version = file("Cargo.toml");
    let version = version
        .split("rust-version = \"")
        .nth(1)
        .expect("a version");
    let version = version.split('"').next().expect("its end");
    assert!(
        source.contains(&format!("FROM rust:{version}-")),
        "{version}"
    );
    let let_through = file("ci/Dockerfile.dockerignore");
    for path in let_through
        .lines()
        .filter_map(|line| line.strip_prefix('!'))
    {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        assert!(path.exists(), "{}", path.display());
    }
}
