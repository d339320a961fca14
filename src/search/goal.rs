//! What is asked of a model besides being small.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use super::judge::{Estimate, ModelJudgement};
use crate::error::{Error, Result};
use crate::validate::is_within;

/// Standard errors in a 95 % interval of a normal distribution.
const INTERVAL: f64 = 3.92;
/// Metrics of which less is better.
const ERRORS: [&str; 2] = ["mse", "mae"];

/// A demand that every model must meet.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum SearchGoal {
    /// A metric is this at least, or at most where less is better. It is judged by the drop from the original's metric on the
    /// same samples, which varies far less from sample to sample than the metric itself.
    Floor(String, f64),
    /// A metric drops by this at most.
    MaxDrop(String, f64),
    /// The outputs diverge by this at most, per sample.
    MaxDivergence(f64),
    /// At least this share of rows has the same largest element.
    MinAgreement(f64),
}

impl SearchGoal {
    /// A floor, as METRIC=NUMBER.
    ///
    /// # Errors
    /// Another form.
    pub fn floor(text: &str) -> Result<SearchGoal> {
        let (metric, bound) = parsed(text)?;
        Ok(SearchGoal::Floor(metric, bound))
    }

    /// Whether it needs labels.
    pub(crate) fn metric(&self) -> Option<&str> {
        match self {
            SearchGoal::Floor(name, _) | SearchGoal::MaxDrop(name, _) => Some(name),
            SearchGoal::MaxDivergence(_) | SearchGoal::MinAgreement(_) => None,
        }
    }

    /// Whether it is about a share of samples, of which one is the least that can be told.
    pub(crate) fn counts(&self) -> bool {
        match self {
            SearchGoal::Floor(name, _) | SearchGoal::MaxDrop(name, _) => {
                !ERRORS.contains(&name.as_str()) && name != "r2"
            }
            SearchGoal::MinAgreement(_) => true,
            SearchGoal::MaxDivergence(_) => false,
        }
    }

    /// The same as a drop from what the original has; `original` is its judgement against itself.
    ///
    /// # Errors
    /// No such metric, a floor that the original does not reach, or outputs without rows of classes.
    pub(crate) fn resolved(&self, original: &ModelJudgement) -> Result<SearchGoal> {
        if let (SearchGoal::MinAgreement(_), None) = (self, original.agreement) {
            return Err(Error::Usage(
                "no output has rows of classes, so that there is no agreement to ask for; use `max_kl`"
                    .to_owned(),
            ));
        }
        let Some(name) = self.metric() else {
            return Ok(self.clone());
        };
        let Some(metric) = original.metric(name) else {
            return Err(unknown(name, original));
        };
        let SearchGoal::Floor(name, bound) = self else {
            return Ok(self.clone());
        };
        let direction = if ERRORS.contains(&name.as_str()) {
            -1.0
        } else {
            1.0
        };
        let allowed = direction * (metric.original - bound);
        match allowed < 0.0 {
            true => Err(Error::Gates {
                failed: vec![format!(
                    "{self}: the original itself has {name} {:.4} on the {} samples that judge; ask for less, or give the model's own data",
                    metric.original, original.samples
                )],
            }),
            false => Ok(SearchGoal::MaxDrop(name.clone(), allowed)),
        }
    }

    /// What a judgement says of it.
    pub(crate) fn verdict(&self, judgement: &ModelJudgement) -> GoalRow {
        let none = Estimate {
            value: f64::NAN,
            interval: [f64::NAN; 2],
        };
        let (found, bound) = match self {
            SearchGoal::Floor(name, bound) | SearchGoal::MaxDrop(name, bound) => {
                (judgement.metric(name).map(|metric| metric.drop), *bound)
            }
            SearchGoal::MaxDivergence(bound) => (Some(judgement.divergence), *bound),
            SearchGoal::MinAgreement(bound) => (judgement.agreement, *bound),
        };
        let found = found.unwrap_or(none);
        let at_least = matches!(self, SearchGoal::MinAgreement(_));
        let within = |found: f64| is_within(found, bound, at_least);
        let best = if at_least {
            found.interval[1]
        } else {
            found.interval[0]
        };
        GoalRow {
            goal: self.to_string(),
            found: found.value,
            interval: found.interval,
            bound,
            samples: judgement.samples,
            at_least,
            counts: self.counts(),
            holds: within(found.value),
            refuted: !within(best),
        }
    }
}

