//! Numbers from codes, and codes from numbers. Rounding has no gradient of its own: one goes straight through, as if
//! codes were real numbers, where they are not cut off (Bengio, Leonard and Courville 2013; the scale's is that of
//! Esser et al. 2020).

use super::{Backward, must};
use crate::graph::Array;
use crate::onnx::ElementType;
use crate::ops::typing::{Ruling, Unsupported, axis_of};

const UNUSUAL: &str = "an input has an unusual shape";

/// Scale and zero point of each element, broadcast.
struct Steps {
    scale: Array,
    zero: Option<Array>,
}

impl Steps {
    /// Those of a node that reads `x` first, as numbers of this type.
    fn of(b: &mut Backward, x: &Array, element: ElementType) -> Ruling<Steps> {
        let scale = b.input(1)?;
        must(
            b.int("block_size", 0) == 0,
            "its scales are those of blocks",
        )?;
        let mut wide = vec![1; x.rank()];
        if scale.count() > 1 {
            let axis = axis_of(b.int("axis", 1), x.rank())?;
            must(scale.rank() == 1 && x.sizes[axis] == scale.count(), UNUSUAL)?;
            wide[axis] = scale.count();
        }
        let as_wide = |b: &mut Backward, of: &Array| {
            let real = b.emit.cast(of, element);
            b.emit.reshape(&real, &wide)
        };
        let zero = match b.has(2) {
            false => None,
            true => {
                let zero = b.input(2)?;
                must(zero.count() == scale.count(), UNUSUAL)?;
                Some(as_wide(b, &zero))
            }
        };
        Ok(Steps {
            scale: as_wide(b, &scale),
            zero,
        })
    }

    /// Gives the scale a gradient, a part of it for each element.
    fn give(&self, b: &mut Backward, parts: &Array) -> Ruling {
        let sum = b.emit.sum_to(parts, &self.scale.sizes);
        let sizes = b.input(1)?.sizes;
        let given = b.emit.reshape(&sum, &sizes);
        b.give(1, &given)
    }

    /// The number that a code stands for.
    fn number(&self, b: &mut Backward, code: f64) -> Array {
        let code = match &self.zero {
            Some(zero) => b.emit.number_less(code, zero),
            None => b.emit.number(code, self.scale.element),
        };
        b.emit.mul(&code, &self.scale)
    }
}

/// `(code - zero point) scale`, for the codes and the scale.
pub(in crate::ops) fn dequantize(b: &mut Backward) -> Ruling {
    if !b.needs(0) && !b.needs(1) {
        return Ok(());
    }
    let (d, codes) = (b.cotangent()?, b.input(0)?);
    let steps = Steps::of(b, &codes, d.element)?;
    if b.needs(0) {
        let given = b.emit.mul(&d, &steps.scale);
        b.give(0, &given)?;
    }
    if !b.needs(1) {
        return Ok(());
    }
    let mut numbers = b.emit.cast(&codes, d.element);
    if let Some(zero) = &steps.zero {
        numbers = b.emit.sub(&numbers, zero);
    }
    let product = b.emit.mul(&d, &numbers);
    steps.give(b, &product)
}

/// `x / scale + zero point`, rounded and cut off at the ends of the codes' type, for the numbers and the scale.
pub(in crate::ops) fn quantize(b: &mut Backward) -> Ruling {
    let (d, x) = (b.cotangent()?, b.input(0)?);
    let [low, high] = match b.output(0)?.element {
        ElementType::Uint8 => [0.0, 255.0],
        ElementType::Int8 => [-128.0, 127.0],
        ElementType::Uint16 => [0.0, 65_535.0],
        ElementType::Int16 => [-32_768.0, 32_767.0],
        _ => return Err(Unsupported("its codes have neither 8 nor 16 bits")),
    };
    let steps = Steps::of(b, &x, x.element)?;
    let ends = [low - 0.5, high + 0.5].map(|code| steps.number(b, code));
    let (above, below) = (b.emit.greater(&x, &ends[0]), b.emit.less(&x, &ends[1]));
    let inside = b.emit.and(&above, &below);
    let d = b.emit.cast(&d, x.element);
    let kept = b.kept(&inside, &d);
    let given = b.emit.div(&kept, &steps.scale);
    b.give(0, &given)?;
    if !b.needs(1) {
        return Ok(());
    }
    let ratio = b.emit.div(&x, &steps.scale);
    let parts = b.emit.mul(&given, &ratio);
    let parts = b.emit.neg(&parts);
    steps.give(b, &parts)
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
