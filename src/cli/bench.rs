//! `secateur bench`

use std::path::{Path, PathBuf};

use crate::benchmark::Repetitions;
use crate::job::{BenchOptions, Shapes, bench, peak_memory};
use crate::runtime::{Hosted, Profiling, Provider, Purpose, SessionOptions};
use clap::Args;

use super::flags::{RuntimeFlags, ShapeFlags, SumsFlag};
use super::program::Program;
use super::{Answered, write_out};
use crate::{Error, Events, Result};

/// Measure latency, throughput and memory of models side by side
#[derive(Args, Debug)]
pub struct BenchArgs {
    /// The models; the first is the yardstick
    #[arg(required = true)]
    models: Vec<PathBuf>,
    /// Where to run: cpu, cuda[:DEVICE], tensorrt[:DEVICE], webgpu or plugin:LIBRARY[,NAME]; repeatable
    #[arg(long, value_name = "PROVIDER", default_value = "cpu")]
    provider: Vec<Provider>,
    /// Samples per run, as in 1,8
    #[arg(long, value_delimiter = ',', default_value = "1", value_parser = parse_count)]
    batch: Vec<usize>,
    /// Threads inside an operator, as in 1,2 (onnxruntime's default without)
    #[arg(long, value_delimiter = ',', value_parser = parse_count)]
    threads: Vec<usize>,
    /// Runs that count
    #[arg(long, default_value = "50", value_parser = parse_count)]
    runs: usize,
    /// Runs before the first that counts
    #[arg(long, default_value_t = 5)]
    warm_up: usize,
    /// Show where the time went, by operator
    #[arg(long)]
    profile: bool,
    #[command(flatten)]
    sums: SumsFlag,
    #[command(flatten)]
    shapes: ShapeFlags,
    #[command(flatten)]
    runtime: RuntimeFlags,
}

fn parse_count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if count > 0 => Ok(count),
        _ => Err(format!("'{text}' is no positive number")),
    }
}

impl BenchArgs {
    pub(super) fn run(self, events: &mut dyn Events) -> Result<Answered> {
        let options = BenchOptions {
            providers: self.provider,
            batches: self.batch,
            threads: self.threads,
            repetitions: Repetitions {
                warm_up: self.warm_up,
                runs: self.runs,
            },
            shapes: self.shapes.shapes(),
            profiling: if self.profile {
                Profiling::On
            } else {
                Profiling::Off
            },
            sums: self.sums.sums(),
            runtime: self.runtime.options(),
        };
        let flags = (&self.runtime, self.sums);
        let shapes = &options.shapes;
        let peak = |model: &Path, provider: &Provider, batch: usize| {
            peak_of_a_process(model, provider, batch, shapes, flags)
        };
        let report = bench(&self.models, &options, &peak, events)?;
        let mut settings = report.settings.iter();
        let unavailable = settings.find_map(|setting| setting.unavailable.clone());
        let fault = unavailable.map(|reason| Error::Runtime {
            reason,
            remedy: "`secateur runtime status` shows what is missing".to_owned(),
        });
        Ok(Answered::with(report).but(fault))
    }
}

/// Runs this program once more, to do nothing but [`ProbeArgs`].
fn peak_of_a_process(
    model: &Path,
    provider: &Provider,
    batch: usize,
    shapes: &Shapes,
    (runtime, sums): (&RuntimeFlags, SumsFlag),
) -> Option<u64> {
    let mut command = Program::own()?.command();
    command.arg("probe-memory").arg(model);
    command.args([
        "--provider",
        &provider.to_string(),
        "--batch",
        &batch.to_string(),
    ]);
    for (name, size) in &shapes.sizes {
        command.arg("--dim").arg(format!("{name}={size}"));
    }
    for (name, axis) in &shapes.sample_axes {
        let axis = axis.map_or("none".to_owned(), |axis| axis.to_string());
        command.arg("--sample-axis").arg(format!("{name}={axis}"));
    }
    if let Some(library) = runtime.onnxruntime.clone().or_else(Hosted::to_tell) {
        command.arg("--onnxruntime").arg(library);
    }
    if sums.exact_integers {
        command.arg("--exact-integers");
    }
    let output = command.output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}

/// Load a model, run it once and print the peak memory of this process in bytes
#[derive(Args, Debug)]
pub struct ProbeArgs {
    model: PathBuf,
    #[arg(long)]
    provider: Provider,
    #[arg(long, value_parser = parse_count)]
    batch: usize,
    #[command(flatten)]
    sums: SumsFlag,
    #[command(flatten)]
    shapes: ShapeFlags,
    #[command(flatten)]
    runtime: RuntimeFlags,
}

impl ProbeArgs {
    pub(super) fn run(self) -> Result<Answered> {
        let options = self.runtime.options();
        let session = SessionOptions {
            provider: self.provider,
            purpose: Purpose::Latency,
            sums: self.sums.sums(),
            ..SessionOptions::default()
        };
        let peak = peak_memory(
            &self.model,
            &session,
            self.batch,
            &self.shapes.shapes(),
            &options,
        )?;
        let text = peak.map_or(String::new(), |bytes| format!("{bytes}\n"));
        write_out(&mut std::io::stdout(), &text)?;
        Ok(Answered::silent())
    }
}
