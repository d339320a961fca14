//! Attention as onnxruntime has it (`com.microsoft`).

use super::super::{Backward, must};
use super::rotary::Turn;
use super::{Scored, UNUSUAL, by_head, causal, count, joined};
use crate::graph::Array;
use crate::onnx::ElementType;
use crate::ops::typing::{Ruling, Unsupported};

const CACHED: &str = "it reads or makes a cache";

/// The scale that the node says, or one over the root of the width.
fn scale(b: &Backward, width: usize) -> f64 {
    match b.float("scale", 0.0) {
        0.0 => 1.0 / (width.max(1) as f64).sqrt(),
        scale => scale,
    }
}

/// What is added to the scores of masked keys.
fn masked(b: &Backward) -> f64 {
    b.float("mask_filter_value", -10000.0)
}

/// What a mask of ones and zeros, or one of lengths, adds to the scores: `[batch, 1, 1, keys]`.
fn padding(
    b: &mut Backward,
    slot: usize,
    [batch, keys]: [usize; 2],
    to: ElementType,
) -> Ruling<Array> {
    let mask = b.input(slot)?;
    let wide = [batch, 1, 1, keys];
    let low = masked(b);
    let mask = b.emit.cast(&mask, to);
    let outside = match &mask.sizes[..] {
        [rows, columns] if (*rows, *columns) == (batch, keys) => {
            let inside = b.emit.reshape(&mask, &wide);
            b.emit.number_less(1.0, &inside)
        }
        [rows] if *rows == batch => {
            let lengths = b.emit.reshape(&mask, &[batch, 1, 1, 1]);
            let places: Vec<f64> = (0..keys).map(|key| key as f64).collect();
            let places = b.emit.constant(&places, &[1, 1, 1, keys], to);
            let inside = b.emit.greater(&lengths, &places);
            let inside = b.emit.cast(&inside, to);
            b.emit.number_less(1.0, &inside)
        }
        _ => return Err(Unsupported("its mask has an unusual shape")),
    };
    Ok(b.emit.scale(&outside, low))
}

/// No cache is read, and no gradient of one or of scores is asked for.
fn without_cache(b: &Backward, slots: &[usize]) -> Ruling {
    let read = slots.iter().any(|&slot| b.has(slot));
    let made = (1..b.output_count()).any(|slot| b.cotangent_of(slot).is_some());
    must(!read && !made, CACHED)
}

/// Query, key, value, bias of all three, mask of the keys, what is added to the scores, caches.
pub(in crate::ops) fn multi_head(b: &mut Backward) -> Ruling {
    without_cache(b, &[6, 7, 8, 9])?;
    let d = b.cotangent()?;
    let heads = count(b, "num_heads");
    let parts = [0, 1, 2].map(|slot| b.input(slot));
    let [Ok(q), Ok(k), Ok(v)] = parts else {
        return Err(Unsupported("its queries, keys and values are packed"));
    };
    must(
        [&q, &k, &v].iter().all(|x| x.rank() == 3),
        "its queries, keys and values are packed",
    )?;
    let widths = [&q, &k, &v].map(|x| x.sizes[2]);
    let starts = [0, widths[0], widths[0] + widths[1]];
    let mut by_heads = Vec::new();
    for (place, x) in [&q, &k, &v].into_iter().enumerate() {
        let mut x = x.clone();
        if b.has(3) {
            let bias = b.input(3)?;
            must(bias.sizes == [widths.iter().sum::<usize>()], UNUSUAL)?;
            let own = b.emit.part(&bias, 0, starts[place], widths[place]);
            x = b.emit.add(&x, &own);
        }
        by_heads.push(by_head(b, &x, heads)?);
    }
    let mut added = Vec::new();
    let (batch, keys) = (k.sizes[0], k.sizes[1]);
    if b.has(4) {
        added.push(padding(b, 4, [batch, keys], q.element)?);
    }
    if b.has(5) {
        added.push(b.input(5)?);
    }
    if b.int("unidirectional", 0) != 0 {
        must(q.sizes[1] == keys, "its mask is not settled")?;
        let low = masked(b);
        added.push(causal(b, [keys, keys], 0, q.element, low)?);
    }
    let d = by_head(b, &d, heads)?;
    let [q, k, v]: [Array; 3] = by_heads.try_into().map_err(|_| Unsupported(UNUSUAL))?;
    let scored = Scored {
        scale: scale(b, q.sizes[3]),
        softcap: 0.0,
        added,
        q,
        k,
        v,
    };
    let made = scored.back(b, &d)?;
    if b.needs(5) {
        b.give(5, &made.scores)?;
    }
    let parts = [&made.q, &made.k, &made.v].map(|part| joined(b, part));
    for (slot, part) in parts.iter().enumerate() {
        b.give(slot, part)?;
    }
    if b.needs(3) {
        let sums = parts.map(|part| b.emit.sum(&part, &[0, 1], false));
        let whole = b.emit.concat(&sums, 0);
        b.give(3, &whole)?;
    }
    Ok(())
}

