//! Latency of models side by side: interleaved runs, so that whatever slows the machine hits all alike.

mod statistics;

use serde::Serialize;

use crate::error::Result;
use crate::runtime::{Kernel, Session, Tensor};

pub(crate) use statistics::median;
pub use statistics::{Latency, Ratio};

/// How often a model runs.
#[derive(Clone, Copy, Debug)]
pub struct Repetitions {
    /// Runs before the first that counts.
    pub warm_up: usize,
    /// Runs that count.
    pub runs: usize,
}

impl Default for Repetitions {
    fn default() -> Repetitions {
        Repetitions {
            warm_up: 5,
            runs: 50,
        }
    }
}

/// Seconds inside onnxruntime of every run of every model, in rounds: each round runs each model once, and every other round
/// in the opposite order.
///
/// # Errors
/// A model that does not run on its inputs.
pub fn interleaved(
    models: &mut [(Session, Vec<(String, Tensor)>)],
    repetitions: Repetitions,
) -> Result<Vec<Vec<f64>>> {
    const ONCE: Repetitions = Repetitions {
        warm_up: 0,
        runs: 1,
    };
    let Repetitions { warm_up, runs } = repetitions;
    let mut times = in_bursts(models, warm_up + runs, ONCE, false)?;
    times
        .iter_mut()
        .for_each(|times| drop(times.drain(..warm_up)));
    Ok(times)
}

/// As [`interleaved`]; each round runs each model several times, and what it says is their mean. Of many models each finds
/// what it needs in no cache: the first runs of a burst do not count. With `own`, time in which others had the processor is
/// none: for models that run on the one thread that asks.
///
/// # Errors
/// A model that does not run on its inputs.
pub(crate) fn in_bursts(
    models: &mut [(Session, Vec<(String, Tensor)>)],
    rounds: usize,
    burst: Repetitions,
    own: bool,
) -> Result<Vec<Vec<f64>>> {
    let mut times = vec![Vec::with_capacity(rounds); models.len()];
    for round in 0..rounds {
        for step in 0..models.len() {
            let place = if round % 2 == 0 {
                step
            } else {
                models.len() - 1 - step
            };
            let (session, inputs) = &mut models[place];
            // Of a process of its own, the way there and back is no part of a run.
            let time = session.burst(inputs, (burst.warm_up, burst.runs), own)?;
            times[place].push(time.as_secs_f64() / burst.runs.max(1) as f64);
        }
    }
    Ok(times)
}

/// Time that an operator took in each model, over one run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OperatorTime {
    /// The operator, as it was after fusion.
    pub operator: String,
    /// Microseconds by model.
    pub microseconds: Vec<f64>,
    /// Kernels by model.
    pub kernels: Vec<usize>,
}

/// Sums the kernels of each model by operator, the slowest of the first model first. `runs` is how often
/// each model ran.
pub fn by_operator(models: &[Vec<Kernel>], runs: usize) -> Vec<OperatorTime> {
    let mut rows: Vec<OperatorTime> = Vec::new();
    for (place, kernels) in models.iter().enumerate() {
        for kernel in kernels {
            let known = rows.iter().position(|row| row.operator == kernel.operator);
            let known = known.unwrap_or_else(|| {
                rows.push(OperatorTime {
                    operator: kernel.operator.clone(),
                    microseconds: vec![0.0; models.len()],
                    kernels: vec![0; models.len()],
                });
                rows.len() - 1
            });
            rows[known].microseconds[place] += kernel.microseconds as f64 / runs as f64;
            rows[known].kernels[place] += 1;
        }
    }
    for row in &mut rows {
        row.kernels
            .iter_mut()
            .for_each(|count| *count /= runs.max(1));
    }
    rows.sort_by(|a, b| b.microseconds[0].total_cmp(&a.microseconds[0]));
    rows
}