impl GoalRow {
    /// Whether what was found is within the bound by a standard error, which for shares of samples is one sample at least: of many
    /// models that are tried, those look best that were lucky.
    pub(crate) fn is_safe(&self) -> bool {
        let error = (self.interval[1] - self.interval[0]) / INTERVAL;
        let least = match self.counts {
            true => 1.0 / self.samples.max(1) as f64,
            false => 0.0,
        };
        let error = error.max(least);
        match self.at_least {
            true => self.found - error >= self.bound,
            false => self.found + error <= self.bound,
        }
    }
}

/// A demand and what was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GoalRow {
    /// The demand.
    pub goal: String,
    /// What was found.
    pub found: f64,
    /// Its 95 % interval.
    pub interval: [f64; 2],
    /// The bound.
    pub bound: f64,
    /// Samples that it was found on.
    pub samples: usize,
    /// Whether it may be no less than the bound, else no more.
    #[serde(skip)]
    pub(crate) at_least: bool,
    /// Whether it is a share of samples.
    #[serde(skip)]
    pub(crate) counts: bool,
    /// Whether what was found is within the bound.
    pub holds: bool,
    /// Whether all of the interval is beyond the bound.
    pub refuted: bool,
}

fn unknown(name: &str, original: &ModelJudgement) -> Error {
    match original.metrics.is_empty() {
        true => Error::data(
            "the data",
            format!(
                "{name} needs labels; add an array 'label', or ask for `max_kl` or `min_agreement`, which need none"
            ),
        ),
        false => {
            let names: Vec<&str> = original.metrics.iter().map(|m| m.name.as_str()).collect();
            Error::Usage(format!(
                "there is no metric '{name}' on this data; choose one of {}",
                names.join(", ")
            ))
        }
    }
}

fn parsed(text: &str) -> Result<(String, f64)> {
    let parts = text.split_once('=');
    match parts.map(|(metric, bound)| (metric, bound.parse::<f64>())) {
        Some((metric, Ok(bound))) if bound.is_finite() => Ok((metric.to_owned(), bound)),
        _ => Err(Error::Usage(format!(
            "'{text}' is no bound; write METRIC=NUMBER, as in accuracy=0.97"
        ))),
    }
}

/// A drop, as METRIC=NUMBER.
impl FromStr for SearchGoal {
    type Err = Error;

    fn from_str(text: &str) -> Result<SearchGoal> {
        let (metric, bound) = parsed(text)?;
        match bound >= 0.0 {
            true => Ok(SearchGoal::MaxDrop(metric, bound)),
            false => Err(Error::Usage(format!(
                "'{text}': a drop is 0 at least; to ask for more than the original has is to train"
            ))),
        }
    }
}

impl fmt::Display for SearchGoal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SearchGoal::Floor(metric, bound) if ERRORS.contains(&metric.as_str()) => {
                write!(f, "{metric} <= {bound}")
            }
            SearchGoal::Floor(metric, bound) => write!(f, "{metric} >= {bound}"),
            SearchGoal::MaxDrop(metric, bound) => {
                write!(f, "drop of {metric} <= {}", rounded(*bound))
            }
            SearchGoal::MaxDivergence(bound) => write!(f, "divergence <= {bound}"),
            SearchGoal::MinAgreement(bound) => write!(f, "agreement >= {bound}"),
        }
    }
}

