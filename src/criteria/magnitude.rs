//! Norms of channel slices: one read of every weight, in parallel over tensors, summed in a fixed order.

mod powers;
mod sums;

use std::collections::HashMap;

use rayon::prelude::*;

use super::codes::NumberedWeight;
use super::making::Makers;
use crate::axes::{Type, Types, VarId};
use crate::dimensions::Analysis;
use crate::error::{Error, Result};
use crate::onnx::proto::TensorProto;

use powers::{axis_largest, axis_powers, log_sum};
use sums::{Wanted, axis_sums};

#[derive(Clone, Copy)]
pub(super) enum Norm {
    L1,
    L2,
    /// The largest absolute value.
    Largest,
    /// The root of the sum of these powers.
    Power(f64),
}

impl Norm {
    /// What numbers at the same position come to: sums of absolute values or of squares, the largest one, or the
    /// logarithm of the sum of powers, which may be far beyond any number.
    fn measured(self, tensor: &TensorProto, wanted: &[Wanted]) -> Result<Vec<Vec<f64>>> {
        match self {
            Norm::L1 | Norm::L2 => axis_sums(tensor, wanted, self),
            Norm::Largest => axis_largest(tensor, wanted),
            Norm::Power(power) => axis_powers(tensor, wanted, power),
        }
    }

    /// What nothing comes to.
    fn nothing(self) -> f64 {
        match self {
            Norm::L1 | Norm::L2 | Norm::Largest => 0.0,
            Norm::Power(_) => f64::NEG_INFINITY,
        }
    }

    /// What two parts of a channel come to.
    fn joined(self, a: f64, b: f64) -> f64 {
        match self {
            Norm::L1 | Norm::L2 => a + b,
            Norm::Largest if a.is_nan() || a > b => a,
            Norm::Largest => b,
            Norm::Power(_) => log_sum(a, b),
        }
    }

    /// Makes norms of what the channels come to; those of powers in units of the largest.
    fn finish(self, channels: &mut [f64]) {
        match self {
            Norm::L1 | Norm::Largest => {}
            Norm::L2 => channels.iter_mut().for_each(|sum| *sum = sum.sqrt()),
            Norm::Power(power) => {
                let largest = channels.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let norm = |log: f64| match largest.is_finite() {
                    true => ((log - largest) / power).exp(),
                    false => log.max(0.0),
                };
                channels.iter_mut().for_each(|log| *log = norm(*log));
            }
        }
    }
}

/// What one tensor comes to for a dimension's channels.
type Contribution = (usize, Vec<f64>);

/// Norms of all slices of the channels, tensor by tensor in units of their mean, added up.
pub(super) fn scores(analysis: &Analysis, norm: Norm) -> Result<Vec<Vec<f64>>> {
    let dimensions = analysis.dimensions();
    let mut scores: Vec<Vec<f64>> = dimensions.iter().map(|d| vec![0.0; d.size]).collect();
    for (place, mut channels) in contributions(analysis, norm, &|_, _| true)? {
        norm.finish(&mut channels);
        let mean = channels.iter().sum::<f64>() / channels.len() as f64;
        if mean > 0.0 && mean.is_finite() {
            for (score, part) in scores[place].iter_mut().zip(channels) {
                *score += part / mean;
            }
        }
    }
    Ok(scores)
}

/// Euclidean norms of all weights that make the channels, as they are; none of a dimension that no weights make.
pub(super) fn making_norms(analysis: &Analysis) -> Result<Vec<Vec<f64>>> {
    let makers = Makers::of(analysis);
    let makes = |weight: &NumberedWeight, axis| makers.makes(weight, axis);
    let mut scores: Vec<Vec<f64>> = vec![Vec::new(); analysis.dimensions().len()];
    for (place, channels) in contributions(analysis, Norm::L2, &makes)? {
        scores[place].resize(channels.len(), 0.0);
        for (score, part) in scores[place].iter_mut().zip(channels) {
            *score += part;
        }
    }
    let all = scores.iter_mut();
    all.for_each(|channels| Norm::L2.finish(channels));
    Ok(scores)
}

/// Which axes of a weight count.
type Chosen<'a> = dyn Fn(&NumberedWeight, usize) -> bool + Sync + 'a;

