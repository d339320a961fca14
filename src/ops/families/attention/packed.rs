//! Attention that makes queries, keys and values itself, with one weight of which they are columns.

use super::super::scales::on_codes;
use super::{Attention, PLACE, RANK, UNEVEN, count, unify_parts, width_of};
use crate::axes::{Extent, Type};
use crate::ops::adjoints::attention as back;
use crate::ops::facts::{Bias, Operand, Role};
use crate::ops::numbers::CodedSlot;
use crate::ops::typing::{Ruling, Typing, Unsupported};
use crate::ops::{Elements, KernelFamily, Row, contrib};

pub(super) const ROWS: &[Row] = &[
    contrib("Attention", attention)
        .gives(back::packed)
        .ranked_as(0, 1)
        .kernels(KernelFamily::MatMul),
    contrib("QAttention", of_codes)
        .stops("its factors are codes: train the model before its quantisation")
        .ranked_as(0, 1)
        .kernels(KernelFamily::MatMul)
        .of_elements(&[Elements::Input(3)]),
    contrib("PackedAttention", without_padding)
        .stops("its places are packed")
        .kernels(KernelFamily::MatMul),
];

const COUNTED: &str = "counts places";
const SIZES: &str = "qkv_hidden_sizes";

/// Input, weight, bias, mask, past `[2, batch, heads, length, width]`, what is added to the products, length of the past.
fn attention(op: &mut Typing) -> Ruling {
    let input = op.input(0)?;
    let [batch, length, _] = &input[..] else {
        return Err(RANK);
    };
    let (heads, width, value) = columns(op, &input)?;
    let past = op.optional(4)?;
    let before = past.as_ref().and_then(|past| past.get(3));
    let before = before.map(|past| op.extent(past));
    let now = op.extent(length);
    let total = match before {
        Some(past) if op.int("past_present_share_buffer", 0) != 0 => Some(past),
        Some(past) => past.add(&now),
        None => Some(now),
    };
    let one = op.fixed(Extent::ONE, "has size 1");
    let of = Attention {
        batch: batch.clone(),
        shared: heads,
        group: one,
        lengths: [length.clone(), op.sized((1, 3), total, PLACE)],
        width,
        value,
    };
    of.ordered(op);
    of.masked(op, 3, COUNTED);
    op.held(6, COUNTED);
    if op.int("do_rotary", 0) != 0 {
        op.pin(&of.width, "is rotated inside the operator");
    }
    of.biased(op, 5)?;
    caches(op, &of, past)?;
    of.state(op);
    let made = of.joined(op);
    op.output(0, vec![of.batch.clone(), length.clone(), made]);
    Ok(())
}

/// As an attention whose data and weight are codes, and whose queries, keys and values have one width.
fn of_codes(op: &mut Typing) -> Ruling {
    let own = |codes, scale, zero| CodedSlot {
        codes,
        scale: Some(scale),
        zero: Some(zero),
        axis: None,
    };
    let weight = own(1, 4, 7).along(-1);
    let mut slots = vec![own(0, 3, 6), weight];
    slots.extend([2, 5, 8].map(CodedSlot::numbers));
    on_codes(op, slots, attention)?;
    let all = op.input(1)?.pop().ok_or(RANK)?;
    let third = op.extent(&all).div_exact(&Extent::Known(3)).ok_or(UNEVEN)?;
    let parts = op.split(&all, &[third.clone(), third.clone(), third]);
    for part in &parts[1..] {
        op.unify(&parts[0], part);
    }
    Ok(())
}

/// Keys and values have one width where a cache holds both.
fn caches(op: &mut Typing, of: &Attention, past: Option<Vec<Type>>) -> Ruling {
    if past.is_some() || op.has_output(1) {
        op.unify(&of.width, &of.value);
    }
    let both = op.fixed(Extent::Known(2), "tells keys and values apart");
    let mut present = vec![both];
    present.extend(of.present(&of.value));
    if let Some(past) = past {
        let [two, batch, heads, length, width] = &past[..] else {
            return Err(RANK);
        };
        op.pin(two, "tells keys and values apart");
        op.unify(&of.batch, batch);
        op.unify(&of.shared, heads);
        op.pin(length, super::PLACE);
        op.unify(&of.value, width);
    }
    op.output(1, present);
    Ok(())
}

