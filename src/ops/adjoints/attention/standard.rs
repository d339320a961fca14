//! The standard's attention: queries, keys, values, mask, earlier keys, earlier values.

use super::super::{Backward, must};
use super::{Scored, by_head, causal, count, from_truth, joined, lowest};
use crate::graph::Array;
use crate::onnx::ElementType;
use crate::ops::typing::Ruling;

pub(in crate::ops) fn attention(b: &mut Backward) -> Ruling {
    must(
        b.cotangent_of(3).is_none(),
        "the gradient of its scores is asked for",
    )?;
    must(!b.has(6), "its lengths are computed at run time")?;
    let windows = ["left_window_size", "right_window_size"];
    let windows = windows.iter().any(|name| b.int(name, -1) >= 0);
    must(!windows, "it attends within windows")?;
    let q = heads(b, 0, "q_num_heads")?;
    let [k, v] = [1, 2].map(|slot| heads(b, slot, "kv_num_heads"));
    let (k, v) = (k?, v?);
    let (all_k, all_v) = (behind(b, &k, 4)?, behind(b, &v, 5)?);
    must(
        q.rank() == 4 && all_k.rank() == 4 && all_v.rank() == 4,
        super::UNUSUAL,
    )?;
    let [places, width] = [q.sizes[2], q.sizes[3]];
    let earlier = all_k.sizes[2] - k.sizes[2];
    let scale = 1.0 / (width.max(1) as f32).sqrt();
    let mut scored = Scored {
        scale: b.float("scale", scale),
        softcap: b.float("softcap", 0.0),
        added: Vec::new(),
        q,
        k: all_k,
        v: all_v,
    };
    if b.has(3) {
        let mask = b.input(3)?;
        scored.added.push(match mask.element {
            ElementType::Bool => from_truth(b, &mask, scored.q.element),
            _ => mask,
        });
    }
    if b.int("is_causal", 0) != 0 {
        let element = scored.q.element;
        let sizes = [places, scored.k.sizes[2]];
        scored
            .added
            .push(causal(b, sizes, earlier, element, lowest(element))?);
    }
    let (mut of_k, mut of_v) = (b.cotangent_of(1), b.cotangent_of(2));
    if let Some(d) = b.cotangent_of(0) {
        let d = match d.rank() {
            3 => by_head(b, &d, scored.q.sizes[1])?,
            _ => d,
        };
        let made = scored.back(b, &d)?;
        give_heads(b, 0, &made.q)?;
        of_k = Some(added(b, of_k, &made.k));
        of_v = Some(added(b, of_v, &made.v));
        if b.needs(3) {
            b.give(3, &made.scores)?;
        }
    }
    for (whole, slot, past, now) in [(of_k, 1, 4, &k), (of_v, 2, 5, &v)] {
        let Some(whole) = whole else { continue };
        let earlier = whole.sizes[2].saturating_sub(now.sizes[2]);
        if b.needs(past) {
            let part = b.emit.part(&whole, 2, 0, earlier);
            b.give(past, &part)?;
        }
        if b.needs(slot) {
            let part = b.emit.part(&whole, 2, earlier, now.sizes[2]);
            give_heads(b, slot, &part)?;
        }
    }
    Ok(())
}

fn added(b: &mut Backward, first: Option<Array>, second: &Array) -> Array {
    match first {
        Some(first) => b.emit.add(&first, second),
        None => second.clone(),
    }
}

/// An input with its heads apart.
fn heads(b: &mut Backward, slot: usize, number: &str) -> Ruling<Array> {
    let x = b.input(slot)?;
    match x.rank() {
        3 => {
            let number = count(b, number);
            by_head(b, &x, number)
        }
        _ => Ok(x),
    }
}

fn give_heads(b: &mut Backward, slot: usize, gradient: &Array) -> Ruling {
    if !b.needs(slot) {
        return Ok(());
    }
    match b.input(slot)?.rank() {
        3 => {
            let whole = joined(b, gradient);
            b.give(slot, &whole)
        }
        _ => b.give(slot, gradient),
    }
}

/// What is there now behind what was there.
fn behind(b: &mut Backward, now: &Array, past: usize) -> Ruling<Array> {
    if !b.has(past) {
        return Ok(now.clone());
    }
    let past = b.input(past)?;
    must(past.rank() == 4 && now.rank() == 4, super::UNUSUAL)?;
    Ok(b.emit.concat(&[past, now.clone()], 2))
}
