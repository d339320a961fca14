//! Attention as one operator, with its caches.

use super::{Held, axis, count, output};
use crate::axes::{Extent, Type};
use crate::ops::adjoints::attention as back;
use crate::ops::typing::{Ruling, Typing, Unsupported};
use crate::ops::{Row, contrib, row};

pub(super) const ROWS: &[Row] = &[
    row("Attention", attention).gives(back::attention),
    row("LinearAttention", linear).gives(back::linear_attention),
    contrib("Attention", packed).gives(back::packed),
    contrib("MultiHeadAttention", multi_head).gives(back::multi_head),
    contrib("GroupQueryAttention", grouped_query).gives(back::grouped_query),
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

/// Q, K, V, mask, past keys, past values to Y, present keys, present values, products.
fn attention(op: &mut Typing) -> Ruling {
    let held = Held::of(op);
    let (query, value) = (held.at(0)?, held.at(2)?);
    let (queries, values) = (count(op, "q_num_heads"), count(op, "kv_num_heads"));
    let q = heads(op, &query, queries)?;
    let v = heads(op, &value, values.clone())?;
    let k = match held.get(1).map(<[Type]>::to_vec) {
        Some(key) => heads(op, &key, values)?,
        None => [const { None }; 4],
    };
    let past = held.get(4).and_then(|past| past.get(2)).cloned();
    let length = match past {
        Some(past) => {
            let past = op.extent(&past);
            k[2].as_ref().and_then(|now| past.add(now))
        }
        None => k[2].clone(),
    };
    attended(op, query.len(), &q, &v);
    output(
        op,
        1,
        vec![k[0].clone(), k[1].clone(), length.clone(), k[3].clone()],
    );
    output(
        op,
        2,
        vec![v[0].clone(), v[1].clone(), length.clone(), v[3].clone()],
    );
    output(
        op,
        3,
        vec![q[0].clone(), q[1].clone(), q[2].clone(), length],
    );
    Ok(())
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

/// Input, weight of queries, keys and values, bias, mask, past: `[2, batch, heads, length, width]`.
fn packed(op: &mut Typing) -> Ruling {
    let held = Held::of(op);
    let [batch, length, _] = held.ranked::<3>(0)?;
    let listed = op
        .ints("qkv_hidden_sizes")
        .and_then(|sizes| sizes.get(2).copied());
    let width = match (listed, held.get(1).and_then(|w| w.last()).cloned()) {
        (Some(size), _) => Some(Extent::Known(size)),
        (None, Some(all)) => op.extent(&all).div_exact(&Extent::Known(3)),
        (None, None) => None,
    };
    let heads = count(op, "num_heads");
    let each = width.as_ref().zip(heads.as_ref());
    let each = each.and_then(|(width, heads)| width.div_exact(heads));
    let width = axis(op, 0, 2, width);
    op.output(0, vec![batch.clone(), length.clone(), width]);
    let [batch, length] = [&batch, &length].map(|axis| op.extent(axis));
    let past = held.get(4).and_then(|past| past.get(3)).cloned();
    let total = match past.map(|past| op.extent(&past)) {
        Some(past) if op.int("past_present_share_buffer", 0) != 0 => Some(past),
        Some(past) => past.add(&length),
        None => Some(length),
    };
    output(
        op,
        1,
        vec![Some(Extent::Known(2)), Some(batch), heads, total, each],
    );
    Ok(())
}

/// Query, key, value as batch, length, width; packed as `[batch, length, heads, 3, width]` or with keys and
/// values as `[batch, length, heads, 2, width]`; keys and values perhaps by head.
fn multi_head(op: &mut Typing) -> Ruling {
    let held = Held::of(op);
    let query = op.extents(&held.at(0)?);
    let number = count(op, "num_heads");
    let sizes = |op: &Typing, slot: usize| held.get(slot).map(|axes| op.extents(axes));
    let key = sizes(op, 1);
    let value = sizes(op, 2).or(key.clone());
    let (batch, length) = match &query[..] {
        [batch, length, ..] if query.len() == 3 || query.len() == 5 => (batch, length),
        _ => return Err(Unsupported("an input has an unusual rank")),
    };
    let [batch, length] = [batch, length].map(|size| Some(size.clone()));
    let [k, v] = [key, value].map(|sizes| by_head(sizes.as_deref().unwrap_or(&query), &number));
    let past = sizes(op, 6).and_then(|past| past.get(2).cloned());
    // Where the length of the past is given, the caches have room for more.
    let total = match (past, op.value(8)) {
        (Some(past), None) => k.0.and_then(|now| past.add(&now)),
        (past, _) => past.or(k.0),
    };
    let width = v.1.as_ref().zip(number.as_ref());
    let width = width.and_then(|(each, heads)| each.mul(heads));
    output(op, 0, vec![batch.clone(), length.clone(), width]);
    let cache = |each| vec![batch.clone(), number.clone(), total.clone(), each];
    output(op, 1, cache(k.1));
    output(op, 2, cache(v.1));
    output(
        op,
        3,
        vec![batch.clone(), number.clone(), length, total.clone()],
    );
    Ok(())
}

/// Length and width of a head of keys or values: joined, by head, or packed.
fn by_head(sizes: &[Extent], heads: &Option<Extent>) -> (Option<Extent>, Option<Extent>) {
    match sizes {
        [_, length, width] => {
            let each = heads.as_ref().and_then(|heads| width.div_exact(heads));
            (Some(length.clone()), each)
        }
        [_, _, length, each] | [_, length, _, _, each] => {
            (Some(length.clone()), Some(each.clone()))
        }
        _ => (None, None),
    }
}

/// Query, key, value as batch, length, width, or all three packed in the query; keys and values have fewer
/// heads.
fn grouped_query(op: &mut Typing) -> Ruling {
    let held = Held::of(op);
    let [batch, length, width] = held.ranked::<3>(0)?;
    let (heads, shared) = (count(op, "num_heads"), count(op, "kv_num_heads"));
    let all = op.extent(&width);
    let (width, each) = match (held.get(1), &heads, &shared) {
        (Some(_), Some(heads), _) => (Some(all.clone()), all.div_exact(heads)),
        (None, Some(heads), Some(shared)) => {
            let parts = shared
                .mul(&Extent::Known(2))
                .and_then(|both| both.add(heads));
            let each = parts.and_then(|parts| all.div_exact(&parts));
            (each.as_ref().and_then(|each| heads.mul(each)), each)
        }
        _ => (None, None),
    };
    let width = axis(op, 0, 2, width);
    op.output(0, vec![batch.clone(), length.clone(), width]);
    let [batch, length] = [&batch, &length].map(|axis| op.extent(axis));
    let past = held.get(3).and_then(|past| past.get(2)).cloned();
    let past = past.map(|past| op.extent(&past));
    let total = op.integers(6).and_then(|all| all.first().cloned()?);
    // The caches stay as long as they are where all fits.
    let room = match (&past, &total) {
        _ if op.int("sliding_window_cache", 0) != 0 => None,
        (Some(past), Some(total)) => op.state.symbols.max(past, total),
        (Some(_), None) => None,
        (None, total) => total.clone(),
    };
    for slot in [1, 2] {
        output(
            op,
            slot,
            vec![
                Some(batch.clone()),
                shared.clone(),
                room.clone(),
                each.clone(),
            ],
        );
    }
    output(op, 3, vec![Some(batch), heads, Some(length), total]);
    Ok(())
}
