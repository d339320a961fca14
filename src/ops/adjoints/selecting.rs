//! Selection and scattering by places that the data says.

use super::Backward;
use super::gather::{Places, by_runs, runs};
use crate::graph::{Array, Attributes, int};
use crate::onnx::ElementType;
use crate::ops::typing::{Ruling, Unsupported, axis_of};

/// Positions at most that are walked one by one.
const MOST_STEPS: usize = 256;

const UNUSUAL: Unsupported = Unsupported("its index and axis do not fit together");

pub(in crate::ops) fn gather_elements(b: &mut Backward, d: &Array) -> Ruling<Array> {
    let (x, places) = (b.input(0)?, along_axis(b)?);
    places.add_up(b.emit, d, &x.sizes)
}

/// With batches, their numbers become positions as well.
pub(in crate::ops) fn gather_nd(b: &mut Backward, d: &Array) -> Ruling<Array> {
    let (x, index) = (b.input(0)?, b.input(1)?);
    let batch = usize::try_from(b.int("batch_dims", 0)).map_err(|_| UNUSUAL)?;
    let (&depth, outer) = index.sizes.split_last().ok_or(UNUSUAL)?;
    if batch > outer.len() || batch + depth > x.rank() || x.sizes[..batch] != outer[..batch] {
        return Err(UNUSUAL);
    }
    if batch == 0 {
        let places = Places { index, axis: None };
        return places.add_up(b.emit, d, &x.sizes);
    }
    let batches: usize = outer[..batch].iter().product();
    let each: usize = outer[batch..].iter().product();
    let numbers: Vec<f64> = (0..batches).map(|n| n as f64).collect();
    let numbers = b.emit.constant(&numbers, &[batches, 1, 1], ElementType::Int64);
    let numbers = b.emit.expand(&numbers, &[batches, each, 1]);
    let index = b.emit.reshape(&index, &[batches, each, depth]);
    let index = b.emit.concat(&[numbers, index], 2);
    let rest = &x.sizes[batch..];
    let updates = [&[batches, each], &rest[depth..]].concat();
    let updates = b.emit.reshape(d, &updates);
    let places = Places { index, axis: None };
    let sum = places.add_up(b.emit, &updates, &[&[batches], rest].concat())?;
    Ok(b.emit.reshape(&sum, &x.sizes))
}

/// The second input holds positions along an axis.
fn along_axis(b: &Backward) -> Ruling<Places> {
    let (x, index) = (b.input(0)?, b.input(1)?);
    let axis = axis_of(b.int("axis", 0), x.rank())?;
    match index.rank() == x.rank() {
        true => Ok(Places {
            index,
            axis: Some(axis),
        }),
        false => Err(UNUSUAL),
    }
}

pub(in crate::ops) fn scatter_elements(b: &mut Backward) -> Ruling {
    let places = along_axis(b)?;
    scattered(b, &places)
}

pub(in crate::ops) fn scatter_nd(b: &mut Backward) -> Ruling {
    let index = b.input(1)?;
    scattered(b, &Places { index, axis: None })
}

/// Data with updates at some places.
fn scattered(b: &mut Backward, places: &Places) -> Ruling {
    let (d, updates) = (b.cotangent()?, b.input(2)?);
    match b.string("reduction", "none").as_str() {
        "none" => {
            if b.needs(0) {
                let zeros = b.emit.full(0.0, &updates.sizes, d.element);
                let given = places.write(b.emit, [&d, &zeros], "none")?;
                b.give(0, &given)?;
            }
            if b.needs(2) {
                let given = places.read(b.emit, &d)?;
                b.give(2, &given)?;
            }
            Ok(())
        }
        "add" => {
            b.give(0, &d)?;
            if b.needs(2) {
                let given = places.read(b.emit, &d)?;
                b.give(2, &given)?;
            }
            Ok(())
        }
        "mul" => multiplied(b, places, &d),
        "max" | "min" => extreme(b, places, &d),
        _ => Err(Unsupported("its reduction is none that the operator has")),
    }
}

