//! Attention of which several heads of queries share one of keys and values.

use super::{Attention, PLACE, RANK, UNEVEN, groups, past_length, unify_parts, width_of};
use crate::axes::{Extent, Type};
use crate::ops::adjoints::attention as back;
use crate::ops::typing::{Ruling, Typing, Unsupported};
use crate::ops::{Row, contrib};

pub(super) const ROWS: &[Row] =
    &[contrib("GroupQueryAttention", grouped_query).gives(back::grouped_query)];

const COUNTED: &str = "counts places";

/// Query, key, value as batch, length, width, or all three packed in the query; past keys, past values, lengths, their
/// largest, tables of cosines and sines, positions, what is added to the products, sinks of heads, scales of caches, scales of
/// normalised queries and keys, lengths of queries.
fn grouped_query(op: &mut Typing) -> Ruling {
    let [shared, group] = groups(op, "num_heads", "kv_num_heads")?;
    if ["k_quant_type", "v_quant_type"]
        .iter()
        .any(|name| op.string(name, "NONE") != "NONE")
    {
        return Err(Unsupported("its caches are codes"));
    }
    let query = op.input(0)?;
    let [batch, length, all] = &query[..] else {
        return Err(RANK);
    };
    let joined = match (op.optional(1)?, op.optional(2)?) {
        (Some(key), Some(value)) => apart(op, [&query, &key, &value], [&shared, &group])?,
        (None, None) => packed(op, all, [&shared, &group])?,
        _ => return Err(Unsupported("it packs its inputs in an unusual way")),
    };
    op.contract(0, 2);
    let total = op.integers(6).and_then(|all| all.first().cloned()?);
    counted(op, length, &total);
    let room = room(op, total.clone());
    let room = op.sized((1, 2), room, PLACE);
    let of = Attention {
        batch: batch.clone(),
        shared: joined[0].clone(),
        group: joined[1].clone(),
        lengths: [length.clone(), op.sized((3, 3), total, PLACE)],
        width: joined[2].clone(),
        value: joined[2].clone(),
    };
    of.ordered(op);
    for slot in [5, 9, 16] {
        op.held(slot, COUNTED);
    }
    rotated(op, &of)?;
    of.biased(op, 10)?;
    of.past(op, [3, 4])?;
    if let Some(sinks) = op.optional(11)? {
        let [sinks] = &sinks[..] else {
            return Err(RANK);
        };
        let heads = of.heads(op);
        op.unify(&heads, sinks);
    }
    normalised(op, &of)?;
    of.state(op);
    op.mirror_int("num_heads", &of.heads(op));
    op.mirror_int("kv_num_heads", &of.shared);
    let made = of.joined(op);
    op.output(0, vec![of.batch.clone(), length.clone(), made]);
    let cache = [&of.batch, &of.shared, &room, &of.width].map(Clone::clone);
    op.output(1, cache.to_vec());
    op.output(2, cache.to_vec());
    let products = of.products(op);
    op.output(3, products);
    Ok(())
}

/// What caches become longer by. Lengths that nothing in the graph says are those of the past and of what comes together.
fn counted(op: &mut Typing, length: &Type, total: &Option<Extent>) {
    if let Some(seen) = past_length(op, 3)
        && op.int("sliding_window_cache", 0) == 0
    {
        op.grows(seen, length);
    }
    let past = past_length(op, 3).unwrap_or(Extent::Known(0));
    let all = past.add(&op.extent(length));
    if let (Some(all), Some(total), 0) = (&all, total, op.int("sliding_window_cache", 0)) {
        op.reaches(total, all);
    }
    let Some(all) = all.filter(|_| total.is_none()) else {
        return;
    };
    if let Some(before) = all.sub(&Extent::ONE) {
        op.bounded(5, before.clone(), Some(before));
    }
    op.bounded(6, all.clone(), Some(all));
}

/// The length of the caches: they stay as long as they are where all fits.
fn room(op: &mut Typing, total: Option<Extent>) -> Option<Extent> {
    match (past_length(op, 3), &total) {
        _ if op.int("sliding_window_cache", 0) != 0 => None,
        (Some(past), Some(total)) => op.state.symbols.max(&past, total),
        (Some(_), None) => None,
        (None, _) => total,
    }
}

