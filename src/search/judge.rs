//! Models judged on samples that nothing else has seen: how far their outputs are from the original's, and how well they
//! answer where there are labels, each with its interval.

use serde::{Deserialize, Serialize};

use super::outputs::{MOST_OUTPUTS, Tensors};
use crate::data::Batch;
use crate::engine::Pass;
use crate::error::Result;
use crate::metrics::{Task, TaskReport, agreements, divergences, interval_of_mean, mean};
use crate::onnx::Model;

/// A mean over samples.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The mean.
    pub value: f64,
    /// Its 95 % interval by bootstrap over samples.
    pub interval: [f64; 2],
}

/// A metric of a model beside the original's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JudgedMetric {
    /// Its name, as validation has it.
    pub name: String,
    /// The original's.
    pub original: f64,
    /// The model's.
    pub value: f64,
    /// How much worse that is; negative if it is better.
    pub drop: Estimate,
}

/// What was found of a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelJudgement {
    /// Samples.
    pub samples: usize,
    /// How far the outputs are from the original's, per sample: Kullback-Leibler divergence of rows of classes, else the squared
    /// error as a share of the energy.
    pub divergence: Estimate,
    /// Share of rows with the same largest element; none where outputs have no rows of two and more.
    pub agreement: Option<Estimate>,
    /// Metrics; empty without labels.
    pub metrics: Vec<JudgedMetric>,
}

impl ModelJudgement {
    /// A metric by its name.
    pub fn metric(&self, name: &str) -> Option<&JudgedMetric> {
        self.metrics.iter().find(|metric| metric.name == name)
    }
}

/// What outputs on batch after batch add up to.
#[derive(Default)]
pub(crate) struct Tally {
    divergences: Vec<f64>,
    /// By output that has rows.
    agreements: Vec<Vec<f64>>,
    task: Task,
}

impl Tally {
    /// Adds what both models make of a batch.
    ///
    /// # Errors
    /// Labels that do not fit the outputs.
    pub(crate) fn add(&mut self, batch: &Batch, dense: &Tensors, outputs: &Tensors) -> Result<()> {
        self.divergences
            .extend(divergences(dense, outputs, batch.samples));
        let found = agreements(dense, outputs, batch.samples);
        self.agreements.resize(found.len(), Vec::new());
        for (all, found) in self.agreements.iter_mut().zip(found) {
            all.extend(found);
        }
        let Some(labels) = &batch.labels else {
            return Ok(());
        };
        match (dense.first(), outputs.first()) {
            (Some((_, dense)), Some((_, output))) => self.task.add(labels, dense, output),
            _ => Ok(()),
        }
    }

    /// With intervals that `seed` says.
    pub(crate) fn judgement(&self, seed: u64) -> ModelJudgement {
        let interval = |numbers: &[f64]| interval_of_mean(numbers, seed);
        self.finished(&interval, self.task.finish(seed))
    }

    /// Without intervals: they cost most of the time.
    pub(crate) fn points(&self) -> ModelJudgement {
        self.finished(&|numbers| [mean(numbers); 2], self.task.points())
    }

    fn finished(
        &self,
        interval: &dyn Fn(&[f64]) -> [f64; 2],
        task: Option<TaskReport>,
    ) -> ModelJudgement {
        let estimate = |numbers: &[f64]| Estimate {
            value: mean(numbers),
            interval: interval(numbers),
        };
        let outputs = self.agreements.iter();
        let worst = outputs.min_by(|a, b| mean(a).total_cmp(&mean(b)));
        let metrics = task.map_or(Vec::new(), |task| task.metrics);
        let metrics = metrics.into_iter().map(|metric| JudgedMetric {
            name: metric.name.to_owned(),
            original: metric.reference,
            value: metric.candidate,
            drop: Estimate {
                value: metric.drop,
                interval: metric.interval,
            },
        });
        ModelJudgement {
            samples: self.divergences.len(),
            divergence: estimate(&self.divergences),
            agreement: worst.map(|shares| estimate(shares)),
            metrics: metrics.collect(),
        }
    }
}

/// Samples with what the original makes of them.
pub(crate) struct ModelJudge<'a> {
    pass: Pass<'a>,
    original: &'a Model,
    /// By batch; none where they are too many to be held.
    dense: Option<Vec<Tensors>>,
    seed: u64,
}

impl<'a> ModelJudge<'a> {
    /// On all of the data of `pass`.
    ///
    /// # Errors
    /// Data that cannot be read, or a provider that refuses the model.
    pub(crate) fn new(original: &'a Model, pass: Pass<'a>, seed: u64) -> Result<ModelJudge<'a>> {
        let mut session = pass.session(original, "the model")?;
        let (mut dense, mut numbers) = (Vec::new(), 0);
        for number in 0..pass.data.batches() {
            let outputs = pass.data.batch(number)?.run(&mut session)?;
            let sizes = outputs.iter().map(|(_, tensor)| tensor.shape().iter());
            numbers += sizes.map(|sizes| sizes.product::<usize>()).sum::<usize>();
            if numbers > MOST_OUTPUTS {
                break;
            }
            dense.push(outputs);
        }
        Ok(ModelJudge {
            dense: (numbers <= MOST_OUTPUTS).then_some(dense),
            pass,
            original,
            seed,
        })
    }

    /// # Errors
    /// Data that cannot be read, labels that do not fit the outputs, or a provider that refuses the model.
    pub(crate) fn of(&self, model: &Model) -> Result<ModelJudgement> {
        let mut session = self.pass.session(model, "the changed model")?;
        let mut original = match &self.dense {
            Some(_) => None,
            None => Some(self.pass.session(self.original, "the model")?),
        };
        let mut tally = Tally::default();
        for number in 0..self.pass.data.batches() {
            let batch = self.pass.data.batch(number)?;
            let outputs = batch.run(&mut session)?;
            let known = self.dense.as_ref().and_then(|dense| dense.get(number));
            match (known, &mut original) {
                (Some(dense), _) => tally.add(&batch, dense, &outputs)?,
                (None, Some(original)) => tally.add(&batch, &batch.run(original)?, &outputs)?,
                (None, None) => {}
            }
        }
        Ok(tally.judgement(self.seed))
    }
}
