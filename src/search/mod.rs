//! What to keep: channels ranked, counted by scope or budget, or spread by what removing them costs at the
//! outputs, measured by running the model on data.

mod allocate;
mod blocks;
mod counts;
mod curves;
mod eligible;
mod exchange;
mod gates;
mod gauge;
mod goal;
mod judge;
mod library;
mod outputs;
mod priced;
mod ranked;
mod replaced;
mod select;
mod sensitivity;
mod sized;
mod sizes;
mod speed;
mod widths;

pub use goal::{GoalRow, SearchGoal};
pub use judge::{Estimate, JudgedMetric, ModelJudgement};
pub use select::select;
pub use speed::{Forecast, SlowLayer};

pub(crate) use blocks::least_blocks;
pub(crate) use curves::{SharedWork, curve_operations, curves, originals};
pub(crate) use eligible::{check, labels};
pub(crate) use gates::{AnswerSource, GateScores, gate_scores};
pub(crate) use judge::{ModelJudge, Tally};
pub(crate) use library::PlanLibrary;
pub(crate) use outputs::{Outputs, held_out_divergences};
pub(crate) use replaced::Replaceable;
pub(crate) use select::{Effects, Ranking, places};
pub(crate) use sensitivity::loss_scores;
pub(crate) use sized::{Sized, at_sizes};
pub(crate) use speed::forecast;
