//! One weight of a model with other numbers, in one session: it is a graph input, and what it cannot change is run once.

use std::collections::HashSet;

use bytes::Bytes;

use super::outputs::{Outputs, Tensors};
use super::sizes::{before, waiting};
use crate::data::Batch;
use crate::engine::Split;
use crate::error::Result;
use crate::graph::ValueId;
use crate::onnx::ElementType;
use crate::rewrite::lifted;
use crate::runtime::{Session, Tensor};

/// A model in which the numbers of one weight are a setting.
pub(crate) struct Replaceable {
    name: String,
    element: ElementType,
    shape: Vec<usize>,
    after: Session,
    /// What the first part makes, by batch.
    border: Vec<Tensors>,
    inputs: Vec<Batch>,
}

impl Replaceable {
    /// On the first samples; none if the model cannot be run so.
    ///
    /// # Errors
    /// Data that cannot be read, or a provider that refuses the model.
    pub(crate) fn new(
        runs: &Outputs,
        weight: ValueId,
        samples: usize,
    ) -> Result<Option<Replaceable>> {
        let source = runs.analysis.graph();
        let (Some(tensor), Some(element)) = (source.constant(weight), source.element(weight))
        else {
            return Ok(None);
        };
        let name = source.value(weight).name.clone();
        let graph = lifted(source, &[weight])?;
        let split = Split::of(&graph, &HashSet::from([name.clone()]));
        let (inputs, border) = before(runs, &split, samples)?;
        let Some(waiting) = waiting(&split, border.first()) else {
            return Ok(None);
        };
        Ok(Some(Replaceable {
            after: runs.session(&split.after(&waiting, runs.analysis))?,
            name,
            element,
            shape: tensor.dims.iter().map(|&size| size as usize).collect(),
            border,
            inputs,
        }))
    }

    /// Runs the model with these packed numbers; `each` gets a batch's number, its samples, and the outputs.
    ///
    /// # Errors
    /// A failure inside onnxruntime, or of `each`.
    pub(crate) fn run(
        &mut self,
        numbers: &Bytes,
        each: &mut dyn FnMut(usize, usize, Tensors) -> Result<()>,
    ) -> Result<()> {
        let tensor = Tensor::from_packed(self.element, &self.shape, numbers)?;
        let setting = [(self.name.clone(), tensor)];
        for (number, batch) in self.inputs.iter().enumerate() {
            let all = setting
                .iter()
                .chain(&self.border[number])
                .chain(&batch.inputs);
            let inputs = all.filter(|(name, _)| self.after.takes(name)).cloned();
            let inputs: Vec<_> = inputs.collect();
            let mut outputs = self.after.run(&inputs)?;
            outputs.extend(self.border[number].iter().cloned());
            each(number, batch.samples, outputs)?;
        }
        Ok(())
    }
}
