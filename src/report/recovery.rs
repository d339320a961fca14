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
    /// The data.
    pub data: String,
    /// Number of samples.
    pub samples: usize,
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
            "recovered on {} (errors are shares of what the dense outputs vary by, on samples held out)",
            self.data
        )?;
        let poor = self.layers.iter().filter(|l| l.left.is_none());
        let poor: Vec<_> = poor.filter(|l| l.rows < l.columns as u64).collect();
        if let Some(worst) = poor
            .iter()
            .min_by_key(|l| l.rows * 1000 / l.columns.max(1) as u64)
        {
            writeln!(
                f,
                "warning: {} layer(s) sum over more inputs than they were calibrated on rows, the worst '{}' ({} inputs, rank at most {}): give more samples",
                poor.len(),
                worst.layer,
                worst.columns,
                worst.rows
            )?;
        }
        Ok(())
    }
}
