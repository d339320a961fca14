//! Weights as numbers: of codes in blocks those that they stand for.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::axes::Type;
use crate::dimensions::Analysis;
use crate::error::Result;
use crate::graph::ValueId;
use crate::onnx::proto::TensorProto;
use crate::onnx::{ElementType, from_raw, packed_bytes, to_f32, unpacked};
use crate::ops::{AxisCodes, BlockCodes, ZeroCodes};

/// A weight, and the types of the axes of its numbers.
pub(super) struct NumberedWeight<'a> {
    pub(super) value: ValueId,
    pub(super) axes: &'a [Type],
    /// Where it is codes in blocks.
    codes: Option<&'a BlockCodes>,
    /// Where it is codes with scales along an axis.
    scaled: Option<&'a AxisCodes>,
}

impl<'a> NumberedWeight<'a> {
    /// All weights, without scales and zero points of codes, which are no numbers of a weight.
    pub(super) fn all(analysis: &'a Analysis) -> Vec<NumberedWeight<'a>> {
        let mut by_value: HashMap<ValueId, &BlockCodes> = HashMap::new();
        for codes in analysis.state.block_codes() {
            let node = analysis.graph().node(codes.node);
            if let Some(value) = node.input(codes.codes.0) {
                by_value.entry(value).or_insert(codes);
            }
        }
        let mut scaled: HashMap<ValueId, &AxisCodes> = HashMap::new();
        for codes in analysis.state.axis_codes() {
            let node = analysis.graph().node(codes.node);
            if let Some(value) = node.input(codes.codes) {
                scaled.entry(value).or_insert(codes);
            }
        }
        let parts = analysis.beside_codes();
        let weights = analysis.weights();
        let weights = weights.filter(|(value, _)| !parts.contains(value));
        let numbered = weights.map(|(value, axes)| {
            let codes = by_value.get(&value).copied();
            NumberedWeight {
                value,
                axes: codes.map_or(axes, |codes| &codes.axes),
                codes,
                scaled: scaled.get(&value).copied(),
            }
        });
        numbered.collect()
    }

    /// True where the operator that reads the codes sums over this axis.
    pub(super) fn sums_over(&self, axis: usize) -> bool {
        let mut codes = self.codes.iter();
        codes.any(|codes| codes.summed && codes.block.0 == axis)
    }

    /// Its numbers; none of codes that are not of the sizes that they should have.
    ///
    /// # Errors
    /// Elements that are no real numbers.
    pub(super) fn tensor(&self, analysis: &'a Analysis) -> Result<Option<Cow<'a, TensorProto>>> {
        match (self.codes, self.scaled) {
            (Some(codes), _) => Ok(decoded(analysis, codes)?.map(Cow::Owned)),
            (None, Some(codes)) => Ok(rescaled(analysis, codes)?.map(Cow::Owned)),
            (None, None) => Ok(analysis.graph().constant(self.value).map(Cow::Borrowed)),
        }
    }
}

/// The numbers as a tensor; none where they are not all constants of the sizes that they should have.
///
/// # Errors
/// Elements that are no real numbers.
fn decoded(analysis: &Analysis, of: &BlockCodes) -> Result<Option<TensorProto>> {
    let graph = analysis.graph();
    let node = graph.node(of.node);
    let constant = |slot: usize| graph.constant(node.input(slot)?);
    let sizes = of.axes.iter();
    let dims: Vec<usize> = sizes
        .map(|ty| analysis.state.types.size(ty) as usize)
        .collect();
    let (Some(codes), Some(scales)) = (constant(of.codes.0), constant(of.scales)) else {
        return Ok(None);
    };
    let count = dims.iter().try_fold(1_usize, |n, &dim| n.checked_mul(dim));
    let Some(count) = count.filter(|&count| count > 0) else {
        return Ok(None);
    };
    let numbers: Vec<f32> = match of.codes.1 {
        Some(bits) => bytes_as_codes(codes, bits, count)?,
        None => to_f32(codes)?,
    };
    let name = named(codes, scales)?;
    let scales = to_f32(scales)?;
    let zeros = match of.zeros {
        ZeroCodes::Always(zero) => vec![zero; scales.len()],
        ZeroCodes::At(slot) => match constant(slot) {
            Some(zeros) => to_f32(zeros)?,
            None => return Ok(None),
        },
        ZeroCodes::Packed(slot, row) | ZeroCodes::Repacked(slot, row) => match constant(slot) {
            Some(zeros) => zero_rows(zeros, of.codes.1.unwrap_or(8), row, scales.len())?,
            None => return Ok(None),
        },
    };
    let (axis, block) = of.block;
    let size = dims[axis];
    let inner: usize = dims[axis + 1..].iter().product();
    let blocks = size.div_ceil(block);
    let wanted = count / size.max(1) * blocks;
    if numbers.len() != count || scales.len() != wanted || zeros.len() != wanted {
        return Ok(None);
    }
    let number = |(at, code): (usize, &f32)| {
        let (outer, place) = (at / (size * inner), at / inner % size);
        let own = (outer * blocks + place / block) * inner + at % inner;
        (code - zeros[own]) * scales[own]
    };
    let bytes = numbers.iter().enumerate().map(number);
    let bytes = bytes.flat_map(f32::to_le_bytes).collect::<Vec<u8>>();
    Ok(Some(from_raw(name, ElementType::Float, &dims, bytes)))
}

/// `(code - zero) * scale` of codes with one scale, or one for each position of axes; none where they are not all constants.
///
/// # Errors
/// Elements that are no real numbers.
fn rescaled(analysis: &Analysis, of: &AxisCodes) -> Result<Option<TensorProto>> {
    let graph = analysis.graph();
    let node = graph.node(of.node);
    let constant = |slot: usize| graph.constant(node.input(slot)?);
    let Some(codes) = constant(of.codes) else {
        return Ok(None);
    };
    let numbers = |slot: Option<usize>, left_out: f32| -> Result<Option<Vec<f32>>> {
        // A scale that is made when the model runs is the same for all, or of another node.
        match slot.and_then(constant) {
            Some(tensor) => to_f32(tensor).map(Some),
            None => Ok(Some(vec![left_out])),
        }
    };
    let (Some(scales), Some(zeros)) = (numbers(of.scale, 1.0)?, numbers(of.zero, 0.0)?) else {
        return Ok(None);
    };
    let scale = of.scale.and_then(constant);
    let name = scale.map_or(Ok(codes.name()), |scale| named(codes, scale))?;
    let dims: Vec<usize> = codes.dims.iter().map(|&dim| dim.max(0) as usize).collect();
    let along = of.axes.iter().map(|&axis| {
        let inner: usize = dims.iter().skip(axis + 1).product();
        (inner.max(1), dims.get(axis).copied().unwrap_or(1).max(1))
    });
    let along: Vec<(usize, usize)> = along.collect();
    let own = |list: &[f32], at: usize| match list.len() {
        1 => Some(list[0]),
        _ => {
            let places = along.iter();
            let place = places.fold(0, |place, &(inner, size)| place * size + at / inner % size);
            list.get(place).copied()
        }
    };
    let number = |(at, code): (usize, f32)| Some((code - own(&zeros, at)?) * own(&scales, at)?);
    let numbers: Option<Vec<f32>> = to_f32(codes)?.into_iter().enumerate().map(number).collect();
    Ok(numbers.map(|numbers| {
        let bytes: Vec<u8> = numbers.into_iter().flat_map(f32::to_le_bytes).collect();
        from_raw(name, ElementType::Float, &dims, bytes)
    }))
}

/// What numbers are called in messages: codes are always finite, and where numbers are not it is for the scales.
fn named<'a>(codes: &'a TensorProto, scales: &'a TensorProto) -> Result<&'a str> {
    let finite = to_f32(scales)?.iter().all(|scale| scale.is_finite());
    Ok(if finite { codes.name() } else { scales.name() })
}

/// Codes of a few bits, as many as there should be, where there are bytes for all.
fn bytes_as_codes(tensor: &TensorProto, bits: usize, count: usize) -> Result<Vec<f32>> {
    let bytes = packed_bytes(tensor)?;
    let there = count.min(bytes.len() * 8 / bits);
    let codes = unpacked(&bytes, as_bits(bits), there).into_iter();
    Ok(codes.map(f32::from).collect())
}

/// Codes in rows, each of which starts in a byte of its own.
fn zero_rows(tensor: &TensorProto, bits: usize, row: usize, count: usize) -> Result<Vec<f32>> {
    let bytes = packed_bytes(tensor)?;
    let width = (row * bits).div_ceil(8).max(1);
    let rows = bytes.chunks_exact(width);
    let codes = rows.flat_map(|bytes| unpacked(bytes, as_bits(bits), row));
    Ok(codes.map(f32::from).take(count).collect())
}

/// Bits of a code, of which a byte has 8 at most.
fn as_bits(bits: usize) -> u32 {
    u32::try_from(bits).unwrap_or(8)
}
