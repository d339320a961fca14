//! Attention of which every head has queries, keys and values of its own, in all the ways in which they may be packed.

use super::{Attention, PLACE, RANK, UNEVEN, count, parted_bias, past_length, width_of};
use crate::axes::{Extent, Type};
use crate::ops::adjoints::attention as back;
use crate::ops::typing::{Ruling, Typing, Unsupported};
use crate::ops::{Row, contrib};

pub(super) const ROWS: &[Row] = &[
    contrib("MultiHeadAttention", multi_head).gives(back::multi_head),
    contrib("PackedMultiHeadAttention", without_padding).stops("its places are packed"),
    contrib("DecoderMaskedMultiHeadAttention", decoding).stops("it keeps a state"),
];

const NO_HEADS: Unsupported = Unsupported("it does not say its number of heads");
const MASK: &str = "is a mask of places";

/// Where the optional inputs stand.
struct Slots {
    bias: usize,
    /// Inputs of which only places matter.
    masks: &'static [usize],
    added: usize,
    past: [usize; 2],
    /// The length of the past, in caches that have room for more.
    room: usize,
}

/// Query, key, value, bias, mask, what is added to the products, past keys, past values, their length, beams.
fn multi_head(op: &mut Typing) -> Ruling {
    let slots = Slots {
        bias: 3,
        masks: &[4, 8, 9],
        added: 5,
        past: [6, 7],
        room: 8,
    };
    by_slots(op, &slots)
}

/// The same in another order, for one query at a time.
fn decoding(op: &mut Typing) -> Ruling {
    let slots = Slots {
        bias: 10,
        masks: &[3, 7, 8, 9],
        added: 4,
        past: [5, 6],
        room: 7,
    };
    by_slots(op, &slots)
}

fn by_slots(op: &mut Typing, slots: &Slots) -> Ruling {
    let number = count(op, "num_heads").ok_or(NO_HEADS)?;
    let (of, joined) = taken_apart(op, &number, slots)?;
    let [q, k, v] = &joined;
    parted_bias(op, slots.bias, [q, k, v])?;
    for &slot in slots.masks {
        let is_there = match slot == slots.masks[0] {
            true => of.masked(op, slot, MASK),
            false => op.held(slot, MASK).is_some(),
        };
        if is_there {
            of.ordered(op);
        }
    }
    if op.int("unidirectional", 0) != 0 {
        of.ordered(op);
    }
    of.biased(op, slots.added)?;
    of.past(op, slots.past)?;
    of.state(op);
    op.mirror_int("num_heads", &of.shared);
    let [queries, _] = of.lengths.clone();
    let made = of.joined(op);
    op.output(0, vec![of.batch.clone(), queries, made]);
    op.output(1, of.present(&of.width));
    op.output(2, of.present(&of.value));
    let products = of.products(op);
    op.output(3, products);
    Ok(())
}

/// Heads and widths, and queries, keys and values as axes that join both.
fn taken_apart(op: &mut Typing, number: &Extent, slots: &Slots) -> Ruling<(Attention, [Type; 3])> {
    let query = op.input(0)?;
    let (key, value) = (op.optional(1)?, op.optional(2)?);
    let (batch, length) = match &query[..] {
        [batch, length, ..] if matches!(query.len(), 3 | 5) => (batch.clone(), length.clone()),
        _ => return Err(RANK),
    };
    let queries = HeadsOf::axis(op, &query, number)?;
    let [keys, values] = match (&key, &value) {
        (None, None) if query.len() == 5 => [queries.clone(), queries.clone()],
        (Some(key), None) if key.len() == 5 && query.len() == 3 => {
            let both = HeadsOf::axis(op, key, number)?;
            [both.clone(), both]
        }
        (Some(key), Some(value)) if key.len() < 5 && value.len() < 5 => [
            HeadsOf::axis(op, key, number)?,
            HeadsOf::axis(op, value, number)?,
        ],
        _ => return Err(Unsupported("it packs its inputs in an unusual way")),
    };
    if op.extent(&queries.width) != op.extent(&keys.width) {
        return Err(UNEVEN);
    }
    op.contract(0, query.len() - 1);
    for (own, other) in [(&queries, &keys), (&queries, &values)] {
        op.unify(&own.heads, &other.heads);
        op.unify(&batch, &other.batch);
    }
    op.unify(&queries.width, &keys.width);
    if key.is_some_and(|key| key.len() == 4) || op.value(slots.past[0]).is_some() {
        // Kernels take keys and values by head, and those of the past, in one shape only.
        op.unify(&keys.width, &values.width);
    }
    op.unify(&keys.length, &values.length);
    let new = op.extent(&keys.length);
    op.pin(&keys.length, super::PLACE);
    let total = match (past_length(op, slots.past[0]), op.value(slots.room)) {
        (None, _) if op.value(slots.past[0]).is_some() => None,
        (None, _) => Some(new),
        // Where the length of the past is given, the caches have room for more.
        (Some(past), Some(_)) => Some(past),
        (Some(past), None) => past.add(&new),
    };
    let one = op.fixed(Extent::ONE, "has size 1");
    let of = Attention {
        batch,
        shared: queries.heads.clone(),
        group: one,
        lengths: [length, op.sized((1, 2), total, PLACE)],
        width: queries.width.clone(),
        value: values.width.clone(),
    };
    Ok((of, [queries.joined(), keys.joined(), values.joined()]))
}

