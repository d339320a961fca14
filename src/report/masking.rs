//! What `mask` did.

use std::fmt;

use serde::Serialize;

use super::pruning::Outcome;
use super::stage::Stage;
use super::table::{count, percent, table};
use super::training::TrainingRow;
use crate::error::one_line;
use crate::metrics::OutputDeviation;

/// A run of `mask`.
#[derive(Clone, Debug, Serialize)]
pub struct MaskReport {
    /// Version of this document.
    pub schema: &'static str,
    /// The model that was read.
    pub model: String,
    /// How far the run went.
    pub outcome: Outcome,
    /// How weights were chosen, as on the command line.
    pub method: String,
    /// What was calibrated on; none for criteria that need no data.
    pub calibration: Option<CalibrationRow>,
    /// Every layer that was masked.
    pub layers: Vec<MaskedRow>,
    /// Weights that were left alone.
    pub left: Vec<LeftRow>,
    /// Weights in masked layers.
    pub weights: u64,
    /// Zeros among them before.
    pub zeros_before: u64,
    /// Zeros among them after.
    pub zeros_after: u64,
    /// What the zeros buy.
    pub gains: Gains,
    /// What training did; none without.
    pub training: Option<TrainingRow>,
    /// The sparsely stored model against the densely stored one; none without sparse storage or proof.
    pub verification: Option<Vec<OutputDeviation>>,
    /// Version of the onnxruntime that measured and compared; none where none did.
    pub onnxruntime: Option<String>,
    /// What the user should know.
    pub warnings: Vec<String>,
    /// How long each stage took.
    pub stages: Vec<Stage>,
}

/// What was calibrated on.
#[derive(Clone, Debug, Serialize)]
pub struct CalibrationRow {
    /// The data.
    pub data: String,
    /// Samples that were run.
    pub samples: usize,
    /// True if every layer saw the inputs that the masked layers before it make.
    pub sequential: bool,
}

/// A layer that was masked.
#[derive(Clone, Debug, Serialize)]
pub struct MaskedRow {
    /// The initializer.
    pub name: String,
    /// The operator that reads it.
    pub operator: String,
    /// Sizes of its axes.
    pub shape: Vec<usize>,
    /// Number of weights.
    pub weights: usize,
    /// Zeros before.
    pub zeros_before: usize,
    /// Zeros after.
    pub zeros_after: usize,
    /// What keeps it from 2:4 sparse tensor cores; none if its zeros could be used there.
    pub tensor_cores: Option<String>,
}

/// A weight that was left alone.
#[derive(Clone, Debug, Serialize)]
pub struct LeftRow {
    /// The initializer.
    pub name: String,
    /// Number of elements.
    pub weights: usize,
    /// Why.
    pub reason: String,
}

/// What the zeros buy.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Gains {
    /// Bytes of the model's files before.
    pub file_bytes_before: u64,
    /// Bytes of the written files; none in a dry run.
    pub file_bytes_after: Option<u64>,
    /// Bytes of the masked layers, deflated, before: estimated from samples.
    pub deflated_before: u64,
    /// The same after.
    pub deflated_after: u64,
    /// Bytes of the masked layers as they are.
    pub dense_bytes: u64,
    /// Bytes of the masked layers when each is stored as sparse initializer where that is smaller.
    pub sparse_bytes: u64,
    /// Initializers that were stored sparsely.
    pub stored_sparsely: usize,
}

impl fmt::Display for MaskReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_layers(f)?;
        self.write_left(f)?;
        writeln!(f, "{}", self.method)?;
        if let Some(calibration) = &self.calibration {
            let order = match calibration.sequential {
                true => "each layer on what the masked layers before it make",
                false => "all layers on what the original makes",
            };
            writeln!(f, "calibrated on {}, {order}", calibration.data)?;
        }
        writeln!(
            f,
            "zeros: {} of {} weights in {} layer(s), {} (before: {})",
            count(self.zeros_after),
            count(self.weights),
            self.layers.len(),
            percent(self.zeros_after, self.weights),
            percent(self.zeros_before, self.weights),
        )?;
        self.write_gains(f)?;
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        if let Some(outputs) = &self.verification {
            writeln!(
                f,
                "verified: onnxruntime gives the same {} output(s) as with dense storage, to the bit",
                outputs.len()
            )?;
        }
        super::training::write_training(self.training.as_ref(), f)?;
        super::pruning::write_end(&self.stages, &self.outcome, f)
    }
}

impl MaskReport {
    fn write_layers(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows = table(
            &[
                "layer",
                "operator",
                "shape",
                "weights",
                "zeros before",
                "zeros after",
            ],
            3,
        );
        for row in &self.layers {
            rows.add_row([
                row.name.clone(),
                row.operator.clone(),
                format!("{:?}", row.shape),
                count(row.weights as u64),
                percent(row.zeros_before as u64, row.weights as u64),
                percent(row.zeros_after as u64, row.weights as u64),
            ]);
        }
        writeln!(f, "{rows}")
    }

    /// Weights that are left for the same reason share a line.
    fn write_left(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut reasons: Vec<(&str, Vec<&LeftRow>)> = Vec::new();
        for row in &self.left {
            match reasons.iter_mut().find(|(reason, _)| *reason == row.reason) {
                Some((_, list)) => list.push(row),
                None => reasons.push((&row.reason, vec![row])),
            }
        }
        for (reason, list) in reasons {
            let weights: usize = list.iter().map(|row| row.weights).sum();
            let more = match list.len() {
                1 => String::new(),
                n => format!(" and {} more", n - 1),
            };
            writeln!(
                f,
                "left alone: '{}'{more} ({} weights): {reason}",
                one_line(&list[0].name),
                count(weights as u64)
            )?;
        }
        Ok(())
    }

    fn write_gains(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gains = &self.gains;
        writeln!(
            f,
            "what the zeros buy: deflated (zip, gzip) these layers take about {} instead of {} bytes; as sparse initializers {} instead of {}{}",
            count(gains.deflated_after),
            count(gains.deflated_before),
            count(gains.sparse_bytes),
            count(gains.dense_bytes),
            match gains.stored_sparsely {
                0 => " (`store` sparse)".to_owned(),
                n => format!(" ({n} are stored so)"),
            }
        )?;
        if let Some(after) = gains.file_bytes_after {
            writeln!(
                f,
                "file bytes: {} -> {}",
                count(gains.file_bytes_before),
                count(after)
            )?;
        }
        writeln!(
            f,
            "what they do not buy: onnxruntime's dense kernels run no faster on zeros, and sparse initializers are made dense when the model is loaded; for speed remove channels with `secateur prune`"
        )?;
        let eligible = self
            .layers
            .iter()
            .filter(|row| row.tensor_cores.is_none())
            .count();
        match eligible {
            0 => writeln!(
                f,
                "2:4 sparse tensor cores: no layer could use its zeros there"
            ),
            n => writeln!(
                f,
                "2:4 sparse tensor cores: {n} of {} layer(s) could use their zeros there, in runtimes that support it (TensorRT with sparse weights enabled); gains are often small, so measure",
                self.layers.len()
            ),
        }
    }
}
