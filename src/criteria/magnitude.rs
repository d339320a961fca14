//! Norms of channel slices: one read of every weight, in parallel over tensors, summed in a fixed order.

mod sums;

use std::collections::HashMap;

use rayon::prelude::*;

use crate::axes::{Type, Types, VarId};
use crate::dimensions::Analysis;
use crate::error::{Error, Result};
use crate::graph::ValueId;

use sums::{Wanted, axis_sums};

#[derive(Clone, Copy)]
pub(super) enum Norm {
    L1,
    L2,
}

pub(super) fn scores(analysis: &Analysis, norm: Norm) -> Result<Vec<Vec<f64>>> {
    let dimensions = analysis.dimensions();
    let places: HashMap<VarId, usize> = dimensions
        .iter()
        .enumerate()
        .map(|(place, dimension)| (dimension.var, place))
        .collect();
    let weights: Vec<(ValueId, &[Type])> = analysis
        .weights()
        .filter(|(_, axes)| {
            let vars = |ty: &Type| analysis.state.types.vars(ty);
            axes.iter()
                .any(|ty| vars(ty).iter().any(|var| places.contains_key(var)))
        })
        .collect();
    let contributions: Result<Vec<_>> = weights
        .par_iter()
        .map(|&(value, axes)| contributions(analysis, value, axes, &places, norm))
        .collect();
    let mut scores: Vec<Vec<f64>> = dimensions.iter().map(|d| vec![0.0; d.size]).collect();
    for (place, contribution) in contributions?.into_iter().flatten() {
        for (score, part) in scores[place].iter_mut().zip(contribution) {
            *score += part;
        }
    }
    Ok(scores)
}

/// What one tensor adds to the scores of its dimensions.
fn contributions(
    analysis: &Analysis,
    value: ValueId,
    axes: &[Type],
    places: &HashMap<VarId, usize>,
    norm: Norm,
) -> Result<Vec<(usize, Vec<f64>)>> {
    let types = &analysis.state.types;
    let Some(tensor) = analysis.graph().constant(value) else {
        return Ok(Vec::new());
    };
    let wanted = axes.iter().enumerate().filter_map(|(axis, ty)| {
        let mut vars = types.vars(ty).into_iter();
        let blocks = match types.normal(ty) {
            Type::Block { blocks, .. } => blocks,
            _ => 1,
        };
        let is_wanted = vars.any(|var| places.contains_key(&var));
        is_wanted.then_some(Wanted { axis, blocks })
    });
    let wanted: Vec<Wanted> = wanted.collect();
    let sums = axis_sums(tensor, &wanted, norm)?;
    let mut out = Vec::new();
    for (of, sums) in wanted.iter().zip(sums) {
        let of = match types.normal(&axes[of.axis]) {
            Type::Block { of, .. } => *of,
            ty => ty,
        };
        let mut by_var: Vec<(VarId, Vec<f64>)> = Vec::new();
        fold(types, &of, &sums, &mut by_var);
        for (var, mut channels) in by_var {
            let Some(&place) = places.get(&var) else {
                continue;
            };
            if matches!(norm, Norm::L2) {
                channels.iter_mut().for_each(|sum| *sum = sum.sqrt());
            }
            let mean = channels.iter().sum::<f64>() / channels.len() as f64;
            if mean.is_nan() {
                return Err(Error::tensor(
                    tensor.name(),
                    "holds NaN, so its channels cannot be ranked; use `criterion` random or repair the model",
                ));
            }
            if mean > 0.0 && mean.is_finite() {
                channels.iter_mut().for_each(|norm| *norm /= mean);
                out.push((place, channels));
            }
        }
    }
    Ok(out)
}

/// Adds the sums over an axis of type `ty` to the channels of its variables.
fn fold(types: &Types, ty: &Type, sums: &[f64], out: &mut Vec<(VarId, Vec<f64>)>) {
    match ty {
        Type::Var(var) => match out.iter_mut().find(|(known, _)| known == var) {
            Some((_, channels)) => {
                for (channel, sum) in channels.iter_mut().zip(sums) {
                    *channel += sum;
                }
            }
            None => out.push((*var, sums.to_vec())),
        },
        Type::Sum(parts) => {
            let mut rest = sums;
            for part in parts {
                let (own, after) = rest.split_at(types.size(part) as usize);
                fold(types, part, own, out);
                rest = after;
            }
        }
        Type::Product(factors) => {
            let mut inner = sums.len();
            let mut outer = 1;
            for factor in factors {
                let size = types.size(factor) as usize;
                inner /= size;
                let mut own = vec![0.0; size];
                for (place, sum) in sums.iter().enumerate() {
                    own[place / inner % size] += sum;
                }
                outer *= size;
                debug_assert_eq!(outer * inner, sums.len());
                fold(types, factor, &own, out);
            }
        }
        Type::Block { of, .. } => fold(types, of, sums, out),
    }
}
