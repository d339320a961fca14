//! What became of a budget of time.

use std::fmt;

use serde::Serialize;

use crate::error::one_line;
use crate::search::Forecast;

/// A budget of time and what became of it.
#[derive(Clone, Debug, Serialize)]
pub struct LatencyRow {
    /// Where models were timed.
    pub provider: String,
    /// Threads that they were timed with.
    pub threads: usize,
    /// Median time of a run of the original, in milliseconds.
    pub original_ms: f64,
    /// The share of the original's time that may be taken.
    pub asked: f64,
    /// The share that was expected of the plan.
    pub predicted: f64,
    /// The share that the result takes, by medians of runs in turn with the original.
    pub got: f64,
    /// 95 % interval of that, by bootstrap.
    pub interval: [f64; 2],
    /// Choices of channels that were timed to know what to expect.
    pub timed: usize,
    /// True if a run before timed them.
    pub known: bool,
    /// Plans that were made and timed.
    pub attempts: usize,
}

impl fmt::Display for LatencyRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "asked for at most {:.3} of the original's {:.3} ms a run, predicted {:.3}, got {:.3} ({:.3} to {:.3}): {:.2} times as fast on {} with {} thread(s)",
            self.asked,
            self.original_ms,
            self.predicted,
            self.got,
            self.interval[0],
            self.interval[1],
            1.0 / self.got,
            self.provider,
            self.threads
        )?;
        writeln!(
            f,
            "  expected by {} choices of channels that {}; {} plan(s) were timed",
            self.timed,
            if self.known {
                "an earlier run timed"
            } else {
                "were timed"
            },
            self.attempts
        )
    }
}

/// What of its time a model is expected to keep, where that is much more than of its operations.
pub(super) fn write_forecast(forecast: &Forecast, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(
        f,
        "warning: {:.0} % of the MACs are left, but about {:.0} % of their time is expected to be:",
        100.0 * forecast.macs,
        100.0 * forecast.time
    )?;
    forecast.slow.iter().try_for_each(|layer| {
        let share = 100.0 * layer.share;
        writeln!(
            f,
            "  {} ({share:.0} % of the time): {}",
            one_line(&layer.node),
            layer.why
        )
    })
}
