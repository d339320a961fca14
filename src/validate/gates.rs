//! Gates: what a pipeline demands of a candidate, and whether it holds.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use super::parity::{Condition, ProviderParity};
use crate::data::Batch;
use crate::error::{Error, Result};
use crate::metrics::Deviation;

/// What rounding makes of a difference of shares, as a share of the bound.
const ROUNDING: f64 = 1e-12;

/// Whether a number is `at_least`, or else at most, a bound: a comparison with NaN is false, so that a number that is none fails.
/// What is at its bound but for the rounding of a difference (0.975 - 0.965 and 0.01) is there.
pub(crate) fn is_within(found: f64, bound: f64, at_least: bool) -> bool {
    let slack = ROUNDING * bound.abs();
    match at_least {
        true => found >= bound - slack,
        false => found <= bound + slack,
    }
}

/// A provider's own drift may add this many times to the error that a gate allows.
const DRIFTS: f64 = 2.0;

/// Names of metrics that data with labels may give.
const METRICS: [&str; 8] = [
    "accuracy",
    "top5",
    "precision",
    "recall",
    "f1",
    "mse",
    "mae",
    "r2",
];

/// A demand.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
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
    /// What was found; none where it was not measured.
    pub found: Option<f64>,
    /// Why it was not measured, where it was not.
    pub unmeasured: Option<String>,
    /// The bound, with what the provider's own drift adds.
    pub bound: f64,
    /// Whether it holds.
    pub passed: bool,
}

/// Judges every gate on every provider, on the data as given. `speedups` are by provider. Outputs that are not
/// finite where the reference's are fail without being asked, and so does a gate on what was not measured.
///
/// # Errors
/// A gate on a metric that there is not.
pub fn judge(
    parity: &[ProviderParity],
    gates: &[Gate],
    speedups: &[(String, f64)],
) -> Result<Vec<GateRow>> {
    for gate in gates {
        gate.check()?;
    }
    let mut rows = Vec::new();
    for lane in parity {
        let row = |gate: String, verdict: Verdict| GateRow {
            provider: lane.provider.clone(),
            gate,
            passed: verdict.passed(),
            unmeasured: verdict.found.as_ref().err().cloned(),
            found: verdict.found.ok(),
            bound: verdict.bound,
        };
        let condition = lane.conditions.first();
        if let Some(condition) = condition {
            let spoiled: u64 = condition.total.iter().map(|output| output.not_finite).sum();
            let verdict = Verdict::at_most(Ok(spoiled as f64), 0.0);
            rows.push(row("finite outputs".to_owned(), verdict));
        }
        for gate in gates {
            let verdict = match condition {
                Some(condition) => verdict(gate, lane, condition, speedups),
                None => Verdict::unmeasured(gate, "the provider is unavailable".to_owned()),
            };
            rows.push(row(gate.to_string(), verdict));
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
            "the drop of {name} needs labels; add an array 'label' or use class folders"
        )],
    }
}

/// What was found, or why nothing was, against a bound.
struct Verdict {
    found: Result<f64, String>,
    bound: f64,
    at_least: bool,
}

impl Verdict {
    fn at_most(found: Result<f64, String>, bound: f64) -> Verdict {
        Verdict {
            found,
            bound,
            at_least: false,
        }
    }

    fn at_least(found: Result<f64, String>, bound: f64) -> Verdict {
        Verdict {
            found,
            bound,
            at_least: true,
        }
    }

    fn unmeasured(gate: &Gate, why: String) -> Verdict {
        Verdict::at_most(Err(why), gate.bound())
    }

    fn passed(&self) -> bool {
        match &self.found {
            Ok(found) => is_within(*found, self.bound, self.at_least),
            Err(_) => false,
        }
    }
}

impl Gate {
    fn bound(&self) -> f64 {
        match self {
            Gate::MaxDrop(_, bound)
            | Gate::MaxError(bound)
            | Gate::MinAgreement(bound)
            | Gate::MinSpeedup(bound) => *bound,
        }
    }

    /// Refuses names that no metric has.
    fn check(&self) -> Result<()> {
        match self {
            Gate::MaxDrop(name, _) if !METRICS.contains(&name.as_str()) => {
                Err(Error::Usage(format!(
                    "there is no metric '{name}'; choose one of {}",
                    METRICS.join(", ")
                )))
            }
            _ => Ok(()),
        }
    }
}

fn verdict(
    gate: &Gate,
    lane: &ProviderParity,
    condition: &Condition,
    speedups: &[(String, f64)],
) -> Verdict {
    match gate {
        Gate::MaxError(bound) => {
            // The CPU has no drift of its own.
            let drift = largest_error(&condition.provider_drift).unwrap_or(0.0);
            let found = largest_error(&condition.pruning_drift);
            Verdict::at_most(found, bound + DRIFTS * drift)
        }
        Gate::MinAgreement(bound) => Verdict::at_least(agreement(&condition.total), *bound),
        Gate::MinSpeedup(bound) => {
            let mut known = speedups.iter();
            let found = known.find(|(provider, _)| *provider == lane.provider);
            let found = found.map(|(_, speedup)| *speedup);
            Verdict::at_least(found.ok_or("no run was timed".to_owned()), *bound)
        }
        Gate::MaxDrop(name, bound) => Verdict::at_most(drop(name, condition), *bound),
    }
}

