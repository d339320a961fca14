//! Axes put together and taken apart: Concat, Split, Slice, Pad.

use crate::axes::{Extent, Type};
use crate::ops::adjoints::joins as adjoint;
use crate::ops::shapes::arrange as ev;
use crate::ops::typing::{Ruling, Typing, Unsupported, axis_of};
use crate::ops::{Carried, Form, Row, row};

pub(in crate::ops) const ROWS: &[Row] = &[
    row("Concat", concat)
        .gives(adjoint::concat)
        .form(Form::Rescaled)
        .evaluated(ev::concat)
        .joins(),
    row("Split", split)
        .gives(adjoint::split)
        .form(Form::Through)
        .evaluated(ev::split)
        .picks(),
    row("Slice", slice)
        .slope(adjoint::slice)
        .form(Form::Through)
        .evaluated(ev::slice)
        .picks(),
    row("Pad", pad).gives(adjoint::pad).carries(Carried::Among),
];

pub(super) fn concat(op: &mut Typing) -> Ruling {
    let inputs: Ruling<Vec<_>> = (0..op.input_count()).map(|slot| op.input(slot)).collect();
    let inputs = inputs?;
    let first = inputs.first().ok_or(Unsupported("it has no inputs"))?;
    let rank = first.len();
    if inputs.iter().any(|axes| axes.len() != rank) {
        return Err(Unsupported("its inputs differ in rank"));
    }
    let axis = axis_of(op.int("axis", 0), rank)?;
    for other in &inputs[1..] {
        for place in (0..rank).filter(|&place| place != axis) {
            op.unify(&first[place], &other[place]);
        }
    }
    let mut out = first.clone();
    let parts: Vec<Type> = inputs.iter().map(|axes| axes[axis].clone()).collect();
    let parts = parts
        .into_iter()
        .filter(|part| op.extent(part) != Extent::Known(0));
    let parts: Vec<Type> = parts.collect();
    if !parts.is_empty() {
        out[axis] = op.sum(parts);
    }
    op.output(0, out);
    Ok(())
}

fn split(op: &mut Typing) -> Ruling {
    let x = op.input(0)?;
    let axis = axis_of(op.int("axis", 0), x.len())?;
    let count = op.output_count();
    let sizes = match op.constants(1, "split")? {
        Some(sizes) if sizes.len() == count => sizes.into_iter().map(Extent::Known).collect(),
        Some(_) => return Err(Unsupported("it has another number of sizes than outputs")),
        None => equal_parts(&op.extent(&x[axis]), count)?,
    };
    let total = sizes
        .iter()
        .try_fold(Extent::Known(0), |n, size| n.add(size));
    if total != Some(op.extent(&x[axis])) {
        return Err(Unsupported("its sizes do not add up to the axis"));
    }
    let parts = op.split(&x[axis], &sizes);
    op.mirror_list(
        1,
        "split",
        parts.iter().cloned().map(Some).collect(),
        Some("num_outputs"),
    );
    for (slot, part) in parts.into_iter().enumerate() {
        let mut out = x.clone();
        out[axis] = part;
        op.output(slot, out);
    }
    Ok(())
}

/// Equal parts, of which the last is smaller where the axis does not divide.
fn equal_parts(total: &Extent, count: usize) -> Ruling<Vec<Extent>> {
    if count == 0 {
        return Err(Unsupported("it has no outputs"));
    }
    if let Some(part) = total.div_exact(&Extent::from(count)) {
        return Ok(vec![part; count]);
    }
    let unknown = Unsupported("it cuts a dynamic axis");
    let total = total.known().ok_or(unknown)?;
    let part = total.div_euclid(count as i64) + 1;
    let last = total - part * (count as i64 - 1);
    if last < 0 {
        return Err(Unsupported("it has more outputs than positions"));
    }
    let mut sizes = vec![Extent::Known(part); count];
    sizes[count - 1] = Extent::Known(last);
    Ok(sizes)
}

/// Arguments of a Slice along one axis.
struct Cut {
    axis: usize,
    start: Option<Extent>,
    end: Option<Extent>,
    step: i64,
}

