//! Selection and scattering by places that the data says.

use super::{HELD, Held, axis, like, output, ranks};
use crate::axes::{Extent, Type};
use crate::onnx::ElementType;
use crate::ops::adjoints::{Adjoint, selecting as adjoint};
use crate::ops::row::INT64;
use crate::ops::typing::{Ruling, Typing, Unsupported, axis_of};
use crate::ops::{Carried, Elements, Row, row};

const DTYPE: &[Elements] = &[Elements::Attribute("dtype"), Elements::Input(0)];

pub(super) const ROWS: &[Row] = &[
    row("GatherElements", |op| selecting(op, 1)).slope(adjoint::gather_elements).carries(Carried::First),
    row("GatherND", gather_nd).slope(adjoint::gather_nd).carries(Carried::First),
    row("ScatterElements", |op| selecting(op, 0)).gives(adjoint::scatter_elements),
    row("ScatterND", scatter_nd).gives(adjoint::scatter_nd),
    row("Scatter", |op| selecting(op, 0)).gives(adjoint::scatter_elements),
    row("TensorScatter", tensor_scatter).gives(adjoint::tensor_scatter),
    row("ReverseSequence", reverse_sequence).slope(adjoint::reverse_sequence),
    row("EyeLike", |op| like(op, 0)).adjoint(Adjoint::Zero).of_elements(DTYPE),
    row("RandomNormalLike", |op| like(op, 0)).adjoint(Adjoint::Zero).of_elements(DTYPE),
    row("RandomUniformLike", |op| like(op, 0)).adjoint(Adjoint::Zero).of_elements(DTYPE),
    row("Bernoulli", |op| like(op, 0)).adjoint(Adjoint::Zero).of_elements(DTYPE),
    row("CumProd", |op| like(op, 0)).slope(adjoint::cum_prod),
    row("BitCast", |op| like(op, 0)).stops("its operator reads bits as other numbers").of_elements(&[Elements::Attribute("to")]),
    row("OneHot", one_hot).gives(adjoint::one_hot).of_elements(&[Elements::Input(2)]),
    row("NonZero", non_zero).adjoint(Adjoint::Zero).of_elements(INT64),
    row("Compress", compress).slope(adjoint::compress),
    row("Unique", unique).stops("its operator makes as many elements as the data says")
        .yields(1, ElementType::Int64)
        .yields(2, ElementType::Int64)
        .yields(3, ElementType::Int64),
    row("NonMaxSuppression", non_max_suppression).adjoint(Adjoint::Zero).of_elements(INT64),
    row("Multinomial", multinomial).adjoint(Adjoint::Zero).of_elements(&[
        Elements::Attribute("dtype"),
        Elements::Always(ElementType::Int32),
    ]),
    row("Det", det).stops("its gradient needs the inverse of a matrix, which operator sets do not have"),
    row("SequenceLength", |op| ranks(op, &[0])).adjoint(Adjoint::Zero).of_elements(INT64),
];

/// The second input holds positions along an axis.
fn selecting(op: &mut Typing, slot: usize) -> Ruling {
    let x = op.input(0)?;
    let axis = axis_of(op.int("axis", 0), x.len())?;
    op.positions(1, &x[axis]);
    like(op, slot)
}

/// The last axis of the second input holds a position along each of the data's axes from `first` on.
fn tuples(op: &mut Typing, x: &[Type], first: usize, depth: usize) {
    for axis in x.iter().skip(first).take(depth) {
        op.positions(1, axis);
    }
}

fn scatter_nd(op: &mut Typing) -> Ruling {
    let (x, index) = (op.input(0)?, op.input(1)?);
    if let Some(depth) = index.last().and_then(|depth| op.size(depth).ok()) {
        tuples(op, &x, 0, depth);
    }
    like(op, 0)
}

/// Updates are written from a position on along the axis of the past; they must not reach beyond it.
fn tensor_scatter(op: &mut Typing) -> Ruling {
    let (past, update) = (op.input(0)?, op.input(1)?);
    let axis = axis_of(op.int("axis", -2), past.len())?;
    let size = |axes: &[Type]| axes.get(axis).map(|axis| op.extent(axis));
    let room = size(&past).zip(size(&update));
    let room = room.and_then(|(past, update)| past.sub(&update));
    op.bounded(2, Extent::Known(0), room);
    like(op, 0)
}

