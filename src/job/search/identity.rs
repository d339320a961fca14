//! What evaluations depend on: two runs that agree in all of it find the same.

use crate::criteria::Criterion;
use crate::data::{DataSet, Labels};
use crate::engine::Pass;
use crate::error::{Error, Result};
use crate::latency::{Clock, LatencyModel};
use crate::onnx::Model;
use crate::plan::{Cost, Settings};
use crate::results::Identity;

use super::SearchOptions;

/// The identity of a search of `model` on `data`.
///
/// # Errors
/// Data that cannot be read.
pub(super) fn identity(
    model: &Model,
    data: &DataSet,
    pass: Pass,
    options: &SearchOptions,
) -> Result<Identity> {
    let mut choice = Settings {
        seed: 0,
        ..options.settings.clone()
    };
    // Its hash says which file it is, wherever it lies.
    if let Some(Criterion::Scores(path)) = &mut choice.criterion {
        path.clear();
    }
    let clock = Clock {
        runtime: pass.runtime,
        provider: pass.provider,
        form: None,
    };
    // What is counted is the same everywhere.
    let (kind, machine) = match options.minimise {
        Cost::Latency => ("time", LatencyModel::machine(clock)?),
        _ => ("count", Some("any".to_owned())),
    };
    let machine = machine.ok_or_else(|| {
        Error::Usage(
            "`results` of times are of one machine, and the system does not say which this is: minimise something else, or leave `results` out".to_owned(),
        )
    })?;
    let hash = |text: &str| blake3::hash(text.as_bytes()).to_hex()[..32].to_owned();
    Ok(Identity::new([
        ("model", model.hash().to_owned()),
        ("data", format!("{} {}", data.hash()?, labels(data)?)),
        ("seed", options.settings.seed.to_string()),
        ("choice of channels", hash(&format!("{choice:?}"))),
        ("recovery", options.recovery.to_string()),
        ("form in codes", format!("{:?}", options.quantise)),
        ("size of inputs", format!("{:?}", options.shapes)),
        ("kind of cost", kind.to_owned()),
        ("onnxruntime", pass.runtime.version().to_owned()),
        ("machine", machine),
        ("provider", options.data.provider.to_string()),
        ("version of secateur", env!("CARGO_PKG_VERSION").to_owned()),
    ]))
}

/// Hash of the right answers.
fn labels(data: &DataSet) -> Result<String> {
    let mut hasher = blake3::Hasher::new();
    let batches = data.clone().in_batches(256);
    for number in 0..batches.batches() {
        match batches.batch(number)?.labels {
            Some(Labels::Classes(classes)) => classes.iter().for_each(|&class| {
                hasher.update(&(class as u64).to_le_bytes());
            }),
            Some(Labels::Values(values)) => values.iter().for_each(|value| {
                hasher.update(&value.to_le_bytes());
            }),
            None => break,
        }
    }
    Ok(hasher.finalize().to_hex()[..16].to_owned())
}
