//! What codes, their scales and their zero points have to be by the standard. What is not so is a fault of the model, which is
//! said where onnxruntime does not run it.

use crate::axes::{Extent, Type};
use crate::graph::Attributes;
use crate::onnx::ElementType::{
    self, Bfloat16, Float, Float4E2m1, Float8E4m3fn, Float8E4m3fnuz, Float8E5m2, Float8E5m2fnuz,
    Float8E8m0, Float16, Int2, Int4, Int8, Int16, Int32, Uint2, Uint4, Uint8, Uint16,
};
use crate::ops::numbers::CodedSlot;
use crate::ops::typing::Typing;

/// Elements that are codes; the first one is of sums, which nothing makes of numbers.
const CODES: &[ElementType] = &[
    Int32,
    Int8,
    Uint8,
    Int16,
    Uint16,
    Int4,
    Uint4,
    Int2,
    Uint2,
    Float4E2m1,
    Float8E4m3fn,
    Float8E4m3fnuz,
    Float8E5m2,
    Float8E5m2fnuz,
];
/// Elements of scales; those that are integers stand beside sums of codes.
const SCALES: &[ElementType] = &[Float, Float16, Bfloat16, Float8E8m0, Int32];
/// Positions in the smallest block that products and tables of packed codes have.
const SMALLEST_BLOCK: usize = 16;

/// What an input is: its element type and its sizes.
fn shown(op: &Typing, slot: usize) -> Option<String> {
    let value = op.value(slot)?;
    let element = op.element(slot).map(|element| element.to_string());
    let axes = op.state.axes(value);
    let sizes = axes.map(|axes| sizes_of(&op.extents(axes)));
    let both = [element, sizes].into_iter().flatten();
    Some(both.collect::<Vec<String>>().join(" "))
}

fn sizes_of(sizes: &[Extent]) -> String {
    let size = |size: &Extent| size.size().map_or("?".to_owned(), |size| size.to_string());
    format!(
        "[{}]",
        sizes.iter().map(size).collect::<Vec<_>>().join(", ")
    )
}

fn called(elements: &[ElementType]) -> String {
    if elements.len() + 1 >= CODES.len() {
        return "codes: integers of up to 16 bits, or real numbers of up to 8".to_owned();
    }
    let names: Vec<String> = elements.iter().map(ElementType::to_string).collect();
    names.join(" or ")
}

/// States that an input is not what it has to be.
fn unfit(op: &mut Typing, slot: usize, wanted: String) {
    let node = op.graph.describe(op.node);
    let value = op.value(slot).map(|value| &op.graph.value(value).name);
    let (what, is) = match value {
        Some(name) => (
            format!("input {slot} '{name}' of {node}"),
            shown(op, slot).unwrap_or_default(),
        ),
        None => (format!("input {slot} of {node}"), "left out".to_owned()),
    };
    op.unfit(what, is, wanted);
}

/// States that an attribute is not what it has to be.
fn unfit_attribute(op: &mut Typing, (name, is): (&str, i64), wanted: &str) {
    let what = format!("attribute {name} of {}", op.graph.describe(op.node));
    op.unfit(what, is.to_string(), wanted.to_owned());
}

/// An input, where it is connected, has one of these element types.
pub(super) fn element_among(op: &mut Typing, slot: usize, elements: &[ElementType]) {
    if op.element(slot).is_some_and(|own| !elements.contains(&own)) {
        unfit(op, slot, called(elements));
    }
}

/// An input is there.
pub(super) fn present(op: &mut Typing, slot: usize) {
    if op.value(slot).is_none() {
        unfit(op, slot, "given".to_owned());
    }
}

/// An input has these sizes, where all are known; there may be several ways to lay it out.
fn sized(op: &mut Typing, slot: usize, ways: &[Vec<usize>]) {
    let value = op.value(slot);
    let Some(axes) = value.and_then(|value| op.state.axes(value)) else {
        return;
    };
    let sizes: Option<Vec<usize>> = op.extents(axes).iter().map(Extent::size).collect();
    if sizes.is_some_and(|sizes| !ways.contains(&sizes)) {
        let way = |way: &Vec<usize>| sizes_of(&way.iter().map(|&n| n.into()).collect::<Vec<_>>());
        let ways: Vec<String> = ways.iter().map(way).collect();
        unfit(op, slot, ways.join(" or "));
    }
}