/// Queries, keys or values.
#[derive(Clone)]
struct HeadsOf {
    batch: Type,
    length: Type,
    heads: Type,
    width: Type,
}

impl HeadsOf {
    /// Heads joined with their width `[batch, length, ..]`, by head `[batch, heads, length, width]`, or with others between
    /// `[batch, length, heads, others, width]`.
    fn axis(op: &mut Typing, axes: &[Type], number: &Extent) -> Ruling<HeadsOf> {
        let (batch, length, heads, width) = match axes {
            [batch, length, joined] => {
                let width = width_of(op, joined, std::slice::from_ref(number))?;
                let [heads, width] = match &op.factor(joined, &[number.clone(), width])[..] {
                    [heads, width] => [heads.clone(), width.clone()],
                    _ => return Err(UNEVEN),
                };
                (batch, length, heads, width)
            }
            [batch, heads, length, width] => (batch, length, heads.clone(), width.clone()),
            [batch, length, heads, others, width] => {
                op.pin(others, "tells queries, keys and values apart");
                (batch, length, heads.clone(), width.clone())
            }
            _ => return Err(RANK),
        };
        if op.extent(&heads) != *number {
            return Err(UNEVEN);
        }
        Ok(HeadsOf {
            batch: batch.clone(),
            length: length.clone(),
            heads,
            width,
        })
    }

    fn joined(&self) -> Type {
        Type::Product(vec![self.heads.clone(), self.width.clone()])
    }
}

/// Queries, keys and values of the places of all samples, one after the other: `[places, heads of this width]`, or packed
/// `[places, heads, 3, width]`; bias, offsets, lengths, what is added to the products.
fn without_padding(op: &mut Typing) -> Ruling {
    let number = count(op, "num_heads").ok_or(NO_HEADS)?;
    let query = op.input(0)?;
    let one = op.fixed(Extent::ONE, "has size 1");
    let padded = |axes: &[Type]| [std::slice::from_ref(&one), axes].concat();
    let queries = match query.len() {
        2 | 4 => HeadsOf::axis(op, &padded(&query), &number)?,
        _ => return Err(RANK),
    };
    let [keys, values] = match (op.optional(1)?, op.optional(2)?) {
        (None, None) if query.len() == 4 => [queries.clone(), queries.clone()],
        (Some(key), Some(value)) if query.len() == 2 && key.len() == 2 && value.len() == 2 => {
            [key, value]
                .map(|axes| HeadsOf::axis(op, &padded(&axes), &number))
                .into_iter()
                .collect::<Ruling<Vec<HeadsOf>>>()?
                .try_into()
                .map_err(|_| RANK)?
        }
        _ => return Err(Unsupported("it packs its inputs in an unusual way")),
    };
    if op.extent(&queries.width) != op.extent(&keys.width) {
        return Err(UNEVEN);
    }
    op.contract(0, query.len() - 1);
    for other in [&keys, &values] {
        op.unify(&queries.heads, &other.heads);
        op.unify(&queries.length, &other.length);
    }
    op.unify(&queries.width, &keys.width);
    parted_bias(op, 3, [&queries.joined(), &keys.joined(), &values.joined()])?;
    for slot in [4, 5] {
        op.held(slot, MASK);
    }
    let of = Attention {
        batch: one.clone(),
        shared: queries.heads.clone(),
        group: one,
        lengths: [queries.length.clone(), queries.length],
        width: queries.width,
        value: values.width,
    };
    of.biased_by_head(op, 6)?;
    of.state(op);
    op.mirror_int("num_heads", &of.shared);
    let made = of.joined(op);
    op.output(0, vec![of.lengths[0].clone(), made]);
    Ok(())
}
