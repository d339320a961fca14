//! One cost at a choice of channels that changes dimension by dimension.

use crate::dimensions::Meter;
use crate::latency::LatencyMeter;
use crate::plan::Cost;

/// A cost: counted, or expected of times that were measured.
pub(super) enum Gauge<'a> {
    Counted(Meter<'a>, Cost),
    /// Nanoseconds.
    Timed(LatencyMeter<'a>),
}

impl Gauge<'_> {
    /// Channels that stay, by dimension.
    pub(super) fn channels(&self) -> &[usize] {
        match self {
            Gauge::Counted(meter, _) => meter.channels(),
            Gauge::Timed(meter) => meter.channels(),
        }
    }

    /// Another number of channels stays of one dimension.
    pub(super) fn set(&mut self, dimension: usize, channels: usize) {
        match self {
            Gauge::Counted(meter, _) => meter.set(dimension, channels),
            Gauge::Timed(meter) => meter.set(dimension, channels),
        }
    }

    /// The cost now.
    pub(super) fn cost(&self) -> u64 {
        match self {
            Gauge::Counted(meter, cost) => cost.of(&meter.totals()).unwrap_or(0),
            Gauge::Timed(meter) => meter.nanoseconds(),
        }
    }
}
