//! What onnxruntime makes of several nodes when it optimises a graph (`com.microsoft`).

use super::quantised::{gemm, product_sizes};
use super::{Held, axis, convolution, like, output};
use crate::axes::{Extent, Type};
use crate::onnx::ElementType;
use crate::ops::adjoints::{activations as act, fused as back, normalisation};
use crate::ops::typing::{Ruling, Typing, axis_of};
use crate::ops::{Elements, Row, contrib, row};

const ON_GPUS: &str = "it runs on GPUs alone: take the model before its optimisation for one, where it is several nodes";

pub(super) const ROWS: &[Row] = &[
    contrib("Gelu", |op| like(op, 0)).slope(act::gelu_exact),
    contrib("BiasGelu", |op| like(op, 0)).gives(back::bias_gelu),
    contrib("FastGelu", |op| like(op, 0)).gives(back::fast_gelu),
    contrib("QuickGelu", |op| like(op, 0)).slope(act::quick_gelu),
    contrib("BiasAdd", |op| like(op, 0)).stops(ON_GPUS),
    contrib("BiasSoftmax", |op| like(op, 0)).stops(ON_GPUS),
    contrib("BiasDropout", |op| like(op, 0))
        .stops(ON_GPUS)
        .yields(1, ElementType::Bool),
    contrib("BiasSplitGelu", halved).stops(ON_GPUS),
    contrib("GroupNorm", |op| like(op, 0)).stops(ON_GPUS),
    contrib("SkipGroupNorm", |op| like(op, 0)).stops(ON_GPUS),
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
    contrib("FusedConv", |op| convolution(op, 0, 1)).gives(back::conv),
    contrib("FusedGemm", |op| gemm(op, 1)).gives(back::gemm),
    contrib("GemmFastGelu", product).stops(ON_GPUS),
    contrib("FusedMatMul", product).gives(back::matmul),
    contrib("TransposeMatMul", product).gives(back::matmul),
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

/// A matrix product of operands that are transposed as the attributes say: `transBatch` moves an operand's
/// first axis behind its batches.
fn product(op: &mut Typing) -> Ruling {
    let held = Held::of(op);
    let operand = |op: &mut Typing, slot: usize, names: [&str; 2]| -> Ruling<Vec<Extent>> {
        let mut sizes = op.extents(&held.at(slot)?);
        let rank = sizes.len();
        if rank > 2 && op.int(names[1], 0) != 0 {
            sizes[..rank - 1].rotate_left(1);
        }
        if rank > 1 && op.int(names[0], 0) != 0 {
            sizes.swap(rank - 1, rank - 2);
        }
        Ok(sizes)
    };
    let a = operand(op, 0, ["transA", "transBatchA"])?;
    let b = operand(op, 1, ["transB", "transBatchB"])?;
    let sizes = product_sizes(&a, &b)?;
    output(op, 0, sizes);
    Ok(())
}