/// By the other factors: an update's are what stands there in the end over itself.
fn multiplied(b: &mut Backward, places: &Places, d: &Array) -> Ruling {
    let updates = b.input(2)?;
    if b.needs(0) {
        let ones = b.emit.full(1.0, &d.sizes, d.element);
        let factors = places.write(b.emit, [&ones, &updates], "mul")?;
        let given = b.emit.mul(d, &factors);
        b.give(0, &given)?;
    }
    if b.needs(2) {
        let y = b.output(0)?;
        let product = b.emit.mul(d, &y);
        let taken = places.read(b.emit, &product)?;
        let given = b.emit.div(&taken, &updates);
        b.give(2, &given)?;
    }
    Ok(())
}

/// To those that equal the result, in equal shares.
fn extreme(b: &mut Backward, places: &Places, d: &Array) -> Ruling {
    let (x, updates, y) = (b.input(0)?, b.input(2)?, b.output(0)?);
    let kept = b.emit.equal(&x, &y);
    let kept = b.emit.cast(&kept, d.element);
    let there = places.read(b.emit, &y)?;
    let taken = b.emit.equal(&updates, &there);
    let taken = b.emit.cast(&taken, d.element);
    let count = places.write(b.emit, [&kept, &taken], "add")?;
    let share = b.emit.div(d, &count);
    if b.needs(0) {
        let given = b.emit.mul(&share, &kept);
        b.give(0, &given)?;
    }
    if b.needs(2) {
        let share = places.read(b.emit, &share)?;
        let given = b.emit.mul(&share, &taken);
        b.give(2, &given)?;
    }
    Ok(())
}

/// Updates are written from a position on, round the end where it is circular.
pub(in crate::ops) fn tensor_scatter(b: &mut Backward) -> Ruling {
    let (d, past, update) = (b.cotangent()?, b.input(0)?, b.input(1)?);
    let axis = axis_of(b.int("axis", -2), past.rank())?;
    let (rank, batches) = (past.rank(), past.sizes[0]);
    if update.rank() != rank || axis == 0 {
        return Err(UNUSUAL);
    }
    let steps: Vec<f64> = (0..update.sizes[axis]).map(|n| n as f64).collect();
    let mut sizes = vec![1; rank];
    sizes[axis] = steps.len();
    let mut index = b.emit.constant(&steps, &sizes, ElementType::Int64);
    if b.has(2) {
        let first = b.input(2)?;
        let mut sizes = vec![1; rank];
        sizes[0] = batches;
        let first = b.emit.reshape(&first, &sizes);
        index = b.emit.add(&first, &index);
    }
    if b.string("mode", "linear") == "circular" {
        let size = b.emit.number(past.sizes[axis] as f64, ElementType::Int64);
        let made = (index.sizes.clone(), index.element);
        index = b.emit.node("Mod", &[&index.name, &size.name], Vec::new(), made);
    }
    let index = b.emit.expand(&index, &update.sizes);
    let places = Places {
        index,
        axis: Some(axis),
    };
    if b.needs(0) {
        let zeros = b.emit.full(0.0, &update.sizes, d.element);
        let given = places.write(b.emit, [&d, &zeros], "none")?;
        b.give(0, &given)?;
    }
    if b.needs(1) {
        let given = places.read(b.emit, &d)?;
        b.give(1, &given)?;
    }
    Ok(())
}

/// What was reversed is reversed again.
pub(in crate::ops) fn reverse_sequence(b: &mut Backward, d: &Array) -> Ruling<Array> {
    let lengths = b.input(1)?;
    let axes = [("time_axis", 0), ("batch_axis", 1)];
    let attributes = axes.map(|(name, default)| int(name, b.int(name, default)));
    let made = (d.sizes.clone(), d.element);
    let names = [&*d.name, &lengths.name];
    Ok(b.emit.node("ReverseSequence", &names, attributes.to_vec(), made))
}

