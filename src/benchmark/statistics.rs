//! Order statistics of run times.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

/// Resamplings for the interval of a ratio.
const RESAMPLINGS: usize = 1000;

/// A model's run times.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Latency {
    /// Median in milliseconds.
    pub median_ms: f64,
    /// 5th percentile in milliseconds.
    pub p5_ms: f64,
    /// 95th percentile in milliseconds.
    pub p95_ms: f64,
}

impl Latency {
    /// Of run times in seconds.
    pub fn of(seconds: &[f64]) -> Latency {
        let mut sorted = seconds.to_vec();
        sorted.sort_by(f64::total_cmp);
        Latency {
            median_ms: 1e3 * quantile(&sorted, 0.5),
            p5_ms: 1e3 * quantile(&sorted, 0.05),
            p95_ms: 1e3 * quantile(&sorted, 0.95),
        }
    }
}

/// How many times as fast a model is as the first.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Ratio {
    /// Median time of the first over the median time of this one.
    pub speedup: f64,
    /// 95 % interval by bootstrap over rounds.
    pub interval: [f64; 2],
}

impl Ratio {
    /// Of paired run times: `first` and `other` of the same rounds.
    pub fn of(first: &[f64], other: &[f64], seed: u64) -> Ratio {
        let ratio = |rounds: &[usize]| {
            let median = |times: &[f64]| {
                let mut chosen: Vec<f64> = rounds.iter().map(|&round| times[round]).collect();
                chosen.sort_by(f64::total_cmp);
                quantile(&chosen, 0.5)
            };
            median(first) / median(other)
        };
        let count = first.len().min(other.len());
        let all: Vec<usize> = (0..count).collect();
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        let mut ratios: Vec<f64> = (0..RESAMPLINGS)
            .map(|_| {
                let rounds: Vec<usize> = (0..count)
                    .map(|_| generator.random_range(0..count))
                    .collect();
                ratio(&rounds)
            })
            .collect();
        ratios.sort_by(f64::total_cmp);
        Ratio {
            speedup: ratio(&all),
            interval: [quantile(&ratios, 0.025), quantile(&ratios, 0.975)],
        }
    }
}

/// The median; NaN of none.
pub(crate) fn median(times: &[f64]) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    quantile(&sorted, 0.5)
}

/// Linear interpolation between the order statistics of a sorted list; NaN of an empty one.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else {
        return f64::NAN;
    };
    let place = last as f64 * share;
    let (low, high) = (place.floor() as usize, place.ceil() as usize);
    sorted[low] + (sorted[high] - sorted[low]) * (place - low as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_interpolate() {
        let latency = Latency::of(&[0.004, 0.001, 0.002, 0.003, 0.005]);
        assert!((latency.median_ms - 3.0).abs() < 1e-9);
        assert!((latency.p5_ms - 1.2).abs() < 1e-9);
        assert!((latency.p95_ms - 4.8).abs() < 1e-9);
    }

    #[test]
    fn a_constant_ratio_has_no_interval() {
        let ratio = Ratio::of(&[2.0; 20], &[1.0; 20], 0);
        assert_eq!((ratio.speedup, ratio.interval), (2.0, [2.0, 2.0]));
    }
}
