//! What recovery gave each layer.

use std::fmt;

use serde::Serialize;

use super::table::table;
use crate::recover::{Method, RecoveredLayer, Recovery};

/// What recovery did.
#[derive(Clone, Debug, Serialize)]
pub struct RecoveryRow {
    /// How far it went.
    pub recovery: Recovery,
    /// Divergence of the outputs from the original's on the last fifth of the samples, after plain slicing and after
    /// recovery: Kullback-Leibler for rows of classes, else the squared error as a share of the energy.
    pub divergence: [f64; 2],
    /// Whether it was kept: not if the outputs came no nearer.
    pub kept: bool,
    /// By layer, in the order in which they were solved.
    pub layers: Vec<RecoveredLayer>,
}

impl fmt::Display for RecoveryRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows = table(&["layer", "recovered by", "error sliced", "error now"], 2);
        for layer in &self.layers {
            let what = match (&layer.left, layer.method) {
                (Some(reason), _) => format!("left alone: {reason}"),
                (None, Method::None) => "slicing is best".to_owned(),
                (None, Method::Bias) => "bias".to_owned(),
                (None, Method::Fold) => "fold".to_owned(),
                (None, Method::Solve) => {
                    let ridge = layer.ridge.unwrap_or(0.0);
                    let rounds = match layer.rounds {
                        0 => String::new(),
                        rounds => format!(", {rounds} rounds"),
                    };
                    format!("least squares (ridge {ridge:.0e}{rounds})")
                }
            };
            let share = |error: f64| match layer.left {
                Some(_) => "-".to_owned(),
                None => format!("{:.2} %", 100.0 * error),
            };
            rows.add_row([
                layer.layer.clone(),
                what,
                share(layer.before),
                share(layer.after),
            ]);
        }
        writeln!(f, "{rows}")?;
        writeln!(
            f,
            "errors are shares of what the dense outputs vary by, on samples held out"
        )?;
        let [before, after] = self.divergence;
        match self.kept {
            true => writeln!(
                f,
                "recovered: outputs diverge from the original's by {after:.4} on the last fifth of the samples, {before:.4} without recovery"
            ),
            false => writeln!(
                f,
                "not recovered: outputs would diverge from the original's by {after:.4} on the last fifth of the samples, {before:.4} without recovery"
            ),
        }
    }
}
