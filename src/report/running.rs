//! What `run` did: the steps of a recipe.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use super::pruning::Outcome;
use super::table::{count, table};

/// A run of a recipe.
#[derive(Clone, Debug, Serialize)]
pub struct RunReport {
    /// Version of this document.
    pub schema: &'static str,
    /// The recipe's file.
    pub recipe: String,
    /// The model that it starts from, where it names one.
    pub model: Option<String>,
    /// Where its steps are kept.
    pub work: String,
    /// How far the run went.
    pub outcome: Outcome,
    /// The steps, in their order.
    pub steps: Vec<StepRow>,
}

/// A step of a recipe.
#[derive(Clone, Debug, Serialize)]
pub struct StepRow {
    /// What it is called.
    pub step: String,
    /// The command that it is.
    pub command: String,
    /// What became of it.
    pub state: StepState,
    /// Bytes of the model that it made, with its data; none where it made none.
    pub model_bytes: Option<u64>,
    /// What went wrong with it.
    pub fault: Option<String>,
    /// Seconds that it took in this run.
    pub seconds: f64,
    /// The document of its command; null where there is none.
    pub report: Value,
    /// The same for people.
    #[serde(skip)]
    pub text: String,
}

/// What became of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum StepState {
    /// It ran.
    Done,
    /// An earlier run made the same.
    Kept,
    /// It found nothing to do, so that its model is the one before.
    Unchanged,
    /// It failed, or a gate of it.
    Failed,
    /// It was not begun, since one before it failed.
    Left,
    /// A run would begin it.
    Due,
}

impl fmt::Display for StepState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            StepState::Done => "done",
            StepState::Kept => "kept",
            StepState::Unchanged => "nothing to do",
            StepState::Failed => "failed",
            StepState::Left => "not begun",
            StepState::Due => "would run",
        })
    }
}

impl fmt::Display for RunReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |step: &&StepRow| !step.text.is_empty();
        for step in self.steps.iter().filter(shown) {
            writeln!(
                f,
                "== {} ({}) ==\n{}",
                step.step,
                step.state,
                step.text.trim_end()
            )?;
            writeln!(f)?;
        }
        let mut rows = table(&["step", "command", "state", "bytes", "seconds"], 3);
        for step in &self.steps {
            rows.add_row([
                step.step.clone(),
                step.command.clone(),
                step.state.to_string(),
                step.model_bytes.map_or(String::new(), count),
                format!("{:.1}", step.seconds),
            ]);
        }
        writeln!(f, "{rows}")?;
        for step in &self.steps {
            if let Some(fault) = &step.fault {
                writeln!(f, "step '{}' failed: {fault}", step.step)?;
            }
        }
        writeln!(f, "steps are kept in {}", self.work)?;
        match &self.outcome {
            Outcome::Written(path) => writeln!(f, "written: {path}"),
            _ => Ok(()),
        }
    }
}
