//! Weights as codes with a scale for each block of numbers: products, tables and what makes numbers of them.
//!
//! An axis that is cut into blocks loses whole blocks, since the scale of a part is that of the block, and whole bytes
//! where several codes stand in one: it is a product whose inner factor is pinned.

use super::demands::{axis_within, element_among, in_blocks, packed_block, packed_parts};
use super::units::{IN_A_BLOCK, Units, rows_of_bytes};
use crate::axes::{Extent, Type};
use crate::onnx::ElementType;
use crate::ops::adjoints::quantised as back;
use crate::ops::facts::{BlockCodes, ZeroCodes};
use crate::ops::numbers::NumbersForm;
use crate::ops::typing::{Ruling, Typing, Unsupported, axis_of};
use crate::ops::{Elements, KernelFamily, Row, contrib};

const CODES_ONLY: &str = "its table is codes: train the model before its quantisation";
/// The accuracy at which the data becomes codes as well.
const OF_CODES: i64 = 4;

pub(in crate::ops) const ROWS: &[Row] = &[
    contrib("MatMulNBits", packed_product)
        .gives(back::packed_product)
        .kernels(KernelFamily::MatMul)
        .of_elements(&[Elements::Input(0)]),
    contrib("GatherBlockQuantized", packed_gather)
        .stops(CODES_ONLY)
        .of_elements(&[Elements::Input(2)]),
];

/// Codes to a byte, where they have this many bits.
pub(super) fn codes_in_a_byte(bits: i64) -> Ruling<usize> {
    match bits {
        2 | 4 | 8 => Ok(8 / bits as usize),
        _ => Err(Unsupported("its codes have an unusual number of bits")),
    }
}

/// What codes without sign stand around where nothing else is said, with this many of them to a byte.
pub(super) fn middle(pack: usize) -> ZeroCodes {
    ZeroCodes::Always((0..8 / pack).skip(1).fold(1.0, |middle, _| 2.0 * middle))
}

/// A positive attribute.
pub(super) fn positive(op: &Typing, name: &str) -> Ruling<usize> {
    let number = usize::try_from(op.int(name, 0)).unwrap_or(0);
    match number {
        0 => Err(Unsupported("an attribute that it needs is not positive")),
        number => Ok(number),
    }
}

/// Y[.., N] = sum over K of X[.., K] * W[N, K] + B[N], where W is codes `[N, blocks, bytes of a block]`.
fn packed_product(op: &mut Typing) -> Ruling {
    if op.int("accuracy_level", 0) == OF_CODES {
        op.rounds();
    }
    let mut out = op.input(0)?;
    let summed = out.pop().ok_or(Unsupported("an input has rank 0"))?;
    match packed_weight(op, &summed) {
        Ok(rows) => {
            op.contract(0, out.len());
            op.mirror_int("N", &rows);
            op.mirror_int("K", &summed);
            out.push(rows);
            op.cost(out.clone(), vec![summed]);
        }
        Err(Unsupported(why)) => {
            op.hold_inputs(why);
            let rows = positive(op, "N")?;
            out.push(op.fixed(Extent::from(rows), why));
        }
    }
    op.output(0, out);
    Ok(())
}

/// How a weight is packed: codes to a byte, numbers of a block, blocks of a row.
fn packing(op: &mut Typing, codes: &[Type], summed: &Type) -> Ruling<[usize; 3]> {
    if op.int("weight_prepacked", 0) != 0 {
        return Err(Unsupported("its codes are laid out for one kind of GPU"));
    }
    if op.value(4).is_some() {
        return Err(Unsupported("its columns have an order of their own"));
    }
    let pack = codes_in_a_byte(op.int("bits", 4))?;
    packed_block(op, "block_size", 0);
    let (block, width) = (positive(op, "block_size")?, positive(op, "K")?);
    let (count, rows) = (width.div_ceil(block), positive(op, "N")?);
    packed_parts(op, [rows, count], [pack, block]);
    let wanted = [rows, count, block / pack];
    for (axis, wanted) in codes.iter().zip(wanted) {
        if op.size(axis)? != wanted {
            return Err(Unsupported("its weight has an unusual size"));
        }
    }
    match op.extent(summed) == Extent::from(width) {
        true => Ok([pack, block, count]),
        false => Err(Unsupported("its data has another width than its weight")),
    }
}

