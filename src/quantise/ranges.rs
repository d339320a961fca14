//! The range of a tensor that 8 bits represent: what lies outside is cut off, so that the rest is finer.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::CodeSites;
use super::looking::Looking;
use crate::engine::Pass;
use crate::error::{Error, Result};
use crate::events::Events;
use crate::graph::{Graph, ValueId};
use crate::rewrite::{Factors, ZeroPoint};

/// Bins between the extremes of a tensor.
const BINS: usize = 4096;
/// Shares of each extreme that are tried.
const SHARES: [f64; 15] = [
    1.0, 0.97, 0.94, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.55, 0.5, 0.45, 0.4, 0.3,
];
/// Steps between the least code and the largest.
const STEPS: f64 = 255.0;
/// Steps from 0 to the largest code with sign.
const SIGNED_STEPS: f64 = 127.0;

/// Numbers that codes represent: `(code - zero) * scale`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct CodeRange {
    pub(crate) scale: f32,
    pub(crate) zero: ZeroPoint,
}

impl CodeRange {
    /// The range from `low` to `high`, and zero.
    pub(crate) fn of(low: f64, high: f64) -> CodeRange {
        let (low, high) = (low.min(0.0), high.max(0.0));
        let scale = ((high - low) / STEPS) as f32;
        if !scale.is_normal() {
            return CodeRange {
                scale: 1.0,
                zero: ZeroPoint::Unsigned(0),
            };
        }
        let zero = (-low / f64::from(scale)).round().clamp(0.0, STEPS) as u8;
        CodeRange {
            scale,
            zero: ZeroPoint::Unsigned(zero),
        }
    }

    /// The range between a number and its opposite.
    pub(crate) fn around_zero(most: f64) -> CodeRange {
        let scale = (most.abs() / SIGNED_STEPS) as f32;
        CodeRange {
            scale: if scale.is_normal() { scale } else { 1.0 },
            zero: ZeroPoint::Signed,
        }
    }

    /// The code of a number.
    fn code(self, number: f64) -> f64 {
        let code = (number / f64::from(self.scale)).round_ties_even() + self.zero.code();
        let [least, most] = self.zero.ends();
        code.clamp(least, most)
    }

    /// What a number becomes.
    pub(crate) fn rounded(self, number: f64) -> f64 {
        (self.code(number) - self.zero.code()) * f64::from(self.scale)
    }
}

/// How often numbers of a tensor fall into bins between its extremes.
#[derive(Clone, Debug, Default)]
struct Histogram {
    low: f64,
    high: f64,
    bins: Vec<f64>,
}

impl Histogram {
    fn widen(&mut self, numbers: &[f32]) -> bool {
        let (low, high, finite) = numbers
            .par_chunks(1 << 14)
            .map(|part| {
                let start = (0.0_f32, 0.0_f32, true);
                part.iter().fold(start, |(low, high, finite), &number| {
                    (
                        low.min(number),
                        high.max(number),
                        finite && number.is_finite(),
                    )
                })
            })
            .reduce(
                || (0.0, 0.0, true),
                |a, b| (a.0.min(b.0), a.1.max(b.1), a.2 && b.2),
            );
        self.low = self.low.min(f64::from(low));
        self.high = self.high.max(f64::from(high));
        finite
    }

    fn count(&mut self, numbers: &[f32]) {
        self.bins.resize(BINS, 0.0);
        let width = (self.high - self.low) as f32 / BINS as f32;
        if !width.is_normal() {
            return;
        }
        let low = self.low as f32;
        for number in numbers {
            let bin = ((number - low) / width) as usize;
            self.bins[bin.min(BINS - 1)] += 1.0;
        }
    }

    /// The ranges that are tried.
    fn tried(&self, signed: bool) -> Vec<CodeRange> {
        if signed {
            let most = self.high.max(-self.low);
            return SHARES
                .map(|share| CodeRange::around_zero(share * most))
                .to_vec();
        }
        let ends = |of: f64| match of == 0.0 {
            true => &SHARES[..1],
            false => &SHARES[..],
        };
        let lows = ends(self.low).iter().map(|share| share * self.low);
        let tried = lows.flat_map(|low| {
            let highs = ends(self.high).iter().map(|share| share * self.high);
            highs.map(move |high| CodeRange::of(low, high))
        });
        tried.collect()
    }

