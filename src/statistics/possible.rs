//! Numbers that statistics can have: those of a file that was damaged, or of a model that makes no numbers, are
//! found before anything follows from them.

use faer::Mat;
use rayon::prelude::*;

use super::file::LayerStats;

/// Share of a variance, and of the squared mean, that rounding may make negative.
const ROUNDING: f64 = 1e-3;

/// What of the statistics of a layer cannot be.
pub(super) fn check_layer(stats: &LayerStats) -> Result<(), String> {
    for ((batch, min), max) in stats.min.iter().enumerate().zip(&stats.max) {
        let [min, mean, max, zeros] = [min, &stats.mean[batch], max, &stats.zeros[batch]];
        for (column, &zeros) in zeros.iter().enumerate() {
            let numbers = [min[column], mean[column], max[column], zeros];
            let slack = 1e-4 * numbers[0].abs().max(numbers[2].abs());
            let ordered = numbers[0] - slack <= numbers[1] && numbers[1] <= numbers[2] + slack;
            let share = (0.0..=1.0).contains(&zeros);
            if !numbers.iter().all(|number| number.is_finite()) || !ordered || !share {
                let [min, mean, max, zeros] = numbers;
                return Err(format!(
                    "minimum {min}, mean {mean}, maximum {max} and {zeros} as the share of zeros of input {column}"
                ));
            }
        }
    }
    Ok(())
}

/// What of a covariance cannot be: it is finite, its diagonal is not negative, and nothing exceeds what the
/// diagonal allows.
pub(super) fn check_covariance(covariance: &Mat<f64>, mean: &[f64]) -> Result<(), String> {
    let size = covariance.nrows();
    let allowed = |i: usize| {
        let square = mean.get(i).map_or(0.0, |mean| mean * mean);
        covariance[(i, i)].abs().max(square) * ROUNDING
    };
    let slack: Vec<f64> = (0..size).map(allowed).collect();
    let variances: Vec<f64> = (0..size).map(|i| covariance[(i, i)] + slack[i]).collect();
    let impossible = |j: usize| {
        let column = covariance.col(j);
        let mut numbers = column.iter().enumerate();
        let (i, number) = numbers.find(|&(i, &number)| {
            let most = variances[i] * variances[j];
            let possible = match i == j {
                true => number >= -slack[i],
                false => number * number <= most * (1.0 + ROUNDING) + f64::MIN_POSITIVE,
            };
            !number.is_finite() || !possible
        })?;
        Some(format!("{number} as the covariance of inputs {i} and {j}"))
    };
    let found = (0..size).into_par_iter().find_map_first(impossible);
    found.map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(numbers: [f64; 4]) -> LayerStats {
        let [min, mean, max, zeros] = numbers.map(|number| vec![vec![number]]);
        LayerStats {
            mean,
            min,
            max,
            zeros,
        }
    }

    #[test]
    fn impossible_statistics_are_told() {
        assert!(check_layer(&layer([-1.0, 0.5, 2.0, 0.0])).is_ok());
        for numbers in [
            [f64::NAN, 0.0, 0.0, 0.0],
            [0.0, 0.0, f64::INFINITY, 0.0],
            [0.0, 3.0, 2.0, 0.0],
            [0.0, 0.0, 0.0, 1.5],
            [0.0, 0.0, 0.0, -0.1],
        ] {
            assert!(check_layer(&layer(numbers)).is_err(), "{numbers:?}");
        }
    }

    #[test]
    fn impossible_covariances_are_told() {
        let check = |entries: [f64; 3], mean: f64| {
            let [a, b, c] = entries;
            let entry = |i: usize, j: usize| if i != j { b } else { [a, c][i] };
            check_covariance(&Mat::from_fn(2, 2, entry), &[mean; 2])
        };
        assert!(check([1.0, 0.9, 1.0], 0.0).is_ok());
        assert!(check([1e-9, -1e-9, -1e-9], 1.0).is_ok());
        assert!(check([0.0, 0.0, 0.0], 0.0).is_ok());
        for entries in [
            [-1.0, 0.0, 1.0],
            [1.0, 2.0, 1.0],
            [f64::NAN, 0.0, 1.0],
            [1.0, f64::INFINITY, 1.0],
        ] {
            assert!(check(entries, 0.0).is_err(), "{entries:?}");
        }
    }
}
