//! Batches put together from others, and data sets of chosen samples.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Batch, DataSet, Kind, Labels};
use crate::dimensions::Analysis;
use crate::error::{Error, Result};
use crate::random::permutation;
use crate::runtime::Tensor;

/// Which samples a data set gives, in which order.
#[derive(Clone, Debug)]
pub(super) struct ChosenSamples {
    /// Numbers of samples; of batches where the model fixes their size, of cases where they are stored.
    pub(super) items: Arc<[usize]>,
    /// By input the axis that counts samples.
    axes: Arc<HashMap<String, usize>>,
}

impl Batch {
    /// All parts as one batch; `axis` says which axis of an input counts samples. Inputs without one are the first part's.
    ///
    /// # Errors
    /// There are no parts, or they do not fit together.
    pub(crate) fn joined(parts: &[&Batch], axis: &dyn Fn(&str) -> Option<usize>) -> Result<Batch> {
        let Some(first) = parts.first() else {
            return Err(Error::Usage("a batch has no sample".to_owned()));
        };
        let mut inputs = Vec::with_capacity(first.inputs.len());
        for (place, (name, tensor)) in first.inputs.iter().enumerate() {
            let joined = match axis(name) {
                None => tensor.clone(),
                Some(axis) => {
                    let all = parts.iter().filter_map(|part| part.inputs.get(place));
                    let all: Vec<&Tensor> = all.map(|(_, tensor)| tensor).collect();
                    Tensor::joined(&all, axis)?
                }
            };
            inputs.push((name.clone(), joined));
        }
        Ok(Batch {
            inputs,
            labels: joined_labels(parts),
            expected: None,
            samples: parts.iter().map(|part| part.samples).sum(),
        })
    }
}

/// The right answers of all parts, if all have some.
fn joined_labels(parts: &[&Batch]) -> Option<Labels> {
    let mut all = parts.iter().map(|part| part.labels.clone());
    let first = all.next()??;
    all.try_fold(first, |joined, next| match (joined, next?) {
        (Labels::Classes(mut joined), Labels::Classes(next)) => {
            joined.extend(next);
            Some(Labels::Classes(joined))
        }
        (Labels::Values(mut joined), Labels::Values(next)) => {
            joined.extend(next);
            Some(Labels::Values(joined))
        }
        _ => None,
    })
}

impl<'a> DataSet<'a> {
    /// Some of the data set, in an order that `seed` says: files are often sorted. What is counted are samples, whole batches
    /// of a model that fixes them, and cases where they are stored.
    pub(crate) fn dealt(
        &self,
        analysis: &Analysis,
        seed: u64,
        items: std::ops::Range<usize>,
    ) -> DataSet<'a> {
        let all = self.samples() / self.samples_per_item();
        let order = permutation(all, "parts of the data", seed);
        let names = analysis.sizes().samples();
        let inputs = super::declared_inputs(analysis).into_iter();
        let axes = inputs.filter_map(|input| Some((input.name.clone(), names.axis(&input.name)?)));
        DataSet {
            chosen: Some(ChosenSamples {
                items: order[items.start.min(all)..items.end.min(all)].into(),
                axes: Arc::new(axes.collect()),
            }),
            most: usize::MAX,
            ..self.clone()
        }
    }

    /// Samples of what is chosen at once.
    pub(crate) fn samples_per_item(&self) -> usize {
        match (&*self.kind, self.fixed) {
            (Kind::Stored(_), _) | (_, false) => 1,
            (_, true) => self.batch,
        }
    }

    /// At most `samples` of those that are chosen, from the one with this number.
    pub(super) fn gathered(
        &self,
        chosen: &ChosenSamples,
        from: usize,
        samples: usize,
    ) -> Result<Batch> {
        let unit = self.samples_per_item();
        let to = (from + samples).min(self.samples());
        let whole = DataSet {
            chosen: None,
            most: usize::MAX,
            batch: unit,
            ..self.clone()
        };
        let items = chosen.items[from / unit..to.div_ceil(unit)].iter();
        let parts: Result<Vec<Batch>> = items.map(|&item| whole.batch(item)).collect();
        let parts = parts?;
        match &parts[..] {
            [one] => Ok(one.clone()),
            _ => Batch::joined(&parts.iter().collect::<Vec<_>>(), &|input| {
                chosen.axes.get(input).copied()
            }),
        }
    }
}
