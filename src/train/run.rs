//! The loop: steps on augmented batches, judged now and then on samples that are held out; the best state wins, the
//! one before the first step included.

use std::collections::BTreeMap;
use std::time::Instant;

use super::best::Best;
use super::checkpoint::Checkpoint;
use super::classroom::Classroom;
use super::judge::Judge;
use super::lesson::Lesson;
use super::options::TrainOptions;
use super::record::{Stopped, TrainingRecord};
use super::trained_on::{PARTS, TrainedOn};
use crate::error::{Error, Result};
use crate::events::Events;
use crate::graph::ValueId;
use crate::rewrite::{Edit, with_weights};

/// Times that weights are judged.
const JUDGEMENTS: usize = 10;
/// One in this many steps is told of.
const TOLD: usize = 10;
/// Steps of the rehearsal that tells how long one takes.
const REHEARSED: usize = 3;

/// A trained model.
pub(crate) struct Trained {
    /// New weights of the student's graph; none where the start was best.
    pub(crate) edits: BTreeMap<ValueId, Edit>,
    pub(crate) record: TrainingRecord,
}

/// Trains.
///
/// # Errors
/// Data that cannot be read or does not fit, a model in which nothing can be trained, or a failure inside onnxruntime.
pub(crate) fn train(
    class: &Classroom,
    options: &TrainOptions,
    events: &mut dyn Events,
) -> Result<Trained> {
    Ok(train_with_judge(class, options, events)?.0)
}

/// Trains, and gives who judged it, for models of the same inputs and outputs.
///
/// # Errors
/// As [`train`].
pub(crate) fn train_with_judge<'a>(
    class: &'a Classroom<'a>,
    options: &'a TrainOptions,
    events: &mut dyn Events,
) -> Result<(Trained, Judge<'a>)> {
    let mut lesson = Lesson::prepare(class, options)?;
    let steps = lesson.affordable(options)?;
    lesson.run(steps, events)
}

impl<'a> Lesson<'a> {
    /// The number of steps that there is time for.
    fn affordable(&mut self, options: &TrainOptions) -> Result<usize> {
        let Some(time) = options.time_budget else {
            return Ok(options.steps);
        };
        let schedule = self.schedule(options.steps);
        let start = Instant::now();
        for number in 0..REHEARSED {
            self.step(number, &schedule)?;
        }
        let each = start.elapsed().as_secs_f64() / REHEARSED as f64;
        let flat = self.made.parameters.flat(self.class.student)?;
        self.session.set_state(self.made.start(&flat)?)?;
        // Judging takes a part of the time as well.
        let begin = Instant::now();
        self.judge.judge(self.class.student.model())?;
        let judging = begin.elapsed().as_secs_f64() * JUDGEMENTS as f64;
        let left = (time.as_secs_f64() - judging).max(0.0);
        let steps = (left / each.max(1e-9)) as usize;
        Ok(steps.clamp(JUDGEMENTS.min(options.steps), options.steps))
    }

    fn run(mut self, steps: usize, events: &mut dyn Events) -> Result<(Trained, Judge<'a>)> {
        let schedule = self.schedule(steps);
        let start = self.made.parameters.flat(self.class.student)?;
        let mut best = Best::new(start);
        let begin = Instant::now();
        let of = self.trained_on(steps)?;
        let first = match self.gone_on(of.as_ref(), &mut best)? {
            Some(step) => step,
            None => {
                let judged = self.judge.judge(self.class.student.model())?;
                if judged.is_none() {
                    return Err(self.no_number());
                }
                best.judge(0, judged, None);
                0
            }
        };
        let mut record = self.record(steps);
        for number in first..steps {
            events.progress("tune", number, steps);
            let [loss, norm] = self.step(number, &schedule)?;
            record.note(number, loss, norm);
            if !(loss.is_finite() && norm.is_finite()) {
                record.stopped = Stopped::NoNumber {
                    step: number,
                    weight: self.without_number()?,
                };
                break;
            }
            if number.is_multiple_of(TOLD) {
                let held_out = best.judgements.last().and_then(|judged| judged.loss);
                let held_out = held_out.unwrap_or(f64::NAN);
                let rate = schedule.rate(number);
                events.detail(&format!(
                    "(loss {loss:.4}, held out {held_out:.4}, rate {rate:.1e})"
                ));
            }
            let enough = events.is_enough();
            if enough || (number + 1) * JUDGEMENTS / steps > number * JUDGEMENTS / steps {
                self.look(number + 1, &mut best)?;
                self.keep(number + 1, &best, of.as_ref())?;
            }
            if enough {
                record.stopped = Stopped::Asked { step: number + 1 };
                break;
            }
        }
        record.seconds = begin.elapsed().as_secs_f64();
        record.judgements = best.judgements;
        record.best_step = best.step;
        let edits = match best.step {
            0 => BTreeMap::new(),
            _ => self.made.parameters.edits(&best.weights),
        };
        Ok((Trained { edits, record }, self.judge))
    }

