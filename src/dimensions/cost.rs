//! What a model costs, and the sizes of its inputs at which that is counted.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Analysis, InputSizes, Meter};
use crate::axes::{Extent, Kept};
use crate::graph::NodeId;

/// What a model costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Numbers in weights that something reads.
    pub params: u64,
    /// Multiply-accumulate operations of one run.
    pub macs: u64,
    /// Bytes of all constant tensors that something reads.
    pub bytes: u64,
    /// Nodes.
    pub nodes: usize,
}

impl Analysis {
    /// The model's costs when `kept` is all that stays. Nodes are counted as they are, but for those that go with blocks.
    pub(crate) fn totals(&self, kept: &Kept) -> Totals {
        let meter = Meter::new(self.costs(), self.channels(kept));
        meter.without(kept.dropped()).totals()
    }

    /// Multiply-accumulate operations by node when `kept` is all that stays.
    pub(crate) fn operations(&self, kept: &Kept) -> BTreeMap<NodeId, u64> {
        let channels = self.channels(kept);
        self.costs().operations(&channels, kept.dropped())
    }

    /// The same when these numbers of channels stay, by dimension.
    #[cfg(test)]
    pub(crate) fn operations_at(&self, channels: &[usize]) -> BTreeMap<NodeId, u64> {
        self.costs().operations(channels, &Default::default())
    }

    /// The model's costs as it is.
    pub fn model_totals(&self) -> Totals {
        self.totals(&self.everything())
    }

    /// Multiply-accumulate operations of the model for one sample.
    pub(crate) fn macs_of_sample(&self) -> u64 {
        let together = self.sizes().samples().fixed().unwrap_or(1).max(1);
        self.model_totals().macs / together as u64
    }

    /// By dimension the channels that stay.
    pub(crate) fn channels(&self, kept: &Kept) -> Vec<usize> {
        let dimensions = self.dimensions().iter();
        let count =
            dimensions.map(|of| self.positions(kept, of).map_or(of.size, |kept| kept.len()));
        count.collect()
    }

    /// The number that a size is at the chosen input sizes; 1 where it cannot be told.
    pub(crate) fn number(&self, extent: &Extent) -> u64 {
        self.number_at(extent, self.sizes())
    }

    /// As [`Analysis::number`], at other sizes of the inputs.
    pub(crate) fn number_at(&self, extent: &Extent, sizes: &InputSizes) -> u64 {
        let value = self.integer_at(extent, sizes);
        value.and_then(|n| u64::try_from(n).ok()).unwrap_or(1)
    }

    /// An integer at these sizes of the inputs, where it can be told.
    pub(crate) fn integer_at(&self, extent: &Extent, sizes: &InputSizes) -> Option<i64> {
        let assign = |name: &str| sizes.get(name).unwrap_or(1);
        self.state.symbols.evaluate(extent, &assign)
    }
}
