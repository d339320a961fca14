//! Attention without softmax: a state of one matrix per head, which every place reads with its query.

use super::{ORDERED, RANK, joined_heads};
use crate::axes::Type;
use crate::ops::adjoints::attention as back;
use crate::ops::facts::AttentionPart;
use crate::ops::families::elementwise::broadcast_axis;
use crate::ops::typing::{Ruling, Typing, Unsupported};
use crate::ops::{Row, row};

pub(super) const ROWS: &[Row] = &[row("LinearAttention", linear).gives(back::linear_attention)];

/// Heads of keys, heads of queries for each, width of keys, width of values.
struct State {
    shared: Type,
    group: Type,
    width: Type,
    value: Type,
}

/// Query, key, value as batch, length, joined heads; a state `[batch, heads, width of keys, width of values]`; what is
/// forgotten, by head or by place of the keys; how much is learned, by head.
fn linear(op: &mut Typing) -> Ruling {
    let inputs = [op.input(0)?, op.input(1)?, op.input(2)?];
    let [[batch, length, q], [b, l, k], [c, m, v]] = [&inputs[0][..], &inputs[1], &inputs[2]]
    else {
        return Err(RANK);
    };
    let [shared, group, width, value] = joined_heads(op, [q, k, v])?;
    for (a, b) in [(batch, b), (batch, c), (length, l), (length, m)] {
        op.unify(a, b);
    }
    op.pin(length, ORDERED);
    let of = State {
        shared,
        group,
        width,
        value,
    };
    gates(op, &of, [batch, length])?;
    // Rules that correct the state read it with the keys as well.
    op.contract(0, 2);
    op.contract(1, 2);
    state(op, &of, [batch, length]);
    Ok(())
}

/// What is forgotten, how much is learned, and the state before.
fn gates(op: &mut Typing, of: &State, [batch, length]: [&Type; 2]) -> Ruling {
    let joined = Type::Product(vec![of.shared.clone(), of.width.clone()]);
    for slot in [4, 5] {
        let Some(gate) = op.optional(slot)? else {
            continue;
        };
        let [own, places, last] = &gate[..] else {
            return Err(RANK);
        };
        broadcast_axis(op, batch.clone(), own)?;
        broadcast_axis(op, length.clone(), places)?;
        let size = op.extent(last);
        match () {
            () if size == op.extent(&of.shared) => op.unify(last, &of.shared),
            () if size == op.extent(&joined) => op.unify(last, &joined),
            () if size.is_one() => {}
            () => return Err(Unsupported("a gate is neither by head nor by place")),
        }
    }
    if let Some(past) = op.optional(3)? {
        let [own, heads, width, value] = &past[..] else {
            return Err(RANK);
        };
        for (a, b) in [
            (own, batch),
            (heads, &of.shared),
            (width, &of.width),
            (value, &of.value),
        ] {
            op.unify(a, b);
        }
    }
    Ok(())
}

/// Outputs, costs, parts and numbers.
fn state(op: &mut Typing, of: &State, [batch, length]: [&Type; 2]) {
    super::default_scale(op, &of.width);
    for heads in [&of.shared, &of.group] {
        op.attends(AttentionPart::Heads, heads);
    }
    for width in [&of.width, &of.value] {
        op.attends(AttentionPart::HeadWidth, width);
        op.nonlinear(width, "is gated");
    }
    let queried = Type::Product(vec![of.shared.clone(), of.group.clone()]);
    op.mirror_int("q_num_heads", &queried);
    op.mirror_int("kv_num_heads", &of.shared);
    let places = [batch, length].map(Clone::clone);
    let learned = [&places[..], &[of.shared.clone(), of.value.clone()]].concat();
    op.cost(learned, vec![of.width.clone()]);
    let read = [&places[..], &[queried.clone(), of.value.clone()]].concat();
    op.cost(read, vec![of.width.clone()]);
    let joined = op
        .state
        .types
        .normal(&Type::Product(vec![queried, of.value.clone()]));
    op.output(0, vec![batch.clone(), length.clone(), joined]);
    let matrix = [&of.shared, &of.width, &of.value].map(Clone::clone);
    op.output(1, [std::slice::from_ref(batch), &matrix].concat());
}
