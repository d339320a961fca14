//! Gates: what a pipeline demands of a candidate, and whether it holds.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use super::parity::{Condition, ProviderParity};
use crate::data::Batch;
use crate::error::{Error, Result};
use crate::metrics::Deviation;

/// A provider's own drift may add this many times to the error that a gate allows.
const DRIFTS: f64 = 2.0;

/// A demand.
#[derive(Clone, Debug, PartialEq)]
pub enum Gate {
    /// A metric may drop by this at most.
    MaxDrop(String, f64),
    /// The largest relative error of any output that pruning adds may be this at most.
    MaxError(f64),
    /// At least this share of rows has the same largest element.
    MinAgreement(f64),
    /// The candidate is at least this many times as fast.
    MinSpeedup(f64),
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Gate::MaxDrop(metric, bound) => write!(f, "drop of {metric} <= {bound}"),
            Gate::MaxError(bound) => write!(f, "relative error <= {bound}"),
            Gate::MinAgreement(bound) => write!(f, "top-1 agreement >= {bound}"),
            Gate::MinSpeedup(bound) => write!(f, "speed-up >= {bound}"),
        }
    }
}

/// `METRIC=BOUND`, for [`Gate::MaxDrop`].
impl FromStr for Gate {
    type Err = Error;

    fn from_str(text: &str) -> Result<Gate> {
        let parts = text.split_once('=');
        match parts.map(|(metric, bound)| (metric, bound.parse::<f64>())) {
            Some((metric, Ok(bound))) if bound.is_finite() => {
                Ok(Gate::MaxDrop(metric.to_owned(), bound))
            }
            _ => Err(Error::Usage(format!(
                "'{text}' is no bound; write METRIC=BOUND, as in accuracy=0.01"
            ))),
        }
    }
}

/// A demand and what was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GateRow {
    /// The provider it was judged on.
    pub provider: String,
    /// The demand.
    pub gate: String,
    /// What was found.
    pub found: f64,
    /// The bound, with what the provider's own drift adds.
    pub bound: f64,
    /// Whether it holds.
    pub passed: bool,
}

/// Judges every gate on every provider that ran, on the data as given. `speedups` are by provider. Outputs
/// that are not finite where the reference's are fail without being asked.
///
/// # Errors
/// A gate on a metric that the data cannot give.
pub fn judge(
    parity: &[ProviderParity],
    gates: &[Gate],
    speedups: &[(String, f64)],
) -> Result<Vec<GateRow>> {
    let mut rows = Vec::new();
    for lane in parity {
        let Some(condition) = lane.conditions.first() else {
            continue;
        };
        let spoiled: u64 = condition.total.iter().map(|output| output.not_finite).sum();
        rows.push(GateRow {
            provider: lane.provider.clone(),
            gate: "finite outputs".to_owned(),
            found: spoiled as f64,
            bound: 0.0,
            passed: spoiled == 0,
        });
        for gate in gates {
            let (found, bound, passed) = verdict(gate, lane, condition, speedups)?;
            rows.push(GateRow {
                provider: lane.provider.clone(),
                gate: gate.to_string(),
                found,
                bound,
                passed,
            });
        }
    }
    Ok(rows)
}

/// Refuses gates that need labels where there are none, before anything runs.
pub(crate) fn check_labels(gates: &[Gate], batch: &Batch) -> Result<()> {
    match gates.iter().find_map(|gate| match gate {
        Gate::MaxDrop(name, _) if batch.labels.is_none() => Some(name),
        _ => None,
    }) {
        Some(name) => Err(needs_labels(name)),
        None => Ok(()),
    }
}

fn needs_labels(name: &str) -> Error {
    Error::Data {
        what: "the data".to_owned(),
        misfits: vec![format!(
            "--max-drop {name} needs labels; add an array 'label' or use class folders"
        )],
    }
}

fn verdict(
    gate: &Gate,
    lane: &ProviderParity,
    condition: &Condition,
    speedups: &[(String, f64)],
) -> Result<(f64, f64, bool)> {
    // A comparison with NaN is false, so a number that is none fails.
    let at_most = |found: f64, bound: f64| (found, bound, found <= bound);
    let at_least = |found: f64, bound: f64| (found, bound, found >= bound);
    let worst = |list: &[Deviation]| list.iter().map(|d| d.max_relative).fold(0.0, f64::max);
    match gate {
        Gate::MaxError(bound) => {
            let drift = worst(&condition.provider_drift);
            Ok(at_most(
                worst(&condition.pruning_drift),
                bound + DRIFTS * drift,
            ))
        }
        Gate::MinAgreement(bound) => {
            let agreements = condition.total.iter().map(|d| d.top1_agreement);
            Ok(at_least(agreements.fold(1.0, f64::min), *bound))
        }
        Gate::MinSpeedup(bound) => {
            let found = speedups
                .iter()
                .find(|(provider, _)| *provider == lane.provider);
            Ok(at_least(
                found.map_or(f64::NAN, |(_, speedup)| *speedup),
                *bound,
            ))
        }
        Gate::MaxDrop(name, bound) => {
            let task = condition.task.as_ref().ok_or_else(|| needs_labels(name))?;
            let metric = task.metrics.iter().find(|metric| metric.name == name);
            let metric = metric.ok_or_else(|| {
                let names: Vec<&str> = task.metrics.iter().map(|metric| metric.name).collect();
                Error::Usage(format!(
                    "there is no metric '{name}'; this data gives {}",
                    names.join(", ")
                ))
            })?;
            Ok(at_most(metric.drop, *bound))
        }
    }
}
