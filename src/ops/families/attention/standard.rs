//! Attention of the standard: heads as an axis, or joined with their width.

use super::{Attention, RANK, joined_heads, past_length, total};
use crate::axes::Type;
use crate::ops::adjoints::attention as back;
use crate::ops::typing::{Ruling, Typing, Unsupported};
use crate::ops::{Row, row};

pub(super) const ROWS: &[Row] = &[row("Attention", attention).gives(back::attention)];

/// Q, K, V, mask, past keys, past values to Y, present keys, present values, products.
fn attention(op: &mut Typing) -> Ruling {
    let [query, key, value] = [op.input(0)?, op.input(1)?, op.input(2)?];
    let ranks = [query.len(), key.len(), value.len()];
    let of = match ranks {
        [4, 4, 4] => apart(op, [&query, &key, &value])?,
        [3, 3, 3] => joined(op, [&query, &key, &value])?,
        _ => return Err(RANK),
    };
    op.contract(0, query.len() - 1);
    let windows = ["left_window_size", "right_window_size"];
    if op.int("is_causal", 0) != 0 || windows.iter().any(|name| op.int(name, -1) >= 0) {
        of.ordered(op);
    }
    of.biased(op, 3)?;
    of.past(op, [4, 5])?;
    op.held(6, "counts the places of each sample");
    of.state(op);
    let [queries, _] = of.lengths.clone();
    op.output(
        0,
        match query.len() {
            4 => vec![of.batch.clone(), of.heads(op), queries, of.value.clone()],
            _ => vec![of.batch.clone(), queries, of.joined(op)],
        },
    );
    op.output(1, of.present(&of.width));
    op.output(2, of.present(&of.value));
    let products = of.products(op);
    op.output(3, products);
    Ok(())
}

/// The length of all keys, of which those of `new` come now.
fn keys(op: &mut Typing, new: &Type) -> Type {
    match past_length(op, 4) {
        None if op.value(4).is_none() => new.clone(),
        past => {
            let new = Some(op.extent(new));
            total(op, (1, 2), [past, new])
        }
    }
}

/// `[batch, heads, length, width]`, of keys perhaps fewer heads.
fn apart(op: &mut Typing, [q, k, v]: [&[Type]; 3]) -> Ruling<Attention> {
    let shared = op.extent(&k[1]);
    let group = op.extent(&q[1]).div_exact(&shared);
    let group = group.ok_or(Unsupported("its numbers of heads do not divide"))?;
    let heads = op.factor(&q[1], &[shared, group]);
    let lengths = [q[2].clone(), keys(op, &k[2])];
    join(op, [(&q[0], &k[0]), (&q[0], &v[0])]);
    join(op, [(&heads[0], &k[1]), (&heads[0], &v[1])]);
    join(op, [(&q[3], &k[3]), (&k[2], &v[2])]);
    op.pin(&k[2], super::PLACE);
    for (name, of) in [("q_num_heads", &q[1]), ("kv_num_heads", &k[1])] {
        if op.int(name, 0) > 0 {
            op.mirror_int(name, of);
        }
    }
    Ok(Attention {
        batch: q[0].clone(),
        shared: heads[0].clone(),
        group: heads[1].clone(),
        lengths,
        width: q[3].clone(),
        value: v[3].clone(),
    })
}

/// `[batch, length, heads of this width]`.
fn joined(op: &mut Typing, [q, k, v]: [&[Type]; 3]) -> Ruling<Attention> {
    let [shared, group, width, value] = joined_heads(op, [&q[2], &k[2], &v[2]])?;
    let lengths = [q[1].clone(), keys(op, &k[1])];
    join(op, [(&q[0], &k[0]), (&q[0], &v[0])]);
    op.unify(&k[1], &v[1]);
    op.pin(&k[1], super::PLACE);
    let of = Attention {
        batch: q[0].clone(),
        shared,
        group,
        lengths,
        width,
        value,
    };
    op.mirror_int("q_num_heads", &of.heads(op));
    op.mirror_int("kv_num_heads", &of.shared);
    Ok(of)
}

fn join(op: &mut Typing, pairs: [(&Type, &Type); 2]) {
    for (a, b) in pairs {
        op.unify(a, b);
    }
}
