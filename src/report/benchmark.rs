//! What `bench` found.

use std::fmt;

use serde::Serialize;

use super::table::{count, table};
use crate::benchmark::{Latency, OperatorTime, Ratio};

/// Latency of models side by side.
#[derive(Clone, Debug, Serialize)]
pub struct BenchReport {
    /// Version of this document.
    pub schema: &'static str,
    /// The models, the first is the yardstick.
    pub models: Vec<String>,
    /// Bytes of each model's files.
    pub file_bytes: Vec<u64>,
    /// Runs that count, per model and setting.
    pub runs: usize,
    /// Version of the onnxruntime that ran them.
    pub onnxruntime: String,
    /// One row per provider, thread count and batch size.
    pub settings: Vec<BenchSetting>,
}

/// A provider, thread count and batch size.
#[derive(Clone, Debug, Serialize)]
pub struct BenchSetting {
    /// The provider.
    pub provider: String,
    /// Why it could not be used; none where it could.
    pub unavailable: Option<String>,
    /// Threads inside an operator; none for onnxruntime's default.
    pub threads: Option<usize>,
    /// Samples per run.
    pub batch: usize,
    /// By model.
    pub timings: Vec<Timing>,
    /// Where the time went; empty without profile.
    pub operators: Vec<OperatorTime>,
}

/// One model's numbers.
#[derive(Clone, Debug, Serialize)]
pub struct Timing {
    /// Milliseconds to load the session.
    pub load_ms: f64,
    /// Run times.
    pub latency: Latency,
    /// Samples per second at the median.
    pub throughput: f64,
    /// Against the first model; none for the first.
    pub ratio: Option<Ratio>,
    /// Peak memory of a process that loads the model and runs it once; none where the system does not tell.
    pub peak_bytes: Option<u64>,
}

impl fmt::Display for BenchReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (model, bytes)) in self.models.iter().zip(&self.file_bytes).enumerate() {
            writeln!(f, "{}: {model}, {} bytes", label(place), count(*bytes))?;
        }
        let (runs, version) = (self.runs, &self.onnxruntime);
        writeln!(f, "{runs} interleaved runs each, onnxruntime {version}")?;
        let headings = [
            "provider",
            "model",
            "threads",
            "batch",
            "median ms",
            "p5",
            "p95",
            "samples/s",
            "speed-up",
            "95 % interval",
            "load ms",
            "peak MB",
        ];
        let mut rows = table(&headings, 2);
        for setting in &self.settings {
            if let Some(reason) = &setting.unavailable {
                writeln!(f, "{}: unavailable: {reason}", setting.provider)?;
            }
            for (place, timing) in setting.timings.iter().enumerate() {
                let threads = setting
                    .threads
                    .map_or("default".to_owned(), |n| n.to_string());
                let ratio = timing.ratio;
                rows.add_row([
                    setting.provider.clone(),
                    label(place),
                    threads,
                    setting.batch.to_string(),
                    format!("{:.3}", timing.latency.median_ms),
                    format!("{:.3}", timing.latency.p5_ms),
                    format!("{:.3}", timing.latency.p95_ms),
                    format!("{:.1}", timing.throughput),
                    ratio.map_or(String::new(), |r| format!("{:.2}x", r.speedup)),
                    ratio.map_or(String::new(), |r| {
                        format!("{:.2} to {:.2}", r.interval[0], r.interval[1])
                    }),
                    format!("{:.1}", timing.load_ms),
                    timing
                        .peak_bytes
                        .map_or("-".to_owned(), |bytes| format!("{:.0}", bytes as f64 / 1e6)),
                ]);
            }
        }
        writeln!(f, "{rows}")?;
        for setting in self
            .settings
            .iter()
            .filter(|setting| !setting.operators.is_empty())
        {
            write_operators(setting, f)?;
        }
        Ok(())
    }
}

fn write_operators(setting: &BenchSetting, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(
        f,
        "{}, batch {}: microseconds by operator (kernels)",
        setting.provider, setting.batch
    )?;
    let labels: Vec<String> = (0..setting.timings.len()).map(label).collect();
    let mut headings = vec!["operator"];
    headings.extend(labels.iter().map(String::as_str));
    let mut rows = table(&headings, 1);
    for row in &setting.operators {
        let mut cells = vec![row.operator.clone()];
        let pairs = row.microseconds.iter().zip(&row.kernels);
        cells.extend(pairs.map(|(time, kernels)| format!("{time:.0} ({kernels})")));
        rows.add_row(cells);
    }
    writeln!(f, "{rows}")
}

/// A, B, C, ...
fn label(place: usize) -> String {
    match u8::try_from(place) {
        Ok(place) if place < 26 => char::from(b'A' + place).to_string(),
        _ => format!("#{}", place + 1),
    }
}