/// Heads of keys, heads of queries for each, width of a head, where queries, keys and values are apart.
fn apart(
    op: &mut Typing,
    [query, key, value]: [&[Type]; 3],
    [shared, group]: [&Extent; 2],
) -> Ruling<[Type; 3]> {
    let ([_, _, q], [b, l, k], [c, m, v]) = (query, key, value) else {
        return Err(RANK);
    };
    let width = width_of(op, q, &[shared.clone(), group.clone()])?;
    for axis in [k, v] {
        if width_of(op, axis, std::slice::from_ref(shared))? != width {
            return Err(UNEVEN);
        }
    }
    for axis in [b, c] {
        op.unify(&query[0], axis);
    }
    for axis in [l, m] {
        op.unify(&query[1], axis);
    }
    let sizes = [shared.clone(), width.clone()];
    let queries = op.factor(q, &[shared.clone(), group.clone(), width]);
    for axis in [k, v] {
        let own = op.factor(axis, &sizes);
        op.unify(&queries[0], &own[0]);
        op.unify(&queries[2], &own[1]);
    }
    <[Type; 3]>::try_from(queries).map_err(|_| UNEVEN)
}

/// The same where one axis has queries, keys and values one after the other.
fn packed(op: &mut Typing, all: &Type, [shared, group]: [&Extent; 2]) -> Ruling<[Type; 3]> {
    let parts = group.add(&Extent::Known(2)).ok_or(UNEVEN)?;
    let width = width_of(op, all, &[shared.clone(), parts])?;
    let size = |heads: &[&Extent]| Extent::product(heads.iter().copied()).ok_or(UNEVEN);
    let keys = size(&[shared, &width])?;
    let own = op.split(all, &[size(&[shared, group, &width])?, keys.clone(), keys]);
    let [q, k, v] = &own[..] else {
        return Err(UNEVEN);
    };
    let queries = op.factor(q, &[shared.clone(), group.clone(), width.clone()]);
    let joined = Type::Product(vec![queries[0].clone(), queries[2].clone()]);
    for axis in [k, v] {
        let own = op.factor(axis, &[shared.clone(), width.clone()]);
        op.unify(&queries[0], &own[0]);
        op.unify(&queries[2], &own[1]);
    }
    let heads = Type::Product(queries.clone());
    unify_parts(op, all, [&heads, &joined, &joined])?;
    <[Type; 3]>::try_from(queries).map_err(|_| UNEVEN)
}

/// Positions of a head that are rotated together go together, with their columns in the tables. Kernels take widths of whole
/// registers.
fn rotated(op: &mut Typing, of: &Attention) -> Ruling {
    if op.int("do_rotary", 0) == 0 {
        op.multiple(&of.width, 8, "has a kernel that takes multiples of 8 only");
        return Ok(());
    }
    let why = "has a kernel that takes multiples of 16 only where it rotates";
    op.multiple(&of.width, 16, why);
    let tables = [op.input(7)?, op.input(8)?];
    let [[places, cosines], [others, sines]] = [&tables[0][..], &tables[1][..]] else {
        return Err(RANK);
    };
    for axis in [places, others] {
        op.pin(axis, COUNTED);
    }
    let half = op.extent(cosines);
    let both = half.add(&half).ok_or(UNEVEN)?;
    let rest = op.extent(&of.width).sub(&both).ok_or(UNEVEN)?;
    if rest.known().is_none_or(|rest| rest < 0) {
        return Err(Unsupported("its tables are not as wide as half a head"));
    }
    op.multiple(cosines, 8, why);
    op.unify(cosines, sines);
    let interleaved = op.int("rotary_interleaved", 0) != 0;
    let whole = match rest == Extent::Known(0) {
        true => vec![of.width.clone()],
        false => op.split(&of.width, &[both, rest]),
    };
    match interleaved {
        true => {
            let pairs = op.factor(&whole[0], &[half, Extent::Known(2)]);
            op.pin(&pairs[1], "is one of a pair that is rotated");
            op.unify(&pairs[0], cosines);
        }
        false => {
            let halves = op.split(&whole[0], &[half.clone(), half]);
            for own in &halves {
                op.unify(own, cosines);
            }
        }
    }
    Ok(())
}

/// Scales of queries and keys that are normalised along a head.
fn normalised(op: &mut Typing, of: &Attention) -> Ruling {
    for slot in [14, 15] {
        let Some(scale) = op.optional(slot)? else {
            continue;
        };
        let [scale] = &scale[..] else {
            return Err(RANK);
        };
        op.unify(&of.width, scale);
        op.pin(&of.width, "is normalised inside the operator");
    }
    Ok(())
}
