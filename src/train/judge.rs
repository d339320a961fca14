//! How good weights are: the divergence from the teacher on samples that nothing was fitted to.
//!
//! Each is judged in several augmented copies, the same ones every time, since few samples are held out.

use super::answers::{Answers, answers_loss};
use super::augment::Augmentation;
use super::parts::split;
use super::pool::Pool;
use crate::data::Batch;
use crate::error::Result;
use crate::metrics::{LARGEST, divergence};
use crate::onnx::Model;
use crate::runtime::{Runtime, Session, SessionOptions, Tensor};

/// Copies of each sample.
const COPIES: usize = 4;
/// Set apart from the numbers that training draws.
const SEED: u64 = 0x6a75_6467;

/// Judges models on the samples that are held out.
pub(crate) struct Judge<'a> {
    pub(super) pool: &'a Pool<'a>,
    pub(super) augmentation: Augmentation,
    /// Items that are augmented together.
    pub(super) batch: usize,
    /// Items that are run together.
    pub(super) part: usize,
    pub(super) seed: u64,
    pub(super) runtime: &'a Runtime,
    pub(super) options: SessionOptions,
    /// The right answers that count beside the teacher, with the weights of both.
    pub(super) answers: Option<Answers>,
    pub(super) shares: [f64; 2],
    /// What the teacher makes of every batch; empty without one.
    pub(super) taught: Vec<Vec<(String, Tensor)>>,
}

impl Judge<'_> {
    /// All batches, augmented: the same in every call.
    fn batches(&self) -> impl Iterator<Item = Result<Batch>> + '_ {
        let copies = match self.augmentation.is_none() {
            true => 1,
            false => COPIES,
        };
        let items: Vec<usize> = self.pool.held_out().collect();
        let parts: Vec<Vec<usize>> = items.chunks(self.batch).map(<[usize]>::to_vec).collect();
        let all = (0..copies).flat_map(move |_| parts.clone()).enumerate();
        all.flat_map(|(number, items)| match self.parts(number, &items) {
            Ok(parts) => parts.into_iter().map(Ok).collect(),
            Err(fault) => vec![Err(fault)],
        })
    }

    /// Items as one batch, augmented as the one with this number, in the parts that are run.
    fn parts(&self, number: usize, items: &[usize]) -> Result<Vec<Batch>> {
        let mut batch = self.pool.batch(items)?;
        let mut generator = Augmentation::generator(self.seed ^ SEED, number);
        self.augmentation.apply(&mut batch.inputs, &mut generator)?;
        let axis = |name: &str| self.pool.axis(name);
        split(batch, &axis, items.len(), self.part)
    }

    /// Lets the teacher answer.
    pub(super) fn listen(&mut self, teacher: &mut Session) -> Result<()> {
        let mut taught = Vec::new();
        for batch in self.batches() {
            taught.push(batch?.run(teacher)?);
        }
        self.taught = taught;
        Ok(())
    }

    /// The loss of a model per sample; none where it is no number.
    pub(crate) fn judge(&self, model: &Model) -> Result<Option<f64>> {
        let what = "the model that is trained";
        let mut session = self.runtime.session_with(model, what, &self.options)?;
        let (mut sum, mut samples) = (0.0, 0);
        for (number, batch) in self.batches().enumerate() {
            let batch = batch?;
            let outputs = batch.run(&mut session)?;
            samples += batch.samples;
            if let Some(taught) = self.taught.get(number) {
                let divergence = divergence(taught, &outputs, batch.samples);
                if divergence >= LARGEST {
                    return Ok(None);
                }
                sum += self.shares[0] * divergence;
            }
            if let Some(answers) = &self.answers {
                sum += self.shares[1] * answers_loss(answers, &outputs, &batch)?;
            }
        }
        let loss = sum / samples.max(1) as f64;
        Ok(loss.is_finite().then_some(loss))
    }
}
