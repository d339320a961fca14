//! The loop: steps on augmented batches, judged now and then on samples that are held out; the best state wins, the
//! one before the first step included.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::answers::answer_rows;
use super::augment::{AugmentSettings, Augmentation};
use super::best::Best;
use super::checkpoint::Checkpoint;
use super::class::{Class, no_labels, of_labels};
use super::judge::{Judge, answer};
use super::order::SampleOrder;
use super::parameters::Choice;
use super::record::{Stopped, TrainingRecord};
use super::schedule::Schedule;
use super::step::{DECAYS, Step};
use super::trained_on::TrainedOn;
use crate::data::Batch;
use crate::error::{Error, Result};
use crate::events::Events;
use crate::graph::ValueId;
use crate::onnx::ElementType;
use crate::rewrite::{Edit, with_weights};
use crate::runtime::{Session, Tensor};

/// Times that weights are judged.
const JUDGEMENTS: usize = 10;
/// Steps of the rehearsal that tells how long one takes.
const REHEARSED: usize = 3;
/// Weight of the right answers where there is a teacher as well.
const ANSWERS_SHARE: f64 = 0.5;
/// Samples that show what the inputs have in common.
const SHOWN: usize = 64;

/// How a model is trained.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct TrainOptions {
    pub(crate) steps: usize,
    /// Samples per step.
    pub(crate) batch: usize,
    /// The highest learning rate.
    pub(crate) rate: f64,
    pub(crate) decay: f64,
    pub(crate) seed: u64,
    pub(crate) choice: Choice,
    pub(crate) augment: AugmentSettings,
    /// Whether right answers count.
    pub(crate) labels: bool,
    /// Time for all steps: their number follows from it.
    #[serde(skip)]
    pub(crate) time_budget: Option<Duration>,
    /// Where the state is kept, and whether it is gone on from.
    #[serde(skip)]
    pub(crate) checkpoints: Option<(PathBuf, bool)>,
}

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
    class: &Class,
    options: &TrainOptions,
    events: &mut dyn Events,
) -> Result<Trained> {
    let mut lesson = Lesson::prepare(class, options)?;
    let steps = lesson.affordable(options)?;
    lesson.run(steps, events)
}

/// Everything that a training needs, made once.
struct Lesson<'a> {
    class: &'a Class<'a>,
    options: &'a TrainOptions,
    augmentation: Augmentation,
    order: SampleOrder,
    made: Step,
    session: Session,
    teacher: Option<Session>,
    judge: Judge<'a>,
    shares: [f64; 2],
}

impl<'a> Lesson<'a> {
    fn prepare(class: &'a Class<'a>, options: &'a TrainOptions) -> Result<Lesson<'a>> {
        let pool = class.pool;
        let items = (options.batch / pool.samples_per_item().max(1)).clamp(1, pool.seen());
        let shown: Vec<usize> = (0..pool.seen().min(SHOWN)).collect();
        let shown = pool.batch(&shown)?;
        let axis = |name: &str| pool.axis(name);
        let augmentation = Augmentation::of(&shown.inputs, &axis, &options.augment);
        let mut order = SampleOrder::new(pool.seen(), items, options.seed)?;
        let first = pool.batch(&order.batch(0))?;
        let mut teacher = class
            .teacher
            .map(|model| class.session(model, "the teacher"))
            .transpose()?;
        let outputs = match &mut teacher {
            Some(teacher) => answer(teacher, &first)?,
            None => answer(
                &mut class.session(class.student.model(), "the model")?,
                &first,
            )?,
        };
        let comparisons = class.comparisons(&outputs)?;
        let answers = options.labels.then(|| of_labels(&comparisons)).flatten();
        if options.labels && first.labels.is_none() {
            return Err(no_labels());
        }
        let shares = match (teacher.is_some(), answers.is_some()) {
            (true, true) => [1.0 - ANSWERS_SHARE, ANSWERS_SHARE],
            (true, false) => [1.0, 0.0],
            (false, _) => [0.0, 1.0],
        };
        let made = class.step(&first, &comparisons, answers.as_ref(), options)?;
        let mut judge = Judge {
            pool,
            augmentation: augmentation.clone(),
            batch: items,
            seed: options.seed,
            runtime: class.runtime,
            options: class.session_options(),
            answers,
            shares,
            taught: Vec::new(),
        };
        if let Some(teacher) = &mut teacher {
            judge.listen(teacher)?;
        }
        let what = "the step of training";
        let mut session = class.session(&made.model, what)?;
        let start = made.parameters.flat(class.student)?;
        session.keep(&made.names.state, made.start(&start)?)?;
        Ok(Lesson {
            class,
            options,
            augmentation,
            order,
            made,
            session,
            teacher,
            judge,
            shares,
        })
    }

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
        let each = start.elapsed() / REHEARSED as u32;
        let flat = self.made.parameters.flat(self.class.student)?;
        self.session.set_state(self.made.start(&flat)?)?;
        // Judging takes a part of the time as well.
        let begin = Instant::now();
        self.judge.judge(self.class.student.model())?;
        let left = time.saturating_sub(begin.elapsed() * JUDGEMENTS as u32);
        let steps = (left.as_secs_f64() / each.as_secs_f64().max(1e-9)) as usize;
        Ok(steps.clamp(JUDGEMENTS, options.steps))
    }

