//! Scores from the statistics of what layers read.

use super::Criterion;
use super::readers::readers;
use crate::dimensions::{Analysis, Dimension};
use crate::error::Result;
use crate::layers::Layer;
use crate::statistics::Stats;

/// Importance of a dimension's channels: a statistic of the columns that read them, each reader in units of
/// its mean. None if no layer reads the dimension.
pub(super) fn scores(
    analysis: &Analysis,
    layers: &[&Layer],
    dimension: &Dimension,
    stats: &Stats,
    criterion: &Criterion,
) -> Result<Option<Vec<f64>>> {
    let mut scores = vec![0.0; dimension.size];
    let readers = readers(analysis, layers, dimension);
    for reader in &readers {
        let known = stats.layer(reader.layer)?;
        let of = |numbers: &[Vec<f64>], column: usize| numbers[reader.batch][column];
        let covariance = match criterion {
            Criterion::Wanda | Criterion::ActVar => {
                Some(stats.covariance(reader.layer, reader.batch)?)
            }
            _ => None,
        };
        let variance = |column: usize| covariance.as_ref().map_or(0.0, |c| c[(column, column)]);
        let weights = match criterion {
            Criterion::Wanda => reader.layer.matrices(analysis.graph())?,
            _ => Vec::new(),
        };
        let column_score = |column: usize| match criterion {
            Criterion::Wanda => {
                let weights = weights[reader.batch].col(column);
                let norm: f64 = weights.iter().map(|weight| weight.abs()).sum();
                norm * (variance(column) + of(&known.mean, column).powi(2)).sqrt()
            }
            Criterion::ActVar => variance(column),
            Criterion::ActMax => of(&known.max, column),
            Criterion::ActMin => of(&known.min, column),
            Criterion::ActZero => 1.0 - of(&known.zeros, column),
            _ => of(&known.mean, column),
        };
        let own: Vec<f64> = reader
            .columns
            .iter()
            .map(|columns| {
                let sum: f64 = columns.iter().map(|&column| column_score(column)).sum();
                match criterion {
                    Criterion::Wanda => sum,
                    _ => (sum / columns.len().max(1) as f64).abs(),
                }
            })
            .collect();
        let mean = own.iter().sum::<f64>() / dimension.size.max(1) as f64;
        let scale = if mean > 0.0 { mean } else { 1.0 };
        for (&channel, own) in reader.channels.iter().zip(own) {
            scores[channel as usize] += own / scale;
        }
    }
    Ok((!readers.is_empty()).then_some(scores))
}
