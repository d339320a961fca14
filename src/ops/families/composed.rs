//! Operators that are others put together, typed by their bodies (`ops/bodies`). What is to be known of them beside the
//! types of their axes is said here.

use crate::onnx::ElementType;
use crate::ops::adjoints::{attention, fused as back};
use crate::ops::bodies::by_body;
use crate::ops::row::GPU_ALONE;
use crate::ops::{Elements, Row, contrib, row};

pub(in crate::ops) const ROWS: &[Row] = &[
    row("RotaryEmbedding", by_body)
        .gives(attention::rotary)
        .since(23),
    row("CausalConvWithState", by_body)
        .gives(attention::causal_convolution)
        .since(27),
    contrib("RotaryEmbedding", by_body).gives(attention::rotary_contrib),
    contrib("BiasSplitGelu", by_body).stops(GPU_ALONE),
    contrib("BiasDropout", by_body)
        .stops(GPU_ALONE)
        .yields(1, ElementType::Bool),
    contrib("GroupNorm", by_body).stops(GPU_ALONE),
    contrib("SkipGroupNorm", by_body).stops(GPU_ALONE),
    contrib("SkipLayerNormalization", by_body)
        .gives(back::skip_layer)
        .yields(1, ElementType::Float)
        .yields(2, ElementType::Float),
    contrib("SkipSimplifiedLayerNormalization", by_body)
        .gives(back::skip_root_mean_square)
        .yields(1, ElementType::Float)
        .yields(2, ElementType::Float),
    contrib("EmbedLayerNormalization", by_body)
        .gives(back::embed_layer)
        .of_elements(&[Elements::Input(2)])
        .yields(1, ElementType::Int32),
];
