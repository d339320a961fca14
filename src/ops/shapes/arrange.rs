//! Operators that arrange sizes, pick some of them or make them, one function each.

use ndarray::Axis;

use super::integers::{Evaluation, Integers, MOST_ELEMENTS, Outputs, one};
use super::reals;
use crate::axes::Extent;
use crate::graph::Attributes;
use crate::onnx::integers as tensor_integers;
use crate::onnx::proto::NodeProto;
use crate::ops::typing::axis_of;

/// The same elements without the axes of size 1 that are named, or without all of them.
pub(in crate::ops) fn squeeze(e: &mut Evaluation) -> Outputs {
    let mut integers = e.input(0)?.clone();
    let given =
        e.proto.input.get(1).is_some_and(|name| !name.is_empty()) || e.proto.ints("axes").is_some();
    if !given {
        integers.dims.retain(|&dim| dim != 1);
        return one(integers);
    }
    let rank = integers.dims.len();
    let axes = e.numbers(1, "axes")?.into_iter();
    let axes: Vec<usize> = axes
        .map(|axis| axis_of(axis, rank).ok())
        .collect::<Option<_>>()?;
    let mut places = 0..rank;
    integers
        .dims
        .retain(|_| !places.next().is_some_and(|place| axes.contains(&place)));
    one(integers)
}

pub(in crate::ops) fn concat(e: &mut Evaluation) -> Outputs {
    let lists = e.inputs.iter().flatten();
    let count: usize = lists.map(|list| list.elements.len()).sum();
    (count <= MOST_ELEMENTS).then_some(())?;
    let mut elements = Vec::new();
    for (slot, input) in e.inputs.iter().enumerate() {
        match input {
            Some(list) if list.dims.len() == 1 => elements.extend(list.elements.iter().cloned()),
            Some(_) => return None,
            None if e.is_real() => return None,
            // The length of what we cannot compute is often known: its elements stay open.
            None => {
                let length = match e.shapes.get(slot)?.as_deref()? {
                    [length] => length.size().filter(|&n| n <= MOST_ELEMENTS)?,
                    _ => return None,
                };
                (elements.len() + length <= MOST_ELEMENTS).then_some(())?;
                elements.extend(std::iter::repeat_n(None, length));
            }
        }
    }
    // With nothing known it is a list of data.
    elements
        .iter()
        .any(Option::is_some)
        .then(|| vec![Integers::list(elements)])
}

pub(in crate::ops) fn split(e: &mut Evaluation) -> Outputs {
    let x = e.input(0)?;
    if x.dims.len() != 1 {
        return None;
    }
    let count = e.proto.output.len();
    let sizes = e.numbers(1, "split").unwrap_or_else(|| {
        let part = x.elements.len().div_ceil(count.max(1)) as i64;
        vec![part; count]
    });
    let mut rest = x.elements.as_slice();
    let mut out = Vec::with_capacity(count);
    for size in sizes {
        let size = usize::try_from(size).ok()?.min(rest.len());
        let (part, after) = rest.split_at(size);
        out.push(Integers::list(part.to_vec()));
        rest = after;
    }
    Some(out)
}

/// First and last position of a slice, as ONNX clamps them.
pub(in crate::ops) fn slice_bounds(size: i64, start: i64, end: i64, step: i64) -> (i64, i64) {
    let wrap = |n: i64| if n < 0 { n.saturating_add(size) } else { n };
    if size <= 0 {
        return (0, 0);
    }
    match step > 0 {
        true => (wrap(start).clamp(0, size), wrap(end).clamp(0, size)),
        false => (
            wrap(start).clamp(0, size - 1),
            wrap(end).clamp(-1, size - 1),
        ),
    }
}

/// Number of positions from `from` to `to`, exclusive, in steps.
pub(in crate::ops) fn slice_count(from: i64, to: i64, step: i64) -> i64 {
    let (span, step) = match step {
        1.. => (to.saturating_sub(from), step),
        _ => (from.saturating_sub(to), step.saturating_neg()),
    };
    if span <= 0 || step == 0 {
        return 0;
    }
    (span - 1) / step + 1
}

pub(in crate::ops) fn slice(e: &mut Evaluation) -> Outputs {
    let mut x = e.input(0)?.array()?;
    let (starts, ends) = (e.numbers(1, "starts")?, e.numbers(2, "ends")?);
    let axes = e
        .numbers(3, "axes")
        .unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = e
        .numbers(4, "steps")
        .unwrap_or_else(|| vec![1; starts.len()]);
    for (((start, end), axis), step) in starts.into_iter().zip(ends).zip(axes).zip(steps) {
        let axis = axis_of(axis, x.ndim()).ok()?;
        let (from, to) = slice_bounds(x.shape()[axis] as i64, start, end, step);
        let count = slice_count(from, to, step);
        let positions: Vec<usize> = (0..count).map(|i| (from + i * step) as usize).collect();
        x = x.select(Axis(axis), &positions);
    }
    one(Integers::of(&x))
}

pub(in crate::ops) fn transpose(e: &mut Evaluation) -> Outputs {
    let x = e.input(0)?.array()?;
    let reversed = || (0..x.ndim() as i64).rev().collect();
    let order = e.proto.ints("perm").map_or_else(reversed, <[i64]>::to_vec);
    let order: Option<Vec<usize>> = order
        .into_iter()
        .map(|axis| axis_of(axis, x.ndim()).ok())
        .collect();
    let order = order?;
    let mut sorted = order.clone();
    sorted.sort_unstable();
    let permutes = sorted.into_iter().eq(0..x.ndim());
    permutes.then(|| vec![Integers::of(&x.permuted_axes(order))])
}