/// What stands beside codes: a scale, and a zero point that is a code as they are.
pub(super) fn beside_codes(op: &mut Typing, own: CodedSlot) {
    if own.scale.or(own.zero).is_none() {
        return;
    }
    if let Some(scale) = own.scale {
        present(op, scale);
        element_among(op, scale, SCALES);
    }
    element_among(op, own.codes, CODES);
    if let (Some(zero), Some(element)) = (own.zero, op.element(own.codes)) {
        element_among(op, zero, &[element]);
    }
}

/// What makes codes of numbers: a scale, and a zero point that is a code.
pub(super) fn makes_codes(op: &mut Typing, [scale, zero]: [usize; 2]) {
    present(op, scale);
    element_among(op, scale, SCALES);
    element_among(op, zero, &CODES[1..]);
    in_a_list(op, [scale, zero]);
}

/// A scale and a zero point of one node are as many, in a list or alone.
pub(super) fn in_a_list(op: &mut Typing, [scale, zero]: [usize; 2]) {
    for slot in [scale, zero] {
        let axes = op.value(slot).and_then(|value| op.state.axes(value));
        if axes.is_some_and(|axes| axes.len() > 1) {
            unfit(op, slot, "a list or a single number".to_owned());
        }
    }
    let count = |op: &Typing, slot| {
        let axes: &[Type] = op.state.axes(op.value(slot)?)?;
        let sizes = op.extents(axes);
        let count = sizes.iter().try_fold(Extent::ONE, |n, size| n.mul(size))?;
        count.size()
    };
    if let (Some(scales), Some(zeros)) = (count(op, scale), count(op, zero))
        && scales != zeros
    {
        unfit(op, zero, format!("as many numbers as its scales, {scales}"));
    }
}

/// What is beside codes in blocks along an axis has a number for each block.
pub(super) fn in_blocks(
    op: &mut Typing,
    slots: &[usize],
    codes: &[Type],
    axis: usize,
    block: usize,
) {
    let sizes: Option<Vec<usize>> = op.extents(codes).iter().map(Extent::size).collect();
    let Some(mut sizes) = sizes else {
        return;
    };
    sizes[axis] = sizes[axis].div_ceil(block.max(1));
    for &slot in slots {
        sized(op, slot, std::slice::from_ref(&sizes));
    }
}

/// A scale and a zero point of all numbers.
pub(super) fn one(op: &mut Typing, slot: usize) {
    unfit(op, slot, "a single number".to_owned());
}

/// Blocks of packed codes: of a power of two.
pub(super) fn packed_block(op: &mut Typing, name: &'static str, default: i64) {
    let block = op.int(name, default);
    let fits = usize::try_from(block).is_ok_and(|n| n.is_power_of_two() && n >= SMALLEST_BLOCK);
    if !fits {
        unfit_attribute(op, (name, block), "a power of two, 16 at least");
    }
}

/// An attribute that counts axes lies within so many.
pub(super) fn axis_within(op: &mut Typing, name: &'static str, default: i64, rank: usize) {
    let (axis, rank) = (op.int(name, default), rank as i64);
    if axis < -rank || axis >= rank {
        unfit_attribute(op, (name, axis), &format!("an axis of {rank}"));
    }
}

/// An attribute, where it is there, equals a size.
pub(super) fn equals(op: &mut Typing, name: &'static str, size: usize) {
    let said = op.proto().int(name);
    if let Some(said) = said.filter(|&said| said != size as i64) {
        unfit_attribute(op, (name, said), &size.to_string());
    }
}

/// Codes of a product `[rows, blocks, bytes of a block]`, and their scales and zero points.
pub(super) fn packed_parts(op: &mut Typing, [rows, blocks]: [usize; 2], [pack, block]: [usize; 2]) {
    // Attributes of a damaged file may be any.
    let pack = pack.max(1);
    let each = |row: usize| [vec![rows.saturating_mul(row)], vec![rows, row]];
    sized(op, 1, &[vec![rows, blocks, block / pack]]);
    sized(op, 2, &each(blocks));
    element_among(op, 3, &[Uint8, Int32, Float, Float16, Bfloat16]);
    let bytes = op.element(3) == Some(Uint8);
    let row = if bytes { blocks.div_ceil(pack) } else { blocks };
    sized(op, 3, &each(row));
}
