//! What onnxruntime makes of several nodes when it optimises a graph (`com.microsoft`).

use super::like;
use crate::ops::adjoints::fused as back;
use crate::ops::row::GPU_ALONE;
use crate::ops::{Row, contrib};

pub(super) const ROWS: &[Row] = &[
    contrib("BiasSoftmax", |op| like(op, 0)).stops(GPU_ALONE),
    contrib("Inverse", |op| like(op, 0)).slope(back::inverse),
];