pub(in crate::ops) fn reshape(e: &mut Evaluation) -> Outputs {
    let x = e.input(0)?;
    let target = e.input(1)?.known()?;
    let total = x.elements.len();
    let mut dims = Vec::with_capacity(target.len());
    let mut product = 1_usize;
    for (place, &size) in target.iter().enumerate() {
        let size = match size {
            0 => *x.dims.get(place)?,
            -1 => 1,
            size => usize::try_from(size).ok()?,
        };
        product = product.checked_mul(size)?;
        dims.push(size);
    }
    if let Some(open) = target.iter().position(|&size| size == -1) {
        dims[open] = total.checked_div(product)?;
    }
    let fits = dims.iter().try_fold(1_usize, |n, &d| n.checked_mul(d)) == Some(total);
    let elements = x.elements.clone();
    fits.then(|| vec![Integers { dims, elements }])
}

pub(in crate::ops) fn unsqueeze(e: &mut Evaluation) -> Outputs {
    let axes = e.numbers(1, "axes")?;
    let x = e.input(0)?;
    let rank = x.dims.len() + axes.len();
    let wrap = |axis: i64| if axis < 0 { axis + rank as i64 } else { axis };
    let mut dims = x.dims.iter();
    let place = |axis: usize| match axes.iter().any(|&a| wrap(a) == axis as i64) {
        true => Some(1),
        false => dims.next().copied(),
    };
    let dims: Option<Vec<usize>> = (0..rank).map(place).collect();
    one(Integers {
        dims: dims?,
        elements: x.elements.clone(),
    })
}

pub(in crate::ops) fn gather(e: &mut Evaluation) -> Outputs {
    let (x, index) = (e.input(0)?.array()?, e.input(1)?);
    let axis = axis_of(e.proto.int("axis").unwrap_or(0), x.ndim()).ok()?;
    let size = x.shape()[axis] as i64;
    let place = |at: i64| {
        let at = if at < 0 { at + size } else { at };
        usize::try_from(at).ok().filter(|&at| at < size as usize)
    };
    let places: Option<Vec<usize>> = index.known()?.into_iter().map(place).collect();
    let places = places?;
    let count = (x.len() / x.shape()[axis].max(1)).checked_mul(places.len())?;
    (count <= MOST_ELEMENTS).then_some(())?;
    let picked = x.select(Axis(axis), &places);
    let mut dims = x.shape().to_vec();
    dims.splice(axis..=axis, index.dims.iter().copied());
    let elements = picked.iter().cloned().collect();
    one(Integers { dims, elements })
}

/// The real number that a node holds.
fn held(proto: &NodeProto) -> Option<f32> {
    proto.attribute("value_float")?.f
}

pub(in crate::ops) fn constant_attribute(e: &mut Evaluation) -> Outputs {
    let number = |n: i64| Some(Extent::Known(n));
    if let Some(list) = e.proto.ints("value_ints") {
        return one(Integers::list(list.iter().copied().map(number).collect()));
    }
    if let (Some(number), Some(element)) = (held(e.proto), e.element) {
        return one(Integers::scalar(reals::number(
            e.symbols,
            number.into(),
            element,
        )?));
    }
    e.proto
        .int("value_int")
        .map(|n| vec![Integers::scalar(Extent::Known(n))])
}

/// The axes that a Shape node lists.
pub(in crate::ops) fn shape_range(proto: &NodeProto, rank: usize) -> std::ops::Range<usize> {
    let bound = |name: &str, default: i64| {
        let n = proto.int(name).unwrap_or(default);
        let n = if n < 0 {
            n.saturating_add(rank as i64)
        } else {
            n
        };
        n.clamp(0, rank as i64) as usize
    };
    let (start, end) = (bound("start", 0), bound("end", rank as i64));
    start..end.max(start)
}

pub(in crate::ops) fn shape(e: &mut Evaluation) -> Outputs {
    let sizes = e.shapes.first()?.as_ref()?;
    let range = shape_range(e.proto, sizes.len());
    one(Integers::list(
        sizes[range].iter().cloned().map(Some).collect(),
    ))
}

pub(in crate::ops) fn size(e: &mut Evaluation) -> Outputs {
    let sizes = e.shapes.first()?.as_ref()?;
    one(Integers::scalar(Extent::product(sizes)?))
}

pub(in crate::ops) fn range(e: &mut Evaluation) -> Outputs {
    (!e.is_real()).then_some(())?;
    let bound = |slot: usize| e.input(slot)?.known()?.first().copied();
    let (start, limit, step) = (bound(0)?, bound(1)?, bound(2)?);
    let count = slice_count(start, limit, step);
    if count > MOST_ELEMENTS as i64 {
        return None;
    }
    let elements = (0..count).map(|i| Some(Extent::Known(start + i * step)));
    one(Integers::list(elements.collect()))
}

pub(in crate::ops) fn constant_of_shape(e: &mut Evaluation) -> Outputs {
    let dims = e.input(0)?.known()?;
    let dims: Option<Vec<usize>> = dims.into_iter().map(|d| usize::try_from(d).ok()).collect();
    let dims = dims?;
    let count = dims.iter().try_fold(1_usize, |n, &d| n.checked_mul(d))?;
    let tensor = e.proto.attribute("value").and_then(|a| a.t.as_ref())?;
    let value = tensor_integers(tensor).ok()??.first().copied()?;
    (count <= MOST_ELEMENTS).then(|| {
        vec![Integers {
            dims,
            elements: vec![Some(Extent::Known(value)); count],
        }]
    })
}