/// What every tensor comes to, along the axes that count.
fn contributions(analysis: &Analysis, norm: Norm, chosen: &Chosen) -> Result<Vec<Contribution>> {
    let dimensions = analysis.dimensions();
    let places: HashMap<VarId, usize> = dimensions
        .iter()
        .enumerate()
        .map(|(place, dimension)| (dimension.var, place))
        .collect();
    let types = &analysis.state.types;
    let is_wanted = |weight: &NumberedWeight, axis: usize| {
        let vars = types.vars(&weight.axes[axis]);
        vars.iter().any(|var| places.contains_key(var)) && chosen(weight, axis)
    };
    let weights = NumberedWeight::all(analysis).into_iter();
    let weights: Vec<(NumberedWeight, Vec<usize>)> = weights
        .map(|weight| {
            let axes = 0..weight.axes.len();
            let wanted = axes.filter(|&axis| is_wanted(&weight, axis)).collect();
            (weight, wanted)
        })
        .filter(|(_, wanted): &(_, Vec<usize>)| !wanted.is_empty())
        .collect();
    let found: Result<Vec<_>> = weights
        .par_iter()
        .map(|(weight, wanted)| match weight.tensor(analysis)? {
            Some(tensor) => contribution(analysis, (&tensor, weight.axes), wanted, &places, norm),
            None => Ok(Vec::new()),
        })
        .collect();
    Ok(found?.into_iter().flatten().collect())
}

/// What one tensor comes to for its dimensions.
fn contribution(
    analysis: &Analysis,
    (tensor, axes): (&TensorProto, &[Type]),
    wanted: &[usize],
    places: &HashMap<VarId, usize>,
    norm: Norm,
) -> Result<Vec<Contribution>> {
    let types = &analysis.state.types;
    let wanted = wanted.iter().map(|&axis| Wanted {
        axis,
        blocks: match types.normal(&axes[axis]) {
            Type::Block { blocks, .. } => blocks,
            _ => 1,
        },
    });
    let wanted: Vec<Wanted> = wanted.collect();
    let measured = norm.measured(tensor, &wanted)?;
    let mut out = Vec::new();
    for (of, measured) in wanted.iter().zip(measured) {
        let of = match types.normal(&axes[of.axis]) {
            Type::Block { of, .. } => *of,
            ty => ty,
        };
        let mut by_var: Vec<(VarId, Vec<f64>)> = Vec::new();
        fold(types, &of, &measured, norm, &mut by_var);
        for (var, channels) in by_var {
            let Some(&place) = places.get(&var) else {
                continue;
            };
            if channels.iter().any(|channel| channel.is_nan()) {
                return Err(Error::tensor(
                    tensor.name(),
                    "holds NaN or infinite numbers, so its channels cannot be ranked; use `criterion` random or repair the model",
                ));
            }
            out.push((place, channels));
        }
    }
    Ok(out)
}

/// Adds what an axis of type `ty` comes to, position by position, to the channels of its variables.
fn fold(types: &Types, ty: &Type, sums: &[f64], norm: Norm, out: &mut Vec<(VarId, Vec<f64>)>) {
    match ty {
        Type::Var(var) => match out.iter_mut().find(|(known, _)| known == var) {
            Some((_, channels)) => {
                for (channel, sum) in channels.iter_mut().zip(sums) {
                    *channel = norm.joined(*channel, *sum);
                }
            }
            None => out.push((*var, sums.to_vec())),
        },
        Type::Sum(parts) => {
            let mut rest = sums;
            for part in parts {
                let (own, after) = rest.split_at(types.size(part) as usize);
                fold(types, part, own, norm, out);
                rest = after;
            }
        }
        Type::Product(factors) => {
            let mut inner = sums.len();
            let mut outer = 1;
            for factor in factors {
                let size = types.size(factor) as usize;
                inner /= size;
                let mut own = vec![norm.nothing(); size];
                for (place, sum) in sums.iter().enumerate() {
                    let channel = &mut own[place / inner % size];
                    *channel = norm.joined(*channel, *sum);
                }
                outer *= size;
                debug_assert_eq!(outer * inner, sums.len());
                fold(types, factor, &own, norm, out);
            }
        }
        Type::Block { of, .. } => fold(types, of, sums, norm, out),
    }
}
