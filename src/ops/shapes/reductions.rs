//! Lists of sizes that are summed up, multiplied or searched for the largest.

use ndarray::Axis;

use super::arithmetic::{maximum, minimum, product, sum};
use super::integers::{Evaluation, Integers, Outputs, one};
use crate::axes::Extent;
use crate::graph::Attributes;
use crate::ops::typing::axis_of;

/// Combines two elements.
type Combine = fn(&mut Evaluation, &Extent, &Extent) -> Option<Extent>;

pub(in crate::ops) fn reduce_sum(e: &mut Evaluation) -> Outputs {
    reduce(e, sum)
}

pub(in crate::ops) fn reduce_product(e: &mut Evaluation) -> Outputs {
    reduce(e, product)
}

pub(in crate::ops) fn reduce_max(e: &mut Evaluation) -> Outputs {
    reduce(e, maximum)
}

pub(in crate::ops) fn reduce_min(e: &mut Evaluation) -> Outputs {
    reduce(e, minimum)
}

fn reduce(e: &mut Evaluation, combine: Combine) -> Outputs {
    let mut x = e.input(0)?.array()?;
    let given = e.proto.input.get(1).is_some_and(|name| !name.is_empty());
    let axes = match given || e.proto.ints("axes").is_some() {
        true => e.numbers(1, "axes")?,
        false => Vec::new(),
    };
    if axes.is_empty() && e.proto.int("noop_with_empty_axes").unwrap_or(0) != 0 {
        return one(Integers::of(&x));
    }
    let rank = x.ndim();
    let axes: Option<Vec<usize>> = match axes.is_empty() {
        true => Some((0..rank).collect()),
        false => axes
            .into_iter()
            .map(|axis| axis_of(axis, rank).ok())
            .collect(),
    };
    let mut axes = axes?;
    axes.sort_unstable();
    axes.dedup();
    for axis in axes.into_iter().rev() {
        if x.shape()[axis] == 0 {
            return None;
        }
        let mut fold = |a: Option<Extent>, b: &Option<Extent>| combine(e, a.as_ref()?, b.as_ref()?);
        let mut parts = x.axis_iter(Axis(axis));
        let first = parts.next()?.to_owned();
        let folded = parts.fold(first, |mut all, part| {
            all.zip_mut_with(&part, |a, b| *a = fold(a.take(), b));
            all
        });
        x = folded;
        if e.proto.int("keepdims").unwrap_or(1) != 0 {
            x.insert_axis_inplace(Axis(axis));
        }
    }
    one(Integers::of(&x))
}
