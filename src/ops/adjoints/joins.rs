//! Axes put together and taken apart: parts go back to where they came from.

use super::Backward;
use crate::graph::{Array, Attributes, Span};
use crate::ops::shapes::arrange::{slice_bounds, slice_count};
use crate::ops::typing::{Ruling, Unsupported, axis_of};

/// Positions at most of an axis that is padded with its own elements.
const MOST_SOURCES: i64 = 1 << 24;

const UNUSUAL: Unsupported = Unsupported("its sizes and axes do not fit together");

pub(in crate::ops) fn concat(b: &mut Backward) -> Ruling {
    let d = b.cotangent()?;
    let axis = axis_of(b.int("axis", 0), d.rank())?;
    let mut start = 0;
    for slot in 0..b.input_count() {
        let size = b.input(slot)?.sizes.get(axis).copied().ok_or(UNUSUAL)?;
        if b.needs(slot) {
            let given = b.emit.part(&d, axis, start, size);
            b.give(slot, &given)?;
        }
        start += size;
    }
    Ok(())
}

/// The gradients of all parts, or zeros, one after the other.
pub(in crate::ops) fn split(b: &mut Backward) -> Ruling {
    let x = b.input(0)?;
    let axis = axis_of(b.int("axis", 0), x.rank())?;
    let sizes = split_sizes(b, x.sizes[axis])?;
    let mut parts: Vec<Array> = Vec::new();
    let (mut start, mut zeros) = (0, 0);
    for (slot, &size) in sizes.iter().enumerate() {
        match b.cotangent_of(slot) {
            None => zeros += size,
            Some(d) if d.sizes.get(axis) != Some(&size) || d.rank() != x.rank() => {
                return Err(UNUSUAL);
            }
            Some(d) => {
                // Zeros between parts come with the part behind them.
                let mut pads = [vec![0; x.rank()], vec![0; x.rank()]];
                if !parts.is_empty() {
                    pads[0][axis] = zeros as i64;
                } else {
                    start = zeros;
                }
                parts.push(b.emit.pad(&d, &pads[0], &pads[1]));
                zeros = 0;
            }
        }
    }
    let joined = b.emit.concat(&parts, axis);
    if joined.rank() != x.rank() {
        return Err(UNUSUAL);
    }
    let given = b.emit.placed(&joined, axis, start, x.sizes[axis]);
    b.give(0, &given)
}

/// The sizes of all parts of an axis.
fn split_sizes(b: &Backward, total: usize) -> Ruling<Vec<usize>> {
    let count = b.output_count().max(1);
    let sizes = match b.integers(1, "split")? {
        Some(sizes) => {
            let sizes = sizes.into_iter().map(|n| usize::try_from(n).ok());
            sizes.collect::<Option<Vec<_>>>().ok_or(UNUSUAL)?
        }
        None => {
            let part = total.div_ceil(count);
            let ends = (0..=count).map(|n| (n * part).min(total));
            let ends: Vec<usize> = ends.collect();
            ends.windows(2).map(|pair| pair[1] - pair[0]).collect()
        }
    };
    let sum = sizes.iter().try_fold(0_usize, |sum, &n| sum.checked_add(n));
    match sum == Some(total) {
        true => Ok(sizes),
        false => Err(UNUSUAL),
    }
}

/// What was cut out, at its places between zeros.
pub(in crate::ops) fn slice(b: &mut Backward, d: &Array) -> Ruling<Array> {
    let x = b.input(0)?;
    let ranges = ranges(b, &x)?;
    let fits = |(range, _): &(Span, bool)| d.sizes[range.axis] == range.count;
    if d.rank() != x.rank() || !ranges.iter().all(fits) {
        return Err(UNUSUAL);
    }
    if d.count() == 0 {
        return Ok(b.emit.full(0.0, &x.sizes, x.element));
    }
    let mut pads = [vec![0; x.rank()], vec![0; x.rank()]];
    let mut given = d.clone();
    for (range, backwards) in ranges {
        if backwards {
            given = b.emit.reversed(&given, range.axis);
        }
        let size = x.sizes[range.axis];
        if range.step == 1 {
            pads[0][range.axis] = range.start as i64;
            pads[1][range.axis] = (size - range.start - range.count) as i64;
        } else {
            given = b.emit.spread(&given, range, size);
        }
    }
    Ok(b.emit.pad(&given, &pads[0], &pads[1]))
}

/// By axis what is cut out, in ascending order, and whether it stands the other way round.
fn ranges(b: &Backward, x: &Array) -> Ruling<Vec<(Span, bool)>> {
    let starts = b.integers(1, "starts")?.ok_or(UNUSUAL)?;
    let ends = b.integers(2, "ends")?.ok_or(UNUSUAL)?;
    let all = (0..starts.len() as i64).collect();
    let axes = b.integers(3, "axes")?.unwrap_or(all);
    let steps = b.integers(4, "steps")?;
    let steps = steps.unwrap_or_else(|| vec![1; starts.len()]);
    if [ends.len(), axes.len(), steps.len()] != [starts.len(); 3] {
        return Err(UNUSUAL);
    }
    let mut ranges: Vec<(Span, bool)> = Vec::new();
    for place in 0..starts.len() {
        let axis = axis_of(axes[place], x.rank())?;
        let (size, step) = (x.sizes[axis] as i64, steps[place]);
        let (from, to) = slice_bounds(size, starts[place], ends[place], step);
        let count = slice_count(from, to, step);
        let last = (count - 1).max(0).checked_mul(step).ok_or(UNUSUAL)?;
        let first = if step < 0 {
            from.saturating_add(last)
        } else {
            from
        };
        let sizes = [first, count, step.saturating_abs()].map(usize::try_from);
        let [Ok(start), Ok(count), Ok(step)] = sizes else {
            return Err(UNUSUAL);
        };
        let step = if count <= 1 { 1 } else { step };
        let range = Span {
            axis,
            start,
            count,
            step,
        };
        if ranges.iter().any(|(other, _)| other.axis == axis) || step == 0 {
            return Err(UNUSUAL);
        }
        ranges.push((range, steps[place] < 0));
    }
    Ok(ranges)
}

