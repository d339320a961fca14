//! Whether a quantised model is faster than the model: measured, since kernels for codes win at some widths and lose at
//! others.

use crate::benchmark::{Ratio, Repetitions, interleaved};
use crate::dimensions::Analysis;
use crate::engine::Pass;
use crate::error::Result;
use crate::onnx::Model;
use crate::runtime::SessionOptions;

/// Multiply-accumulate operations of a run at most, unless a single sample has more.
const OPERATIONS: u64 = 1 << 30;
/// Samples of a run at most.
const SAMPLES: usize = 16;
const REPETITIONS: Repetitions = Repetitions {
    warm_up: 3,
    runs: 25,
};
/// A model is slower if its speed is below this share with certainty: less may be noise, and is not worth other results on other
/// runs.
const SLOWER: f64 = 0.9;

/// How fast a changed model is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Pace {
    /// Time of the model in that of the changed one.
    pub(super) speedup: f64,
    /// True where the changed one is slower for sure.
    pub(super) is_slower: bool,
}

/// Runs a model and a changed one in turn where the data is run, with one thread.
///
/// # Errors
/// Data that cannot be read, or a provider that refuses a model.
pub(super) fn pace(analysis: &Analysis, changed: &Model, pass: Pass) -> Result<Pace> {
    let samples = (OPERATIONS / analysis.macs_of_sample().max(1)).clamp(1, SAMPLES as u64) as usize;
    let inputs = pass.data.start_of(0, samples)?.inputs;
    // How well kernels share their work between threads differs from machine to machine.
    let options = SessionOptions {
        provider: pass.provider.clone(),
        threads: Some(1),
        ..SessionOptions::default()
    };
    let mut models = Vec::new();
    for model in [analysis.graph().model(), changed] {
        let session = pass.runtime.session_with(model, "the model", &options)?;
        let declared = session.inputs();
        let wanted = |name: &str| declared.iter().any(|input| input.name == name);
        let own = inputs.iter().filter(|(name, _)| wanted(name)).cloned();
        let own = own.collect();
        models.push((session, own));
    }
    let times = interleaved(&mut models, REPETITIONS)?;
    let Ratio { speedup, interval } = Ratio::of(&times[0], &times[1], 0);
    Ok(Pace {
        speedup,
        is_slower: interval[1] < SLOWER,
    })
}
