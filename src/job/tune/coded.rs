//! Training a model as it runs on codes: its values and weights are rounded in every step, as quantising places them. What
//! is written is the best of three on held-out samples, of which one is what quantising alone makes.

use super::{TuneOptions, opened};
use crate::dimensions::Analysis;
use crate::error::{Error, Result};
use crate::events::Events;
use crate::job::options::{Calibration, Opened};
use crate::job::quantised::{BATCHES, finished, prepared};
use crate::job::watch::Watch;
use crate::layers::Layers;
use crate::onnx::Model;
use crate::quantise::{QuantiseSettings, Quantised, RoundedStudent, Subject, quantise};
use crate::report::{CodedCandidate, CodedTuning, CodedWay, Quantisation};
use crate::runtime::Runtime;
use crate::search::held_out_divergences;
use crate::train::{
    Classroom, FrozenRow, Judge, Pool, TrainOptions, Trained, TrainingRecord, train_with_judge,
};

/// Real numbers were trained before: rounded ones need this share of the steps.
const SHARE: usize = 3;

/// What is trained, and what it learns from.
pub(super) struct Course<'a> {
    pub(super) student: &'a Analysis,
    pub(super) teacher: Option<&'a Model>,
    pub(super) options: &'a TuneOptions,
    pub(super) settings: &'a QuantiseSettings,
    pub(super) runtime: &'a Runtime,
}

/// A trained model with products of codes.
pub(super) struct TrainedCodes {
    pub(super) model: Model,
    pub(super) training: TrainingRecord,
    pub(super) quantisation: CodedTuning,
}

/// A model that could be written, with the one that was quantised.
type Candidate<'a> = (CodedWay, &'a Analysis, Quantised);

/// Refuses what cannot be trained as codes.
pub(super) fn check(options: &TuneOptions, model: &Model) -> Result<()> {
    let Some(settings) = &options.quantised else {
        return Ok(());
    };
    let fault = if settings.stores() {
        "`quantised` trains products of codes: for weights that are only stored as codes train first, and give the result to `secateur quantise`"
    } else if options.replace_head.is_some() {
        "a new head is trained in real numbers: train it first, and then the result with `quantised`"
    } else {
        return settings.check(model.opset(), "train without `quantised`");
    };
    Err(Error::Usage(fault.to_owned()))
}

