//! What `quantise` did.

use std::fmt;

use serde::Serialize;

use super::pruning::Outcome;
use super::stage::Stage;
use super::table::{count, table};
use crate::metrics::OutputDeviation;
use crate::quantise::{KernelTarget, QuantiseSettings};
use crate::recover::{RoundedLayer, RoundingWay};
use crate::validate::{Fusion, IntegerProof};

/// A run of `quantise`.
#[derive(Clone, Debug, Serialize)]
pub struct QuantiseReport {
    /// Version of this document.
    pub schema: &'static str,
    /// The model that was read.
    pub model: String,
    /// How far the run went.
    pub outcome: Outcome,
    /// Bytes of the files before and after; 0 after a dry run.
    pub bytes: [u64; 2],
    /// How it was pruned first; none where it was not.
    pub pruned: Option<PrunedFirst>,
    /// What became of the model.
    #[serde(flatten)]
    pub quantisation: Quantisation,
    /// The model with stored codes against one with the numbers they stand for; none where products are of codes.
    pub verification: Option<Vec<OutputDeviation>>,
    /// Version of the onnxruntime that measured.
    pub onnxruntime: String,
    /// What the user should know.
    pub warnings: Vec<String>,
    /// How long each stage took.
    pub stages: Vec<Stage>,
}

/// What a quantisation did to a model.
#[derive(Clone, Debug, Serialize)]
pub struct Quantisation {
    /// What was asked for.
    pub settings: QuantiseSettings,
    /// Weights that are codes.
    pub layers: Vec<CodedRow>,
    /// Weights that stay real, with why.
    pub real: Vec<RealRow>,
    /// Whether weights of a pruned model were rounded for what the original makes; else for what the model makes itself.
    pub for_original: bool,
    /// Ranges of values that are rounded while the model runs.
    pub rounded: usize,
    /// Values whose channels were brought to one size first.
    pub equalised: usize,
    /// How far the outputs are from the original's on held-out samples, per sample; none without data.
    pub divergence: Option<f64>,
    /// The written model against the planned one, part by part on integers; none where only weights are codes.
    pub proof: Option<IntegerProof>,
    /// Time of the model, before it was quantised, in that of the quantised one; none where it was not measured.
    pub speedup: Option<f64>,
    /// What onnxruntime makes of the written model; none where only weights are codes, or where it cannot be seen.
    pub fused: Option<Fusion>,
}

/// What was pruned before weights were stored in few bits.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct PrunedFirst {
    /// Parameters before and after.
    pub parameters: [u64; 2],
    /// How far the outputs are from the original's on held-out samples, per sample, before weights were rounded.
    pub divergence: f64,
}

/// A weight that is stored as codes.
#[derive(Clone, Debug, Serialize)]
pub struct CodedRow {
    /// The initializer.
    pub name: String,
    /// The operator that reads it; empty where any may.
    pub operator: String,
    /// Number of weights.
    pub weights: usize,
    /// Bits that each of them takes in the file, without its scale.
    pub bits: f64,
    /// Rows whose products can overflow 16 bits, which x86 without VNNI adds them in.
    pub saturable: usize,
    /// How it was rounded on data; none where each weight was to what is nearest.
    pub rounding: Option<RoundedLayer>,
}

/// A weight that stays real.
#[derive(Clone, Debug, Serialize)]
pub struct RealRow {
    /// The initializer.
    pub name: String,
    /// Why.
    pub reason: String,
}

impl fmt::Display for QuantiseReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.quantisation)?;
        if let Some(PrunedFirst {
            parameters,
            divergence,
        }) = self.pruned
        {
            let [before, after] = parameters.map(count);
            writeln!(
                f,
                "pruned first: {after} of {before} parameters, at a divergence of {divergence:.6}"
            )?;
        }
        if let Some(verification) = &self.verification {
            let errors = verification.iter().map(|output| output.relative);
            let worst = errors.fold(0.0, f64::max);
            writeln!(
                f,
                "proven against the numbers that the codes stand for: within {worst:.0e}"
            )?;
        }
        if self.bytes[1] > 0 {
            let share = 100.0 * self.bytes[1] as f64 / self.bytes[0].max(1) as f64;
            let [before, after] = self.bytes.map(count);
            writeln!(f, "bytes: {before} before, {after} after ({share:.0} %)")?;
        }
        for warning in &self.warnings {
            writeln!(f, "note: {warning}")?;
        }
        super::pruning::write_end(&self.stages, &self.outcome, f)
    }
}

impl fmt::Display for Quantisation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["weight", "count", "bits", "rounded by", "error", "nearest"];
        let mut rows = table(&head, 1);
        for row in &self.layers {
            let way = row.rounding.as_ref().map(|of| of.method);
            rows.add_row([
                row.name.clone(),
                count(row.weights as u64),
                row.bits.to_string(),
                way.map_or("nearest".to_owned(), |way| way.to_string()),
                way.map_or("-".to_owned(), |way| row.error(way)),
                row.error(RoundingWay::Nearest),
            ]);
        }
        writeln!(f, "{rows}")?;
        if self.layers.iter().any(|row| row.rounding.is_some()) {
            writeln!(
                f,
                "errors on held-out samples, as shares of what a layer's outputs vary by{}",
                match self.for_original {
                    true => " in the original",
                    false => "",
                }
            )?;
        }
        if self.equalised > 0 {
            let equalised = self.equalised;
            writeln!(
                f,
                "channels of {equalised} value(s) were brought to one size"
            )?;
        }
        for row in &self.real {
            writeln!(f, "'{}' stays real: {}", row.name, row.reason)?;
        }
        if let Some(divergence) = self.divergence {
            writeln!(
                f,
                "divergence of the outputs on held-out samples: {divergence:.6}"
            )?;
        }
        if let Some(proof) = &self.proof {
            let IntegerProof { parts, steps, .. } = proof;
            writeln!(
                f,
                "proven part by part: {parts} parts, {} codes of which {steps} lie a step off, real numbers within {:.0e}",
                count(proof.codes),
                proof.real
            )?;
        }
        if let Some(speedup) = self.speedup {
            writeln!(
                f,
                "speed here with one thread: {speedup:.2} times that of real numbers"
            )?;
        }
        self.write_kernels(f)
    }
}

impl Quantisation {
    /// Whose kernels compute on codes.
    fn write_kernels(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(fused) = &self.fused {
            writeln!(
                f,
                "onnxruntime computes {} of {} planned layers on integers",
                fused.integer, fused.planned
            )?;
        }
        if self.settings.target == KernelTarget::Tensorrt {
            writeln!(
                f,
                "codes stand where TensorRT's documentation asks for them; TensorRT itself was not run"
            )?;
        }
        Ok(())
    }
}

impl CodedRow {
    fn error(&self, way: RoundingWay) -> String {
        let errors = self.rounding.iter().flat_map(|of| &of.errors);
        let mut own = errors.filter(|of| of.way == way);
        own.next()
            .map_or("-".to_owned(), |of| format!("{:.1e}", of.error))
    }
}