/// The largest relative error of all outputs that have elements; none of them may be without a finite number.
fn largest_error(outputs: &[Deviation]) -> Result<f64, String> {
    let without = outputs
        .iter()
        .find(|output| output.max_relative.is_none() && output.elements > 0);
    if let Some(output) = without {
        let name = &output.output;
        return Err(format!("output '{name}' has no finite number to compare"));
    }
    let errors = outputs.iter().filter_map(|output| output.max_relative);
    let worst = errors.reduce(f64::max);
    worst.ok_or("the outputs have no numbers".to_owned())
}

/// The smallest share of rows that agree, of all outputs that have rows of two numbers and more.
fn agreement(outputs: &[Deviation]) -> Result<f64, String> {
    let shares = outputs.iter().filter_map(|output| output.top1_agreement);
    let worst = shares.reduce(f64::min);
    worst.ok_or(
        "no output has rows of classes: its last axis has fewer than two elements".to_owned(),
    )
}

fn drop(name: &str, condition: &Condition) -> Result<f64, String> {
    let task = condition.task.as_ref().ok_or("the data has no labels")?;
    let metric = task.metrics.iter().find(|metric| metric.name == name);
    metric.map(|metric| metric.drop).ok_or_else(|| {
        let names: Vec<&str> = task.metrics.iter().map(|metric| metric.name).collect();
        format!("this data gives {} only", names.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Deviations;
    use crate::onnx::ElementType;
    use crate::runtime::Tensor;

    #[test]
    fn what_is_at_its_bound_holds_and_what_is_no_number_does_not() {
        assert!(is_within(0.975 - 0.965, 0.01, false));
        assert!(is_within(0.3 - 0.1, 0.2, true));
        assert!(!is_within(0.010001, 0.01, false));
        assert!(is_within(0.0, 0.0, false) && !is_within(1e-300, 0.0, false));
        assert!(!is_within(f64::NAN, 1.0, false) && !is_within(f64::NAN, 0.0, true));
    }

    fn lane(shape: &[usize], reference: &[f64], candidate: &[f64]) -> ProviderParity {
        let tensor = |numbers: &[f64]| {
            let tensor = Tensor::from_f64(ElementType::Float, shape, numbers);
            vec![("y".to_owned(), tensor.expect("a tensor"))]
        };
        let mut deviations = Deviations::default();
        deviations
            .add(&tensor(reference), &tensor(candidate))
            .expect("they fit");
        ProviderParity {
            provider: "cpu".to_owned(),
            unavailable: None,
            placement: None,
            conditions: vec![Condition {
                condition: "as given".to_owned(),
                total: deviations.finish(),
                provider_drift: Vec::new(),
                pruning_drift: deviations.finish(),
                stored: Vec::new(),
                task: None,
            }],
        }
    }

    fn failed(lane: ProviderParity, gate: Gate) -> Option<String> {
        let rows = judge(&[lane], &[gate], &[]).expect("a verdict");
        let row = rows.last().expect("a row");
        (!row.passed).then(|| row.unmeasured.clone().unwrap_or_default())
    }

    #[test]
    fn a_gate_on_what_was_not_measured_fails_and_says_so() {
        let nan = [f64::NAN; 2];
        let why = |lane, gate| failed(lane, gate).expect("it fails");
        let nothing = why(lane(&[1, 2], &nan, &nan), Gate::MaxError(1.0));
        assert_eq!(nothing, "output 'y' has no finite number to compare");
        let single = || lane(&[2, 1], &[1.0, 2.0], &[1.0, 2.0]);
        assert!(why(single(), Gate::MinAgreement(0.5)).contains("no output has rows of classes"));
        assert!(why(single(), Gate::MinSpeedup(1.0)).contains("no run was timed"));
        let drop = Gate::MaxDrop("accuracy".to_owned(), 0.1);
        assert!(why(single(), drop).contains("no labels"));
        assert!(why(lane(&[0], &[], &[]), Gate::MaxError(1.0)).contains("no numbers"));
        assert_eq!(failed(single(), Gate::MaxError(0.0)), None);
        let mut gone = single();
        gone.conditions.clear();
        assert!(why(gone, Gate::MinSpeedup(1.0)).contains("unavailable"));
        let unknown = judge(&[], &[Gate::MaxDrop("acuracy".to_owned(), 0.1)], &[]);
        assert!(matches!(unknown, Err(Error::Usage(_))));
    }
}
