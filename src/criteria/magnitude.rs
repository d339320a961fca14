//! Norms of channel slices: one read of every weight, in parallel over tensors, summed in a fixed order.

use std::borrow::Cow;
use std::collections::HashMap;

use rayon::prelude::*;

use crate::axes::{Type, Types, VarId};
use crate::dimensions::Analysis;
use crate::error::{Error, Result};
use crate::graph::ValueId;
use crate::onnx::proto::TensorProto;
use crate::onnx::{ElementType, packed_bytes, to_f32};

#[derive(Clone, Copy)]
pub(super) enum Norm {
    L1,
    L2,
}

/// One little-endian `f32` where it stands in the file, aligned or not.
type Word = [u8; 4];

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
    let wanted: Vec<usize> = (0..axes.len())
        .filter(|&axis| {
            let vars = types.vars(&axes[axis]);
            vars.iter().any(|var| places.contains_key(var))
        })
        .collect();
    let sums = axis_sums(tensor, axes, &wanted, types, norm)?;
    let mut out = Vec::new();
    for (&axis, sums) in wanted.iter().zip(sums) {
        let of = match types.normal(&axes[axis]) {
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

/// For each wanted axis the sum of |w| or w^2 at each of its positions; for a block axis at each position
/// of what it views.
fn axis_sums(
    tensor: &TensorProto,
    axes: &[Type],
    wanted: &[usize],
    types: &Types,
    norm: Norm,
) -> Result<Vec<Vec<f64>>> {
    let dims: Vec<usize> = tensor.dims.iter().map(|&dim| dim as usize).collect();
    let floats;
    let bytes = packed_bytes(tensor)?;
    let words: &[Word] = match ElementType::of(tensor.data_type()) {
        Some(ElementType::Float) => bytes.as_chunks::<4>().0,
        _ => {
            floats = Cow::<[f32]>::Owned(to_f32(tensor)?);
            bytemuck::cast_slice(&floats)
        }
    };
    let blocks: Vec<usize> = wanted
        .iter()
        .map(|&axis| match types.normal(&axes[axis]) {
            Type::Block { blocks, .. } => blocks,
            _ => 1,
        })
        .collect();
    Ok(sums_of(words, &dims, wanted, &blocks, norm))
}

/// As [`axis_sums`], of numbers in row-major order; `blocks` says of every wanted axis in how many blocks of axis 0
/// it is counted apart.
fn sums_of(
    words: &[Word],
    dims: &[usize],
    wanted: &[usize],
    blocks: &[usize],
    norm: Norm,
) -> Vec<Vec<f64>> {
    let mut sums: Vec<Vec<f64>> = wanted
        .iter()
        .zip(blocks)
        .map(|(&axis, blocks)| vec![0.0; dims[axis] * blocks])
        .collect();
    let Some(&last) = wanted.last() else {
        return sums;
    };
    let inner: usize = dims[last + 1..].iter().product();
    let row = dims[last] * inner;
    let measure = |x: f32| match norm {
        Norm::L1 => x.abs(),
        Norm::L2 => x * x,
    };
    let mut coordinates = vec![0_usize; last];
    let mut row_sums = vec![0.0_f64; dims[last]];
    for words in words.chunks_exact(row.max(1)) {
        if inner == 1 {
            for (sum, &word) in row_sums.iter_mut().zip(words) {
                *sum = f64::from(measure(f32::from_le_bytes(word)));
            }
        } else {
            for (sum, words) in row_sums.iter_mut().zip(words.chunks_exact(inner)) {
                *sum = lane_sum(words, measure);
            }
        }
        let block = |blocks: usize| coordinates.first().map_or(0, |&c| c / (dims[0] / blocks));
        for ((sums, &axis), &blocks) in sums.iter_mut().zip(wanted).zip(blocks) {
            let offset = block(blocks) * dims[axis];
            if axis == last {
                let own = &mut sums[offset..offset + dims[axis]];
                own.iter_mut()
                    .zip(&row_sums)
                    .for_each(|(sum, part)| *sum += part);
            } else {
                sums[offset + coordinates[axis]] += row_sums.iter().sum::<f64>();
            }
        }
        advance(&mut coordinates, dims);
    }
    sums
}

/// Sum over a run of weights, in eight lanes that the compiler can keep in one register.
fn lane_sum(words: &[Word], measure: impl Fn(f32) -> f32) -> f64 {
    const LANES: usize = 8;
    let mut lanes = [0.0_f32; LANES];
    let (chunks, rest) = words.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, &word) in lanes.iter_mut().zip(chunk) {
            *lane += measure(f32::from_le_bytes(word));
        }
    }
    let rest = rest
        .iter()
        .map(|&word| f64::from(measure(f32::from_le_bytes(word))));
    lanes.iter().map(|&lane| f64::from(lane)).chain(rest).sum()
}

/// The next row's coordinates, the last one fastest.
fn advance(coordinates: &mut [usize], dims: &[usize]) {
    for axis in (0..coordinates.len()).rev() {
        coordinates[axis] += 1;
        if coordinates[axis] < dims[axis] {
            return;
        }
        coordinates[axis] = 0;
    }
}