fn reverse_sequence(op: &mut Typing) -> Ruling {
    let x = op.input(0)?;
    let [time, batch] = [("time_axis", 0), ("batch_axis", 1)].map(|(name, at)| op.int(name, at));
    op.lengths(1, &x[axis_of(time, x.len())?]);
    let lengths = op.input(1)?;
    if let [count] = &lengths[..] {
        op.agree(&x[axis_of(batch, x.len())?], count, false);
    }
    like(op, 0)
}

/// Y = index[..-1] ++ X[batch_dims + depth of the index..]
fn gather_nd(op: &mut Typing) -> Ruling {
    let held = Held::of(op);
    let (x, index) = (held.at(0)?, held.at(1)?);
    let (depth, places) = index
        .split_last()
        .ok_or(Unsupported("its index has rank 0"))?;
    let batch = usize::try_from(op.int("batch_dims", 0)).unwrap_or(0);
    let depth = op.size(depth)?;
    tuples(op, &x, batch, depth);
    let from = batch.checked_add(depth);
    let rest = from.and_then(|from| x.get(from..));
    let rest = rest.ok_or(Unsupported("its index is deeper than its data"))?;
    let mut out = places.to_vec();
    out.extend_from_slice(rest);
    op.output(0, out);
    Ok(())
}

fn one_hot(op: &mut Typing) -> Ruling {
    let mut out = Held::of(op).at(0)?;
    let place = axis_of(op.int("axis", -1), out.len() + 1)?;
    let depth = op.integers(1);
    let depth = depth.and_then(|depth| depth.first().cloned().flatten());
    if let Some(classes) = &depth {
        op.bounded(0, Extent::Known(0), classes.sub(&Extent::ONE));
    }
    out.insert(place, axis(op, 0, place, depth));
    op.output(0, out);
    Ok(())
}

fn non_zero(op: &mut Typing) -> Ruling {
    let rank = Held::of(op).at(0)?.len();
    output(op, 0, vec![Some(Extent::from(rank)), None]);
    Ok(())
}

/// The positions of an axis, or of all elements in a row, that a condition names.
fn compress(op: &mut Typing) -> Ruling {
    let held = Held::of(op);
    let known = op.integers(1).into_iter().flatten();
    let known = known.map(|holds| holds.and_then(|holds| holds.known()));
    let known: Option<Vec<i64>> = known.collect();
    let known = known.filter(|known| !known.is_empty());
    let count = known.map(|known| known.iter().filter(|&&holds| holds != 0).count());
    chosen(op, &held, count.map(Extent::from))
}

/// X with an axis of this length, or one that only the data says, or as a list of such a length without that attribute.
fn chosen(op: &mut Typing, held: &Held, count: Option<Extent>) -> Ruling {
    match op.int("axis", i64::MIN) {
        i64::MIN => output(op, 0, vec![count]),
        place => {
            let mut out = held.at(0)?;
            let place = axis_of(place, out.len())?;
            out[place] = axis(op, 0, place, count);
            op.output(0, out);
        }
    }
    Ok(())
}

/// Different slices along an axis, or different elements; where each stands first, which of them each slice or element
/// of the input is, and how often each stands.
fn unique(op: &mut Typing) -> Ruling {
    let held = Held::of(op);
    chosen(op, &held, None)?;
    let sizes = held.get(0).map(|axes| op.extents(axes));
    let all = sizes.and_then(|sizes| match op.int("axis", i64::MIN) {
        i64::MIN => Extent::product(&sizes),
        place => sizes.get(axis_of(place, sizes.len()).ok()?).cloned(),
    });
    for (slot, size) in [(1, None), (2, all), (3, None)] {
        output(op, slot, vec![size]);
    }
    Ok(())
}

fn non_max_suppression(op: &mut Typing) -> Ruling {
    Held::of(op);
    output(op, 0, vec![None, Some(Extent::Known(3))]);
    Ok(())
}

fn multinomial(op: &mut Typing) -> Ruling {
    let mut out = Held::of(op).at(0)?;
    let count = op.fixed(Extent::Known(op.int("sample_size", 1)), HELD);
    if let Some(last) = out.last_mut() {
        *last = count;
    }
    op.output(0, out);
    Ok(())
}

/// One number per matrix.
fn det(op: &mut Typing) -> Ruling {
    let mut out = Held::of(op).at(0)?;
    let rank = out.len().checked_sub(2);
    out.truncate(rank.ok_or(Unsupported("its data is no matrix"))?);
    op.output(0, out);
    Ok(())
}