fn slice(op: &mut Typing) -> Ruling {
    let x = op.input(0)?;
    let Some(cuts) = cuts(op, x.len())? else {
        op.hold_like(&x, "is sliced along axes that are computed at run time");
        return Ok(());
    };
    // Bounds that are inputs are best those of the whole.
    for cut in &cuts {
        let size = op.extent(&x[cut.axis]);
        op.bounded(1, Extent::Known(0), Some(Extent::Known(0)));
        op.bounded(2, size.clone(), Some(size));
    }
    let mut out = x.clone();
    let mut starts = vec![None; cuts.len()];
    let mut ends = vec![None; cuts.len()];
    for (place, cut) in cuts.iter().enumerate() {
        let size = op.extent(&x[cut.axis]);
        out[cut.axis] = match cut.known_bounds(&size) {
            Some((size, from, to)) => {
                let sliced = sliced(op, &x[cut.axis], cut.step, (size, from, to));
                (starts[place], ends[place]) = (sliced.start, sliced.end);
                sliced.axis
            }
            None => sliced_anywhere(op, &x[cut.axis], cut, &size),
        };
    }
    op.mirror(1, "starts", starts);
    op.mirror(2, "ends", ends);
    op.output(0, out);
    Ok(())
}

impl Cut {
    /// The size of the axis and where the slice begins and ends, where all are known.
    fn known_bounds(&self, size: &Extent) -> Option<(i64, i64, i64)> {
        let number = |end: &Option<Extent>| end.as_ref().and_then(Extent::known);
        let (size, start, end) = (size.known()?, number(&self.start)?, number(&self.end)?);
        let (from, to) = ev::slice_bounds(size, start, end, self.step);
        Some((size, from, to))
    }
}

/// What a slice leaves of an axis, and the sizes that its start and end must equal.
struct Sliced {
    axis: Type,
    start: Option<Type>,
    end: Option<Type>,
}

/// An axis of `size` positions sliced from one known place to another.
fn sliced(op: &mut Typing, axis: &Type, step: i64, (size, from, to): (i64, i64, i64)) -> Sliced {
    let whole = |axis: Type| Sliced {
        axis,
        start: None,
        end: None,
    };
    if step == 1 && (from, to) == (0, size) {
        return whole(axis.clone());
    }
    if step != 1 || from >= to {
        op.pin(axis, "is sliced with a step or to nothing");
        let count = ev::slice_count(from, to, step);
        return whole(op.fixed(Extent::Known(count), "is a slice"));
    }
    let sizes = [from, to - from, size - to].into_iter();
    let wanted: Vec<Extent> = sizes.filter(|&n| n > 0).map(Extent::Known).collect();
    let parts = op.split(axis, &wanted);
    let middle = usize::from(from > 0);
    Sliced {
        axis: parts[middle].clone(),
        start: (from > 0).then(|| parts[0].clone()),
        end: (to < size).then(|| Type::Sum(parts[..=middle].to_vec())),
    }
}

/// An axis sliced between places that are not known.
fn sliced_anywhere(op: &mut Typing, axis: &Type, cut: &Cut, size: &Extent) -> Type {
    // Nothing is cut off where the slice runs from 0 past every possible end.
    let whole = cut.step == 1
        && cut.start == Some(Extent::Known(0))
        && cut.end.as_ref().is_some_and(|end| match end {
            Extent::Known(end) => *end >= i64::from(i32::MAX),
            end => end == size,
        });
    if whole {
        return axis.clone();
    }
    op.pin(axis, "is sliced at a dynamic position");
    let length = match (&cut.start, &cut.end, cut.step) {
        (Some(Extent::Known(0..)), Some(end @ Extent::Symbolic(_)), 1) => {
            // Where it does not end before the axis does.
            op.reaches(size, end);
            cut.start.as_ref().and_then(|start| end.sub(start))
        }
        // From a place that is in the axis, whatever its size, to its end.
        (Some(start @ Extent::Symbolic(_)), Some(end), 1)
            if end == size && start.monomials().iter().all(|(_, times)| *times >= 0) =>
        {
            end.sub(start)
        }
        _ => None,
    };
    match length {
        Some(length) => op.fixed(length, "is a slice"),
        None => op.unknown(0, cut.axis, "is sliced at a dynamic position"),
    }
}