/// Input, weight of queries, keys and values, bias, mask, cache, what is added to the scores.
pub(in crate::ops) fn packed(b: &mut Backward) -> Ruling {
    without_cache(b, &[4, 6])?;
    must(b.int("do_rotary", 0) == 0, "it turns its queries and keys")?;
    let sizes = b
        .proto()
        .attribute
        .iter()
        .any(|a| a.name() == "qkv_hidden_sizes");
    must(!sizes, "its values have a width of their own")?;
    let (d, x, weight) = (b.cotangent()?, b.input(0)?, b.input(1)?);
    let (&[batch, length, width], &[inner, all]) = (&x.sizes[..], &weight.sizes[..]) else {
        return Err(Unsupported(UNUSUAL));
    };
    must(inner == width && all % 3 == 0, UNUSUAL)?;
    let heads = count(b, "num_heads");
    let flat = b.emit.reshape(&x, &[batch * length, width]);
    let mut made = b.emit.gemm(&flat, &weight, [false, false], 1.0);
    if b.has(2) {
        let bias = b.input(2)?;
        made = b.emit.add(&made, &bias);
    }
    let made = b.emit.reshape(&made, &[batch, length, all]);
    let [q, k, v] = [0, 1, 2].map(|part| {
        let part = b.emit.part(&made, 2, part * (all / 3), all / 3);
        by_head(b, &part, heads)
    });
    let (q, k, v) = (q?, k?, v?);
    let mut added = Vec::new();
    if b.has(3) {
        added.push(padding(b, 3, [batch, length], x.element)?);
    }
    if b.has(5) {
        added.push(b.input(5)?);
    }
    if b.int("unidirectional", 0) != 0 {
        let low = masked(b);
        added.push(causal(b, [length, length], 0, x.element, low)?);
    }
    let scored = Scored {
        scale: scale(b, q.sizes[3]),
        softcap: 0.0,
        added,
        q,
        k,
        v,
    };
    let d = by_head(b, &d, heads)?;
    let made = scored.back(b, &d)?;
    if b.needs(5) {
        b.give(5, &made.scores)?;
    }
    let parts = [&made.q, &made.k, &made.v].map(|part| joined(b, part));
    let whole = b.emit.concat(&parts, 2);
    let rows = b.emit.reshape(&whole, &[batch * length, all]);
    if b.needs(0) {
        let given = b.emit.gemm(&rows, &weight, [false, true], 1.0);
        let given = b.emit.reshape(&given, &x.sizes);
        b.give(0, &given)?;
    }
    if b.needs(1) {
        let given = b.emit.gemm(&flat, &rows, [true, false], 1.0);
        b.give(1, &given)?;
    }
    if b.needs(2) {
        let given = b.emit.sum(&rows, &[0], false);
        b.give(2, &given)?;
    }
    Ok(())
}

