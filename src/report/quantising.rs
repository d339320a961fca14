//! What `quantise` did.

use std::fmt;

use serde::Serialize;

use super::pruning::Outcome;
use super::stage::Stage;
use crate::validate::IntegerProof;

/// A run of `quantise`.
#[derive(Clone, Debug, Serialize)]
pub struct QuantiseReport {
    /// Version of this document.
    pub schema: &'static str,
    /// The model that was read.
    pub model: String,
    /// How far the run went.
    pub outcome: Outcome,
    /// Bytes of the files before and after.
    pub bytes: [u64; 2],
    /// Layers that are products of codes.
    pub layers: Vec<CodedRow>,
    /// Ranges of values that are rounded.
    pub rounded: usize,
    /// Layers that stay real, with why.
    pub real: Vec<(String, String)>,
    /// How the written model compares with what was planned.
    pub proof: IntegerProof,
    /// Version of the onnxruntime that measured.
    pub onnxruntime: String,
    /// What the user should know.
    pub warnings: Vec<String>,
    /// How long each stage took.
    pub stages: Vec<Stage>,
}

/// A layer that is a product of codes.
#[derive(Clone, Debug, Serialize)]
pub struct CodedRow {
    /// The initializer.
    pub name: String,
}

impl fmt::Display for QuantiseReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, why) in &self.real {
            writeln!(f, "  '{name}' stays real: {why}")?;
        }
        super::pruning::write_end(&self.stages, &self.outcome, f)
    }
}
