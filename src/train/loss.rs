//! How far the outputs of a model are from its teacher's, and from right answers, with the gradients of both.
//!
//! The gradients of the outputs are written down, not derived: for logits z of N samples and the teacher's p that of the
//! mean Kullback-Leibler divergence is `(softmax(z) - p) / N`, the same as that of the cross-entropy where p are the
//! right answers.

use crate::graph::{Array, Emitter};
use crate::metrics::Logs;
use crate::onnx::ElementType;
use crate::runtime::Tensor;

/// Probabilities below this count as this.
const LEAST: f64 = 1e-7;

/// How an output is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    /// Rows of logits, by the Kullback-Leibler divergence.
    Logits,
    /// Rows of probabilities, in the same way.
    Probabilities,
    /// Any numbers, by the squared error as a share of the energy.
    Values,
}

impl Comparison {
    /// What a teacher's output asks for, as divergences are measured.
    pub(crate) fn of(output: &Tensor) -> Comparison {
        let [_, classes] = output.shape() else {
            return Comparison::Values;
        };
        if *classes < 2 {
            return Comparison::Values;
        }
        match Logs::of(&output.to_f64(), *classes) {
            Logs::OfProbabilities => Comparison::Probabilities,
            Logs::OfLogits => Comparison::Logits,
        }
    }
}

/// The batch whose losses are added up.
#[derive(Clone, Debug)]
pub(super) struct Whole {
    /// Parts of equal size that it is run in, of which the model sees one.
    pub(super) parts: usize,
    /// The energy of what is asked of an output in all parts, where there are several and numbers are compared.
    pub(super) energy: Option<Array>,
}

impl Whole {
    /// One by the number of rows.
    fn share_of_row(&self, rows: &Array) -> f64 {
        1.0 / (rows.sizes[0].max(1) * self.parts) as f64
    }
}

/// The loss of one output and its gradient.
pub(super) struct Seeded {
    pub(super) loss: Array,
    pub(super) seed: Array,
}

/// What a teacher's output asks of one that is compared in this way: rows of probabilities, or the numbers.
pub(super) fn asked_by(emit: &mut Emitter, comparison: Comparison, teacher: &Array) -> Array {
    let t = real(emit, teacher);
    match comparison {
        Comparison::Logits => softmax(emit, &t),
        Comparison::Probabilities | Comparison::Values => t,
    }
}

/// The distance of an output from what is asked of it, times a weight: rows of probabilities, with a 1 where there are
/// right answers, or numbers. Means are over the whole batch.
pub(super) fn distance(
    emit: &mut Emitter,
    comparison: Comparison,
    output: &Array,
    asked: &Array,
    weight: &Array,
    whole: &Whole,
) -> Seeded {
    let y = real(emit, output);
    let (loss, seed) = match comparison {
        Comparison::Values => of_values(emit, &y, asked, whole),
        Comparison::Logits => of_logits(emit, &y, asked, whole),
        Comparison::Probabilities => of_probabilities(emit, &y, asked, whole),
    };
    let seed = emit.mul(&seed, weight);
    Seeded {
        loss: emit.mul(&loss, weight),
        seed: emit.cast(&seed, output.element),
    }
}

fn real(emit: &mut Emitter, x: &Array) -> Array {
    emit.cast(x, ElementType::Float)
}

fn all_axes(x: &Array) -> Vec<usize> {
    (0..x.rank()).collect()
}

/// `z - log(sum(exp z))` along the last axis.
fn log_softmax(emit: &mut Emitter, z: &Array) -> Array {
    let last = [z.rank() - 1];
    let most = emit.max(z, &last);
    let centred = emit.sub(z, &most);
    let power = emit.exp(&centred);
    let sum = emit.sum(&power, &last, true);
    let log = emit.log(&sum);
    emit.sub(&centred, &log)
}

fn softmax(emit: &mut Emitter, z: &Array) -> Array {
    let log = log_softmax(emit, z);
    emit.exp(&log)
}

/// Logarithms of probabilities, none of nothing.
fn log_of(emit: &mut Emitter, p: &Array) -> Array {
    let least = emit.number(LEAST, p.element);
    let enough = emit.greater(p, &least);
    let safe = emit.choose(&enough, p, &least);
    emit.log(&safe)
}

/// The sum of `p (log p - log q)`, times the share of a row.
fn divergence(emit: &mut Emitter, p: &Array, log_q: &Array, share: f64) -> Array {
    let log_p = log_of(emit, p);
    let difference = emit.sub(&log_p, log_q);
    let parts = emit.mul(p, &difference);
    let sum = emit.sum(&parts, &all_axes(&parts), false);
    emit.scale(&sum, share)
}

fn of_logits(emit: &mut Emitter, z: &Array, p: &Array, whole: &Whole) -> (Array, Array) {
    let share = whole.share_of_row(z);
    let log_q = log_softmax(emit, z);
    let loss = divergence(emit, p, &log_q, share);
    let q = emit.exp(&log_q);
    let difference = emit.sub(&q, p);
    let seed = emit.scale(&difference, share);
    (loss, seed)
}

fn of_probabilities(emit: &mut Emitter, q: &Array, p: &Array, whole: &Whole) -> (Array, Array) {
    let share = whole.share_of_row(q);
    let log_q = log_of(emit, q);
    let loss = divergence(emit, p, &log_q, share);
    let least = emit.number(LEAST, q.element);
    let enough = emit.greater(q, &least);
    let safe = emit.choose(&enough, q, &least);
    let ratio = emit.div(p, &safe);
    let seed = emit.scale(&ratio, -share);
    (loss, seed)
}

fn of_values(emit: &mut Emitter, y: &Array, t: &Array, whole: &Whole) -> (Array, Array) {
    let axes = all_axes(t);
    let energy = match &whole.energy {
        Some(energy) => energy.clone(),
        None => {
            let squares = emit.square(t);
            emit.sum(&squares, &axes, false)
        }
    };
    let energy = emit.shift(&energy, f64::from(f32::MIN_POSITIVE));
    let difference = emit.sub(y, t);
    let errors = emit.square(&difference);
    let error = emit.sum(&errors, &axes, false);
    let loss = emit.div(&error, &energy);
    let twice = emit.scale(&difference, 2.0);
    (loss, emit.div(&twice, &energy))
}