/// By axis that is sliced; none where they are computed at run time.
fn cuts(op: &mut Typing, rank: usize) -> Ruling<Option<Vec<Cut>>> {
    let list = |op: &mut Typing, slot: usize, attribute: &str| match op.ints(attribute) {
        Some(list) => Some(list.into_iter().map(|n| Some(Extent::Known(n))).collect()),
        None => op.list(slot),
    };
    let starts: Option<Vec<Option<Extent>>> = list(op, 1, "starts");
    let ends = list(op, 2, "ends");
    let (Ok(axes), Ok(steps)) = (op.constants(3, "axes"), op.constants(4, "steps")) else {
        return Ok(None);
    };
    // Where one bound is computed at run time, the other still says how many axes there are.
    let count = axes
        .as_ref()
        .map(Vec::len)
        .or(starts.as_ref().map(Vec::len))
        .or(ends.as_ref().map(Vec::len));
    let Some(count) = count else { return Ok(None) };
    let at = |list: &Option<Vec<Option<Extent>>>, i: usize| list.as_ref()?.get(i)?.clone();
    let cuts: Ruling<Vec<Cut>> = (0..count)
        .map(|i| {
            let axis = axes.as_ref().map_or(i as i64, |axes| axes[i]);
            Ok(Cut {
                axis: axis_of(axis, rank)?,
                start: at(&starts, i),
                end: at(&ends, i),
                step: steps.as_ref().and_then(|s| s.get(i).copied()).unwrap_or(1),
            })
        })
        .collect();
    cuts.map(Some)
}

fn pad(op: &mut Typing) -> Ruling {
    let x = op.input(0)?;
    let axes: Vec<usize> = match op.constants(3, "axes")? {
        Some(axes) => {
            let axes = axes.into_iter().map(|axis| axis_of(axis, x.len()));
            axes.collect::<Ruling<_>>()?
        }
        None => (0..x.len()).collect(),
    };
    let pads = match op.ints("pads").or_else(|| op.ints("paddings")) {
        Some(list) => list.into_iter().map(|n| Some(Extent::Known(n))).collect(),
        None => op.list(1).unwrap_or_else(|| vec![None; 2 * axes.len()]),
    };
    if pads.len() != 2 * axes.len() {
        return Err(Unsupported("its pads have the wrong length"));
    }
    let constant = op.string("mode", "constant") == "constant";
    let mut out = x.clone();
    for (place, &axis) in axes.iter().enumerate() {
        let pair = [&pads[place], &pads[place + axes.len()]];
        out[axis] = padded(op, &x[axis], axis, pair, constant);
    }
    op.output(0, out);
    Ok(())
}

/// An axis with so much before and behind it.
fn padded(
    op: &mut Typing,
    x: &Type,
    axis: usize,
    pads: [&Option<Extent>; 2],
    constant: bool,
) -> Type {
    let none = |pad: &Option<Extent>| *pad == Some(Extent::Known(0));
    if pads.into_iter().all(none) {
        return x.clone();
    }
    if let [
        Some(Extent::Known(before @ 0..)),
        Some(Extent::Known(after @ 0..)),
    ] = pads
        && constant
    {
        let parts = [*before, *after].map(|n| op.fixed(Extent::Known(n), "is padding"));
        let [before, after] = parts;
        return op.sum(vec![before, x.clone(), after]);
    }
    let why = "is padded with its own values, cropped, or padded by a dynamic number";
    op.pin(x, why);
    let [before, after] = pads;
    let size = before.as_ref().zip(after.as_ref());
    let size = size.and_then(|(before, after)| op.extent(x).add(before)?.add(after));
    op.sized((0, axis), size, why)
}
