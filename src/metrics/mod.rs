//! How far outputs are from other outputs and from right answers: pure functions of numbers.

mod compare;
mod deviation;
mod divergence;
mod scores;
mod task;

pub use compare::{OutputDeviation, compare};
pub use deviation::Deviation;
pub use scores::ClassRow;
pub use task::{Metric, TaskReport};

pub(crate) use deviation::{Deviations, counterpart};
pub(crate) use divergence::{Logs, divergence};
pub(crate) use task::Task;
