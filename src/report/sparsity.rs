//! What `inspect --sparsity` says of a model.

use std::fmt;

use serde::Serialize;

use super::table::{count, percent, table};

/// The zeros of a model.
#[derive(Clone, Debug, Serialize)]
pub struct SparsityReport {
    /// Version of this document.
    pub schema: &'static str,
    /// The model that was read.
    pub model: String,
    /// Elements of all weights below.
    pub weights: u64,
    /// Zeros among them.
    pub zeros: u64,
    /// Every initializer of real numbers with two or more elements.
    pub initializers: Vec<SparsityRow>,
}

/// The zeros of one initializer.
#[derive(Clone, Debug, Serialize)]
pub struct SparsityRow {
    /// Its name.
    pub name: String,
    /// The operator that multiplies it with data; `-` where none does.
    pub operator: String,
    /// Sizes of its axes.
    pub shape: Vec<usize>,
    /// Number of elements.
    pub weights: usize,
    /// Zeros.
    pub zeros: usize,
    /// Rows: outputs of the layer.
    pub rows: usize,
    /// Rows of zeros only: channels that nothing produces.
    pub dead_rows: usize,
    /// Columns: inputs of the layer.
    pub columns: usize,
    /// Columns of zeros only: inputs that nothing reads.
    pub dead_columns: usize,
    /// The N:M patterns that hold along the reduction axis.
    pub patterns: Vec<String>,
    /// Number of elements by absolute value: the first from the power of two `largest` to twice that, each
    /// next half of it, the last all that are smaller; zeros are left out.
    pub histogram: Vec<usize>,
    /// Power of two of the first bucket.
    pub largest: i32,
}

impl fmt::Display for SparsityReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headings = [
            "initializer",
            "operator",
            "shape",
            "N:M",
            "magnitudes",
            "zeros",
            "dead rows",
            "dead columns",
        ];
        let mut rows = table(&headings, 5);
        for row in &self.initializers {
            rows.add_row([
                row.name.clone(),
                row.operator.clone(),
                format!("{:?}", row.shape),
                row.patterns.join(" "),
                format!("{} 2^{}", bars(&row.histogram), row.largest),
                percent(row.zeros as u64, row.weights as u64),
                format!("{} of {}", row.dead_rows, row.rows),
                format!("{} of {}", row.dead_columns, row.columns),
            ]);
        }
        writeln!(f, "{}", self.model)?;
        writeln!(f, "{rows}")?;
        writeln!(
            f,
            "magnitudes: number of weights by power of two, from 2^-{} times the largest (and below) on the left to the largest on the right; zeros are left out",
            self.initializers
                .first()
                .map_or(0, |row| row.histogram.len().saturating_sub(1)),
        )?;
        writeln!(
            f,
            "zeros: {} of {} weights, {}; `secateur clean` removes dead channels",
            count(self.zeros),
            count(self.weights),
            percent(self.zeros, self.weights)
        )
    }
}

/// Counts as a row of bars, the last count first.
fn bars(counts: &[usize]) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let most = counts.iter().max().copied().unwrap_or(0).max(1);
    let bar = |&count: &usize| match count {
        0 => ' ',
        count => {
            BARS[(count * (BARS.len() - 1))
                .div_ceil(most)
                .min(BARS.len() - 1)]
        }
    };
    counts.iter().rev().map(bar).collect()
}
