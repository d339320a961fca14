//! Positions that integers of the data say: an axis that they point into keeps its positions, unless they were found along the
//! same axis; all others pass. The
//! integers have the data's axes beside it, so that those follow where an Expand makes them, and stay where they are
//! constants or inputs.

use crate::axes::{Extent, Type};
use crate::ops::adjoints::selecting as adjoint;
use crate::ops::typing::{Ruling, Typing, Unsupported, axis_of};
use crate::ops::{Carried, Elements, Row, row};

pub(in crate::ops) const ROWS: &[Row] = &[
    row("GatherElements", gather_elements)
        .slope(adjoint::gather_elements)
        .carries(Carried::First),
    row("GatherND", gather_nd)
        .slope(adjoint::gather_nd)
        .carries(Carried::First),
    row("ScatterElements", scatter_elements).gives(adjoint::scatter_elements),
    row("Scatter", scatter_elements).gives(adjoint::scatter_elements),
    row("ScatterND", scatter_nd).gives(adjoint::scatter_nd),
    row("TensorScatter", tensor_scatter).gives(adjoint::tensor_scatter),
    row("ReverseSequence", reverse_sequence).slope(adjoint::reverse_sequence),
    row("Compress", compress).slope(adjoint::compress),
    row("OneHot", one_hot)
        .gives(adjoint::one_hot)
        .of_elements(&[Elements::Input(2)]),
];

const POINTED: &str = "is selected from by index";
const WRITTEN: &str = "is written to by index";
const OWN: &str = "has an index of its own at each position";

/// The axes of `x` beside `axis` are those of `index`, which may be shorter.
fn beside(op: &mut Typing, x: &[Type], index: &[Type], axis: usize) -> Ruling {
    if x.len() != index.len() {
        return Err(Unsupported("data and index differ in rank"));
    }
    for place in (0..x.len()).filter(|&place| place != axis) {
        if op.extent(&x[place]) == op.extent(&index[place]) {
            op.unify(&x[place], &index[place]);
            op.nonlinear(&x[place], OWN);
        } else {
            op.agree(&x[place], &index[place], false);
            let why = "is not as long as the index";
            op.pin_all(&[x[place].clone(), index[place].clone()], why);
        }
    }
    Ok(())
}

/// Y[.., i, ..] = X[.., index[.., i, ..], ..]
fn gather_elements(op: &mut Typing) -> Ruling {
    let (x, index) = (op.input(0)?, op.input(1)?);
    let axis = axis_of(op.int("axis", 0), x.len())?;
    op.positions(1, &x[axis]);
    op.points(1, &x[axis], POINTED);
    beside(op, &x, &index, axis)?;
    op.output(0, index);
    Ok(())
}

/// Y = X, and Y[.., index[.., i, ..], ..] = updates[.., i, ..]
fn scatter_elements(op: &mut Typing) -> Ruling {
    let (x, index, updates) = (op.input(0)?, op.input(1)?, op.input(2)?);
    let axis = axis_of(op.int("axis", 0), x.len())?;
    op.positions(1, &x[axis]);
    op.points(1, &x[axis], WRITTEN);
    beside(op, &x, &index, axis)?;
    if updates.len() != index.len() {
        return Err(Unsupported("updates and index differ in rank"));
    }
    for (update, index) in updates.iter().zip(&index) {
        op.unify(update, index);
    }
    op.pin(&index[axis], WRITTEN);
    op.output(0, x);
    Ok(())
}

/// The last axis of the second input holds a position along each of the data's axes from `first` on.
fn tuples(op: &mut Typing, x: &[Type], first: usize, depth: usize) {
    for (place, axis) in x.iter().skip(first).take(depth).enumerate() {
        if let Some(index) = op.made_at(1, place) {
            op.selects(index, axis);
        }
    }
}

/// Y[b.., i.., r..] = X[b.., index[b.., i.., :].., r..]
fn gather_nd(op: &mut Typing) -> Ruling {
    let (x, index) = (op.input(0)?, op.input(1)?);
    let (last, places) = index
        .split_last()
        .ok_or(Unsupported("its index has rank 0"))?;
    let batch = usize::try_from(op.int("batch_dims", 0)).unwrap_or(0);
    let depth = op.size(last)?;
    let from = batch.checked_add(depth).filter(|&from| from <= x.len());
    let from = from.ok_or(Unsupported("its index is deeper than its data"))?;
    if batch > places.len() {
        return Err(Unsupported("its index has too few axes"));
    }
    tuples(op, &x, batch, depth);
    for (axis, place) in x.iter().zip(&places[..batch]) {
        op.unify(axis, place);
        op.nonlinear(axis, OWN);
    }
    op.pin_all(&x[batch..from], POINTED);
    op.pin(last, "holds positions");
    let mut out = places.to_vec();
    out.extend_from_slice(&x[from..]);
    op.output(0, out);
    Ok(())
}

