//! What to keep: channels ranked, counted by scope or budget, or spread by what removing them costs at the
//! outputs, measured by running the model on data.

mod allocate;
mod counts;
mod curves;
mod gates;
mod gauge;
mod outputs;
mod priced;
mod ranked;
mod select;
mod sensitivity;
mod sizes;
mod speed;
mod widths;

pub use select::select;
pub use speed::{Forecast, SlowLayer};

pub(crate) use curves::{curve_operations, curves};
pub(crate) use gates::{AnswerSource, GateScores, gate_scores};
pub(crate) use outputs::{Outputs, held_out_divergences};
pub(crate) use select::{Effects, Ranking, places};
pub(crate) use sensitivity::loss_scores;
pub(crate) use speed::forecast;
