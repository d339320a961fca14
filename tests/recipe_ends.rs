//! Recipes that are killed or asked to end go on where they were, to the same bytes.
#![cfg(unix)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use common::{fixture, json};

/// Two steps, of which the second takes some seconds.
fn write_recipe(folder: &Path) -> PathBuf {
    let text = |name: &str| fixture(name).display().to_string();
    let (model, data) = (text("trained/lenet_mnist.onnx"), text("data/mnist_200.npz"));
    let steps = "[prune]\nratio = 0.3\ncalibration = false\n[tune]\nsteps = 80\nbatch = 16\n";
    let recipe = format!("model = {model:?}\noutput = \"o.onnx\"\ndata = {data:?}\n{steps}");
    let path = folder.join("recipe.toml");
    fs::write(&path, recipe).expect("written");
    path
}

fn begin(recipe: &Path) -> Child {
    let mut call = Command::new(env!("CARGO_BIN_EXE_secateur"));
    call.arg("run")
        .arg(recipe)
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    call.spawn().expect("it runs")
}

/// Waits until something is there, while a run goes on.
fn wait_for(child: &mut Child, mut there: impl FnMut() -> bool) {
    while !there() {
        assert!(
            child.try_wait().expect("a state").is_none(),
            "it ended too early"
        );
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn states(recipe: &Path) -> Vec<String> {
    let report = json(&["run", &recipe.display().to_string()]);
    let steps = report["steps"].as_array().expect("steps").iter();
    steps
        .map(|step| step["state"].as_str().expect("a text").to_owned())
        .collect()
}

#[test]
fn what_was_killed_or_ended_goes_on_to_the_same_bytes() {
    let whole = TempDir::new().expect("a folder");
    assert_eq!(states(&write_recipe(whole.path())), ["done", "done"]);
    let expected = fs::read(whole.path().join("o.onnx")).expect("the output");

    let folder = TempDir::new().expect("a folder");
    let recipe = write_recipe(folder.path());
    let work = folder.path().join("o.onnx.secateur");
    // Between two steps.
    let mut child = begin(&recipe);
    let begun = work.join("tune/begun");
    wait_for(&mut child, || begun.is_file());
    child.kill().expect("killed");
    child.wait().expect("it ended");
    // Inside of the second: killed, then asked to end.
    let state = work.join("tune/checkpoints/training.safetensors");
    for signal in ["-KILL", "-INT"] {
        fs::remove_file(&state).ok();
        let mut child = begin(&recipe);
        wait_for(&mut child, || state.is_file());
        let killed = Command::new("kill")
            .args([signal, &child.id().to_string()])
            .status();
        assert!(killed.expect("it runs").success());
        let output = child.wait_with_output().expect("it ended");
        if signal == "-INT" {
            let said = String::from_utf8(output.stderr).expect("a text");
            assert_eq!(output.status.code(), Some(4), "{said}");
            assert!(
                said.contains("step 'tune': ended early, as asked"),
                "{said}"
            );
        }
        assert!(!folder.path().join("o.onnx").exists(), "{signal}");
    }
    let output = begin(&recipe).wait_with_output().expect("it ended");
    let said = String::from_utf8(output.stderr).expect("a text");
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("step 'tune' goes on from where it was"),
        "{said}"
    );
    assert!(
        expected == fs::read(folder.path().join("o.onnx")).expect("the output"),
        "the same bytes"
    );
    assert_eq!(states(&recipe), ["kept", "kept"]);
    assert!(!state.exists(), "what let it go on is let go of");
}

#[test]
fn a_damaged_state_of_a_training_is_made_anew() {
    let folder = TempDir::new().expect("a folder");
    let recipe = write_recipe(folder.path());
    let state = folder
        .path()
        .join("o.onnx.secateur/tune/checkpoints/training.safetensors");
    let mut child = begin(&recipe);
    wait_for(&mut child, || state.is_file());
    child.kill().expect("killed");
    child.wait().expect("it ended");
    fs::write(&state, b"damaged").expect("written");
    assert_eq!(states(&recipe), ["kept", "done"]);
}
