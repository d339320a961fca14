//! Operators with a state that is linear in what they read.

use super::super::{Backward, must};
use super::{UNUSUAL, by_head, causal, count, joined, repeated, summed};
use crate::graph::Array;
use crate::ops::typing::{Ruling, Unsupported};

/// Places of a kernel that are told apart.
const MOST_PLACES: usize = 64;

/// Query, key, value, state before: `o = scale q S` with `S` the sum of the products of keys and values so far.
pub(in crate::ops) fn linear_attention(b: &mut Backward) -> Ruling {
    let rule = b.string("update_rule", "gated_delta");
    must(
        rule == "linear",
        "its state is updated by a rule that has no gradient here",
    )?;
    let (heads, shared) = (count(b, "q_num_heads"), count(b, "kv_num_heads"));
    let [q, k, v] = [(0, heads), (1, shared), (2, shared)].map(|(slot, heads)| {
        let x = b.input(slot)?;
        by_head(b, &x, heads)
    });
    let (q, k, v) = (q?, k?, v?);
    must(
        shared > 0 && heads % shared == 0 && q.sizes[3] == k.sizes[3],
        UNUSUAL,
    )?;
    let scale = match b.float("scale", 0.0) {
        0.0 => 1.0 / (q.sizes[3].max(1) as f64).sqrt(),
        scale => scale,
    };
    let length = q.sizes[2];
    let scaled = b.emit.scale(&q, scale);
    let (mut of_k, mut of_v, mut of_state) = (Vec::new(), Vec::new(), Vec::new());
    if let Some(d) = b.cotangent_of(0) {
        let d = by_head(b, &d, heads)?;
        let [all_k, all_v] = [&k, &v].map(|x| repeated(b, x, heads));
        // What comes later adds nothing.
        let later = causal(b, [length, length], 0, q.element, -1.0)?;
        let earlier = b.emit.shift(&later, 1.0);
        let turned = b.emit.transposed(&all_v);
        let product = b.emit.matmul(&d, &turned);
        let of_scores = b.emit.mul(&product, &earlier);
        let mut of_q = b.emit.matmul(&of_scores, &all_k);
        let turned = b.emit.transposed(&of_scores);
        let part = b.emit.matmul(&turned, &scaled);
        of_k.push(summed(b, &part, shared));
        let turned = b.emit.transposed(&all_k);
        let product = b.emit.matmul(&scaled, &turned);
        let scores = b.emit.mul(&product, &earlier);
        let turned = b.emit.transposed(&scores);
        let part = b.emit.matmul(&turned, &d);
        of_v.push(summed(b, &part, shared));
        if b.has(3) {
            let state = b.input(3)?;
            must(
                state.sizes == [q.sizes[0], shared, q.sizes[3], v.sizes[3]],
                UNUSUAL,
            )?;
            let state = repeated(b, &state, heads);
            let turned = b.emit.transposed(&state);
            let part = b.emit.matmul(&d, &turned);
            of_q = b.emit.add(&of_q, &part);
            let turned = b.emit.transposed(&scaled);
            let part = b.emit.matmul(&turned, &d);
            of_state.push(summed(b, &part, shared));
        }
        let of_q = b.emit.scale(&of_q, scale);
        let whole = joined(b, &of_q);
        b.give(0, &whole)?;
    }
    if let Some(d) = b.cotangent_of(1) {
        let turned = b.emit.transposed(&d);
        of_k.push(b.emit.matmul(&v, &turned));
        of_v.push(b.emit.matmul(&k, &d));
        of_state.push(d);
    }
    for (slot, parts) in [(1, of_k), (2, of_v)] {
        let sum = b.emit.total(&parts);
        let whole = joined(b, &sum);
        b.give(slot, &whole)?;
    }
    match b.has(3) && b.needs(3) {
        true => {
            let sum = b.emit.total(&of_state);
            b.give(3, &sum)
        }
        false => Ok(()),
    }
}

/// Data `[batch, channels, length]`, weight `[channels, 1, places]`, bias, what came before the data.
pub(in crate::ops) fn causal_convolution(b: &mut Backward) -> Ruling {
    let (x, weight) = (b.input(0)?, b.input(1)?);
    let (&[batch, channels, length], &[_, _, places]) = (&x.sizes[..], &weight.sizes[..]) else {
        return Err(Unsupported(UNUSUAL));
    };
    must(
        (1..=MOST_PLACES).contains(&places),
        "its kernel is very wide",
    )?;
    must(weight.count() == channels * places, UNUSUAL)?;
    let before = places - 1;
    let whole = match b.has(3) {
        true => {
            let past = b.input(3)?;
            must(past.sizes == [batch, channels, before], UNUSUAL)?;
            b.emit.concat(&[past, x.clone()], 2)
        }
        false => b.emit.placed(&x, 2, before, before + length),
    };
    let weight = b.emit.reshape(&weight, &[channels, places]);
    let taps: Vec<(Array, Array)> = (0..places)
        .map(|place| {
            let part = b.emit.part(&whole, 2, place, length);
            (part, b.emit.part(&weight, 1, place, 1))
        })
        .collect();
    let mut parts = Vec::new();
    if let Some(d) = b.cotangent_of(0) {
        let d = before_activation(b, &d, &taps)?;
        let mut of_weight = Vec::new();
        for (place, (data, factor)) in taps.iter().enumerate() {
            let spread = b.emit.mul(&d, factor);
            parts.push(b.emit.placed(&spread, 2, place, before + length));
            let product = b.emit.mul(&d, data);
            let sum = b.emit.sum(&product, &[0, 2], false);
            of_weight.push(b.emit.reshape(&sum, &[channels, 1, 1]));
        }
        let of_weight = b.emit.concat(&of_weight, 2);
        b.give(1, &of_weight)?;
        if b.needs(2) {
            let sum = b.emit.sum(&d, &[0, 2], false);
            b.give(2, &sum)?;
        }
    }
    if let Some(d) = b.cotangent_of(1).filter(|_| before > 0) {
        must(d.sizes == [batch, channels, before], UNUSUAL)?;
        parts.push(b.emit.placed(&d, 2, length, before + length));
    }
    let sum = b.emit.total(&parts);
    let of_data = b.emit.part(&sum, 2, before, length);
    b.give(0, &of_data)?;
    match b.needs(3) {
        true => {
            let of_past = b.emit.part(&sum, 2, 0, before);
            b.give(3, &of_past)
        }
        false => Ok(()),
    }
}

/// The gradient of the convolution from that of what an activation makes of it.
fn before_activation(b: &mut Backward, d: &Array, taps: &[(Array, Array)]) -> Ruling<Array> {
    match b.string("activation", "none").as_str() {
        "none" => return Ok(d.clone()),
        "silu" | "swish" => (),
        _ => return Err(Unsupported("its activation is none that the operator has")),
    }
    let products: Vec<Array> = taps
        .iter()
        .map(|(data, factor)| b.emit.mul(data, factor))
        .collect();
    let mut z = b.emit.total(&products);
    if b.has(2) {
        let bias = b.input(2)?;
        let bias = b.emit.reshape(&bias, &[bias.count(), 1]);
        z = b.emit.add(&z, &bias);
    }
    let s = b.emit.map("Sigmoid", &z);
    let rest = b.emit.number_less(1.0, &s);
    let inner = b.emit.mul(&z, &rest);
    let inner = b.emit.shift(&inner, 1.0);
    let slope = b.emit.mul(&s, &inner);
    Ok(b.emit.mul(d, &slope))
}