/// Y = X, and Y[index[i.., :].., r..] = updates[i.., r..]
fn scatter_nd(op: &mut Typing) -> Ruling {
    let (x, index, updates) = (op.input(0)?, op.input(1)?, op.input(2)?);
    let (last, places) = index
        .split_last()
        .ok_or(Unsupported("its index has rank 0"))?;
    let known = op.size(last).ok().filter(|&depth| depth <= x.len());
    let depth = known.unwrap_or(x.len());
    tuples(op, &x, 0, known.unwrap_or(0));
    let written: Vec<Type> = places.iter().chain(&x[depth..]).cloned().collect();
    if known.is_some() && written.len() != updates.len() {
        return Err(Unsupported("its updates have an unusual rank"));
    }
    for (update, written) in updates.iter().zip(&written) {
        op.unify(update, written);
    }
    op.pin_all(&x[..depth], WRITTEN);
    op.pin_all(&index, "holds positions");
    let held = if known.is_some() {
        places.len()
    } else {
        updates.len()
    };
    op.pin_all(&updates[..held], WRITTEN);
    if !matches!(&*op.string("reduction", "none"), "none" | "add") {
        for axis in &x[depth..] {
            op.nonlinear(axis, "is joined element by element");
        }
    }
    op.output(0, x);
    Ok(())
}

/// Updates are written from a position on along the axis of the past; they must not reach beyond it.
fn tensor_scatter(op: &mut Typing) -> Ruling {
    let (past, update) = (op.input(0)?, op.input(1)?);
    let axis = axis_of(op.int("axis", -2), past.len())?;
    if past.len() != update.len() {
        return Err(Unsupported("past and update differ in rank"));
    }
    let room = op.extent(&past[axis]).sub(&op.extent(&update[axis]));
    op.bounded(2, Extent::Known(0), room);
    for place in (0..past.len()).filter(|&place| place != axis) {
        op.unify(&past[place], &update[place]);
    }
    op.pin_all(&[past[axis].clone(), update[axis].clone()], WRITTEN);
    if let Some([samples]) = op.optional(2)?.as_deref() {
        op.unify(&past[0], samples);
        op.nonlinear(&past[0], OWN);
    }
    op.output(0, past);
    Ok(())
}

fn reverse_sequence(op: &mut Typing) -> Ruling {
    let (x, lengths) = (op.input(0)?, op.input(1)?);
    let [time, batch] = [("time_axis", 0), ("batch_axis", 1)].map(|(name, at)| op.int(name, at));
    let (time, batch) = (axis_of(time, x.len())?, axis_of(batch, x.len())?);
    op.lengths(1, &x[time]);
    op.pin(&x[time], "is reversed");
    let [count] = &lengths[..] else {
        return Err(Unsupported("its lengths are no list"));
    };
    op.unify(&x[batch], count);
    op.nonlinear(&x[batch], "is reversed differently at each position");
    op.output(0, x);
    Ok(())
}

/// The positions of an axis, or of all elements in a row, that a condition names.
fn compress(op: &mut Typing) -> Ruling {
    let x = op.input(0)?;
    let condition = op.input(1)?;
    op.pin_all(&condition, "says which positions stay");
    let known = op.integers(1).into_iter().flatten();
    let known = known.map(|holds| holds.and_then(|holds| holds.known()));
    let known: Option<Vec<i64>> = known.collect();
    let known = known.filter(|known| !known.is_empty());
    let count = known.map(|known| known.iter().filter(|&&holds| holds != 0).count());
    let place = match op.proto().attribute.iter().any(|a| a.name() == "axis") {
        true => Some(axis_of(op.int("axis", 0), x.len())?),
        false => None,
    };
    let size = |op: &mut Typing, place: usize| match count {
        Some(count) => op.fixed(Extent::from(count), POINTED),
        None => op.unknown(0, place, POINTED),
    };
    let out = match place {
        Some(place) => {
            op.pin(&x[place], POINTED);
            let mut out = x;
            out[place] = size(op, place);
            out
        }
        None => {
            op.pin_all(&x, POINTED);
            vec![size(op, 0)]
        }
    };
    op.output(0, out);
    Ok(())
}

/// Y[.., c, ..] = one of two values, by whether X[..] is c.
fn one_hot(op: &mut Typing) -> Ruling {
    let mut out = op.input(0)?;
    let place = axis_of(op.int("axis", -1), out.len() + 1)?;
    let depth = op.integers(1);
    let depth = depth.and_then(|depth| depth.first().cloned().flatten());
    if let Some(classes) = &depth {
        op.bounded(0, Extent::Known(0), classes.sub(&Extent::ONE));
    }
    for axis in &out {
        op.nonlinear(axis, "is spread over classes");
    }
    let why = "is a class";
    let classes = op.sized((0, place), depth, why);
    out.insert(place, classes);
    op.output(0, out);
    Ok(())
}
