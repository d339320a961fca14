//! What onnxruntime makes of several nodes when it optimises a graph (`com.microsoft`).

use super::{Held, axis, like};
use crate::axes::{Extent, Type};
use crate::onnx::ElementType;
use crate::ops::adjoints::{activations as act, fused as back, normalisation};
use crate::ops::row::GPU_ALONE;
use crate::ops::typing::{Ruling, Typing, axis_of};
use crate::ops::{Elements, Row, contrib, row};

pub(super) const ROWS: &[Row] = &[
    contrib("Gelu", |op| like(op, 0)).slope(act::gelu_exact),
    contrib("BiasGelu", |op| like(op, 0)).gives(back::bias_gelu),
    contrib("FastGelu", |op| like(op, 0)).gives(back::fast_gelu),
    contrib("QuickGelu", |op| like(op, 0)).slope(act::quick_gelu),
    contrib("BiasAdd", |op| like(op, 0)).stops(GPU_ALONE),
    contrib("BiasSoftmax", |op| like(op, 0)).stops(GPU_ALONE),
    contrib("BiasDropout", |op| like(op, 0))
        .stops(GPU_ALONE)
        .yields(1, ElementType::Bool),
    contrib("BiasSplitGelu", halved).stops(GPU_ALONE),
    contrib("GroupNorm", |op| like(op, 0)).stops(GPU_ALONE),
    contrib("SkipGroupNorm", |op| like(op, 0)).stops(GPU_ALONE),
    contrib("SkipLayerNormalization", skip_normalised)
        .gives(back::skip_layer)
        .yields(1, ElementType::Float)
        .yields(2, ElementType::Float),
    contrib("SkipSimplifiedLayerNormalization", skip_normalised)
        .gives(back::skip_root_mean_square)
        .yields(1, ElementType::Float)
        .yields(2, ElementType::Float),
    row("SimplifiedLayerNormalization", normalised)
        .gives(normalisation::root_mean_square)
        .of_elements(&[Elements::Input(1)])
        .yields(1, ElementType::Float),
    contrib("EmbedLayerNormalization", embedded)
        .gives(back::embed_layer)
        .of_elements(&[Elements::Input(2)])
        .yields(1, ElementType::Int32),
    contrib("Inverse", |op| like(op, 0)).slope(back::inverse),
];

/// Half of the last axis gates the other half.
fn halved(op: &mut Typing) -> Ruling {
    let mut out = Held::of(op).at(0)?;
    if let Some(last) = out.len().checked_sub(1) {
        let half = op.extent(&out[last]).div_exact(&Extent::Known(2));
        out[last] = axis(op, 0, last, half);
    }
    op.output(0, out);
    Ok(())
}

/// X with all axes from this one on reduced.
fn statistics(op: &mut Typing, x: &[Type], first: usize) -> Vec<Type> {
    let mut out = x.to_vec();
    for (place, ty) in out.iter_mut().enumerate().skip(first) {
        *ty = axis(op, 1, place, Some(Extent::ONE));
    }
    out
}

/// Y, inverse deviation.
fn normalised(op: &mut Typing) -> Ruling {
    let x = Held::of(op).at(0)?;
    let first = axis_of(op.int("axis", -1), x.len())?;
    let reduced = statistics(op, &x, first);
    op.output(0, x);
    op.output(1, reduced);
    Ok(())
}

/// Y, mean, inverse deviation, the sum that is normalised.
fn skip_normalised(op: &mut Typing) -> Ruling {
    let x = Held::of(op).at(0)?;
    let reduced = statistics(op, &x, x.len().saturating_sub(1));
    op.output(0, x.clone());
    op.output(1, reduced.clone());
    op.output(2, reduced);
    op.output(3, x);
    Ok(())
}

/// Words, segments and tables to Y, lengths, the sum that is normalised.
fn embedded(op: &mut Typing) -> Ruling {
    let held = Held::of(op);
    let ([batch, length], [_, width]) = (held.ranked::<2>(0)?, held.ranked::<2>(2)?);
    let out = vec![batch.clone(), length, width];
    op.output(0, out.clone());
    op.output(1, vec![batch]);
    op.output(2, out);
    Ok(())
}
