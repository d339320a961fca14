//! Comparing a candidate with a reference.

use std::path::{Path, PathBuf};
use std::time::Instant;

use super::bench::speedup;
use super::prune::gone_outputs;
use super::runtime::available;
use super::{RuntimeOptions, Shapes, analyse, analyse_whole};
use crate::benchmark::Repetitions;
use crate::data::{DataSet, DataSource, declared_inputs};
use crate::dimensions::Analysis;
use crate::error::{Error, Result};
use crate::events::Events;
use crate::files::TemporaryFolder;
use crate::graph::Graph;
use crate::onnx::Model;
use crate::plan::Plan;
use crate::report::ValidationReport;
use crate::rewrite::in_one_signature;
use crate::runtime::{IntegerSums, Provider, Purpose, Runtime, SessionOptions};
use crate::validate::{
    CpuSessions, Fallback, Gate, GateRow, Models, ParitySettings, Perturbation, ProviderParity,
    check_labels, judge, parity, refused_fallback, signature_differences, unavailable_provider,
};

/// Version of the JSON document.
const SCHEMA: &str = "secateur.validation/1";

/// How models are compared.
#[derive(Clone, Debug)]
pub struct ValidateOptions {
    /// The plan that the candidate was made by, where its inputs or outputs have other sizes than the reference's: both are
    /// fed the reference's inputs then, and of outputs the places that stayed are compared.
    pub plan: Option<PathBuf>,
    /// Where they run; the CPU and every GPU that is available where empty.
    pub providers: Vec<Provider>,
    /// What they run on.
    pub source: DataSource,
    /// Samples per run, where the model leaves it open.
    pub batch: usize,
    /// Sizes and sample axes of inputs.
    pub shapes: Shapes,
    /// Conditions besides the data as it is.
    pub perturbations: Vec<Perturbation>,
    /// Demands.
    pub gates: Vec<Gate>,
    /// Whether nodes may run on the CPU instead of a GPU provider.
    pub fallback: Fallback,
    /// Seed of perturbations and bootstraps.
    pub seed: u64,
    /// How products of 8-bit codes are added.
    pub sums: IntegerSums,
    /// Which onnxruntime.
    pub runtime: RuntimeOptions,
}

impl ValidateOptions {
    /// Providers that a library is looked for that has them.
    fn preferred(&self) -> Vec<Provider> {
        match self.providers.is_empty() {
            true => vec![Provider::Cuda { device: 0 }],
            false => self.providers.clone(),
        }
    }

    /// What is wrong with what was found.
    fn fault(&self, providers: &[ProviderParity], gates: &[GateRow]) -> Option<Error> {
        let missing = match self.providers.is_empty() {
            true => None,
            false => unavailable_provider(providers),
        };
        let fault = missing.or_else(|| refused_fallback(providers, self.fallback));
        fault.or_else(|| failed(gates))
    }

    fn parity(&self, runtime: &Runtime, gone: Vec<String>) -> ParitySettings {
        ParitySettings {
            providers: match self.providers.is_empty() {
                true => available(runtime),
                false => self.providers.clone(),
            },
            perturbations: self.perturbations.clone(),
            seed: self.seed,
            sums: self.sums,
            gone,
        }
    }
}

/// A comparison, and what is wrong with it.
#[derive(Debug)]
pub struct Validated {
    /// What was found.
    pub report: ValidationReport,
    /// A provider that was asked for and could not be used, or else the gates that failed.
    pub fault: Option<Error>,
}

/// Compares the model at `candidate` with the one at `reference`. `events` hears of samples done and in all.
///
/// # Errors
/// Bad models or data, models with different signatures, or no onnxruntime. An unavailable provider and a
/// failed gate are no errors here but [`Validated::fault`].
pub fn validate(
    reference: &Path,
    candidate: &Path,
    options: &ValidateOptions,
    events: &mut dyn Events,
) -> Result<Validated> {
    let start = Instant::now();
    let dense = Model::load(reference)?;
    let pruned = Model::load(candidate)?;
    let alike = |plan| Alike::of((&dense, &pruned), plan, &options.shapes);
    let alike = options.plan.as_deref().map(alike).transpose()?;
    let analysis = match &alike {
        Some(alike) => &alike.analysis,
        None => &analyse_whole(&dense, &options.shapes)?,
    };
    let runtime = options.runtime.load_for(&options.preferred(), events)?;
    let given = Models {
        reference,
        candidate,
    };
    let models = alike.as_ref().map_or(given, Alike::models);
    let mut on_cpu = models.on_cpu(&runtime, options.sums)?;
    check_signatures(&on_cpu, (&pruned, options))?;
    let unread = on_cpu.reference.unread_outputs();
    let settings = options.parity(&runtime, gone_outputs(&pruned));
    let inputs = declared_inputs(analysis);
    let data = DataSet::open(&options.source, &inputs, analysis, options.batch)?;
    let data = data.with_caches(&mut on_cpu.reference)?;
    check_labels(&options.gates, &data.batch(0)?)?;
    let total = data.batches() * data.batch_size();
    let mut done = 0;
    let mut count = |samples: usize| {
        done += samples;
        events.progress("compare", done, total);
    };
    let (providers, busy) = parity(&runtime, &models, on_cpu, &data, &settings, &mut count)?;
    let speedups = speedups(&runtime, &models, &data, &settings, options, &providers)?;
    let gates = judge(&providers, &options.gates, &speedups)?;
    Ok(Validated {
        fault: options.fault(&providers, &gates),
        report: ValidationReport {
            schema: SCHEMA,
            reference: reference.display().to_string(),
            candidate: candidate.display().to_string(),
            plan: options.plan.as_ref().map(|plan| plan.display().to_string()),
            data: data.describe(),
            batch: data.batch_size(),
            onnxruntime: runtime.version().to_owned(),
            unread,
            gone: settings.gone,
            providers,
            gates,
            seconds: start.elapsed().as_secs_f64(),
            run_seconds: busy.as_secs_f64(),
        },
    })
}

