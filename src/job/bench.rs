//! Measuring models side by side.

use std::path::{Path, PathBuf};
use std::time::Instant;

use super::prune::PruneOptions;
use super::{RuntimeOptions, Shapes, analyse_whole};
use crate::benchmark::{Latency, Ratio, Repetitions, by_operator, interleaved};
use crate::data::random_batch;
use crate::dimensions::Analysis;
use crate::error::{Error, Result};
use crate::events::{Events, Silent};
use crate::onnx::Model;
use crate::report::{BenchReport, BenchSetting, Timing};
use crate::runtime::{
    IntegerSums, Profiling, Provider, Purpose, Runtime, Session, SessionOptions, Tensor,
};

/// Version of the JSON document.
const SCHEMA: &str = "secateur.benchmark/1";
/// Runs with the profiler on.
const PROFILED: usize = 5;
/// Samples per run where an original is compared with its result.
const COMPARED_BATCHES: [usize; 2] = [1, 16];
/// Runs of such a comparison.
const COMPARED: Repetitions = Repetitions {
    warm_up: 3,
    runs: 20,
};

/// How models are measured.
#[derive(Clone, Debug)]
pub struct BenchOptions {
    /// Where they run.
    pub providers: Vec<Provider>,
    /// Samples per run, each.
    pub batches: Vec<usize>,
    /// Threads inside an operator, each; onnxruntime's default where empty.
    pub threads: Vec<usize>,
    /// How often.
    pub repetitions: Repetitions,
    /// Sizes and sample axes of inputs.
    pub shapes: Shapes,
    /// Whether the time is broken down by operator.
    pub profiling: Profiling,
    /// How products of 8-bit codes are added.
    pub sums: IntegerSums,
    /// Which onnxruntime.
    pub runtime: RuntimeOptions,
}

impl Default for BenchOptions {
    /// The CPU, single samples, onnxruntime's threads.
    fn default() -> BenchOptions {
        BenchOptions {
            providers: vec![Provider::Cpu],
            batches: vec![1],
            threads: Vec::new(),
            repetitions: Repetitions::default(),
            shapes: Shapes::default(),
            profiling: Profiling::Off,
            sums: IntegerSums::default(),
            runtime: RuntimeOptions::default(),
        }
    }
}

/// Measures the peak memory of a run of its own: model, provider, batch.
pub type PeakMemory<'a> = &'a dyn Fn(&Path, &Provider, usize) -> Option<u64>;

type Inputs = Vec<(String, Tensor)>;
/// Sessions with their inputs, and the milliseconds that loading each took.
type Opened = (Vec<(Session, Inputs)>, Vec<f64>);

/// Measures `models`; the first is the yardstick.
///
/// # Errors
/// A bad model, a batch that a model does not take, or no onnxruntime. An unavailable provider has a row.
pub fn bench(
    models: &[PathBuf],
    options: &BenchOptions,
    peak: PeakMemory,
    events: &mut dyn Events,
) -> Result<BenchReport> {
    let runtime = options.runtime.load_for(&options.providers, events)?;
    let file_bytes: Result<Vec<u64>> = models
        .iter()
        .map(|path| Ok(Model::load(path)?.source_bytes()))
        .collect();
    let threads: Vec<Option<usize>> = match options.threads.is_empty() {
        true => vec![None],
        false => options.threads.iter().copied().map(Some).collect(),
    };
    let mut settings = Vec::new();
    for provider in &options.providers {
        for &threads in &threads {
            for &batch in &options.batches {
                let session = SessionOptions {
                    provider: provider.clone(),
                    purpose: Purpose::Latency,
                    threads,
                    sums: options.sums,
                    ..SessionOptions::default()
                };
                settings.push(measure(&runtime, models, &session, batch, options, peak)?);
            }
        }
    }
    Ok(BenchReport {
        schema: SCHEMA,
        models: models
            .iter()
            .map(|path| path.display().to_string())
            .collect(),
        file_bytes: file_bytes?,
        runs: options.repetitions.runs,
        onnxruntime: runtime.version().to_owned(),
        settings,
    })
}

fn measure(
    runtime: &Runtime,
    models: &[PathBuf],
    session: &SessionOptions,
    batch: usize,
    options: &BenchOptions,
    peak: PeakMemory,
) -> Result<BenchSetting> {
    let mut setting = BenchSetting {
        provider: session.provider.to_string(),
        unavailable: None,
        threads: session.threads,
        batch,
        timings: Vec::new(),
        operators: Vec::new(),
    };
    let opened = open_all(runtime, models, session, batch, &options.shapes);
    let (mut sessions, loads) = match opened {
        Ok(opened) => opened,
        Err(fault @ Error::Provider { .. }) => {
            setting.unavailable = Some(fault.provider_reason());
            return Ok(setting);
        }
        Err(fault) => return Err(fault),
    };
    let times = interleaved(&mut sessions, options.repetitions)?;
    for (place, (seconds, load_ms)) in times.iter().zip(loads).enumerate() {
        let latency = Latency::of(seconds);
        setting.timings.push(Timing {
            load_ms,
            latency,
            throughput: 1e3 * batch as f64 / latency.median_ms,
            ratio: (place > 0).then(|| Ratio::of(&times[0], seconds, place as u64)),
            peak_bytes: peak(&models[place], &session.provider, batch),
        });
    }
    if options.profiling == Profiling::On {
        let profiled = SessionOptions {
            profiling: Profiling::On,
            ..session.clone()
        };
        let (sessions, _) = open_all(runtime, models, &profiled, batch, &options.shapes)?;
        let mut kernels = Vec::new();
        for (mut session, inputs) in sessions {
            for _ in 0..PROFILED {
                session.run_only(&inputs)?;
            }
            kernels.push(session.kernels()?);
        }
        setting.operators = by_operator(&kernels, PROFILED);
    }
    Ok(setting)
}