    /// The range with the least squared error.
    fn range(&self, signed: bool) -> CodeRange {
        let width = (self.high - self.low) / BINS as f64;
        let filled: Vec<(f64, f64)> = self
            .bins
            .iter()
            .enumerate()
            .filter(|(_, count)| **count > 0.0)
            .map(|(bin, &count)| (self.low + (bin as f64 + 0.5) * width, count))
            .collect();
        let tried = self.tried(signed);
        let error = |range: &CodeRange| -> f64 {
            let errors = filled
                .iter()
                .map(|&(number, count)| count * (number - range.rounded(number)).powi(2));
            errors.sum()
        };
        let errors: Vec<f64> = tried.par_iter().map(error).collect();
        let pairs = tried.into_iter().zip(errors);
        let best = pairs.min_by(|a, b| a.1.total_cmp(&b.1));
        best.map_or(CodeRange::around_zero(0.0), |(range, _)| range)
    }
}

/// The ranges of a model's rounded values on data, by their number; channels are larger by `factors`.
///
/// # Errors
/// Data that cannot be read, values that are no numbers, or a provider that refuses the model.
pub(crate) fn ranges(
    graph: &Graph,
    placement: &CodeSites,
    factors: &BTreeMap<ValueId, Factors>,
    pass: Pass,
    events: &mut dyn Events,
) -> Result<Vec<CodeRange>> {
    let count = placement.rounded.values().max().map_or(0, |last| last + 1);
    let mut histograms = vec![Histogram::default(); count];
    if count == 0 {
        return Ok(Vec::new());
    }
    let values = placement.rounded.keys().copied();
    let values = values.filter(|value| !placement.uncut.contains(value));
    let mut looking = Looking::new(graph, values, pass)?;
    let batches = pass.data.batches();
    for number in 0..batches {
        events.progress("ranges", number, 2 * batches);
        looking.each(number, &mut |value, seen| {
            let factored = seen.times(factors.get(&value));
            match histograms[placement.rounded[&value]].widen(&factored) {
                true => Ok(()),
                false => Err(no_number(&pass, &graph.value(value).name)),
            }
        })?;
    }
    for number in 0..batches {
        events.progress("ranges", batches + number, 2 * batches);
        looking.each(number, &mut |value, seen| {
            let factored = seen.times(factors.get(&value));
            histograms[placement.rounded[&value]].count(&factored);
            Ok(())
        })?;
    }
    let signed = placement.target.is_signed();
    Ok(histograms.iter().map(|of| of.range(signed)).collect())
}

fn no_number(pass: &Pass, name: &str) -> Error {
    Error::Data {
        what: pass.data.describe(),
        misfits: vec![format!(
            "on it the value '{name}' is NaN or infinite: look for such numbers in the data, or in what the model makes of it"
        )],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_have_zero_and_cut_off_what_is_rare() {
        assert_eq!(CodeRange::of(0.0, 0.0).scale, 1.0);
        let range = CodeRange::of(1.0, 5.1);
        assert_eq!(range.zero, ZeroPoint::Unsigned(0));
        assert_eq!(range.rounded(0.0), 0.0);
        assert_eq!(CodeRange::of(-1.0, 1.0).rounded(0.0), 0.0);
        // One number in a million is worth less than a finer scale for all others.
        let mut numbers: Vec<f32> = (0..1_000_000).map(|i| (i % 1000) as f32 / 1e3).collect();
        numbers.push(2.0);
        let mut histogram = Histogram::default();
        assert!(histogram.widen(&numbers));
        histogram.count(&numbers);
        let range = histogram.range(false);
        assert!(range.scale < 1.5 / 255.0 && range.zero == ZeroPoint::Unsigned(0));
        let range = histogram.range(true);
        assert!(range.scale < 1.5 / 127.0 && range.zero == ZeroPoint::Signed);
        assert_eq!((range.code(-9.0), range.code(9.0)), (-128.0, 127.0));
        assert!(!histogram.widen(&[f32::NAN]) || !histogram.widen(&[f32::INFINITY]));
    }
}