/// A number without the digits that a difference of two has left.
fn rounded(number: f64) -> f64 {
    (number * 1e6).round() / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::JudgedMetric;

    fn judged(name: &str, original: f64, drop: f64, interval: [f64; 2]) -> ModelJudgement {
        let estimate = |value| Estimate { value, interval };
        ModelJudgement {
            samples: 100,
            divergence: estimate(0.0),
            agreement: Some(estimate(drop)),
            metrics: vec![JudgedMetric {
                name: name.to_owned(),
                original,
                value: original - drop,
                drop: estimate(drop),
            }],
        }
    }

    #[test]
    fn floors_are_drops_from_the_original() {
        let original = judged("accuracy", 0.9, 0.0, [0.0; 2]);
        let floor = SearchGoal::floor("accuracy=0.88").expect("a floor");
        let SearchGoal::MaxDrop(_, allowed) = floor.resolved(&original).expect("reachable") else {
            panic!("no drop");
        };
        assert!((allowed - 0.02).abs() < 1e-12);
        let fault = SearchGoal::floor("accuracy=0.91").expect("a floor");
        let fault = fault.resolved(&original).expect_err("unreachable");
        assert!(fault.to_string().contains("has accuracy 0.9000"), "{fault}");
        let errors = judged("mse", 0.5, 0.0, [0.0; 2]);
        let floor = SearchGoal::floor("mse=0.6").expect("a floor");
        assert_eq!(
            floor.resolved(&errors).expect("reachable").to_string(),
            "drop of mse <= 0.1"
        );
        assert!(
            SearchGoal::floor("recal=1")
                .expect("a floor")
                .resolved(&original)
                .is_err()
        );
    }

    #[test]
    fn a_goal_is_refuted_where_all_of_the_interval_is_beyond() {
        let goal: SearchGoal = "accuracy=0.01".parse().expect("a drop");
        let verdict = |drop, interval| {
            let row = goal.verdict(&judged("accuracy", 0.9, drop, interval));
            (row.holds, row.refuted)
        };
        assert_eq!(verdict(0.005, [0.0, 0.02]), (true, false));
        assert_eq!(verdict(0.015, [0.005, 0.02]), (false, false));
        assert_eq!(verdict(0.02, [0.015, 0.03]), (false, true));
        let agreement = SearchGoal::MinAgreement(0.9);
        let row = agreement.verdict(&judged("accuracy", 0.9, 0.8, [0.7, 0.85]));
        assert!(!row.holds && row.refuted);
        let nothing =
            SearchGoal::MaxDrop("f1".to_owned(), 1.0).verdict(&judged("mse", 1.0, 0.0, [0.0; 2]));
        assert!(!nothing.holds && nothing.refuted);
    }

    #[test]
    fn a_lucky_judgement_is_not_safe() {
        let goal: SearchGoal = "accuracy=0.02".parse().expect("a drop");
        let is_safe = |drop, interval| {
            goal.verdict(&judged("accuracy", 0.9, drop, interval))
                .is_safe()
        };
        assert!(is_safe(0.005, [-0.01, 0.02]));
        assert!(!is_safe(0.015, [-0.005, 0.03]));
        // That no answer of 100 changed does not tell drops below one of 100.
        let goal: SearchGoal = "accuracy=0.005".parse().expect("a drop");
        assert!(
            !goal
                .verdict(&judged("accuracy", 0.9, 0.0, [0.0; 2]))
                .is_safe()
        );
        let divergence = SearchGoal::MaxDivergence(0.005);
        assert!(
            divergence
                .verdict(&judged("accuracy", 0.9, 0.0, [0.0; 2]))
                .is_safe()
        );
    }

    #[test]
    fn bounds_are_written_with_their_metric() {
        for text in ["accuracy", "accuracy=x", "=", "accuracy=nan"] {
            assert!(text.parse::<SearchGoal>().is_err(), "{text}");
        }
        assert!("accuracy=-0.1".parse::<SearchGoal>().is_err());
    }
}
