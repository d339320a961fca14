//! What belongs to attention and has a state: rotations, linear attention, causal convolutions.

use super::{Held, count, like, output};
use crate::axes::{Extent, Type};
use crate::ops::adjoints::attention as back;
use crate::ops::typing::{Ruling, Typing, Unsupported};
use crate::ops::{Row, contrib, row};

pub(super) const ROWS: &[Row] = &[
    row("RotaryEmbedding", |op| like(op, 0)).gives(back::rotary),
    row("LinearAttention", linear).gives(back::linear_attention),
    row("CausalConvWithState", causal).gives(back::causal_convolution),
    contrib("RotaryEmbedding", |op| like(op, 0)).gives(back::rotary_contrib),
];

/// Batch, heads, length and width of a head.
type Heads = [Option<Extent>; 4];

/// Four axes as they are; three as batch, length and heads times their width.
fn heads(op: &mut Typing, axes: &[Type], number: Option<Extent>) -> Ruling<Heads> {
    match op.extents(axes).as_slice() {
        [batch, heads, length, width] => Ok([batch, heads, length, width].map(|n| Some(n.clone()))),
        [batch, length, total] => {
            let width = number.as_ref().and_then(|heads| total.div_exact(heads));
            Ok([Some(batch.clone()), number, Some(length.clone()), width])
        }
        _ => Err(Unsupported("an input has an unusual rank")),
    }
}

/// Y has the places of the query and the width of a value's head, and joins the heads where the query does.
fn attended(op: &mut Typing, rank: usize, q: &Heads, v: &Heads) {
    let [batch, heads, length, _] = q.clone();
    let width = v[3].clone();
    let sizes = match rank {
        4 => vec![batch, heads, length, width],
        _ => {
            let joined = heads.zip(width);
            vec![batch, length, joined.and_then(|(n, width)| n.mul(&width))]
        }
    };
    output(op, 0, sizes);
}

/// Query, key, value and a state of one matrix per head.
fn linear(op: &mut Typing) -> Ruling {
    let held = Held::of(op);
    let (query, value) = (held.at(0)?, held.at(2)?);
    let q = heads(op, &query, count(op, "q_num_heads"))?;
    let v = heads(op, &value, count(op, "kv_num_heads"))?;
    attended(op, query.len(), &q, &v);
    output(
        op,
        1,
        vec![v[0].clone(), v[1].clone(), q[3].clone(), v[3].clone()],
    );
    Ok(())
}

/// Input `[batch, channels, length]`, weight `[channels, 1, places]`: what comes out, and the places but one that the
/// next part needs.
fn causal(op: &mut Typing) -> Ruling {
    let held = Held::of(op);
    let [batch, channels, length] = held.ranked::<3>(0)?;
    let [_, _, places] = held.ranked::<3>(1)?;
    op.output(0, vec![batch.clone(), channels.clone(), length]);
    let [batch, channels, places] = [&batch, &channels, &places].map(|axis| op.extent(axis));
    let before = places.sub(&Extent::Known(1));
    output(op, 1, vec![Some(batch), Some(channels), before]);
    Ok(())
}
