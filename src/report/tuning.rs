//! What `tune` did.

use std::fmt;

use serde::Serialize;

use super::pruning::Outcome;
use super::quantising::Quantisation;
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
    /// What it became as a model of products of codes; none where it stayed real.
    pub quantisation: Option<CodedTuning>,
    /// Version of the onnxruntime that trained.
    pub onnxruntime: String,
    /// What the user should know.
    pub warnings: Vec<String>,
    /// How long each stage took.
    pub stages: Vec<Stage>,
}

/// What training with rounded numbers ended in.
#[derive(Clone, Debug, Serialize)]
pub struct CodedTuning {
    /// What was written; its divergence is the one from the teacher, if there was one.
    #[serde(flatten)]
    pub quantisation: Quantisation,
    /// How that came about.
    pub taken: CodedWay,
    /// All models that it was chosen among.
    pub candidates: Vec<CodedCandidate>,
    /// The loss on held-out samples of the model that was read, in real numbers; none where it is no number.
    pub before: Option<f64>,
}

/// How a model with products of codes came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum CodedWay {
    /// The model that was read, quantised.
    Untrained,
    /// The one that was trained with rounded numbers, each weight rounded to what is nearest.
    Trained,
    /// The trained weights, quantised as any model.
    RoundedAnew,
}

impl fmt::Display for CodedWay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CodedWay::Untrained => "quantised without training",
            CodedWay::Trained => "trained",
            CodedWay::RoundedAnew => "trained, rounded anew",
        })
    }
}

/// A model with products of codes that could have been written.
#[derive(Clone, Debug, Serialize)]
pub struct CodedCandidate {
    /// How it came about.
    pub way: CodedWay,
    /// Its loss on held-out samples; none where it is no number.
    pub loss: Option<f64>,
}

impl fmt::Display for CodedTuning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.quantisation)?;
        let each = self.candidates.iter();
        let each = each.map(|of| format!("{} {}", of.way, number(of.loss)));
        let each: Vec<String> = each.collect();
        writeln!(
            f,
            "held-out loss: {} before, in real numbers; {}",
            number(self.before),
            each.join(", ")
        )?;
        writeln!(f, "taken: {}", self.taken)
    }
}

fn number(loss: Option<f64>) -> String {
    loss.map_or("-".to_owned(), |loss| format!("{loss:.5}"))
}

impl fmt::Display for TuneReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.training)?;
        if let Some(quantisation) = &self.quantisation {
            write!(f, "{quantisation}")?;
        }
        for warning in &self.warnings {
            writeln!(f, "note: {warning}")?;
        }
        super::pruning::write_end(&self.stages, &self.outcome, f)
    }
}
