//! Attention as one operator, with its caches.

use super::{Held, axis, count, like, output};
use crate::axes::{Extent, Type};
use crate::ops::typing::{Ruling, Typing, Unsupported};
use crate::ops::{Row, contrib, row};

pub(super) const ROWS: &[Row] = &[
    row("Attention", attention),
    row("RotaryEmbedding", |op| like(op, 0)),
    row("LinearAttention", linear),
    contrib("RotaryEmbedding", |op| like(op, 0)),
    contrib("Attention", packed),
    contrib("MultiHeadAttention", multi_head),
    contrib("GroupQueryAttention", grouped_query),
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
    op.output(0, vec![batch.clone(), length, width]);
    let batch = op.extent(&batch);
    output(
        op,
        1,
        vec![Some(Extent::Known(2)), Some(batch), heads, None, each],
    );
    Ok(())
}

/// Query, key, value as batch, length, width; packed as `[batch, length, heads, 3, width]` or with keys and
/// values as `[batch, length, heads, 2, width]`; keys and values perhaps by head.
fn multi_head(op: &mut Typing) -> Ruling {
    let held = Held::of(op);
    let query = op.extents(&held.at(0)?);
    let number = count(op, "num_heads");
    let value = held.get(2).or(held.get(1)).map(<[Type]>::to_vec);
    let value = value.map(|axes| op.extents(&axes));
    let (batch, length) = match &query[..] {
        [batch, length, ..] if query.len() == 3 || query.len() == 5 => (batch, length),
        _ => return Err(Unsupported("an input has an unusual rank")),
    };
    let width = match (&query[..], value.as_deref()) {
        ([_, _, heads, _, width], _) => heads.mul(width),
        (_, Some([_, _, width])) => Some(width.clone()),
        (_, Some([_, heads, _, width])) => heads.mul(width),
        (_, Some([_, _, heads, _, width])) => heads.mul(width),
        _ => None,
    };
    let each = width.as_ref().zip(number.as_ref());
    let each = each.and_then(|(width, heads)| width.div_exact(heads));
    output(
        op,
        0,
        vec![Some(batch.clone()), Some(length.clone()), width],
    );
    for slot in [1, 2] {
        output(
            op,
            slot,
            vec![Some(batch.clone()), number.clone(), None, each.clone()],
        );
    }
    Ok(())
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
    op.output(0, vec![batch.clone(), length, width]);
    let batch = op.extent(&batch);
    for slot in [1, 2] {
        output(
            op,
            slot,
            vec![Some(batch.clone()), shared.clone(), None, each.clone()],
        );
    }
    Ok(())
}
