//! What to keep: channels ranked, counted by scope or budget, or spread by what removing them costs at the
//! outputs, measured by running the model on data.

mod allocate;
mod counts;
mod curves;
mod outputs;
mod ranked;
mod select;
mod sensitivity;
mod sizes;
mod speed;
mod widths;

pub use select::select;
pub use speed::{Forecast, SlowLayer};

pub(crate) use allocate::Curve;
pub(crate) use curves::curves;
pub(crate) use outputs::Outputs;
pub(crate) use select::Ranking;
pub(crate) use sensitivity::loss_scores;
pub(crate) use speed::forecast;
