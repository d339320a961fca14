//! Pairs of elements, turned by an angle that the place says.

use super::super::{Backward, must};
use super::{UNUSUAL, count};
use crate::graph::Array;
use crate::ops::typing::{Ruling, Unsupported};

/// Cosines and sines that turn data of four axes, broadcast.
pub(super) struct Turn {
    pub(super) cos: Array,
    pub(super) sin: Array,
    pub(super) interleaved: bool,
}

impl Turn {
    /// The first and second elements of pairs in what is turned of `x`, and how wide that is.
    fn pairs(&self, b: &mut Backward, x: &Array) -> [Array; 2] {
        let half = self.half();
        let last = x.rank() - 1;
        if !self.interleaved {
            return [0, half].map(|start| b.emit.part(x, last, start, half));
        }
        let turned = b.emit.part(x, last, 0, 2 * half);
        let mut apart = turned.sizes.clone();
        apart[last] = half;
        let sizes = apart.clone();
        apart.push(2);
        let turned = b.emit.reshape(&turned, &apart);
        [0, 1].map(|which| {
            let part = b.emit.part(&turned, last + 1, which, 1);
            b.emit.reshape(&part, &sizes)
        })
    }

    fn half(&self) -> usize {
        self.cos.sizes.last().copied().unwrap_or(0)
    }

    /// Pairs, and what of `x` is not turned, as one array.
    fn whole(&self, b: &mut Backward, pairs: [Array; 2], x: &Array) -> Array {
        let last = x.rank() - 1;
        let half = self.half();
        let turned = match self.interleaved {
            false => b.emit.concat(&pairs, last),
            true => {
                let mut single = pairs[0].sizes.clone();
                single.push(1);
                let parts = pairs.map(|part| b.emit.reshape(&part, &single));
                let both = b.emit.concat(&parts, last + 1);
                let mut sizes = x.sizes.clone();
                sizes[last] = 2 * half;
                b.emit.reshape(&both, &sizes)
            }
        };
        let rest = x.sizes[last] - 2 * half;
        if rest == 0 {
            return turned;
        }
        let rest = b.emit.part(x, last, 2 * half, rest);
        b.emit.concat(&[turned, rest], last)
    }

    fn fits(&self, x: &Array) -> Ruling {
        let width = x.sizes.last().copied().unwrap_or(0);
        must(
            2 * self.half() <= width && self.cos.sizes == self.sin.sizes,
            UNUSUAL,
        )
    }

    /// Turned forwards, or back.
    pub(super) fn turned(&self, b: &mut Backward, x: &Array, back: bool) -> Ruling<Array> {
        self.fits(x)?;
        let [first, second] = self.pairs(b, x);
        let [fc, sc] = [&first, &second].map(|part| b.emit.mul(part, &self.cos));
        let [fs, ss] = [&first, &second].map(|part| b.emit.mul(part, &self.sin));
        let pairs = match back {
            false => [b.emit.sub(&fc, &ss), b.emit.add(&sc, &fs)],
            true => [b.emit.add(&fc, &ss), b.emit.sub(&sc, &fs)],
        };
        Ok(self.whole(b, pairs, x))
    }

    /// The gradients of cosines and sines.
    pub(super) fn of_angles(&self, b: &mut Backward, d: &Array, x: &Array) -> [Array; 2] {
        let ([d1, d2], [x1, x2]) = (self.pairs(b, d), self.pairs(b, x));
        let (along, across) = (b.emit.mul(&d1, &x1), b.emit.mul(&d2, &x2));
        let cos = b.emit.add(&along, &across);
        let (along, across) = (b.emit.mul(&d2, &x1), b.emit.mul(&d1, &x2));
        let sin = b.emit.sub(&along, &across);
        [cos, sin].map(|part| b.emit.sum_to(&part, &self.cos.sizes))
    }
}

/// Data, cosines, sines, places.
pub(in crate::ops) fn rotary(b: &mut Backward) -> Ruling {
    let places = match b.has(3) {
        true => Some(b.input(3)?),
        false => None,
    };
    let heads = count(b, "num_heads");
    turn(b, [1, 2], places, heads)
}

/// Data, places or the first of them, cosines, sines.
pub(in crate::ops) fn rotary_contrib(b: &mut Backward) -> Ruling {
    must(
        b.int("is_packed_batching", 0) == 0,
        "its samples are packed",
    )?;
    must(b.float("scale", 1.0) == 1.0, "it scales")?;
    let (x, places, table) = (b.input(0)?, b.input(1)?, b.input(2)?);
    let length = match (x.rank(), &x.sizes[..]) {
        (3, &[_, length, _]) | (4, &[_, _, length, _]) => length,
        _ => return Err(Unsupported(UNUSUAL)),
    };
    let places = match places.count() {
        1 if places.rank() < 2 => {
            let steps: Vec<f64> = (0..length).map(|place| place as f64).collect();
            let steps = b.emit.constant(&steps, &[1, length], places.element);
            let first = b.emit.reshape(&places, &[1, 1]);
            b.emit.add(&first, &steps)
        }
        _ => places,
    };
    let width = table.sizes.last().map_or(0, |half| 2 * half);
    let joined = x.sizes.last().copied().unwrap_or(0);
    let heads = match count(b, "num_heads") {
        0 => joined / width.max(1),
        heads => heads,
    };
    turn(b, [2, 3], Some(places), heads)
}

fn turn(b: &mut Backward, slots: [usize; 2], places: Option<Array>, heads: usize) -> Ruling {
    let (d, x) = (b.cotangent()?, b.input(0)?);
    // Where the heads and the places stand.
    let (sizes, aside) = match x.sizes[..] {
        [batch, length, all] => {
            must(
                heads > 0 && all % heads == 0,
                "its width does not divide into its heads",
            )?;
            ([batch, length, heads, all / heads], 2)
        }
        [batch, heads, length, width] => ([batch, heads, length, width], 1),
        _ => return Err(Unsupported(UNUSUAL)),
    };
    let (x, d) = (b.emit.reshape(&x, &sizes), b.emit.reshape(&d, &sizes));
    let [cos, sin] = slots.map(|slot| {
        let table = b.input(slot)?;
        let rows = match &places {
            Some(places) => b.emit.rows_at(&table, places),
            None => table,
        };
        must(rows.rank() == 3, UNUSUAL)?;
        let mut wide = rows.sizes.clone();
        wide.insert(aside, 1);
        Ok(b.emit.reshape(&rows, &wide))
    });
    let turn = Turn {
        cos: cos?,
        sin: sin?,
        interleaved: b.int("interleaved", 0) != 0,
    };
    if b.needs(0) {
        let given = turn.turned(b, &d, true)?;
        let given = b.emit.reshape(&given, &b.input(0)?.sizes);
        b.give(0, &given)?;
    }
    if !slots.iter().any(|&slot| b.needs(slot)) {
        return Ok(());
    }
    turn.fits(&x)?;
    let parts = turn.of_angles(b, &d, &x);
    for (slot, part) in slots.into_iter().zip(parts) {
        if !b.needs(slot) {
            continue;
        }
        let table = b.input(slot)?;
        let given = match &places {
            Some(places) => b.emit.added_rows(places, &part, table.sizes[0]),
            None => b.emit.reshape(&part, &table.sizes),
        };
        b.give(slot, &given)?;
    }
    Ok(())
}
