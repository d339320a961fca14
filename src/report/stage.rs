//! Where the time of a run goes.

use std::fmt;

use serde::Serialize;

use super::table::{count, table};

/// A stage of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Stage {
    /// Its name.
    pub name: &'static str,
    /// Wall-clock time in milliseconds.
    pub milliseconds: f64,
    /// How much of it passed inside onnxruntime.
    pub onnxruntime_milliseconds: f64,
    /// Peak memory of the process from its start to the end of the stage, in bytes, where the system tells it.
    pub peak_bytes: Option<u64>,
}

impl Stage {
    pub(crate) fn new(name: &'static str) -> Stage {
        Stage {
            name,
            milliseconds: 0.0,
            onnxruntime_milliseconds: 0.0,
            peak_bytes: None,
        }
    }
}

/// Stages as a table: time inside and outside of onnxruntime, and memory.
pub struct Breakdown<'a>(pub &'a [Stage]);

impl fmt::Display for Breakdown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headings = ["stage", "s", "in onnxruntime", "outside", "peak MB"];
        let mut rows = table(&headings, 1);
        let seconds = |milliseconds: f64| format!("{:.2}", milliseconds / 1e3);
        let row = |name: &str, whole: f64, inside: f64, peak: Option<u64>| {
            let peak = peak.map_or("-".to_owned(), |bytes| count(bytes / 1_000_000));
            let outside = (whole - inside).max(0.0);
            [
                name.to_owned(),
                seconds(whole),
                seconds(inside),
                seconds(outside),
                peak,
            ]
        };
        let (mut whole, mut inside) = (0.0, 0.0);
        for stage in self.0 {
            let [own, within] = [stage.milliseconds, stage.onnxruntime_milliseconds];
            whole += own;
            inside += within;
            rows.add_row(row(stage.name, own, within, stage.peak_bytes));
        }
        let peak = self.0.iter().filter_map(|stage| stage.peak_bytes).max();
        rows.add_row(row("all", whole, inside, peak));
        write!(f, "{rows}")
    }
}