/// With the product `p` of all before a position: `p s`, where `s = d + x' s'` of the position after it. So it holds
/// where numbers are 0 too.
pub(in crate::ops) fn cum_prod(b: &mut Backward, d: &Array) -> Ruling<Array> {
    let x = b.input(0)?;
    let axis = b.integers(1, "")?.and_then(|axes| axes.first().copied());
    let axis = axis_of(axis.ok_or(UNUSUAL)?, x.rank())?;
    let (size, exclusive) = (x.sizes[axis], b.int("exclusive", 0) != 0);
    let backwards = b.int("reverse", 0) != 0;
    if size > MOST_STEPS || x.count() == 0 {
        return Err(Unsupported("its axis is too long to be walked step by step"));
    }
    let place = b.emit.number(axis as f64, ElementType::Int64);
    let attributes = vec![int("exclusive", 1), int("reverse", backwards.into())];
    let made = (x.sizes.clone(), x.element);
    let before = b.emit.node("CumProd", &[&x.name, &place.name], attributes, made);
    let mut single = x.sizes.clone();
    single[axis] = 1;
    let mut order: Vec<usize> = (0..size).rev().collect();
    if backwards {
        order.reverse();
    }
    let mut sums: Vec<Array> = Vec::new();
    for (step, &at) in order.iter().enumerate() {
        let Some(last) = step.checked_sub(1) else {
            sums.push(match exclusive {
                true => b.emit.full(0.0, &single, x.element),
                false => b.emit.part(d, axis, at, 1),
            });
            continue;
        };
        // An exclusive product does not hold the position that its gradient is of.
        let from = if exclusive { order[last] } else { at };
        let own = b.emit.part(d, axis, from, 1);
        let factor = b.emit.part(&x, axis, order[last], 1);
        let later = b.emit.mul(&factor, &sums[last]);
        sums.push(b.emit.add(&own, &later));
    }
    if !backwards {
        sums.reverse();
    }
    let sums = b.emit.concat(&sums, axis);
    Ok(b.emit.mul(&before, &sums))
}

/// The two values: what stands at chosen places, and all else.
pub(in crate::ops) fn one_hot(b: &mut Backward) -> Ruling {
    if !b.needs(2) {
        return Ok(());
    }
    let (d, index, depth) = (b.cotangent()?, b.input(0)?, b.input(1)?);
    let values = b.emit.constant(&[0.0, 1.0], &[2], d.element);
    let attributes = vec![int("axis", b.int("axis", -1))];
    let names = [&*index.name, &depth.name, &values.name];
    let made = (d.sizes.clone(), d.element);
    let chosen = b.emit.node("OneHot", &names, attributes, made);
    let taken = b.emit.mul(&chosen, &d);
    let axes: Vec<usize> = (0..d.rank()).collect();
    let on = b.emit.sum(&taken, &axes, false);
    let all = b.emit.sum(&d, &axes, false);
    let off = b.emit.sub(&all, &on);
    let parts = [off, on].map(|part| b.emit.reshape(&part, &[1]));
    let given = b.emit.concat(&parts, 0);
    b.give(2, &given)
}

/// What a known condition named.
pub(in crate::ops) fn compress(b: &mut Backward, d: &Array) -> Ruling<Array> {
    let x = b.input(0)?;
    let condition = b.integers(1, "");
    let condition = condition.map_err(|_| Unsupported("its condition is computed at run time"))?;
    let condition = condition.ok_or(UNUSUAL)?.into_iter().enumerate();
    let places: Vec<usize> = condition.filter(|(_, holds)| *holds != 0).map(|(n, _)| n).collect();
    let [outer, size, inner] = match b.proto().int("axis") {
        None => [1, x.count(), 1],
        Some(axis) => {
            let axis = axis_of(axis, x.rank())?;
            let outer = x.sizes[..axis].iter().product();
            let inner = x.sizes[axis + 1..].iter().product();
            [outer, x.sizes[axis], inner]
        }
    };
    let fits = d.count() == outer * places.len() * inner;
    if places.last().is_none_or(|&last| last >= size) || !fits {
        return Err(UNUSUAL);
    }
    let flat = b.emit.reshape(d, &[outer, places.len(), inner]);
    let Some(runs) = runs(&places) else {
        return Err(Unsupported("it names too many positions apart from each other"));
    };
    let given = by_runs(b.emit, &flat, &runs, size);
    Ok(b.emit.reshape(&given, &x.sizes))
}

/// Of `start + n step`: the sum, and the sum times `n`.
pub(in crate::ops) fn range(b: &mut Backward) -> Ruling {
    let d = b.cotangent()?;
    if b.needs(0) {
        let given = b.emit.sum(&d, &[0], false);
        b.give(0, &given)?;
    }
    if b.needs(2) {
        let steps: Vec<f64> = (0..d.count()).map(|n| n as f64).collect();
        let steps = b.emit.constant(&steps, &d.sizes, d.element);
        let product = b.emit.mul(&d, &steps);
        let given = b.emit.sum(&product, &[0], false);
        b.give(2, &given)?;
    }
    Ok(())
}