    /// That nothing can be learnt from this data.
    fn no_number(&self) -> Error {
        Error::Data {
            what: self.class.pool.describe(),
            misfits: vec![
                "on the samples held out the loss is no number before the first step: look for NaN and infinite numbers in the data, and in what the model and its teacher make of it"
                    .to_owned(),
            ],
        }
    }

    /// What a checkpoint is of; none where none is kept.
    fn trained_on(&self, steps: usize) -> Result<Option<TrainedOn>> {
        if self.options.checkpoints.is_none() {
            return Ok(None);
        }
        let options = TrainOptions {
            steps,
            ..self.options.clone()
        };
        let settings = serde_json::to_value(&options);
        let mut settings = settings.map_err(|fault| Error::Usage(fault.to_string()))?;
        settings[PARTS] = self.parts.into();
        Ok(Some(TrainedOn {
            model: self.class.student.model().hash().to_owned(),
            teacher: self
                .class
                .teacher
                .map_or("none", |teacher| teacher.hash())
                .to_owned(),
            data: self.class.pool.hash()?,
            settings,
        }))
    }

    /// Takes up the state that is kept, if that is asked for and there is one; the number of steps that were done.
    fn gone_on(&mut self, of: Option<&TrainedOn>, best: &mut Best) -> Result<Option<usize>> {
        let (Some(of), Some((folder, true))) = (of, &self.options.checkpoints) else {
            return Ok(None);
        };
        let known = Checkpoint::load(folder, of, self.made.parameters.count())?;
        let Some(known) = known else {
            return Ok(None);
        };
        let vectors = [&known.weights, &known.first_moment, &known.second_moment];
        self.session
            .set_state(self.made.state(vectors.map(Vec::as_slice))?)?;
        *best = Best {
            weights: known.best,
            step: known.best_step,
            loss: known.best_divergence,
            judgements: known.judgements,
        };
        Ok(Some(known.step))
    }

    /// Writes the state down.
    fn keep(&mut self, step: usize, best: &Best, of: Option<&TrainedOn>) -> Result<()> {
        let (Some(of), Some((folder, _))) = (of, &self.options.checkpoints) else {
            return Ok(());
        };
        if !best.loss.is_finite() {
            return Ok(());
        }
        let checkpoint = Checkpoint {
            step,
            weights: self.state(0)?,
            first_moment: self.state(1)?,
            second_moment: self.state(2)?,
            best: best.weights.clone(),
            best_step: best.step,
            best_divergence: best.loss,
            judgements: best.judgements.clone(),
        };
        checkpoint.save(folder, of)
    }

    fn record(&self, steps: usize) -> TrainingRecord {
        let pool = self.class.pool;
        TrainingRecord {
            data: pool.describe(),
            steps,
            batch: self.judge.batch * pool.samples_per_item(),
            parts: self.parts,
            split: self.split(),
            memory: self.bytes,
            seen: pool.seen() * pool.samples_per_item(),
            held_out: pool.held_out().len() * pool.samples_per_item(),
            augmentation: self.judge.augmentation.describe(),
            trained: self.made.parameters.count(),
            tensors: self.made.parameters.all.len(),
            masked: self.made.parameters.masked(),
            frozen: self.made.parameters.frozen.clone(),
            stops: self.made.stops.clone(),
            ..TrainingRecord::default()
        }
    }

    /// Judges the weights as they are now.
    fn look(&mut self, step: usize, best: &mut Best) -> Result<()> {
        let weights = self.state(0)?;
        let edits = self.made.parameters.edits(&weights);
        let model = with_weights(self.class.student, &edits)?;
        let judged = self.judge.judge(&model)?;
        best.judge(step, judged, Some(weights));
        Ok(())
    }
}
