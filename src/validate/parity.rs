//! A reference and a candidate on the same data, on several execution providers.
//!
//! The reference on the CPU is the yardstick. On any other provider both models run there as well, so that
//! what the provider changes (the reference there against the reference on the CPU) is told apart from what
//! pruning changes (the candidate there against the reference there).

use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::perturb::Perturbation;
use super::placement::{Placement, placement};
use crate::data::{Batch, DataSet};
use crate::error::Result;
use crate::metrics::{Deviation, Deviations, Task, TaskReport, counterpart};
use crate::runtime::{IntegerSums, Provider, Runtime, Session, SessionOptions, Tensor};

/// Name of the condition without a perturbation.
pub const UNDISTURBED: &str = "as given";

/// How models are compared.
#[derive(Clone, Debug)]
pub struct ParitySettings {
    /// Where both models run besides the CPU, or the CPU itself.
    pub providers: Vec<Provider>,
    /// Conditions besides the data as it is.
    pub perturbations: Vec<Perturbation>,
    /// Seed of perturbations and bootstraps.
    pub seed: u64,
    /// How products of 8-bit codes are added.
    pub sums: IntegerSums,
    /// Outputs of which the candidate has `-inf` at places whose pieces are gone: these count as finite.
    pub gone: Vec<String>,
}

/// What was found on one provider.
#[derive(Clone, Debug, Serialize)]
pub struct ProviderParity {
    /// The provider.
    pub provider: String,
    /// Why it could not be used; none where it could.
    pub unavailable: Option<String>,
    /// Where the nodes of reference and candidate really ran.
    pub placement: Option<[Placement; 2]>,
    /// The data as given first, then under each perturbation.
    pub conditions: Vec<Condition>,
}

/// What was found under one condition.
#[derive(Clone, Debug, Serialize)]
pub struct Condition {
    /// `as given`, or the perturbation.
    pub condition: String,
    /// Candidate on the provider against reference on the CPU.
    pub total: Vec<Deviation>,
    /// Reference on the provider against reference on the CPU; empty on the CPU.
    pub provider_drift: Vec<Deviation>,
    /// Candidate on the provider against reference on the provider.
    pub pruning_drift: Vec<Deviation>,
    /// Candidate against the outputs stored with the data; empty where there are none.
    pub stored: Vec<Deviation>,
    /// Task metrics of reference (on the CPU) and candidate (on the provider).
    pub task: Option<TaskReport>,
}

/// The files of the models that are compared.
#[derive(Clone, Copy, Debug)]
pub struct Models<'a> {
    /// The yardstick.
    pub reference: &'a Path,
    /// The model that is judged.
    pub candidate: &'a Path,
}

/// Both models, open on the CPU.
#[derive(Debug)]
pub struct CpuSessions {
    /// The yardstick.
    pub reference: Session,
    /// The model that is judged.
    pub candidate: Session,
}

impl Models<'_> {
    /// Opens both on the CPU.
    ///
    /// # Errors
    /// onnxruntime does not accept a model.
    pub fn on_cpu(&self, runtime: &Runtime, sums: IntegerSums) -> Result<CpuSessions> {
        let cpu = SessionOptions {
            sums,
            ..SessionOptions::default()
        };
        Ok(CpuSessions {
            reference: runtime.session_from_file(self.reference, "the reference", &cpu)?,
            candidate: runtime.session_from_file(self.candidate, "the candidate", &cpu)?,
        })
    }
}

/// The sessions of one provider and what they have shown.
struct Lane {
    provider: Provider,
    /// Reference (none on the CPU, where it is the yardstick) and candidate.
    sessions: Option<(Option<Session>, Session)>,
    report: ProviderParity,
    sums: Vec<Sums>,
}

#[derive(Default)]
struct Sums {
    total: Deviations,
    provider_drift: Deviations,
    pruning_drift: Deviations,
    stored: Deviations,
    task: Task,
}

/// Runs both models on all batches of `data`. `progress` gets the number of samples done. Returns what was
/// found, and the time that onnxruntime took of it.
///
/// # Errors
/// A model that does not run on the CPU, data that does not fit, labels out of range. A provider that cannot
/// be used is no error: its row says why.
pub fn parity(
    runtime: &Runtime,
    models: &Models,
    on_cpu: CpuSessions,
    data: &DataSet,
    settings: &ParitySettings,
    progress: &mut dyn FnMut(usize),
) -> Result<(Vec<ProviderParity>, Duration)> {
    let CpuSessions {
        reference: mut yardstick,
        candidate,
    } = on_cpu;
    let mut candidate = Some(candidate);
    let first = data.batch(0)?;
    let conditions = settings.perturbations.len() + 1;
    let mut lanes = Vec::new();
    for provider in &settings.providers {
        let open = match provider {
            Provider::Cpu => candidate.take(),
            _ => None,
        };
        lanes.push(match open {
            Some(candidate) => Lane::new(provider, settings).with(None, candidate),
            None => open_lane(runtime, provider, models, &first, settings)?,
        });
    }
    for number in 0..data.batches() {
        let batch = data.batch(number)?;
        for place in 0..conditions {
            let disturbed = match place.checked_sub(1) {
                None => None,
                Some(place) => {
                    let perturbation = settings.perturbations[place];
                    Some(perturbation.apply(&batch.inputs, settings.seed, number)?)
                }
            };
            let inputs = disturbed.as_ref().unwrap_or(&batch.inputs);
            let expected = yardstick.run(inputs)?;
            for lane in &mut lanes {
                lane.add(place, inputs, &expected, &batch)?;
            }
        }
        progress(batch.samples);
    }
    let busy = yardstick.busy() + lanes.iter().map(Lane::busy).sum::<Duration>();
    let reports = lanes.into_iter().map(|lane| lane.finish(settings));
    Ok((reports.collect(), busy))
}

