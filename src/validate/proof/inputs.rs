//! Which random inputs two models are run on.

use crate::data::switches;
use crate::dimensions::{Analysis, Filling};
use crate::error::Result;
use crate::runtime::Tensor;

pub(super) type Tensors = Vec<(String, Tensor)>;

/// The inputs that have to be drawn for every body of a model to run.
pub(super) fn draws_of_bodies(analysis: &Analysis) -> u64 {
    let switches = switches(analysis).into_iter();
    let bodies = switches.map(|switch| switch.numbers.len() as u64).max();
    bodies.unwrap_or(1).max(1)
}

/// Which inputs are drawn.
#[derive(Clone, Copy)]
pub(super) struct DrawnInputs {
    pub(super) seed: u64,
    pub(super) filling: Filling,
}

/// The same inputs with real numbers times a scale.
pub(super) fn scaled(inputs: Tensors, scale: f64) -> Result<Tensors> {
    let scaled = inputs.into_iter().map(|(name, tensor)| {
        if !tensor.element().is_float() {
            return Ok((name, tensor));
        }
        let numbers: Vec<f64> = tensor.to_f64().iter().map(|x| x * scale).collect();
        let tensor = Tensor::from_f64(tensor.element(), tensor.shape(), &numbers)?;
        Ok((name, tensor))
    });
    scaled.collect()
}
