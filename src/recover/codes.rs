//! How layers become codes, and what became of them.

use std::fmt;

use serde::Serialize;

use super::group::Member;
use crate::algebra::{Codes, Steps};
use crate::rewrite::ElementSteps;

/// How the weights of a layer were rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum RoundingWay {
    /// Each to what is nearest.
    Nearest,
    /// The same, with new constants in the bias.
    Bias,
    /// Column by column, the columns to come making up for errors.
    Gptq,
    /// The same, of the solution by least squares.
    SolvedGptq,
}

impl fmt::Display for RoundingWay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RoundingWay::Nearest => "nearest",
            RoundingWay::Bias => "nearest, bias",
            RoundingWay::Gptq => "GPTQ",
            RoundingWay::SolvedGptq => "least squares, GPTQ",
        })
    }
}

/// The error of one way to round a layer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RoundingError {
    /// The way.
    pub way: RoundingWay,
    /// On the samples held out, as a share of what the target varies by.
    pub error: f64,
}

/// What became of a layer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RoundedLayer {
    /// The layer's initializer.
    pub layer: String,
    /// Layers that were rounded together with it.
    pub with: Vec<String>,
    /// What it got.
    pub method: RoundingWay,
    /// Ridge in mean diagonals, where it was solved.
    pub ridge: Option<f64>,
    /// The error of each way.
    pub errors: Vec<RoundingError>,
    /// Rows that it was rounded on.
    pub rows: u64,
    /// Inputs that it sums over.
    pub columns: usize,
}

/// How the weights of a layer become codes.
#[derive(Clone, Debug)]
pub(crate) struct LayerCodes {
    pub(crate) codes: Codes,
    /// Columns that share a step; all of a row where it has fewer.
    pub(crate) block: usize,
    /// By column, batch by batch, what weights are divided by before they become codes.
    pub(crate) divisors: Option<Vec<f32>>,
    /// Steps that are given, by element of the layer.
    pub(crate) given: Option<ElementSteps>,
}

impl LayerCodes {
    /// One step for each row.
    pub(crate) fn by_row(codes: Codes) -> LayerCodes {
        LayerCodes {
            codes,
            block: usize::MAX,
            divisors: None,
            given: None,
        }
    }

    /// These steps.
    pub(crate) fn given(steps: ElementSteps) -> LayerCodes {
        LayerCodes {
            given: Some(steps),
            ..LayerCodes::by_row(Codes { limit: i32::MAX })
        }
    }

    /// By column of a batch what its weights are divided by.
    pub(super) fn divisors(&self, batch: usize, columns: usize) -> Vec<f64> {
        match &self.divisors {
            Some(all) => {
                let own = all[batch * columns..][..columns].iter();
                own.map(|&divisor| f64::from(divisor)).collect()
            }
            None => vec![1.0; columns],
        }
    }
}

/// Takes the steps of a layer that has its own, whose columns start here.
pub(super) fn given_steps(
    given: &ElementSteps,
    member: &Member,
    at: (usize, usize),
    out: &mut Steps,
) {
    let (batch, from) = at;
    let (columns, all) = (member.pruned.columns(), out.steps.ncols());
    out.ranges.resize(out.steps.nrows() * all, None);
    let order = member.pruned.gather(&member.elements);
    let rows = member.pruned.rows();
    let own = order.iter().skip(batch * rows * columns);
    for (place, &element) in own.take(rows * columns).enumerate() {
        let (row, column) = (place / columns, place % columns);
        let scale = member.scale[batch][row];
        let [low, high] = given.ranges[element as usize];
        // A row that is turned around has its range turned around as well.
        let range = if scale < 0.0 {
            [-high, -low]
        } else {
            [low, high]
        };
        out.steps[(row, from + column)] = f64::from(given.steps[element as usize]) * scale.abs();
        out.ranges[row * all + from + column] = Some(range);
    }
}
