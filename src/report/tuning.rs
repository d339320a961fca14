//! What `tune` did.

use std::fmt;

use serde::Serialize;

use super::pruning::Outcome;
use super::stage::Stage;
use super::training::TrainingRow;

/// A run of `tune`.
#[derive(Clone, Debug, Serialize)]
pub struct TuneReport {
    /// Version of this document.
    pub schema: &'static str,
    /// The model that was read.
    pub model: String,
    /// The model that it learnt from; none where it learnt from labels alone.
    pub teacher: Option<String>,
    /// How far the run went.
    pub outcome: Outcome,
    /// What training did.
    pub training: TrainingRow,
    /// Version of the onnxruntime that trained.
    pub onnxruntime: String,
    /// What the user should know.
    pub warnings: Vec<String>,
    /// How long each stage took.
    pub stages: Vec<Stage>,
}

impl fmt::Display for TuneReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.training)?;
        for warning in &self.warnings {
            writeln!(f, "note: {warning}")?;
        }
        super::pruning::write_end(&self.stages, &self.outcome, f)
    }
}