/// Differences between the signatures of both models; empty if they can be compared.
pub fn signature_differences(models: &CpuSessions) -> Vec<String> {
    let (reference, candidate) = (&models.reference, &models.candidate);
    let mut out = Vec::new();
    for (what, before, after) in [
        ("input", reference.inputs(), candidate.inputs()),
        ("output", reference.outputs(), candidate.outputs()),
    ] {
        for expected in &before {
            match after.iter().find(|found| found.name == expected.name) {
                None => out.push(format!("the candidate has no {what} '{}'", expected.name)),
                Some(found)
                    if found.element != expected.element || !same_shape(expected, found) =>
                {
                    out.push(format!(
                        "{what} {expected} of the reference is {found} in the candidate"
                    ));
                }
                Some(_) => {}
            }
        }
        let extra = after
            .iter()
            .filter(|found| !before.iter().any(|b| b.name == found.name));
        out.extend(extra.map(|found| format!("the reference has no {what} '{}'", found.name)));
    }
    out
}

/// Sizes that both models fix must be the same.
fn same_shape(a: &crate::runtime::Signature, b: &crate::runtime::Signature) -> bool {
    let pairs = a.shape.iter().zip(&b.shape);
    let clash = pairs.into_iter().any(|(&m, &n)| m >= 0 && n >= 0 && m != n);
    a.shape.len() == b.shape.len() && !clash
}

fn open_lane(
    runtime: &Runtime,
    provider: &Provider,
    models: &Models,
    first: &Batch,
    settings: &ParitySettings,
) -> Result<Lane> {
    let mut lane = Lane::new(provider, settings);
    let options = SessionOptions {
        provider: provider.clone(),
        sums: settings.sums,
        ..SessionOptions::default()
    };
    let open = || -> Result<_> {
        let reference = runtime.session_from_file(models.reference, "the reference", &options)?;
        let candidate = runtime.session_from_file(models.candidate, "the candidate", &options)?;
        let placement = [
            placement(runtime, models.reference, &options, first)?,
            placement(runtime, models.candidate, &options, first)?,
        ];
        Ok((reference, candidate, placement))
    };
    match open() {
        Ok((reference, candidate, placement)) => {
            lane.report.placement = Some(placement);
            Ok(lane.with(Some(reference), candidate))
        }
        Err(fault) => {
            lane.report.unavailable = Some(fault.provider_reason());
            Ok(lane)
        }
    }
}

impl Lane {
    fn new(provider: &Provider, settings: &ParitySettings) -> Lane {
        let conditions = settings.perturbations.len() + 1;
        let judged = || Deviations::but_for(&settings.gone);
        let sums = || Sums {
            total: judged(),
            pruning_drift: judged(),
            stored: judged(),
            ..Sums::default()
        };
        Lane {
            provider: provider.clone(),
            sessions: None,
            report: ProviderParity {
                provider: provider.to_string(),
                unavailable: None,
                placement: None,
                conditions: Vec::new(),
            },
            sums: (0..conditions).map(|_| sums()).collect(),
        }
    }

    fn with(mut self, reference: Option<Session>, candidate: Session) -> Lane {
        self.sessions = Some((reference, candidate));
        self
    }

    fn add(
        &mut self,
        place: usize,
        inputs: &[(String, Tensor)],
        expected: &[(String, Tensor)],
        batch: &Batch,
    ) -> Result<()> {
        let Some((reference, candidate)) = &mut self.sessions else {
            return Ok(());
        };
        let mut run = || -> Result<_> {
            let own = reference
                .as_mut()
                .map(|session| session.run(inputs))
                .transpose()?;
            Ok((own, candidate.run(inputs)?))
        };
        let (own, found) = match run() {
            Ok(outputs) => outputs,
            Err(fault) if self.provider == Provider::Cpu => return Err(fault),
            Err(fault) => {
                self.report.unavailable = Some(fault.provider_reason());
                self.sessions = None;
                return Ok(());
            }
        };
        let sums = &mut self.sums[place];
        // On the CPU the yardstick is the reference there: all that changes, pruning changes.
        if let Some(own) = &own {
            sums.total.add(expected, &found)?;
            sums.provider_drift.add(expected, own)?;
        }
        sums.pruning_drift
            .add(own.as_deref().unwrap_or(expected), &found)?;
        if let Some(stored) = batch.expected.as_ref().filter(|_| place == 0) {
            sums.stored.add(stored, &found)?;
        }
        if let (Some(labels), Some((name, a))) = (&batch.labels, expected.first())
            && let Some(b) = counterpart(&found, name, 0)
        {
            sums.task.add(labels, a, b)?;
        }
        Ok(())
    }

    fn busy(&self) -> Duration {
        let sessions = self.sessions.iter();
        let each = sessions.flat_map(|(reference, candidate)| reference.iter().chain([candidate]));
        each.map(Session::busy).sum()
    }

    fn finish(mut self, settings: &ParitySettings) -> ProviderParity {
        if self.report.unavailable.is_some() {
            return self.report;
        }
        let names = std::iter::once(UNDISTURBED.to_owned())
            .chain(settings.perturbations.iter().map(Perturbation::to_string));
        let conditions = names.zip(&self.sums).map(|(condition, sums)| Condition {
            condition,
            total: match self.provider {
                Provider::Cpu => sums.pruning_drift.finish(),
                _ => sums.total.finish(),
            },
            provider_drift: sums.provider_drift.finish(),
            pruning_drift: sums.pruning_drift.finish(),
            stored: sums.stored.finish(),
            task: sums.task.finish(settings.seed),
        });
        self.report.conditions = conditions.collect();
        self.report
    }
}
