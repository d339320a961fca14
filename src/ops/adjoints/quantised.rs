//! Numbers from codes: codes themselves have no gradient.

use super::{Backward, must};
use crate::graph::Array;
use crate::ops::typing::{Ruling, Unsupported, axis_of};

const UNUSUAL: &str = "an input has an unusual shape";

/// `(code - zero point) scale`, for the scale.
pub(in crate::ops) fn dequantize(b: &mut Backward) -> Ruling {
    if !b.needs(1) {
        return Ok(());
    }
    let (d, codes, scale) = (b.cotangent()?, b.input(0)?, b.input(1)?);
    must(
        b.int("block_size", 0) == 0,
        "its scales are those of blocks",
    )?;
    let mut wide = vec![1; codes.rank()];
    if scale.count() > 1 {
        let axis = axis_of(b.int("axis", 1), codes.rank())?;
        must(
            scale.rank() == 1 && codes.sizes[axis] == scale.count(),
            UNUSUAL,
        )?;
        wide[axis] = scale.count();
    }
    let mut numbers = b.emit.cast(&codes, d.element);
    if b.has(2) {
        let zero = b.input(2)?;
        must(zero.count() == scale.count(), UNUSUAL)?;
        let zero = b.emit.cast(&zero, d.element);
        let zero = b.emit.reshape(&zero, &wide);
        numbers = b.emit.sub(&numbers, &zero);
    }
    let product = b.emit.mul(&d, &numbers);
    let sum = b.emit.sum_to(&product, &wide);
    let given = b.emit.reshape(&sum, &scale.sizes);
    b.give(1, &given)
}

/// A weight in blocks: numbers without their scale, and with it as `[rows, columns]`.
struct Blocks {
    numbers: Array,
    weight: Array,
    /// Rows, blocks of each, columns of each block.
    sizes: [usize; 3],
}

/// Data, codes `[rows, blocks, bytes]`, scales of the blocks, zero points, order of the columns, bias.
pub(in crate::ops) fn packed_product(b: &mut Backward) -> Ruling {
    must(!b.has(4), "its columns have an order of their own")?;
    let (d, x) = (b.cotangent()?, b.input(0)?);
    let blocks = blocks(b, &d)?;
    let [rows, count, width] = blocks.sizes;
    let inner = x.sizes.last().copied().unwrap_or(0);
    must(inner > 0 && inner <= count * width, UNUSUAL)?;
    let samples = x.count() / inner;
    must(d.count() == samples * rows, UNUSUAL)?;
    let d = b.emit.reshape(&d, &[samples, rows]);
    if b.needs(0) {
        let weight = b.emit.part(&blocks.weight, 1, 0, inner);
        let given = b.emit.gemm(&d, &weight, [false, false], 1.0);
        let given = b.emit.reshape(&given, &x.sizes);
        b.give(0, &given)?;
    }
    if b.needs(2) {
        let flat = b.emit.reshape(&x, &[samples, inner]);
        let given = b.emit.gemm(&d, &flat, [true, false], 1.0);
        let given = b.emit.placed(&given, 1, 0, count * width);
        let given = b.emit.reshape(&given, &[rows, count, width]);
        let product = b.emit.mul(&given, &blocks.numbers);
        let sum = b.emit.sum(&product, &[2], false);
        let sizes = b.input(2)?.sizes;
        let given = b.emit.reshape(&sum, &sizes);
        b.give(2, &given)?;
    }
    must(!b.needs(3), "its zero points would have to be trained")?;
    if b.needs(5) {
        let given = b.emit.sum(&d, &[0], false);
        b.give(5, &given)?;
    }
    Ok(())
}

fn blocks(b: &mut Backward, d: &Array) -> Ruling<Blocks> {
    let (codes, scales) = (b.input(1)?, b.input(2)?);
    let &[rows, count, _] = &codes.sizes[..] else {
        return Err(Unsupported(UNUSUAL));
    };
    let bits = b.int("bits", 4);
    must(
        bits == 4 || bits == 8,
        "its codes have neither 4 nor 8 bits",
    )?;
    must(scales.count() == rows * count, UNUSUAL)?;
    let mut numbers = unpacked(b, &codes, bits, d);
    let width = numbers.sizes[2];
    let zero = match b.has(3) {
        false => b.emit.number(f64::from(1 << (bits - 1)), d.element),
        true => {
            let zero = b.input(3)?;
            let zero = match zero.element.is_float() {
                true => b.emit.cast(&zero, d.element),
                false => {
                    let bytes = zero.count() / rows.max(1);
                    let by_row = b.emit.reshape(&zero, &[rows, 1, bytes]);
                    let zero = unpacked(b, &by_row, bits, d);
                    must(zero.sizes[2] >= count, UNUSUAL)?;
                    b.emit.part(&zero, 2, 0, count)
                }
            };
            must(zero.count() == rows * count, UNUSUAL)?;
            b.emit.reshape(&zero, &[rows, count, 1])
        }
    };
    numbers = b.emit.sub(&numbers, &zero);
    let scales = b.emit.cast(&scales, d.element);
    let scales = b.emit.reshape(&scales, &[rows, count, 1]);
    let weight = b.emit.mul(&numbers, &scales);
    Ok(Blocks {
        weight: b.emit.reshape(&weight, &[rows, count * width]),
        numbers,
        sizes: [rows, count, width],
    })
}

/// The codes of bytes `[a, b, bytes]` as numbers; of two in a byte the lower one comes first.
fn unpacked(b: &mut Backward, bytes: &Array, bits: i64, d: &Array) -> Array {
    let bytes = b.emit.cast(bytes, d.element);
    if bits == 8 {
        return bytes;
    }
    let scaled = b.emit.scale(&bytes, 1.0 / 16.0);
    let high = b.emit.map("Floor", &scaled);
    let less = b.emit.scale(&high, 16.0);
    let low = b.emit.sub(&bytes, &less);
    let mut single = bytes.sizes.clone();
    single.push(1);
    let parts = [low, high].map(|part| b.emit.reshape(&part, &single));
    let both = b.emit.concat(&parts, single.len() - 1);
    let mut sizes = bytes.sizes.clone();
    if let Some(last) = sizes.last_mut() {
        *last *= 2;
    }
    b.emit.reshape(&both, &sizes)
}
