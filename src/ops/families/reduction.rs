//! Axes that are summed up, ranked or normalised to a distribution.

use crate::axes::{Extent, Type};
use crate::onnx::ElementType;
use crate::ops::adjoints::{Adjoint, reduction as back, selecting};
use crate::ops::mix::Mix;
use crate::ops::row::INT64;
use crate::ops::shapes::reductions;
use crate::ops::spans::is_natural;
use crate::ops::typing::{Ruling, Typing, Unsupported, axis_of};
use crate::ops::{Row, row};

pub(in crate::ops) const ROWS: &[Row] = &[
    row("ReduceMean", |op| reduce(op, Mix::Mean))
        .slope(back::mean)
        .homogeneous(),
    row("ReduceSum", |op| reduce(op, Mix::Sum))
        .slope(back::sum)
        .evaluated(reductions::reduce_sum),
    row("ReduceMax", |op| reduce(op, Mix::Largest))
        .slope(back::extreme)
        .evaluated(reductions::reduce_max),
    row("ReduceMin", |op| reduce(op, Mix::Smallest))
        .slope(back::extreme)
        .evaluated(reductions::reduce_min),
    row("ReduceProd", |op| reduce(op, Mix::Product))
        .slope(back::product)
        .evaluated(reductions::reduce_product),
    row("ReduceL1", |op| reduce(op, Mix::Sum)).slope(back::sum_of_sizes),
    row("ReduceL2", |op| reduce(op, Mix::Sum)).slope(back::root_of_squares),
    row("ReduceSumSquare", |op| reduce(op, Mix::Sum)).slope(back::sum_of_squares),
    row("ReduceLogSum", |op| reduce(op, Mix::Sum)).slope(back::log_of_sum),
    row("ReduceLogSumExp", |op| reduce(op, Mix::Powers)).slope(back::log_of_sum_of_powers),
    row("Softmax", |op| block_softmax(op, Mix::Powers))
        .slope(back::softmax)
        .until(12),
    row("LogSoftmax", |op| block_softmax(op, Mix::Largest))
        .slope(back::log_softmax)
        .until(12),
    row("Hardmax", |op| block_softmax(op, Mix::Largest))
        .adjoint(Adjoint::Zero)
        .until(12),
    row("Softmax", |op| softmax(op, Mix::Powers))
        .slope(back::softmax)
        .since(13),
    row("LogSoftmax", |op| softmax(op, Mix::Largest))
        .slope(back::log_softmax)
        .since(13),
    row("Hardmax", |op| softmax(op, Mix::Largest))
        .adjoint(Adjoint::Zero)
        .since(13),
    row("ArgMax", |op| arg(op, Mix::Largest))
        .adjoint(Adjoint::Zero)
        .of_elements(INT64),
    row("ArgMin", |op| arg(op, Mix::Smallest))
        .adjoint(Adjoint::Zero)
        .of_elements(INT64),
    row("TopK", top_k)
        .slope(back::top_k)
        .yields(1, ElementType::Int64),
    row("CumSum", cumulative).slope(back::cumulative),
    row("Trilu", triangle).slope(back::triangle),
    row("CumProd", cumulative_product).slope(selecting::cum_prod),
    row("Det", determinant).slope(selecting::det),
];

const DISTRIBUTION: &str = "is a probability distribution";

fn reduce(op: &mut Typing, mix: Mix) -> Ruling {
    let x = op.input(0)?;
    let axes = op.constants(1, "axes")?.unwrap_or_default();
    if axes.is_empty() && op.int("noop_with_empty_axes", 0) != 0 {
        op.output(0, x);
        return Ok(());
    }
    let axes: Vec<usize> = match axes.is_empty() {
        true => (0..x.len()).collect(),
        false => axes
            .into_iter()
            .map(|axis| axis_of(axis, x.len()))
            .collect::<Ruling<_>>()?,
    };
    op.mixes(0, &x, &axes, mix, "is reduced over");
    let keep = op.int("keepdims", 1) != 0;
    let out = without(op, &x, &axes, keep);
    op.output(0, out);
    Ok(())
}

/// `x` with the given axes reduced to size 1, or removed.
fn without(op: &mut Typing, x: &[Type], axes: &[usize], keep: bool) -> Vec<Type> {
    let mut out = Vec::with_capacity(x.len());
    for (place, axis) in x.iter().enumerate() {
        if !axes.contains(&place) {
            out.push(axis.clone());
        } else if keep {
            out.push(op.fixed(Extent::ONE, "is reduced"));
        }
    }
    out
}

