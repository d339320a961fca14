//! What values of a model are on data.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use crate::engine::Pass;
use crate::error::Result;
use crate::graph::{Graph, ValueId, tapped};
use crate::rewrite::Factors;
use crate::runtime::{Session, Tensor};

/// A value on a batch.
pub(super) struct ShownValue<'a> {
    pub(super) shape: &'a [usize],
    /// In row-major order.
    pub(super) numbers: &'a [f32],
}

/// What is done with a value on a batch.
type EachValue<'a> = &'a mut dyn FnMut(ValueId, ShownValue<'_>) -> Result<()>;

/// A session that shows values.
pub(super) struct Looking<'a> {
    session: Session,
    pass: Pass<'a>,
    values: HashMap<String, ValueId>,
}

impl<'a> Looking<'a> {
    pub(super) fn new(
        graph: &Graph,
        values: impl Iterator<Item = ValueId>,
        pass: Pass<'a>,
    ) -> Result<Looking<'a>> {
        let named = values.map(|value| (graph.value(value).name.clone(), value));
        let named: BTreeMap<String, ValueId> = named.collect();
        let inputs = &graph.proto().input;
        let made = named.keys().map(String::as_str);
        let made = made.filter(|name| inputs.iter().all(|input| input.name() != *name));
        let model = tapped(graph.model(), made);
        let session = pass.session(&model, "the model with its inner values")?;
        Ok(Looking {
            session,
            pass,
            values: named.into_iter().collect(),
        })
    }

    /// Shows the values on a batch.
    pub(super) fn each(&mut self, number: usize, each: EachValue<'_>) -> Result<()> {
        let batch = self.pass.data.batch(number)?;
        let outputs = batch.run(&mut self.session)?;
        for (name, tensor) in batch.inputs.iter().chain(&outputs) {
            if let (Some(&value), Tensor::Float(array)) = (self.values.get(name), tensor)
                && let Some(numbers) = array.as_slice()
            {
                let shape = tensor.shape();
                each(value, ShownValue { shape, numbers })?;
            }
        }
        Ok(())
    }
}

/// By channel the largest number, without its sign, of values whose channels lie along these axes.
pub(super) fn largest_by_channel(
    graph: &Graph,
    axes: &BTreeMap<ValueId, usize>,
    pass: Pass,
) -> Result<HashMap<ValueId, Vec<f32>>> {
    let mut largest: HashMap<ValueId, Vec<f32>> = HashMap::new();
    let mut looking = Looking::new(graph, axes.keys().copied(), pass)?;
    for number in 0..pass.data.batches() {
        looking.each(number, &mut |value, seen| {
            let axis = axes[&value];
            let channels = seen.shape.get(axis).copied().unwrap_or(1).max(1);
            let inner = seen.shape.iter().skip(axis + 1).product::<usize>().max(1);
            let most = largest.entry(value).or_insert_with(|| vec![0.0; channels]);
            for (place, row) in seen.numbers.chunks(inner).enumerate() {
                let most = &mut most[place % channels];
                *most = row.iter().fold(*most, |most, x| most.max(x.abs()));
            }
            Ok(())
        })?;
    }
    Ok(largest)
}

impl ShownValue<'_> {
    /// The numbers, times the factors of their channels.
    pub(super) fn times(&self, factors: Option<&Factors>) -> Cow<'_, [f32]> {
        let Some(factors) = factors else {
            return Cow::Borrowed(self.numbers);
        };
        let behind = self.shape.iter().rev().take(factors.inner);
        let inner = behind.product::<usize>().max(1);
        let rows = self.numbers.chunks(inner).enumerate();
        let scaled = rows.flat_map(|(place, row)| {
            let factor = factors.by_channel[place % factors.by_channel.len()];
            row.iter().map(move |x| x * factor)
        });
        Cow::Owned(scaled.collect())
    }
}