/// Run times of an original and its result on the CPU, on one thread and on all, for single samples and for a
/// batch. What cannot be measured is a row with the reason: the result is there all the same.
pub(super) fn compare(
    models: [&Path; 2],
    original: &Analysis,
    prune: &PruneOptions,
    events: &mut dyn Events,
) -> Vec<BenchSetting> {
    let fixed = original.sizes().samples().fixed();
    let batches = fixed.map_or(COMPARED_BATCHES.to_vec(), |batch| vec![batch]);
    let options = BenchOptions {
        batches,
        repetitions: COMPARED,
        shapes: prune.shapes.clone(),
        runtime: prune.runtime.clone(),
        ..BenchOptions::default()
    };
    let models = models.map(Path::to_owned);
    let mut settings = Vec::new();
    for threads in [vec![1], Vec::new()] {
        let options = BenchOptions {
            threads,
            ..options.clone()
        };
        match bench(&models, &options, &|_, _, _| None, events) {
            Ok(report) => settings.extend(report.settings),
            Err(fault) => settings.push(BenchSetting {
                provider: Provider::Cpu.to_string(),
                unavailable: Some(fault.to_string()),
                threads: options.threads.first().copied(),
                batch: options.batches[0],
                timings: Vec::new(),
                operators: Vec::new(),
            }),
        }
    }
    settings
}

/// Sessions with random inputs of `batch` samples, and the milliseconds that loading each took.
fn open_all(
    runtime: &Runtime,
    models: &[PathBuf],
    options: &SessionOptions,
    batch: usize,
    shapes: &Shapes,
) -> Result<Opened> {
    let mut sessions = Vec::new();
    let mut loads = Vec::new();
    for path in models {
        let (session, inputs, milliseconds) = open(runtime, path, options, batch, shapes)?;
        sessions.push((session, inputs));
        loads.push(milliseconds);
    }
    Ok((sessions, loads))
}

fn open(
    runtime: &Runtime,
    path: &Path,
    options: &SessionOptions,
    batch: usize,
    shapes: &Shapes,
) -> Result<(Session, Inputs, f64)> {
    let analysis = analyse_whole(&Model::load(path)?, shapes)?;
    runtime.prepare(&options.provider)?;
    let start = Instant::now();
    let session = runtime.session_from_file(path, &path.display().to_string(), options)?;
    let milliseconds = start.elapsed().as_secs_f64() * 1e3;
    let signatures = session.inputs();
    let fixed = analysis.sizes().samples().fixed();
    let fits = |fixed: usize| fixed == batch || analysis.sizes().samples().is_empty();
    if let Some(fixed) = fixed.filter(|&fixed| !fits(fixed)) {
        return Err(Error::Usage(format!(
            "{} has a fixed batch of {fixed}; use `batches` {fixed}",
            path.display()
        )));
    }
    let inputs = random_batch(&analysis, &signatures, batch, 0)?;
    Ok((session, inputs, milliseconds))
}

/// How many times as fast the second model is as the first, in sessions of these options.
pub(super) fn speedup(
    runtime: &Runtime,
    models: [&Path; 2],
    options: &SessionOptions,
    inputs: &[(String, Tensor)],
    repetitions: Repetitions,
) -> Result<f64> {
    let mut sessions = Vec::new();
    for path in models {
        let session = runtime.session_from_file(path, &path.display().to_string(), options)?;
        sessions.push((session, inputs.to_vec()));
    }
    let times = interleaved(&mut sessions, repetitions)?;
    Ok(Ratio::of(&times[0], &times[1], 0).speedup)
}

/// Loads a model, runs it once as `options` say, and says the peak memory of this process so far, in bytes: for a process that
/// does nothing else.
///
/// # Errors
/// The model does not run.
pub fn peak_memory(
    path: &Path,
    options: &SessionOptions,
    batch: usize,
    shapes: &Shapes,
    runtime: &RuntimeOptions,
) -> Result<Option<u64>> {
    let runtime = runtime.load_for(std::slice::from_ref(&options.provider), &mut Silent)?;
    let (mut session, inputs, _) = open(&runtime, path, options, batch, shapes)?;
    session.run_only(&inputs)?;
    Ok(peak_of_this_process())
}

/// The high-water mark of resident memory, where the system tells it.
pub(super) fn peak_of_this_process() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kilobytes * 1024)
}