/// All axes from `axis` on form one distribution.
fn block_softmax(op: &mut Typing, mix: Mix) -> Ruling {
    let x = op.input(0)?;
    let axis = match op.int("axis", 1) {
        axis if axis == x.len() as i64 => x.len(),
        axis => axis_of(axis, x.len())?,
    };
    let axes: Vec<usize> = (axis..x.len()).collect();
    op.ranks(0, &x, &axes, mix, DISTRIBUTION);
    op.output(0, x);
    Ok(())
}

/// A single axis forms a distribution.
fn softmax(op: &mut Typing, mix: Mix) -> Ruling {
    let x = op.input(0)?;
    let axis = axis_of(op.int("axis", -1), x.len())?;
    op.ranks(0, &x, &[axis], mix, DISTRIBUTION);
    op.output(0, x);
    Ok(())
}

fn arg(op: &mut Typing, mix: Mix) -> Ruling {
    let x = op.input(0)?;
    let axis = axis_of(op.int("axis", 0), x.len())?;
    op.ranks(0, &x, &[axis], mix, "is searched for a position");
    let keep = op.int("keepdims", 1) != 0;
    let out = without(op, &x, &[axis], keep);
    op.output(0, out);
    op.yields_positions(0, &x[axis]);
    Ok(())
}

fn top_k(op: &mut Typing) -> Ruling {
    let x = op.input(0)?;
    let axis = axis_of(op.int("axis", -1), x.len())?;
    op.lengths(1, &x[axis]);
    let why = "is ranked";
    let count = match op.int("k", -1) {
        -1 => op.integers(1).and_then(|k| k.first().cloned().flatten()),
        k => Some(Extent::Known(k)),
    };
    // As many as are taken have to stay.
    match count.as_ref().and_then(Extent::size) {
        Some(count) => op.keep_least(&x[axis], count, "chooses several of its positions"),
        None => op.pin(&x[axis], why),
    }
    let mix = match op.int("largest", 1) {
        0 => Mix::Smallest,
        _ => Mix::Largest,
    };
    op.ranks(0, &x, &[axis], mix, why);
    op.yields_positions(1, &x[axis]);
    let mut out = x;
    out[axis] = op.sized((0, axis), count, why);
    for slot in 0..op.output_count() {
        op.output(slot, out.clone());
    }
    Ok(())
}

fn cumulative(op: &mut Typing) -> Ruling {
    let x = op.input(0)?;
    let axis = op
        .constants(1, "axis")?
        .and_then(|axis| axis.first().copied());
    let axis = axis.ok_or(Unsupported("its axis is not given"))?;
    let axis = axis_of(axis, x.len())?;
    op.ranks(0, &x, &[axis], Mix::Sum, "is summed up in order");
    let length = op.extent(&x[axis]);
    let span = op.span(0).filter(|[least, _]| is_natural(least));
    op.spans(span.and_then(|[_, most]| Some([Extent::Known(0), most.mul(&length)?])));
    op.output(0, x);
    Ok(())
}

fn triangle(op: &mut Typing) -> Ruling {
    let x = op.input(0)?;
    op.integers(1);
    let from = x.len().saturating_sub(2);
    op.pin_all(&x[from..], "is cut along a diagonal");
    op.output(0, x);
    Ok(())
}

fn cumulative_product(op: &mut Typing) -> Ruling {
    let x = op.input(0)?;
    let axis = op
        .constants(1, "axis")?
        .and_then(|axis| axis.first().copied());
    let axis = axis_of(axis.ok_or(Unsupported("its axis is not given"))?, x.len())?;
    for axis in &x {
        op.nonlinear(axis, "is multiplied up element by element");
    }
    op.pin(&x[axis], "is multiplied up in order");
    op.output(0, x);
    Ok(())
}

/// One number per matrix: all of it counts.
fn determinant(op: &mut Typing) -> Ruling {
    let x = op.input(0)?;
    let rank = x.len().checked_sub(2);
    let rank = rank.ok_or(Unsupported("its data is no matrix"))?;
    op.pin_all(&x[rank..], "is an axis of a square matrix");
    for axis in &x[..rank] {
        op.nonlinear(axis, "has a determinant at each position");
    }
    op.output(0, x[..rank].to_vec());
    Ok(())
}
