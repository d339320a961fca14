//! Attention as one operator. Heads and the width of a head are factors of the axes that join them: heads attend each for
//! itself and go through, the width that queries and keys share is summed over, that of values goes to the output. Lengths
//! stay: softmax goes over the keys. What a cache declares stays because the cache is an input or an output of the graph.

mod grouped;
mod linear;
mod multi_head;
mod packed;
mod standard;

use super::elementwise::broadcast_axis;
use crate::axes::{Extent, Type};
use crate::ops::Row;
use crate::ops::facts::AttentionPart;
use crate::ops::typing::{Ruling, Typing, Unsupported};

pub(super) const FAMILIES: [&[Row]; 5] = [
    standard::ROWS,
    linear::ROWS,
    multi_head::ROWS,
    grouped::ROWS,
    packed::ROWS,
];

const RANK: Unsupported = Unsupported("an input has an unusual rank");
const UNEVEN: Unsupported = Unsupported("its heads do not divide the width of its inputs");
const PLACE: &str = "is a place that softmax goes over";
const ORDERED: &str = "is a place in an order";

/// The axes of an attention.
struct Attention {
    batch: Type,
    /// Heads of keys and values.
    shared: Type,
    /// Heads of queries for each of these, of size 1 where they are as many.
    group: Type,
    /// Queries, and keys with those of the past.
    lengths: [Type; 2],
    /// Width of a head of queries and keys.
    width: Type,
    /// Width of a head of values.
    value: Type,
}

impl Attention {
    /// Heads of queries.
    fn heads(&self, op: &Typing) -> Type {
        let heads = Type::Product(vec![self.shared.clone(), self.group.clone()]);
        op.state.types.normal(&heads)
    }

    /// Heads of queries joined with the width of a value.
    fn joined(&self, op: &Typing) -> Type {
        let joined = [&self.shared, &self.group, &self.value].map(Clone::clone);
        op.state.types.normal(&Type::Product(joined.to_vec()))
    }

    /// A cache of keys or values of this width: what there is of the past and what comes.
    fn present(&self, width: &Type) -> Vec<Type> {
        let [_, keys] = self.lengths.clone();
        vec![self.batch.clone(), self.shared.clone(), keys, width.clone()]
    }

    /// Products of queries with keys.
    fn products(&self, op: &Typing) -> Vec<Type> {
        let [queries, keys] = self.lengths.clone();
        vec![self.batch.clone(), self.heads(op), queries, keys]
    }

    /// What follows for every form: a scale that is left out, costs, the parts.
    fn state(&self, op: &mut Typing) {
        default_scale(op, &self.width);
        for heads in [&self.shared, &self.group] {
            op.attends(AttentionPart::Heads, heads);
            op.nonlinear(heads, "attends for itself");
        }
        for width in [&self.width, &self.value] {
            op.attends(AttentionPart::HeadWidth, width);
        }
        let products = self.products(op);
        op.cost(products.clone(), vec![self.width.clone()]);
        let made = [&products[..3], std::slice::from_ref(&self.value)].concat();
        op.cost(made, vec![self.lengths[1].clone()]);
        op.pin(&self.lengths[1], PLACE);
    }

    /// An input that is added to the products, whose axes are aligned from the back: where an axis is not 1, it is that
    /// of the products.
    fn biased(&self, op: &mut Typing, slot: usize) -> Ruling {
        let Some(bias) = op.optional(slot)? else {
            return Ok(());
        };
        let products = self.products(op);
        let [.., keys] = &bias[..] else {
            return Ok(());
        };
        op.pin(keys, PLACE);
        op.agree(keys, &self.lengths[1], true);
        let before = bias[..bias.len() - 1].iter().rev();
        for (axis, of) in before.zip(products[..3].iter().rev()) {
            broadcast_axis(op, of.clone(), axis)?;
        }
        Ok(())
    }

    /// The same for places of all samples, one after the other: the input has those of each sample.
    fn biased_by_head(&self, op: &mut Typing, slot: usize) -> Ruling {
        let Some(bias) = op.optional(slot)? else {
            return Ok(());
        };
        let [batch, heads, places @ ..] = &bias[..] else {
            return Err(RANK);
        };
        op.pin(batch, PLACE);
        op.pin_all(places, PLACE);
        let own = self.heads(op);
        broadcast_axis(op, own, heads)?;
        Ok(())
    }

    /// Caches of keys and values of the past at two slots, `[batch, heads, length, width]`.
    fn past(&self, op: &mut Typing, slots: [usize; 2]) -> Ruling {
        for (slot, width) in slots.into_iter().zip([&self.width, &self.value]) {
            let Some(past) = op.optional(slot)? else {
                continue;
            };
            let [batch, heads, length, own] = &past[..] else {
                return Err(RANK);
            };
            op.unify(&self.batch, batch);
            op.unify(&self.shared, heads);
            op.pin(length, PLACE);
            op.unify(width, own);
        }
        Ok(())
    }

