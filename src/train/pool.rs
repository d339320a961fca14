//! Samples that batches are put together from, in any order.

use crate::data::{Batch, DataSet, HELD_OUT};
use crate::dimensions::Analysis;
use crate::error::{Error, Result};

/// Bytes of samples that are held; more are read again for every batch.
const HELD: usize = 512 << 20;
/// Samples at least, so that one can be held out.
const FEWEST: usize = 5;

/// A data set by single samples, or by the batches that the model fixes: items.
pub(crate) struct Pool<'a> {
    data: DataSet<'a>,
    analysis: &'a Analysis,
    /// All items, where they are not too many.
    held: Option<Vec<Batch>>,
    items: usize,
}

impl<'a> Pool<'a> {
    /// # Errors
    /// Data that cannot be read, or too little to hold some out.
    pub(crate) fn new(data: DataSet<'a>, analysis: &'a Analysis) -> Result<Pool<'a>> {
        let data = data.in_batches(1);
        let items = data.batches();
        if items < FEWEST {
            return Err(Error::Data {
                what: data.describe(),
                misfits: vec![format!(
                    "training holds one sample in {HELD_OUT} out, so that it needs at least {FEWEST} of what the model takes at once; there are {items}"
                )],
            });
        }
        let mut pool = Pool {
            data,
            analysis,
            held: None,
            items,
        };
        let first = pool.data.batch(0)?;
        let bytes: usize = first.inputs.iter().map(|(_, x)| x.packed().len()).sum();
        if bytes.saturating_mul(items) <= HELD {
            let all = (0..items).map(|item| pool.data.batch(item));
            pool.held = Some(all.collect::<Result<_>>()?);
        }
        Ok(pool)
    }

    /// Items that training sees; the others are held out.
    pub(crate) fn seen(&self) -> usize {
        self.items - (self.items / HELD_OUT).max(1)
    }

    /// The items that are held out.
    pub(crate) fn held_out(&self) -> std::ops::Range<usize> {
        self.seen()..self.items
    }

    /// Samples in an item.
    pub(crate) fn samples_per_item(&self) -> usize {
        self.data.batch_size()
    }

    /// Whether the model takes no other number of samples than an item has.
    pub(crate) fn is_fixed(&self) -> bool {
        self.analysis.sizes().samples().fixed().is_some()
    }

    /// The axis of an input that counts samples.
    pub(crate) fn axis(&self, input: &str) -> Option<usize> {
        self.analysis.sizes().samples().axis(input)
    }

    /// Hash of the samples.
    ///
    /// # Errors
    /// Data that cannot be read.
    pub(crate) fn hash(&self) -> Result<String> {
        self.data.hash()
    }

    pub(crate) fn describe(&self) -> String {
        self.data.describe()
    }

    /// Items as one batch.
    ///
    /// # Errors
    /// Data that cannot be read.
    pub(crate) fn batch(&self, items: &[usize]) -> Result<Batch> {
        let read;
        let parts: Vec<&Batch> = match &self.held {
            Some(held) => items.iter().filter_map(|&item| held.get(item)).collect(),
            None => {
                let all = items.iter().map(|&item| self.data.batch(item));
                read = all.collect::<Result<Vec<_>>>()?;
                read.iter().collect()
            }
        };
        Batch::joined(&parts, &|input| self.axis(input))
    }
}