/// Padding with numbers is cut off; what was padded with elements goes back to them.
pub(in crate::ops) fn pad(b: &mut Backward) -> Ruling {
    let (d, x) = (b.cotangent()?, b.input(0)?);
    let pads = pads(b, &x)?;
    if x.count() == 0 || d.count() == 0 || d.rank() != x.rank() {
        return Err(UNUSUAL);
    }
    let mode = b.string("mode", "constant");
    if mode == "constant" {
        let [before, behind] = pads.map(|list| list.iter().map(|n| -n).collect::<Vec<i64>>());
        let given = b.emit.pad(&d, &before, &behind);
        b.give(0, &given)?;
        if b.needs(2) {
            let sums = [&d, &given].map(|of| {
                let axes: Vec<usize> = (0..of.rank()).collect();
                b.emit.sum(of, &axes, false)
            });
            let rest = b.emit.sub(&sums[0], &sums[1]);
            let sizes = b.input(2)?.sizes;
            let rest = b.emit.reshape(&rest, &sizes);
            b.give(2, &rest)?;
        }
        return Ok(());
    }
    let mut given = d;
    let padded = pads[0].iter().zip(&pads[1]);
    for (axis, (&size, (&before, &behind))) in x.sizes.iter().zip(padded).enumerate() {
        if size as i64 + before + behind > MOST_SOURCES {
            return Err(Unsupported("it pads an axis that is too long"));
        }
        let places = sources(&mode, size, [before, behind])?;
        given = gathered_back(b, &given, axis, (&places, size));
    }
    b.give(0, &given)
}

/// The padding before and behind all axes.
fn pads(b: &Backward, x: &Array) -> Ruling<[Vec<i64>; 2]> {
    let named = match b.proto().attribute("paddings").is_some() {
        true => "paddings",
        false => "pads",
    };
    let list = b.integers(1, named)?.ok_or(UNUSUAL)?;
    let all = (0..x.rank() as i64).collect();
    let axes = b.integers(3, "axes")?.unwrap_or(all);
    if list.len() != 2 * axes.len() {
        return Err(UNUSUAL);
    }
    let mut pads = [vec![0_i64; x.rank()], vec![0_i64; x.rank()]];
    for (place, &axis) in axes.iter().enumerate() {
        let axis = axis_of(axis, x.rank())?;
        pads[0][axis] = list[place];
        pads[1][axis] = list[place + axes.len()];
    }
    let fits = |axis: usize| {
        let [before, behind] = [pads[0][axis], pads[1][axis]];
        let counted = |n: i64| n.unsigned_abs() < 1 << 40;
        counted(before) && counted(behind) && before + behind + x.sizes[axis] as i64 >= 0
    };
    match (0..x.rank()).all(fits) {
        true => Ok(pads),
        false => Err(UNUSUAL),
    }
}

/// By position of a padded axis the one whose element stands there.
fn sources(mode: &str, size: usize, [before, behind]: [i64; 2]) -> Ruling<Vec<usize>> {
    let size = size as i64;
    let source = |place: i64| match mode {
        "reflect" if size == 1 => 0,
        "reflect" => {
            let round = 2 * (size - 1);
            let turned = place.rem_euclid(round);
            turned.min(round - turned)
        }
        "edge" => place.clamp(0, size - 1),
        _ => place.rem_euclid(size),
    };
    match mode {
        "reflect" | "edge" | "wrap" => {
            let places = -before..size.saturating_add(behind);
            Ok(places.map(|place| source(place) as usize).collect())
        }
        _ => Err(Unsupported("its mode is none that the operator has")),
    }
}

/// Elements of an axis, each added to the place that it came from. Longest stretches that run forwards, backwards or
/// stand still go back at once.
fn gathered_back(
    b: &mut Backward,
    d: &Array,
    axis: usize,
    (places, size): (&[usize], usize),
) -> Array {
    let whole = places.len() == size && places.iter().enumerate().all(|(i, &place)| i == place);
    if whole {
        return d.clone();
    }
    let mut sum: Option<Array> = None;
    let mut start = 0;
    while start < places.len() {
        let step = |at: usize| places[at + 1] as i64 - places[at] as i64;
        let pace = if start + 1 < places.len() {
            step(start)
        } else {
            1
        };
        let mut end = start + 1;
        if pace.abs() <= 1 {
            while end < places.len() && step(end - 1) == pace {
                end += 1;
            }
        }
        let part = b.emit.part(d, axis, start, end - start);
        let (first, part) = match pace {
            0 => (places[start], b.emit.sum(&part, &[axis], true)),
            -1 => (places[end - 1], b.emit.reversed(&part, axis)),
            _ => (places[start], part),
        };
        let placed = b.emit.placed(&part, axis, first, size);
        sum = Some(match sum {
            None => placed,
            Some(sum) => b.emit.add(&sum, &placed),
        });
        start = end;
    }
    sum.unwrap_or_else(|| d.clone())
}
