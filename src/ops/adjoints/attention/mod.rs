//! Attention as one operator: probabilities are made anew, and the gradient of the scores is `P (d V' - sum(d O))`.

mod contrib;
mod linear;
mod rotary;
mod standard;

pub(in crate::ops) use contrib::{grouped_query, multi_head, packed};
pub(in crate::ops) use linear::{causal_convolution, linear_attention};
pub(in crate::ops) use rotary::{rotary, rotary_contrib};
pub(in crate::ops) use standard::attention;

use super::{Backward, must};
use crate::graph::Array;
use crate::onnx::ElementType;
use crate::ops::typing::{Ruling, Unsupported};

const UNUSUAL: &str = "an input has an unusual shape";
/// The largest number of scores of one head that a mask is made for.
const LARGEST_MASK: usize = 1 << 26;

/// Queries, keys and values as batch, heads, places, width.
struct Scored {
    q: Array,
    k: Array,
    v: Array,
    scale: f64,
    softcap: f64,
    /// What is added to the scores.
    added: Vec<Array>,
}

/// The gradients of queries, keys, values and scores.
struct Attended {
    q: Array,
    k: Array,
    v: Array,
    scores: Array,
}

impl Scored {
    fn check(&self) -> Ruling {
        let (&[batch, heads, _, width], &[kb, shared, places, kw], &[vb, vh, vl, _]) =
            (&self.q.sizes[..], &self.k.sizes[..], &self.v.sizes[..])
        else {
            return Err(Unsupported(UNUSUAL));
        };
        let fits = batch == kb && batch == vb && width == kw && places == vl && shared == vh;
        must(fits && shared > 0 && heads % shared == 0, UNUSUAL)
    }

    /// The probabilities, and the tanh of the scores where these are bounded.
    fn probabilities(&self, b: &mut Backward, k: &Array) -> (Array, Option<Array>) {
        let turned = b.emit.transposed(k);
        let product = b.emit.matmul(&self.q, &turned);
        let mut scores = b.emit.scale(&product, self.scale);
        let mut tanh = None;
        if self.softcap > 0.0 {
            let scaled = b.emit.scale(&scores, 1.0 / self.softcap);
            let t = b.emit.map("Tanh", &scaled);
            scores = b.emit.scale(&t, self.softcap);
            tanh = Some(t);
        }
        for part in &self.added {
            scores = b.emit.add(&scores, part);
        }
        (b.emit.softmax_last(&scores), tanh)
    }

    /// From the gradient of what is attended to, with the axes of the queries.
    fn back(&self, b: &mut Backward, d: &Array) -> Ruling<Attended> {
        self.check()?;
        let heads = self.q.sizes[1];
        let [k, v] = [&self.k, &self.v].map(|shared| repeated(b, shared, heads));
        let (p, tanh) = self.probabilities(b, &k);
        let turned = b.emit.transposed(&p);
        let of_v = b.emit.matmul(&turned, d);
        let turned = b.emit.transposed(&v);
        let of_p = b.emit.matmul(d, &turned);
        let last = [p.rank() - 1];
        let scores = super::reduction::softmax_of(b, &of_p, &p, &last);
        let mut raw = scores.clone();
        if let Some(t) = tanh {
            let square = b.emit.square(&t);
            let slope = b.emit.number_less(1.0, &square);
            raw = b.emit.mul(&raw, &slope);
        }
        let raw = b.emit.scale(&raw, self.scale);
        let of_q = b.emit.matmul(&raw, &k);
        let turned = b.emit.transposed(&raw);
        let of_k = b.emit.matmul(&turned, &self.q);
        let shared = self.k.sizes[1];
        Ok(Attended {
            q: of_q,
            k: summed(b, &of_k, shared),
            v: summed(b, &of_v, shared),
            scores,
        })
    }
}

/// Heads that several queries share, once for each.
fn repeated(b: &mut Backward, x: &Array, heads: usize) -> Array {
    let &[batch, shared, places, width] = &x.sizes[..] else {
        return x.clone();
    };
    if shared == heads || shared == 0 {
        return x.clone();
    }
    let single = b.emit.reshape(x, &[batch, shared, 1, places, width]);
    let all = b
        .emit
        .expand(&single, &[batch, shared, heads / shared, places, width]);
    b.emit.reshape(&all, &[batch, heads, places, width])
}

/// The sum over the queries that share a head.
fn summed(b: &mut Backward, x: &Array, shared: usize) -> Array {
    let &[batch, heads, places, width] = &x.sizes[..] else {
        return x.clone();
    };
    if shared == heads || shared == 0 {
        return x.clone();
    }
    let apart = b
        .emit
        .reshape(x, &[batch, shared, heads / shared, places, width]);
    b.emit.sum(&apart, &[2], false)
}

/// Heads apart: batch, length and joined heads as batch, heads, places, width.
fn by_head(b: &mut Backward, x: &Array, heads: usize) -> Ruling<Array> {
    let &[batch, length, all] = &x.sizes[..] else {
        return Err(Unsupported(UNUSUAL));
    };
    must(
        heads > 0 && all % heads == 0,
        "its width does not divide into its heads",
    )?;
    let apart = b.emit.reshape(x, &[batch, length, heads, all / heads]);
    Ok(b.emit.transpose(&apart, &[0, 2, 1, 3]))
}

/// The reverse of [`by_head`].
fn joined(b: &mut Backward, x: &Array) -> Array {
    let &[batch, heads, length, width] = &x.sizes[..] else {
        return x.clone();
    };
    let apart = b.emit.transpose(x, &[0, 2, 1, 3]);
    b.emit.reshape(&apart, &[batch, length, heads * width])
}

/// A positive attribute as a number.
fn count(b: &Backward, name: &str) -> usize {
    usize::try_from(b.int(name, 0)).unwrap_or(0)
}

/// A number that no score is as low as.
fn lowest(element: ElementType) -> f64 {
    match element {
        ElementType::Float16 => -65504.0,
        _ => -1e30,
    }
}

/// What keeps each query from the keys after it, `offset` of which come before the first query.
fn causal(
    b: &mut Backward,
    [queries, keys]: [usize; 2],
    offset: usize,
    element: ElementType,
    low: f64,
) -> Ruling<Array> {
    let count = queries.saturating_mul(keys);
    must(count <= LARGEST_MASK, "its mask would be very large")?;
    let numbers: Vec<f64> = (0..count)
        .map(|place| {
            let (query, key) = (place / keys, place % keys);
            if key > query + offset { low } else { 0.0 }
        })
        .collect();
    Ok(b.emit.constant(&numbers, &[queries, keys], element))
}

/// What a mask of truth values adds to the scores.
fn from_truth(b: &mut Backward, mask: &Array, element: ElementType) -> Array {
    let zero = b.emit.number(0.0, element);
    let low = b.emit.number(lowest(element), element);
    b.emit.choose(mask, &zero, &low)
}
