//! Right answers: as rows for a step, and how far outputs are from them.

use super::loss::Comparison;
use crate::data::{Batch, Labels};
use crate::error::{Error, Result};
use crate::metrics::Logs;
use crate::onnx::ElementType;
use crate::runtime::Tensor;

/// Which output has right answers, and how they are compared.
#[derive(Clone, Debug)]
pub(crate) struct Answers {
    pub(crate) output: String,
    pub(crate) comparison: Comparison,
}

/// The right answers of a batch as numbers of the output's shape: a 1 at the class of each row, or the values.
///
/// # Errors
/// Labels that are missing, no class of the output, or of another number.
pub(crate) fn answer_rows(batch: &Batch, sizes: &[usize]) -> Result<Tensor> {
    let count: usize = sizes.iter().product();
    let misfit = |misfit: String| Error::Data {
        what: "the array of labels".to_owned(),
        misfits: vec![misfit],
    };
    let numbers = match &batch.labels {
        None => return Err(misfit("there are none".to_owned())),
        Some(Labels::Values(values)) => values.clone(),
        Some(Labels::Classes(classes)) => {
            let [rows, width] = sizes else {
                return Err(misfit(format!(
                    "classes are given, but the output has the shape {sizes:?}, not one row of classes per sample"
                )));
            };
            let mut numbers = vec![0.0; rows * width];
            for (row, &class) in classes.iter().enumerate() {
                if class >= *width {
                    return Err(misfit(format!(
                        "class {class} of a sample is out of range: the output has {width} classes"
                    )));
                }
                if let Some(number) = numbers.get_mut(row * width + class) {
                    *number = 1.0;
                }
            }
            numbers
        }
    };
    if numbers.len() != count {
        return Err(misfit(format!(
            "there are {} numbers for an output of {count}",
            numbers.len()
        )));
    }
    Tensor::from_numbers(ElementType::Float, sizes, numbers.into_iter())
}

/// The cross-entropy of a batch, or the squared error as a share of the energy, summed over samples.
pub(super) fn answers_loss(
    answers: &Answers,
    outputs: &[(String, Tensor)],
    batch: &Batch,
) -> Result<f64> {
    let Some((_, output)) = outputs.iter().find(|(name, _)| *name == answers.output) else {
        return Ok(f64::NAN);
    };
    let (rows, numbers) = (
        answer_rows(batch, output.shape())?.to_f64(),
        output.to_f64(),
    );
    let logs = match answers.comparison {
        Comparison::Logits => Logs::OfLogits,
        Comparison::Probabilities => Logs::OfProbabilities,
        Comparison::Values => {
            let energy: f64 = rows.iter().map(|t| t * t).sum();
            let pairs = rows.iter().zip(&numbers);
            let error: f64 = pairs.map(|(t, y)| (t - y) * (t - y)).sum();
            return Ok(batch.samples as f64 * error / energy.max(f64::MIN_POSITIVE));
        }
    };
    let width = output.shape().last().copied().unwrap_or(1).max(1);
    let pairs = rows.chunks_exact(width).zip(numbers.chunks_exact(width));
    let of_row = |(right, row): (&[f64], &[f64])| -> f64 {
        let logs = logs.row(row);
        right.iter().zip(logs).map(|(p, log)| -p * log).sum()
    };
    Ok(pairs.map(of_row).sum())
}
