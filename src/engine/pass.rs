//! One run of a segment over a data set.

use std::collections::HashMap;

use super::segment::Segment;
use super::spill::Spill;
use crate::data::DataSet;
use crate::error::Result;
use crate::onnx::Model;
use crate::runtime::{Provider, Runtime, Session, SessionOptions, Tensor};

/// What is done with the number and the outputs of a batch.
pub(crate) type EachBatch<'a> = &'a mut dyn FnMut(usize, &HashMap<String, Tensor>) -> Result<()>;

/// Where segments run and on what.
#[derive(Clone, Copy)]
pub(crate) struct Pass<'a> {
    pub(crate) runtime: &'a Runtime,
    pub(crate) provider: &'a Provider,
    pub(crate) data: &'a DataSet<'a>,
}

impl Pass<'_> {
    /// A session of a model where the data is run.
    ///
    /// # Errors
    /// The provider refuses the model.
    pub(crate) fn session(&self, model: &Model, what: &str) -> Result<Session> {
        let options = SessionOptions {
            provider: self.provider.clone(),
            ..SessionOptions::default()
        };
        self.runtime.session_with(model, what, &options)
    }

    /// Runs `segment` on every batch. `each` gets the outputs by name but for what only later segments need, which
    /// is left in `waiting`.
    pub(crate) fn run(
        &self,
        segment: &Segment,
        waiting: &mut Spill,
        each: EachBatch<'_>,
    ) -> Result<()> {
        let mut session = self.session(&segment.model, "a part of the model")?;
        for number in 0..self.data.batches() {
            let waited = waiting.batch(number, &segment.reads)?.into_iter();
            let mut inputs: Vec<(String, Tensor)> = waited
                .map(|(name, tensor)| (name, tensor.into_owned()))
                .collect();
            for positions in &segment.positions {
                inputs.push(positions.tensor(number)?);
            }
            if !segment.inputs.is_empty() {
                let batch = self.data.batch(number)?.inputs.into_iter();
                inputs.extend(batch.filter(|(name, _)| segment.inputs.contains(name)));
            }
            let outputs: HashMap<String, Tensor> = session.run(&inputs)?.into_iter().collect();
            each(number, &outputs)?;
            let mut handed = outputs;
            handed.retain(|name, _| segment.front.contains(name));
            for (name, tensor) in handed {
                waiting.push(number, &name, tensor)?;
            }
        }
        Ok(())
    }
}
