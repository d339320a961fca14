//! A folder with a recipe.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use tempfile::TempDir;

use super::common::{fixture, secateur};

/// A pipeline of every kind of step on a small net; paths are those of the fixtures.
#[allow(dead_code, reason = "not every test file needs it")]
pub const WHOLE: &str = r#"
model = "MODEL"
output = "small.onnx"
data = "DATA"

[clean]

[prune]
macs = 0.6
plan-out = "small.plan.json"

[tune]
steps = 12
batch = 32

[quantise]
every_layer = true

[validate]
min-agreement = 0.3
"#;

/// A folder with `recipe.toml`.
pub struct Kitchen {
    pub folder: TempDir,
}

impl Kitchen {
    /// With this recipe.
    #[allow(dead_code, reason = "not every test file needs it")]
    pub fn new(recipe: &str) -> Kitchen {
        let kitchen = Kitchen {
            folder: TempDir::new().expect("a folder"),
        };
        kitchen.write("recipe.toml", recipe);
        kitchen
    }

    /// Writes a recipe with a net and data of the fixtures.
    #[allow(dead_code, reason = "not every test file needs it")]
    pub fn write(&self, name: &str, recipe: &str) {
        let text = |name: &str| fixture(name).to_str().expect("a path").to_owned();
        let recipe = recipe.replace("MODEL", &text("trained/lenet_mnist.onnx"));
        let recipe = recipe.replace("DATA", &text("data/mnist_200.npz"));
        fs::write(self.at(name), recipe).expect("written");
    }

    /// A file in it.
    #[allow(dead_code, reason = "not every test file needs it")]
    pub fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A run of the recipe.
    #[allow(dead_code, reason = "not every test file needs it")]
    pub fn command(&self, more: &[&str]) -> assert_cmd::Command {
        let mut command = secateur();
        command.arg("run").arg(self.at("recipe.toml")).args(more);
        command
    }

    /// What a run of it reports.
    #[allow(dead_code, reason = "not every test file needs it")]
    pub fn run(&self, more: &[&str]) -> Value {
        let output = self.command(more).arg("--json").assert().success();
        serde_json::from_slice(&output.get_output().stdout).expect("JSON")
    }

    /// Runs what is refused or fails; returns what it says.
    #[allow(dead_code, reason = "not every test file needs it")]
    pub fn fails(&self, code: i32, more: &[&str]) -> String {
        let output = self.command(more).assert().code(code);
        String::from_utf8(output.get_output().stderr.clone()).expect("a text")
    }
}

/// By step.
pub fn states(report: &Value) -> Vec<(String, String)> {
    let steps = report["steps"].as_array().expect("steps");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    steps
        .iter()
        .map(|step| (text(&step["step"]), text(&step["state"])))
        .collect()
}

/// By step.
pub fn state(report: &Value, step: &str) -> String {
    let states = states(report);
    let mut found = states.into_iter().filter(|(name, _)| name == step);
    found.next().expect("the step is there").1
}
