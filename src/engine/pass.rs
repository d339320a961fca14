//! One run of a segment over a data set.

use std::collections::HashMap;

use super::segment::Segment;
use super::spill::Spill;
use crate::data::DataSet;
use crate::error::Result;
use crate::runtime::{Provider, Runtime, SessionOptions, Tensor};

/// Where segments run and on what.
#[derive(Clone, Copy)]
pub(crate) struct Pass<'a> {
    pub(crate) runtime: &'a Runtime,
    pub(crate) provider: &'a Provider,
    pub(crate) data: &'a DataSet<'a>,
}

impl Pass<'_> {
    /// Runs `segment` on every batch, with `more` as further inputs. `each` gets the outputs by name but for what
    /// only later segments need, which goes to `next`.
    pub(crate) fn run(
        &self,
        segment: &Segment,
        more: &[(String, Tensor)],
        waiting: &mut Spill,
        mut next: Option<&mut Spill>,
        each: &mut dyn FnMut(usize, &HashMap<String, Tensor>),
    ) -> Result<()> {
        let options = SessionOptions {
            provider: self.provider.clone(),
            ..SessionOptions::default()
        };
        let mut session =
            self.runtime
                .session_with(&segment.model, "a part of the model", &options)?;
        for number in 0..self.data.batches() {
            let stored = waiting.batch(number)?;
            let mut inputs: Vec<(String, Tensor)> = more.to_vec();
            for positions in &segment.positions {
                inputs.push(positions.tensor(number)?);
            }
            if !segment.inputs.is_empty() {
                let batch = self.data.batch(number)?.inputs.into_iter();
                inputs.extend(batch.filter(|(name, _)| segment.inputs.contains(name)));
            }
            let (read, passed): (Vec<_>, Vec<_>) = stored
                .into_iter()
                .partition(|(name, _)| segment.reads.contains(name));
            inputs.extend(read);
            let outputs = session.run(&inputs)?.into_iter();
            let (handed, outputs): (Vec<_>, Vec<_>) =
                outputs.partition(|(name, _)| segment.front.contains(name));
            let outputs: HashMap<String, Tensor> = outputs.into_iter().collect();
            each(number, &outputs);
            if let Some(next) = next.as_deref_mut() {
                let there = inputs.into_iter().chain(passed);
                let there = there.filter(|(name, _)| segment.front.contains(name));
                let mut front: Vec<(String, Tensor)> = there.chain(handed).collect();
                front.sort_by(|(a, _), (b, _)| a.cmp(b));
                next.push(&front)?;
            }
        }
        Ok(())
    }
}
