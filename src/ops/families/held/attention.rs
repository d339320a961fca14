//! What belongs to attention and has a state: rotations, causal convolutions.

use super::{Held, like, output};
use crate::axes::Extent;
use crate::ops::adjoints::attention as back;
use crate::ops::typing::{Ruling, Typing};
use crate::ops::{Row, contrib, row};

pub(super) const ROWS: &[Row] = &[
    row("RotaryEmbedding", |op| like(op, 0)).gives(back::rotary),
    row("CausalConvWithState", causal).gives(back::causal_convolution),
    contrib("RotaryEmbedding", |op| like(op, 0)).gives(back::rotary_contrib),
];

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