/// Query, key, value, caches, lengths less one, the whole length, cosines, sines: without a cache, where all samples
/// are as long as the data.
pub(in crate::ops) fn grouped_query(b: &mut Backward) -> Ruling {
    without_cache(b, &[3, 4, 9, 10, 11])?;
    let (d, q) = (b.cotangent()?, b.input(0)?);
    must(
        b.has(1) && b.has(2),
        "its queries, keys and values are packed",
    )?;
    let plain = b.int("local_window_size", -1) < 0
        && b.int("smooth_softmax", 0) == 0
        && b.float("softcap", 0.0) == 0.0;
    must(plain, "it attends within windows, or bounds its scores")?;
    let (k, v) = (b.input(1)?, b.input(2)?);
    must(q.rank() == 3, UNUSUAL)?;
    let length = q.sizes[1];
    let lengths = b.integers(5, "seqlens_k")?.unwrap_or_default();
    let full = lengths.iter().all(|&last| last + 1 == length as i64);
    must(
        full && k.sizes.get(1) == Some(&length),
        "its samples have different lengths",
    )?;
    let (heads, shared) = (count(b, "num_heads"), count(b, "kv_num_heads"));
    let (q, k, v) = (
        by_head(b, &q, heads)?,
        by_head(b, &k, shared)?,
        by_head(b, &v, shared)?,
    );
    let turn = match b.int("do_rotary", 0) {
        0 => None,
        _ => Some(first_angles(b, length)?),
    };
    let [turned_q, turned_k] = [&q, &k].map(|x| match &turn {
        Some(turn) => turn.turned(b, x, false),
        None => Ok(x.clone()),
    });
    let low = super::lowest(q.element);
    let scored = Scored {
        scale: scale(b, q.sizes[3]),
        softcap: 0.0,
        added: vec![causal(b, [length, length], 0, q.element, low)?],
        q: turned_q?,
        k: turned_k?,
        v,
    };
    let d = by_head(b, &d, heads)?;
    let made = scored.back(b, &d)?;
    if let Some(turn) = turn.as_ref().filter(|_| b.needs(7) || b.needs(8)) {
        give_angles(b, turn, [&made.q, &q])?;
        give_angles(b, turn, [&made.k, &k])?;
    }
    for (slot, part) in [(0, &made.q), (1, &made.k), (2, &made.v)] {
        let part = match &turn {
            Some(turn) if slot < 2 => turn.turned(b, part, true)?,
            _ => part.clone(),
        };
        let whole = joined(b, &part);
        b.give(slot, &whole)?;
    }
    Ok(())
}

/// The angles of the first places.
fn first_angles(b: &mut Backward, length: usize) -> Ruling<Turn> {
    let [cos, sin] = [7, 8].map(|slot| {
        let table = b.input(slot)?;
        let &[rows, half] = &table.sizes[..] else {
            return Err(Unsupported(UNUSUAL));
        };
        must(rows >= length, UNUSUAL)?;
        let part = b.emit.part(&table, 0, 0, length);
        Ok(b.emit.reshape(&part, &[1, 1, length, half]))
    });
    Ok(Turn {
        cos: cos?,
        sin: sin?,
        interleaved: b.int("rotary_interleaved", 0) != 0,
    })
}

/// What turned data, with its gradient, gives to the angles of the first places.
fn give_angles(b: &mut Backward, turn: &Turn, [d, x]: [&Array; 2]) -> Ruling {
    let parts = turn.of_angles(b, d, x);
    for (slot, part) in [7, 8].into_iter().zip(parts) {
        if b.needs(slot) {
            let &[rows, half] = &b.input(slot)?.sizes[..] else {
                return Err(Unsupported(UNUSUAL));
            };
            let length = part.count() / half.max(1);
            let part = b.emit.reshape(&part, &[length, half]);
            let given = b.emit.placed(&part, 0, 0, rows);
            b.give(slot, &given)?;
        }
    }
    Ok(())
}
