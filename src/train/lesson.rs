//! Everything that a training needs, made once, and one step of it.

use super::answers::answer_rows;
use super::augment::Augmentation;
use super::checkpoint::FILE;
use super::classroom::{Classroom, Taught, no_labels, of_labels};
use super::judge::Judge;
use super::options::TrainOptions;
use super::order::SampleOrder;
use super::parts::{Fitted, MemoryBound, fitted, split};
use super::record::PartsFor;
use super::schedule::Schedule;
use super::step::StepModel;
use super::trained_on::parts_in;
use super::update::DECAYS;
use crate::data::Batch;
use crate::error::Result;
use crate::onnx::ElementType;
use crate::runtime::{Session, Tensor};

/// Weight of the right answers where there is a teacher as well.
const ANSWERS_SHARE: f64 = 0.5;
/// Samples that show what the inputs have in common.
const SHOWN: usize = 64;
/// Samples that show how outputs are compared.
const FEW: usize = 8;

/// Everything that a training needs, made once.
pub(super) struct Lesson<'a> {
    pub(super) class: &'a Classroom<'a>,
    pub(super) options: &'a TrainOptions,
    order: SampleOrder,
    pub(super) made: StepModel,
    /// Parts of equal size that a batch is run in.
    pub(super) parts: usize,
    /// Bytes of memory that training takes, as estimated.
    pub(super) bytes: u64,
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
        let together = if pool.is_fixed() { 1 } else { items };
        let first = pool.batch(&order.batch(0)[..together])?;
        let mut teacher = class.teacher_for(&first)?;
        let few = pool.batch(&order.batch(0)[..together.min(FEW)])?;
        let comparisons = class.comparisons(teacher.as_mut(), &few)?;
        let answers = options.labels.then(|| of_labels(&comparisons)).flatten();
        if options.labels && first.labels.is_none() {
            return Err(no_labels());
        }
        drop(first);
        let shares = shares(teacher.is_some(), answers.is_some());
        let taught = Taught {
            comparisons,
            answers,
        };
        let Fitted { made, parts, bytes } = fitted_step(class, options, &taught, &mut order)?;
        let mut judge = Judge {
            pool,
            augmentation,
            batch: items,
            part: items / parts,
            seed: options.seed,
            runtime: class.runtime,
            options: class.session_options(),
            answers: taught.answers,
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
            parts,
            bytes,
            session,
            teacher,
            judge,
        })
    }

    /// Why a batch is run in parts, if it is.
    pub(super) fn split(&self) -> Option<PartsFor> {
        match (self.parts, self.class.pool.is_fixed()) {
            (0 | 1, _) => None,
            (_, true) => Some(PartsFor::FixedBatch),
            (_, false) => Some(PartsFor::Memory),
        }
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
        let pool = self.class.pool;
        let items = self.order.batch(number);
        let mut batch = pool.batch(&items)?;
        let mut generator = Augmentation::generator(self.options.seed, number);
        self.judge
            .augmentation
            .apply(&mut batch.inputs, &mut generator)?;
        let axis = |name: &str| pool.axis(name);
        let batches = split(batch, &axis, items.len(), self.judge.part)?;
        let parts = batches.iter().map(|part| self.asked(part));
        let parts = parts.collect::<Result<Vec<_>>>()?;
        let energies = self.energies(&parts)?;
        let read = [self.made.names.loss.clone(), self.made.names.norm.clone()];
        let (mut loss, mut norm) = (0.0, f64::NAN);
        let count = parts.len();
        for (place, mut inputs) in parts.into_iter().enumerate() {
            inputs.extend(energies.iter().cloned());
            self.add_numbers(&mut inputs, schedule.hyper(number), place + 1 == count)?;
            let made = self.session.step(&inputs, &read)?;
            let number = |place: usize| {
                let numbers = made.get(place).map(|(_, tensor)| tensor.to_f64());
                numbers.and_then(|numbers| numbers.first().copied())
            };
            loss += number(0).unwrap_or(f64::NAN);
            norm = number(1).unwrap_or(f64::NAN);
        }
        Ok([loss, norm])
    }

    /// Adds what a run is told beside its samples. Before the last part of a batch weights neither move nor decay.
    fn add_numbers(
        &self,
        inputs: &mut Vec<(String, Tensor)>,
        hyper: [f32; 4],
        is_last: bool,
    ) -> Result<()> {
        let names = &self.made.names;
        let [rate, plain, first, second] = hyper.map(f64::from);
        let last = f64::from(u8::from(is_last));
        let mut numbers = vec![
            (&names.rates[0], last * rate * first),
            (&names.rates[1], second),
        ];
        numbers.extend(names.decay.as_ref().map(|name| (name, last * plain)));
        numbers.extend(names.last.as_ref().map(|name| (name, last)));
        for (name, share) in names.mix.iter().zip(self.judge.shares) {
            numbers.extend(name.as_ref().map(|name| (name, share)));
        }
        for (name, number) in numbers {
            inputs.push((name.clone(), scalar(number)?));
        }
        Ok(())
    }

    /// The energies of what is asked of outputs in all parts, where the step wants them.
    fn energies(&self, parts: &[Vec<(String, Tensor)>]) -> Result<Vec<(String, Tensor)>> {
        let wanted = self.made.names.energies.iter();
        let energies = wanted.map(|(asked, name)| {
            let tensors = parts.iter().flatten().filter(|(input, _)| input == asked);
            let numbers = tensors.flat_map(|(_, tensor)| tensor.to_f64());
            let energy = numbers.map(|number| number * number).sum();
            Ok((name.clone(), scalar(energy)?))
        });
        energies.collect()
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

/// The step with as many parts as the memory bound or a fixed batch asks for, or as a training that goes on has had.
fn fitted_step(
    class: &Classroom,
    options: &TrainOptions,
    taught: &Taught,
    order: &mut SampleOrder,
) -> Result<Fitted<StepModel>> {
    let items = order.batch(0);
    let make = |parts: usize| {
        let part = class.pool.batch(&items[..items.len() / parts])?;
        class.step(&part, parts, taught, options)
    };
    let bound = MemoryBound::of(options, class.provider);
    let known = match &options.checkpoints {
        _ if class.pool.is_fixed() => Some(items.len()),
        Some((folder, true)) if options.memory.is_none() => parts_in(&folder.join(FILE)),
        _ => None,
    };
    match known.filter(|&parts| parts > 0 && items.len().is_multiple_of(parts)) {
        Some(parts) => {
            let found = fitted(1, bound, &|_| make(parts))?;
            Ok(Fitted { parts, ..found })
        }
        None => fitted(items.len(), bound, &make),
    }
}

fn scalar(number: f64) -> Result<Tensor> {
    Tensor::from_numbers(ElementType::Float, &[], [number].into_iter())
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
