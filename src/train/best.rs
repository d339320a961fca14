//! The best weights so far, and every judgement that led to them.

use super::record::Judgement;

/// The best weights so far.
pub(super) struct Best {
    pub(super) weights: Vec<f32>,
    pub(super) step: usize,
    pub(super) loss: f64,
    pub(super) judgements: Vec<Judgement>,
}

impl Best {
    pub(super) fn new(start: Vec<f32>) -> Best {
        Best {
            weights: start,
            step: 0,
            loss: f64::INFINITY,
            judgements: Vec::new(),
        }
    }

    pub(super) fn judge(&mut self, step: usize, loss: Option<f64>, weights: Option<Vec<f32>>) {
        self.judgements.push(Judgement { step, loss });
        let Some(loss) = loss.filter(|&loss| loss < self.loss) else {
            return;
        };
        self.loss = loss;
        self.step = step;
        if let Some(weights) = weights {
            self.weights = weights;
        }
    }
}
