//! How much each layer loses.

use super::mask::Weights;
use super::select::quota;
use super::settings::{Budget, MaskSettings};
use crate::error::{Error, Result};
use crate::layers::Layer;

/// A layer that is masked.
#[derive(Clone, Debug)]
pub(super) struct Maskable {
    pub(super) layer: Layer,
    pub(super) weights: Weights,
    /// Its own sparsity, where the settings name one.
    pub(super) own: Option<f64>,
}

/// Number of zeros per layer for a sparsity of `share` over those layers that have none of their own.
///
/// # Errors
/// A weight that is no number, where magnitudes are needed.
pub(super) fn quotas(
    targets: &[Maskable],
    share: f64,
    settings: &MaskSettings,
) -> Result<Vec<usize>> {
    let free: Vec<&Maskable> = targets.iter().filter(|t| t.own.is_none()).collect();
    let shared = match settings.budget() {
        Budget::Uniform => free.iter().map(|t| quota(t.weights.len(), share)).collect(),
        Budget::Erk => erk(&free, share),
        Budget::Lamp => lamp(&free, share)?,
    };
    let mut shared = shared.into_iter();
    let zeros = targets.iter().map(|target| match target.own {
        Some(own) => quota(target.weights.len(), own),
        None => shared.next().unwrap_or(0),
    });
    Ok(zeros.collect())
}

/// Density in proportion to (sum of sizes) / (product of sizes); layers that would be denser than full are
/// full, and the others make up for it.
fn erk(targets: &[&Maskable], share: f64) -> Vec<usize> {
    let sizes: Vec<f64> = targets.iter().map(|t| t.weights.len() as f64).collect();
    let raw = targets.iter().zip(&sizes).map(|(target, size)| {
        let sum: usize = target.layer.dims.iter().sum();
        sum as f64 / size.max(1.0)
    });
    let raw: Vec<f64> = raw.collect();
    let total: f64 = sizes.iter().sum();
    let wanted = total * (1.0 - share);
    let mut full = vec![false; targets.len()];
    loop {
        let sum = |of: &dyn Fn(usize) -> f64, full_ones: bool| -> f64 {
            let places = (0..sizes.len()).filter(|&i| full[i] == full_ones);
            places.map(of).sum()
        };
        let rest = wanted - sum(&|i| sizes[i], true);
        let scale = rest / sum(&|i| raw[i] * sizes[i], false);
        let over = (0..sizes.len()).find(|&i| !full[i] && raw[i] * scale > 1.0);
        if let Some(over) = over {
            full[over] = true;
            continue;
        }
        let density = |i: usize| {
            if full[i] {
                1.0
            } else {
                (raw[i] * scale).max(0.0)
            }
        };
        let zeros: Vec<f64> = (0..sizes.len())
            .map(|i| sizes[i] * (1.0 - density(i)))
            .collect();
        return rounded(&zeros, &sizes);
    }
}

/// Rounds so that the running total is always the nearest number.
fn rounded(zeros: &[f64], sizes: &[f64]) -> Vec<usize> {
    let (mut exact, mut done) = (0.0, 0_usize);
    let round = |(zeros, size): (&f64, &f64)| {
        exact += zeros;
        let own = (exact.round() as usize)
            .saturating_sub(done)
            .min(*size as usize);
        done += own;
        own
    };
    zeros.iter().zip(sizes).map(round).collect()
}

/// Zeros per layer when the lowest LAMP scores of all layers go. Within a layer the scores are in the order
/// of the magnitudes, so a layer's part is a number.
fn lamp(targets: &[&Maskable], share: f64) -> Result<Vec<usize>> {
    let total: usize = targets.iter().map(|target| target.weights.len()).sum();
    let mut scores: Vec<(f32, u32)> = Vec::with_capacity(total);
    for (place, target) in targets.iter().enumerate() {
        let mut values = target.weights.values();
        if values.iter().any(|value| value.is_nan()) {
            let reason = "holds weights that are no numbers (NaN), so they have no LAMP score; leave it out with `skip`";
            return Err(Error::tensor(&target.weights.name, reason));
        }
        values.sort_unstable_by(|a, b| b.abs().total_cmp(&a.abs()));
        let mut sum = 0.0;
        scores.extend(values.iter().map(|&value| {
            let square = f64::from(value) * f64::from(value);
            sum += square;
            (
                if sum > 0.0 {
                    (square / sum) as f32
                } else {
                    0.0
                },
                place as u32,
            )
        }));
    }
    let zeros = quota(total, share);
    if zeros > 0 && zeros < total {
        scores.select_nth_unstable_by(zeros - 1, |a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    }
    let mut out = vec![0; targets.len()];
    scores[..zeros]
        .iter()
        .for_each(|&(_, place)| out[place as usize] += 1);
    Ok(out)
}
