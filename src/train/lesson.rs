//! Everything that a training needs, made once, and one step of it.

use super::answers::answer_rows;
use super::augment::Augmentation;
use super::classroom::{Classroom, no_labels, of_labels};
use super::judge::Judge;
use super::options::TrainOptions;
use super::order::SampleOrder;
use super::schedule::Schedule;
use super::step::{DECAYS, StepModel};
use crate::data::Batch;
use crate::error::Result;
use crate::onnx::ElementType;
use crate::runtime::{Session, Tensor};

/// Weight of the right answers where there is a teacher as well.
const ANSWERS_SHARE: f64 = 0.5;
/// Samples that show what the inputs have in common.
const SHOWN: usize = 64;

/// Everything that a training needs, made once.
pub(super) struct Lesson<'a> {
    pub(super) class: &'a Classroom<'a>,
    pub(super) options: &'a TrainOptions,
    order: SampleOrder,
    pub(super) made: StepModel,
    pub(super) session: Session,
    teacher: Option<Session>,
    pub(super) judge: Judge<'a>,
}

impl<'a> Lesson<'a> {
    /// # Errors
    /// Data that cannot be read or does not fit, or a model in which nothing can be trained.
    pub(super) fn prepare(
        class: &'a Classroom<'a>,
        options: &'a TrainOptions,
    ) -> Result<Lesson<'a>> {
        let pool = class.pool;
        let items = (options.batch / pool.samples_per_item().max(1)).clamp(1, pool.seen());
        let shown: Vec<usize> = (0..pool.seen().min(SHOWN)).collect();
        let shown = pool.batch(&shown)?;
        let axis = |name: &str| pool.axis(name);
        let augmentation = Augmentation::of(&shown.inputs, &axis, &options.augment);
        let mut order = SampleOrder::new(pool.seen(), items, options.seed)?;
        let first = pool.batch(&order.batch(0))?;
        let mut teacher = class.teacher_for(&first)?;
        let comparisons = class.comparisons(teacher.as_mut(), &first)?;
        let answers = options.labels.then(|| of_labels(&comparisons)).flatten();
        if options.labels && first.labels.is_none() {
            return Err(no_labels());
        }
        let shares = shares(teacher.is_some(), answers.is_some());
        let made = class.step(&first, &comparisons, answers.as_ref(), options)?;
        let mut judge = Judge {
            pool,
            augmentation,
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
            order,
            made,
            session,
            teacher,
            judge,
        })
    }

    pub(super) fn schedule(&self, steps: usize) -> Schedule {
        Schedule {
            steps,
            rate: self.options.rate,
            decay: self.options.decay,
            betas: DECAYS,
        }
    }

    /// One step: its loss and the norm of its gradient.
    pub(super) fn step(&mut self, number: usize, schedule: &Schedule) -> Result<[f64; 2]> {
        let items = self.order.batch(number);
        let mut batch = self.class.pool.batch(&items)?;
        let mut generator = Augmentation::generator(self.options.seed, number);
        self.judge
            .augmentation
            .apply(&mut batch.inputs, &mut generator)?;
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
        for (name, share) in names.mix.iter().zip(self.judge.shares) {
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
            for (name, tensor) in batch.run(teacher)? {
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

    /// Weights, or one of their moments, as they are now.
    pub(super) fn state(&mut self, place: usize) -> Result<Vec<f32>> {
        let name = self.made.names.state[place].0.clone();
        let state = self.session.state(&[name])?;
        Ok(match state.into_iter().next() {
            Some((_, Tensor::Float(numbers))) => numbers.into_raw_vec_and_offset().0,
            _ => Vec::new(),
        })
    }

    /// The first weight whose gradient was no number.
    pub(super) fn without_number(&mut self) -> Result<Option<String>> {
        let moments = self.state(1)?;
        let mut parameters = self.made.parameters.all.iter();
        let bad = parameters.find(|parameter| {
            let own = &moments[parameter.start..parameter.start + parameter.count()];
            own.iter().any(|number| !number.is_finite())
        });
        Ok(bad.map(|parameter| parameter.name.clone()))
    }
}

/// Weights of the teacher's and of the right answers' loss.
fn shares(taught: bool, labelled: bool) -> [f64; 2] {
    match (taught, labelled) {
        (true, true) => [1.0 - ANSWERS_SHARE, ANSWERS_SHARE],
        (true, false) => [1.0, 0.0],
        (false, _) => [0.0, 1.0],
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