    /// A mask at a slot, which stays as it is: of two or three axes the last is as long as the keys.
    fn masked(&self, op: &mut Typing, slot: usize, why: &'static str) -> bool {
        let mask = op.held(slot, why);
        if let Some([.., keys]) = mask.as_deref()
            && mask
                .as_ref()
                .is_some_and(|axes| matches!(axes.len(), 2 | 3))
        {
            op.agree(keys, &self.lengths[1], false);
        }
        mask.is_some()
    }

    /// The order of the queries matters.
    fn ordered(&self, op: &mut Typing) {
        op.pin(&self.lengths[0], ORDERED);
    }
}

/// States what the scale is that is left out: it follows from the width of a head.
fn default_scale(op: &mut Typing, width: &Type) {
    let scale = op.proto().attribute.iter().find(|a| a.name() == "scale");
    // Kernels take a scale of 0 for none.
    let given = scale.and_then(|a| a.f).is_some_and(|scale| scale != 0.0);
    if let Some(size) = op.extent(width).size().filter(|_| !given) {
        op.implied("scale", 1.0 / (size as f32).sqrt(), width);
    }
}

/// A positive attribute as a size.
fn count(op: &Typing, name: &str) -> Option<Extent> {
    let count = op.proto().attribute.iter().find(|a| a.name() == name)?.i?;
    (count > 0).then_some(Extent::Known(count))
}

/// How many heads of keys an attribute says there are, and how many of queries for each of these another.
fn groups(op: &Typing, queries: &str, keys: &str) -> Ruling<[Extent; 2]> {
    let (queries, keys) = (count(op, queries), count(op, keys));
    let group = queries.zip(keys.clone());
    let group = group.and_then(|(queries, keys)| queries.div_exact(&keys));
    match (keys, group) {
        (Some(keys), Some(group)) => Ok([keys, group]),
        _ => Err(Unsupported("its numbers of heads do not divide")),
    }
}

/// How wide a head is in an axis that joins this many.
fn width_of(op: &Typing, axis: &Type, heads: &[Extent]) -> Ruling<Extent> {
    let heads = Extent::product(heads);
    let width = heads.and_then(|heads| op.extent(axis).div_exact(&heads));
    width.ok_or(UNEVEN)
}

/// Heads of keys, heads of queries for each of these, width of queries and keys, and width of values, in axes that join heads
/// with their width.
fn joined_heads(op: &mut Typing, [q, k, v]: [&Type; 3]) -> Ruling<[Type; 4]> {
    let [shared, group] = groups(op, "q_num_heads", "kv_num_heads")?;
    let width = width_of(op, q, &[shared.clone(), group.clone()])?;
    let each = |axis| width_of(op, axis, std::slice::from_ref(&shared));
    if each(k)? != width {
        return Err(UNEVEN);
    }
    let value = each(v)?;
    let queries = op.factor(q, &[shared.clone(), group, width.clone()]);
    let keys = op.factor(k, &[shared.clone(), width]);
    let values = op.factor(v, &[shared, value]);
    for (a, b) in [
        (&queries[0], &keys[0]),
        (&queries[0], &values[0]),
        (&queries[2], &keys[1]),
    ] {
        op.unify(a, b);
    }
    let [shared, group, width] = <[Type; 3]>::try_from(queries).map_err(|_| UNEVEN)?;
    Ok([shared, group, width, values[1].clone()])
}

/// The length of all keys where `past` are there before: a sum where both can be told.
fn total(op: &mut Typing, (slot, axis): (usize, usize), sizes: [Option<Extent>; 2]) -> Type {
    let [past, new] = sizes;
    let total = past.zip(new).and_then(|(past, new)| past.add(&new));
    op.sized((slot, axis), total, PLACE)
}

/// The length of a cache, if the node has one at this slot.
fn past_length(op: &Typing, slot: usize) -> Option<Extent> {
    let past = op.state.axes(op.value(slot)?)?;
    past.get(2).map(|length| op.extent(length))
}

/// A vector that is added to queries, keys and values, one after the other.
fn parted_bias(op: &mut Typing, slot: usize, parts: [&Type; 3]) -> Ruling {
    let Some(bias) = op.optional(slot)? else {
        return Ok(());
    };
    let [all] = &bias[..] else {
        return Err(RANK);
    };
    unify_parts(op, all, parts)?;
    // It is there where queries and keys are masked.
    op.contract(slot, 0);
    Ok(())
}

/// States that an axis is that of queries, keys and values, one after the other.
fn unify_parts(op: &mut Typing, all: &Type, parts: [&Type; 3]) -> Ruling {
    let sizes = parts.map(|part| op.extent(part));
    let sum = sizes[0].add(&sizes[1]).and_then(|sum| sum.add(&sizes[2]));
    if sum != Some(op.extent(all)) {
        return Err(Unsupported(
            "queries, keys and values do not fill its width",
        ));
    }
    let own = op.split(all, &sizes);
    for (own, part) in own.iter().zip(parts) {
        op.unify(own, part);
    }
    Ok(())
}