/// Joins the axes of the weight and of what stands beside it; returns its rows.
fn packed_weight(op: &mut Typing, summed: &Type) -> Ruling<Type> {
    let (codes, scales) = (op.input(1)?, op.input(2)?);
    let [rows, blocks, bytes] = &codes[..] else {
        return Err(Unsupported("its weight has an unusual rank"));
    };
    let [pack, block, count] = packing(op, &codes, summed)?;
    op.pin(bytes, IN_A_BLOCK);
    let zeros = op.optional(3)?;
    let outer = std::slice::from_ref(rows);
    let whole_bytes = match &zeros {
        Some(zeros) if op.element(3) == Some(ElementType::Uint8) && pack > 1 => {
            !rows_of_bytes(op, (3, zeros), outer, count.div_ceil(pack))
        }
        _ => false,
    };
    let unit = block.saturating_mul(if whole_bytes { pack } else { 1 });
    let units = Units::of(op, summed, unit)?;
    units.join(op, blocks);
    units.join_last(op, outer, &scales);
    let packed = op.element(3) == Some(ElementType::Uint8);
    let repacked = packed && pack > 1 && !whole_bytes;
    if let Some(zeros) = zeros.as_ref().filter(|_| !repacked) {
        units.join_last(op, outer, zeros);
    }
    if let Some(bias) = op.optional(5)? {
        let bias = bias.last().ok_or(Unsupported("its bias has rank 0"))?;
        op.unify(bias, rows);
    }
    for axis in [rows, summed] {
        op.nonlinear(axis, "is an axis of codes");
    }
    let whole = op.size(summed)? == count.saturating_mul(block);
    let zeros = match zeros {
        None => middle(pack),
        Some(_) if repacked => ZeroCodes::Repacked(3, count),
        Some(_) if packed => ZeroCodes::Packed(3, count),
        Some(_) => ZeroCodes::At(3),
    };
    if whole {
        op.in_blocks(BlockCodes {
            node: op.node,
            codes: (1, Some(8 / pack)),
            scales: 2,
            zeros,
            axes: vec![rows.clone(), summed.clone()],
            block: (1, block),
            summed: true,
        });
        op.stands_for(NumbersForm::of_packed("MatMul", [0, 1]).adding(5));
    }
    Ok(rows.clone())
}

/// Rows of a table by index, whose axes are those of a Gather but for codes in bytes.
fn packed_gather(op: &mut Typing) -> Ruling {
    let (codes, index) = (op.input(0)?, op.input(1)?);
    let place = axis_of(op.int("gather_axis", 0), codes.len())?;
    let is_bytes = op.element(0) == Some(ElementType::Uint8);
    let pack = match is_bytes {
        true => codes_in_a_byte(op.int("bits", 4))?,
        false => 1,
    };
    let mut numbers = codes.clone();
    let last = codes.len() - 1;
    if pack > 1 {
        let size = op.extent(&codes[last]).mul(&Extent::from(pack));
        numbers[last] = match size {
            Some(size) => op.fresh(size),
            None => op.unknown(0, last, "has an unusual size"),
        };
    }
    if let Err(Unsupported(why)) = table(op, &codes, &numbers, place, pack) {
        op.hold_inputs(why);
        op.pin_all(&numbers, why);
    }
    op.points(1, &numbers[place], "is selected from by index");
    // What is the same in all rows of codes need not be the same number: they have scales of their own.
    op.positions(1, &numbers[place]);
    numbers.splice(place..=place, index);
    op.output(0, numbers);
    Ok(())
}

/// The axis along which a table has blocks, and how many positions these have.
fn blocks_of_table(op: &mut Typing, numbers: &[Type], pack: usize) -> Ruling<(usize, usize)> {
    let (axis, size) = (op.int("quantize_axis", 1), op.int("block_size", 128));
    axis_within(op, "quantize_axis", 1, numbers.len());
    packed_block(op, "block_size", 128);
    let (axis, block) = (
        axis_of(axis, numbers.len())?,
        usize::try_from(size).unwrap_or(0),
    );
    let listed: &[usize] = if pack == 1 { &[2, 3] } else { &[2] };
    in_blocks(op, listed, numbers, axis, block);
    let element = op.element(0);
    let integers = [ElementType::Uint8, ElementType::Uint4, ElementType::Int4];
    let Some(element) = element.filter(|of| integers.contains(of) && block > 0) else {
        return Err(Unsupported("its table has codes that are no integers"));
    };
    element_among(op, 3, &[element]);
    Ok((axis, block))
}

