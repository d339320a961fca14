//! How far outputs are from other outputs and from right answers: pure functions of numbers.

mod compare;
mod deviation;
mod divergence;
mod judged;
mod scores;
mod task;

pub use compare::OutputDeviation;
pub use deviation::Deviation;
pub use scores::ClassRow;
pub use task::{Metric, TaskReport};

pub(crate) use compare::{Gap, same_form, spread};
pub(crate) use deviation::{Deviations, counterpart};
pub(crate) use divergence::{LARGEST, Logs, divergence, divergences};
pub(crate) use judged::{agreements, interval_of_mean, mean};
pub(crate) use task::Task;