/// Heads, width of queries and keys, width of values, as the columns of the weight and the bias are.
fn columns(op: &mut Typing, input: &[Type]) -> Ruling<(Type, Type, Type)> {
    let weight = op.input(1)?;
    let [read, all] = &weight[..] else {
        return Err(RANK);
    };
    let last = input.len() - 1;
    op.unify(&input[last], read);
    op.contract(0, last);
    let number =
        count(op, "num_heads").ok_or(Unsupported("it does not say its number of heads"))?;
    let sizes = hidden_sizes(op, all)?;
    let parts = op.split(all, &sizes);
    let [queries, keys, values] = &parts[..] else {
        return Err(UNEVEN);
    };
    let mut factors = Vec::new();
    for part in [queries, keys, values] {
        let width = width_of(op, part, std::slice::from_ref(&number))?;
        factors.push(op.factor(part, &[number.clone(), width]));
    }
    for other in &factors[1..] {
        let (own, other) = (factors[0][0].clone(), other[0].clone());
        op.unify(&own, &other);
    }
    let (own, other) = (factors[0][1].clone(), factors[1][1].clone());
    op.unify(&own, &other);
    op.contract(1, 1);
    let bias = op.optional(2)?;
    if let Some(bias) = &bias {
        let [bias] = &bias[..] else {
            return Err(RANK);
        };
        unify_parts(op, bias, [queries, keys, values])?;
        op.contract(2, 0);
    }
    op.linear_with(
        1,
        Some(Operand::Input(0)),
        vec![Role::Reduction(last), Role::Row(None)],
        1,
        Some(Bias::whole(2)),
    );
    let mut produced = input[..last].to_vec();
    produced.push(all.clone());
    op.cost(produced, vec![read.clone()]);
    op.mirror_int("num_heads", &factors[0][0]);
    let parts = [queries, keys, values].map(|part| Some(part.clone()));
    op.mirror_attribute(SIZES, parts.to_vec());
    Ok((
        factors[0][0].clone(),
        factors[0][1].clone(),
        factors[2][1].clone(),
    ))
}

/// Columns of queries, keys and values.
fn hidden_sizes(op: &Typing, all: &Type) -> Ruling<[Extent; 3]> {
    let listed = op.ints(SIZES).filter(|sizes| !sizes.is_empty());
    let sizes = match listed.as_deref() {
        Some(&[queries, keys, values]) => [queries, keys, values].map(Extent::Known),
        Some(_) => return Err(UNEVEN),
        None => {
            let third = op.extent(all).div_exact(&Extent::Known(3)).ok_or(UNEVEN)?;
            [third.clone(), third.clone(), third]
        }
    };
    let sum = sizes[0].add(&sizes[1]).and_then(|sum| sum.add(&sizes[2]));
    match sizes[0] == sizes[1] && sum == Some(op.extent(all)) {
        true => Ok(sizes),
        false => Err(UNEVEN),
    }
}

/// Input `[places, width]`, weight, bias, offsets, lengths, what is added to the products.
fn without_padding(op: &mut Typing) -> Ruling {
    let input = op.input(0)?;
    let [places, _] = &input[..] else {
        return Err(RANK);
    };
    let (shared, width, value) = columns(op, &input)?;
    let one = op.fixed(Extent::ONE, "has size 1");
    let of = Attention {
        batch: one.clone(),
        shared,
        group: one,
        lengths: [places.clone(), places.clone()],
        width,
        value,
    };
    for slot in [3, 4] {
        op.held(slot, COUNTED);
    }
    of.biased_by_head(op, 5)?;
    of.state(op);
    let made = of.joined(op);
    op.output(0, vec![places.clone(), made]);
    Ok(())
}