/// Joins the axes of a table's numbers with those of its codes, scales and zero points.
fn table(op: &mut Typing, codes: &[Type], numbers: &[Type], place: usize, pack: usize) -> Ruling {
    let (axis, block) = blocks_of_table(op, numbers, pack)?;
    let is_bytes = op.element(0) == Some(ElementType::Uint8);
    if axis == place || (is_bytes && axis + 1 != codes.len()) {
        return Err(Unsupported("its blocks lie along an unusual axis"));
    }
    let (scales, zeros) = (op.input(2)?, op.optional(3)?);
    if scales.len() != codes.len() || zeros.as_ref().is_some_and(|z| z.len() != codes.len()) {
        return Err(Unsupported("its scales have an unusual rank"));
    }
    let whole = op.size(&numbers[axis])?;
    if whole == 0 || !whole.is_multiple_of(block) {
        return Err(Unsupported("its width does not divide into blocks"));
    }
    let repacked = pack > 1
        && zeros.as_ref().is_some_and(|zeros| {
            let outer = [&numbers[..axis], &numbers[axis + 1..]].concat();
            rows_of_bytes(op, (3, zeros), &outer, (whole / block).div_ceil(pack))
        });
    let whole_bytes = zeros.is_some() && !repacked;
    let unit = block.saturating_mul(if whole_bytes { pack } else { 1 });
    let units = Units::of(op, &numbers[axis], unit)?;
    for (place, number) in numbers.iter().enumerate() {
        let beside = [
            Some(&codes[place]),
            Some(&scales[place]),
            zeros.as_ref().filter(|_| !repacked).map(|z| &z[place]),
        ];
        for own in beside.into_iter().flatten() {
            match place == axis {
                true => units.join(op, own),
                false => op.unify(own, number),
            }
        }
    }
    let row = whole / block;
    let zeros = match (zeros, is_bytes) {
        (None, true) => middle(pack),
        (None, false) => ZeroCodes::Always(0.0),
        (Some(_), true) if repacked => ZeroCodes::Repacked(3, row),
        (Some(_), true) => ZeroCodes::Packed(3, row),
        (Some(_), false) => ZeroCodes::At(3),
    };
    op.in_blocks(BlockCodes {
        node: op.node,
        codes: (0, is_bytes.then_some(8 / pack)),
        scales: 2,
        zeros,
        axes: numbers.to_vec(),
        block: (axis, block),
        summed: false,
    });
    Ok(())
}

/// Numbers of constant codes that have a scale for each block along an axis; false where they have none.
pub(super) fn decoded(op: &mut Typing) -> Ruling<bool> {
    let block = usize::try_from(op.int("block_size", 0)).unwrap_or(0);
    if block == 0 || !op.is_constant(0) {
        return Ok(false);
    }
    let (codes, scales, zeros) = (op.input(0)?, op.input(1)?, op.optional(2)?);
    let axis = axis_of(op.int("axis", 1), codes.len())?;
    let others = [Some(&scales), zeros.as_ref()];
    if others
        .into_iter()
        .flatten()
        .any(|other| other.len() != codes.len())
    {
        return Ok(false);
    }
    in_blocks(op, &[1, 2], &codes, axis, block);
    let whole = op.size(&codes[axis])?;
    let wanted = Extent::from(whole.div_ceil(block));
    let is_cut = |op: &Typing, other: &[Type]| op.extent(&other[axis]) == wanted;
    if !others.into_iter().flatten().all(|other| is_cut(op, other)) {
        return Ok(false);
    }
    // Blocks that do not divide the axis hold it, and no other.
    let units = Units::of(op, &codes[axis], block)?;
    for (place, code) in codes.iter().enumerate() {
        op.nonlinear(code, "is an axis of codes");
        for other in others.into_iter().flatten() {
            match place == axis {
                true => units.join(op, &other[place]),
                false => op.unify(&other[place], code),
            }
        }
    }
    op.in_blocks(BlockCodes {
        node: op.node,
        codes: (0, None),
        scales: 1,
        zeros: match zeros.is_some() {
            true => ZeroCodes::At(2),
            false => ZeroCodes::Always(0.0),
        },
        axes: codes.clone(),
        block: (axis, block),
        summed: false,
    });
    op.output(0, codes);
    Ok(true)
}