impl Course<'_> {
    /// Trains and quantises.
    ///
    /// # Errors
    /// Data that cannot be read, nothing to quantise or to train, or a result that is not proven.
    pub(super) fn coded(&self, watch: &mut Watch, events: &mut dyn Events) -> Result<TrainedCodes> {
        let part = watch.stage("fold", || prepared(self.student, self.runtime))?;
        let fitted = watch.stage("data", || self.fitted(&part, events))?;
        let plain = self.quantised(&part, &fitted, watch, events)?;
        let student = plain.student(&part, self.settings)?;
        let pool = watch.stage("data", || opened(&part, &self.options.data))?;
        let class = self.class(&student, &pool);
        let settings = self.training(&student, &pool)?;
        let tune = || train_with_judge(&class, &settings, events);
        let (Trained { edits, mut record }, judge) = watch.stage("tune", tune)?;
        let known = |row: &FrozenRow| part.graph().find(&row.name).is_some();
        record.frozen.retain(known);
        let taught = match edits.is_empty() {
            true => None,
            false => Some(student.taught(&edits)?),
        };
        let mut found = Vec::new();
        if let Some(taught) = &taught {
            let by = (self.settings, fitted.pass());
            let nearest = plain.of_taught((&part, &student), taught, by, events)?;
            let anew = self.quantised(taught, &fitted, watch, events)?;
            found.push((CodedWay::Trained, &part, nearest));
            found.push((CodedWay::RoundedAnew, taught, anew));
        }
        found.insert(0, (CodedWay::Untrained, &part, plain));
        let before = watch.stage("judge", || judge.judge(part.graph().model()))?;
        let candidates = watch.stage("judge", || judged(&judge, &found))?;
        let (taken, whole, best) = found.swap_remove(best(&candidates));
        let by = (&mut *watch, events);
        let proven = finished(whole, best, self.settings, &fitted, by)?;
        let diverged = || self.divergence(proven.judged(), &fitted);
        let divergence = watch.stage("judge", diverged)?;
        let quantisation = Quantisation {
            divergence,
            ..proven.quantisation
        };
        Ok(TrainedCodes {
            model: proven.model,
            training: record,
            quantisation: CodedTuning {
                quantisation,
                taken,
                candidates,
                before,
            },
        })
    }

    /// The samples that ranges and roundings are found on.
    fn fitted<'a>(&self, part: &'a Analysis, events: &mut dyn Events) -> Result<Opened<'a>> {
        let data = &self.options.data;
        let few = Calibration {
            samples: data.samples.min(Calibration::SAMPLES),
            ..data.clone()
        };
        let layers = Layers::of(part).layers;
        let runtime = &self.options.runtime;
        few.open(part, &layers, (BATCHES, false), runtime, events)
    }

    fn quantised(
        &self,
        part: &Analysis,
        fitted: &Opened,
        watch: &mut Watch,
        events: &mut dyn Events,
    ) -> Result<Quantised> {
        let subject = Subject::alone(part);
        watch.stage("quantise", || {
            quantise(&subject, self.settings, fitted.pass(), events)
        })
    }

    fn class<'a>(&'a self, student: &'a RoundedStudent, pool: &'a Pool<'a>) -> Classroom<'a> {
        Classroom {
            student: &student.graph,
            teacher: self.teacher,
            pool,
            runtime: self.runtime,
            provider: &self.options.data.provider,
        }
    }

    /// How the student is trained.
    fn training(&self, student: &RoundedStudent, pool: &Pool) -> Result<TrainOptions> {
        let tuning = &self.options.tuning;
        let labels = tuning.labels || self.teacher.is_none();
        let mut settings = tuning.resolved(&pool.batch(&[0])?, labels);
        if tuning.steps.is_none() {
            settings.steps = settings.steps.div_ceil(SHARE);
        }
        let held = student.held.iter();
        settings.choice.held = held.map(|(name, why)| (name.clone(), *why)).collect();
        Ok(settings)
    }

    /// How far the outputs of a model are from the teacher's, if there is one.
    fn divergence(&self, model: &Model, fitted: &Opened) -> Result<Option<f64>> {
        let diverged = |teacher| held_out_divergences(fitted.pass(), teacher, [model]);
        let diverged = self.teacher.map(diverged).transpose()?;
        Ok(diverged.map(|[divergence]| divergence))
    }
}

/// The loss of each model, as training judges its weights.
fn judged(judge: &Judge, found: &[Candidate]) -> Result<Vec<CodedCandidate>> {
    let each = found.iter().map(|(way, _, found)| {
        Ok(CodedCandidate {
            way: *way,
            loss: judge.judge(found.judged())?,
        })
    });
    each.collect()
}

/// The place of the least loss, the first one of several.
fn best(candidates: &[CodedCandidate]) -> usize {
    let loss = |of: &CodedCandidate| of.loss.unwrap_or(f64::INFINITY);
    let each = candidates.iter().enumerate();
    let best = each.min_by(|a, b| loss(a.1).total_cmp(&loss(b.1)));
    best.map_or(0, |(place, _)| place)
}

impl TrainedCodes {
    /// What the user should know.
    pub(super) fn warnings(&self) -> Vec<String> {
        let mut warnings = self.quantisation.quantisation.notes();
        if self.quantisation.taken == CodedWay::Untrained {
            warnings.push(
                "training made the rounded model no better on held-out samples: what `secateur quantise` makes of it was taken"
                    .to_owned(),
            );
        }
        warnings
    }
}