    fn schedule(&self, steps: usize) -> Schedule {
        Schedule {
            steps,
            rate: self.options.rate,
            decay: self.options.decay,
            betas: DECAYS,
        }
    }

    /// One step: its loss and the norm of its gradient.
    fn step(&mut self, number: usize, schedule: &Schedule) -> Result<[f64; 2]> {
        let items = self.order.batch(number);
        let mut batch = self.class.pool.batch(&items)?;
        let mut generator = Augmentation::generator(self.options.seed, number);
        self.augmentation.apply(&mut batch.inputs, &mut generator)?;
        let mut inputs = self.asked(&batch)?;
        let names = &self.made.names;
        let hyper = schedule.hyper(number);
        let [rate, plain, first, second] = hyper.map(f64::from);
        let mut number = |name: &str, number: f64| -> Result<()> {
            let tensor = Tensor::from_numbers(ElementType::Float, &[], [number].into_iter())?;
            inputs.push((name.to_owned(), tensor));
            Ok(())
        };
        number(&names.rates[0], rate * first)?;
        number(&names.rates[1], second)?;
        if let Some(name) = &names.decay {
            number(name, plain)?;
        }
        for (name, share) in names.mix.iter().zip(self.shares) {
            if let Some(name) = name {
                number(name, share)?;
            }
        }
        let read = [names.loss.clone(), names.norm.clone()];
        let made = self.session.step(&inputs, &read)?;
        let number = |place: usize| {
            let numbers = made.get(place).map(|(_, tensor)| tensor.to_f64());
            numbers.and_then(|numbers| numbers.first().copied())
        };
        Ok([0, 1].map(|place| number(place).unwrap_or(f64::NAN)))
    }

    /// What a step reads of a batch: its inputs, the teacher's answers and the right ones.
    fn asked(&mut self, batch: &Batch) -> Result<Vec<(String, Tensor)>> {
        let names = &self.made.names;
        let mut inputs: Vec<(String, Tensor)> = batch
            .inputs
            .iter()
            .filter(|(name, _)| self.made.reads.contains(name))
            .cloned()
            .collect();
        if let Some(teacher) = &mut self.teacher {
            for (name, tensor) in answer(teacher, batch)? {
                let input = names.teacher.iter().find(|(output, _)| *output == name);
                if let Some((_, input)) = input {
                    inputs.push((input.clone(), real(tensor)?));
                }
            }
        }
        if let Some((name, sizes)) = &names.answers {
            inputs.push((name.clone(), answer_rows(batch, sizes)?));
        }
        Ok(inputs)
    }

    fn run(mut self, steps: usize, events: &mut dyn Events) -> Result<Trained> {
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
        Ok(Trained { edits, record })
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
        let settings = settings.map_err(|fault| Error::Usage(fault.to_string()))?;
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
            seen: pool.seen() * pool.samples_per_item(),
            held_out: pool.held_out().len() * pool.samples_per_item(),
            augmentation: self.augmentation.describe(),
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

    fn state(&mut self, place: usize) -> Result<Vec<f32>> {
        let name = self.made.names.state[place].0.clone();
        let state = self.session.state(&[name])?;
        let numbers = state.first().map(|(_, tensor)| tensor.to_f64());
        let numbers = numbers.unwrap_or_default().into_iter();
        Ok(numbers.map(|number| number as f32).collect())
    }

    /// The first weight whose gradient was no number.
    fn without_number(&mut self) -> Result<Option<String>> {
        let moments = self.state(1)?;
        let mut parameters = self.made.parameters.all.iter();
        let bad = parameters.find(|parameter| {
            let own = &moments[parameter.start..parameter.start + parameter.count()];
            own.iter().any(|number| !number.is_finite())
        });
        Ok(bad.map(|parameter| parameter.name.clone()))
    }
}

/// As 32-bit numbers.
fn real(tensor: Tensor) -> Result<Tensor> {
    match tensor.element() {
        ElementType::Float => Ok(tensor),
        _ => {
            let numbers = tensor.to_f64();
            Tensor::from_numbers(ElementType::Float, tensor.shape(), numbers.into_iter())
        }
    }
}