/// Models of which one has another signature, in files where they have the same.
struct Alike {
    analysis: Analysis,
    paths: [PathBuf; 2],
    _folder: TemporaryFolder,
}

impl Alike {
    fn of((dense, pruned): (&Model, &Model), plan: &Path, shapes: &Shapes) -> Result<Alike> {
        let plan = Plan::load(plan)?;
        if plan.settings.vocabulary.is_some() {
            return Err(Error::Usage(
                "a plan of a vocabulary says nothing of ids in data: compare the models without the setting `plan`, if they read the same ids"
                    .to_owned(),
            ));
        }
        let analysis = analyse(dense, shapes, plan.settings.cuts())?;
        let kept = plan.kept(&analysis)?;
        let models = in_one_signature(&analysis, &kept, &Graph::new(pruned)?)?;
        let folder = TemporaryFolder::new()?;
        let paths = ["reference.onnx", "candidate.onnx"].map(|name| folder.path().join(name));
        for (model, path) in models.iter().zip(&paths) {
            model.save(path)?;
        }
        Ok(Alike {
            analysis,
            paths,
            _folder: folder,
        })
    }

    fn models(&self) -> Models<'_> {
        let [reference, candidate] = &self.paths;
        Models {
            reference,
            candidate,
        }
    }
}

/// That both models have one signature.
fn check_signatures(
    on_cpu: &CpuSessions,
    (candidate, options): (&Model, &ValidateOptions),
) -> Result<()> {
    let mut differences = signature_differences(on_cpu);
    if differences.is_empty() {
        return Ok(());
    }
    let command = candidate.metadata("secateur.command").unwrap_or_default();
    if options.plan.is_none() && command.contains("change-signature") {
        differences.push(
            "the candidate was pruned with `change_signature`: name its plan (`plan_out` of that run) with the setting `plan`, so that both are fed the same, or compare it with its twin, as `secateur twin` writes it"
                .to_owned(),
        );
    }
    Err(Error::Signatures { differences })
}

fn failed(gates: &[GateRow]) -> Option<Error> {
    let failed = gates.iter().filter(|row| !row.passed);
    let failed: Vec<String> = failed
        .map(|row| {
            let found = match (row.found, &row.unmeasured) {
                (Some(found), _) => format!("found {found:.6}"),
                (None, Some(why)) => format!("not measured: {why}"),
                (None, None) => "not measured".to_owned(),
            };
            format!("{} on {}: {found}", row.gate, row.provider)
        })
        .collect();
    (!failed.is_empty()).then_some(Error::Gates { failed })
}

/// By provider, where a gate asks for it.
fn speedups(
    runtime: &Runtime,
    models: &Models,
    data: &DataSet,
    settings: &ParitySettings,
    options: &ValidateOptions,
    parity: &[ProviderParity],
) -> Result<Vec<(String, f64)>> {
    let asked = options
        .gates
        .iter()
        .any(|gate| matches!(gate, Gate::MinSpeedup(_)));
    if !asked {
        return Ok(Vec::new());
    }
    let inputs = data.batch(0)?.inputs;
    let pairs = settings.providers.iter().zip(parity);
    pairs
        .filter(|(_, lane)| lane.unavailable.is_none())
        .map(|(provider, _)| {
            let session = SessionOptions {
                provider: provider.clone(),
                purpose: Purpose::Latency,
                sums: settings.sums,
                ..SessionOptions::default()
            };
            let found = speedup(
                runtime,
                [models.reference, models.candidate],
                &session,
                &inputs,
                Repetitions::default(),
            )?;
            Ok((provider.to_string(), found))
        })
        .collect()
}
