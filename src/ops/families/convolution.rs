//! Convolutions of any rank: plain, grouped, depthwise, with channel multiplier; forward and transposed.
//!
//! In a grouped convolution each group keeps its own channels, as many as the others: the data's channel
//! axis is balanced over the groups and the weight's channel axis is a [`Type::Block`] view of it. Where groups go
//! whole, both channel axes are products of the groups and what is inside of one, which is pinned.

use super::matmul::ACTIVATED;
use crate::axes::{Extent, Type};
use crate::ops::adjoints::{convolution as adjoint, fused};
use crate::ops::facts::{Bias, Operand, Role};
use crate::ops::row::GPU_ALONE;
use crate::ops::typing::{Ruling, Typing, Unsupported};
use crate::ops::window::Window;
use crate::ops::{Form, GroupCut, KernelFamily, Row, contrib, row};

pub(in crate::ops) const ROWS: &[Row] = &[
    row("Conv", conv)
        .gives(adjoint::conv)
        .ranked_as(0, 1)
        .kernels(KernelFamily::Convolution)
        .form(Form::Chained)
        .sparse_kernels(),
    row("ConvTranspose", conv_transpose)
        .gives(adjoint::conv_transpose)
        .ranked_as(0, 1)
        .kernels(KernelFamily::MatMul),
    contrib("FusedConv", fused_conv)
        .gives(fused::conv)
        .ranked_as(0, 1)
        .kernels(KernelFamily::Convolution),
    contrib("NhwcConv", nhwc_conv)
        .stops(GPU_ALONE)
        .ranked_as(0, 1),
];

/// Y[N, M, ..] = sum over C/g, k of X[N, C, ..] * W[M, C/g, k..] + B[M]
pub(super) fn conv(op: &mut Typing) -> Ruling {
    convolve(op, true).map(drop)
}

/// As [`conv`], a fourth input and a function of each element behind it.
fn fused_conv(op: &mut Typing) -> Ruling {
    let added = op.optional(3)?;
    let is_bent = !op.string("activation", "").is_empty();
    let out = convolve(op, added.is_none() && !is_bent)?;
    if let Some(added) = added {
        if added.len() != out.len() {
            return Err(Unsupported("what it adds has another rank"));
        }
        let pairs = added.iter().zip(&out);
        pairs.for_each(|(added, out)| op.unify(added, out));
    }
    if is_bent {
        op.nonlinear(&out[1], ACTIVATED);
    }
    Ok(())
}

/// As [`conv`], with channels last: X[N, .., C], W[M, k.., C/g].
fn nhwc_conv(op: &mut Typing) -> Ruling {
    let last = op.input(1)?.len().saturating_sub(1);
    conv_of_last(op, last)
}

/// As [`conv`], with the data's channels last and the weight's at an axis: X[N, .., C], W[M, k.., C/g] or W[M, C/g, k..].
pub(super) fn conv_of_last(op: &mut Typing, at: usize) -> Ruling {
    let (x, w) = ranked(op)?;
    let last = x.len() - 1;
    let mut window = w.clone();
    let read = window.remove(at);
    window.remove(0);
    op.pin_all(&x[1..last], "is a spatial axis of a convolution");
    op.pin_all(&window, "is a kernel axis");
    let groups = groups(op)?;
    if groups == 1 {
        op.unify(&x[last], &read);
        op.contract(0, last);
    } else if op.size(&read)? == 1 {
        depthwise(op, &x[last], &w[0], groups)?;
    } else {
        return Err(Unsupported("it has groups, and its channels last"));
    }
    // Windows over data whose channels stand last are not measured.
    let mut roles = vec![Role::Kernel; w.len()];
    roles[0] = Role::Row(Some(last));
    roles[at] = Role::Reduction(last);
    op.linear(1, None, roles);
    let kernel = op.extents(&window);
    let mut out = vec![x[0].clone()];
    out.extend(window_sizes(op, &x[1..last], &kernel)?);
    out.push(w[0].clone());
    join_bias(op, 2, &w[0])?;
    op.cost(out.clone(), w[1..].to_vec());
    op.output(0, out);
    Ok(())
}

/// The rule of [`conv`]; `is_made` where what the product makes is what the node makes.
fn convolve(op: &mut Typing, is_made: bool) -> Ruling<Vec<Type>> {
    let (x, w) = operands(op)?;
    let groups = groups(op)?;
    channels(op, &x, &w, groups)?;
    let mut roles = vec![Role::Row(is_made.then_some(1)), Role::Reduction(1)];
    roles.resize(w.len(), Role::Kernel);
    op.linear_with(
        1,
        Some(Operand::Input(0)),
        roles,
        groups,
        Some(Bias::whole(2)),
    );
    let kernel = op.extents(&w[2..]);
    let spatial = window_sizes(op, &x[2..], &kernel)?;
    let out = output(op, &x, w[0].clone(), spatial, 2)?;
    op.cost(out.clone(), w[1..].to_vec());
    Ok(out)
}

/// W[M, C/g, ..] reads the channels of X[N, C, ..], each group its own.
pub(in crate::ops) fn channels(op: &mut Typing, x: &[Type], w: &[Type], groups: usize) -> Ruling {
    let per_group = op.size(&w[1])?;
    if groups == 1 {
        op.unify(&x[1], &w[1]);
        op.contract(0, 1);
        return Ok(());
    }
    if per_group == 1 {
        return depthwise(op, &x[1], &w[0], groups);
    }
    let filters = divides(op, &w[0], groups)?;
    if op.state.groups == GroupCut::Whole {
        let (read, inside) = whole_groups(op, &x[1], [groups, per_group]);
        let (made, _) = whole_groups(op, &w[0], [groups, filters / groups]);
        op.unify(&read, &made);
        op.unify(&inside, &w[1]);
    } else {
        op.balance(&x[1], groups);
        op.balance(&w[0], groups);
        view_by_block(op, &w[1], &x[1], groups);
    }
    op.contract(0, 1);
    Ok(())
}

/// An axis of so many groups and channels of a group, of which groups go: both.
fn whole_groups(op: &mut Typing, axis: &Type, [groups, size]: [usize; 2]) -> (Type, Type) {
    let mut factors = op
        .factor(axis, &[groups, size].map(Extent::from))
        .into_iter();
    let (Some(groups), Some(inside)) = (factors.next(), factors.next()) else {
        return (axis.clone(), axis.clone());
    };
    op.pin(&inside, "is inside groups, which go whole");
    // With a single one it would be no grouped convolution any more, and typed as none.
    op.keep_least(&groups, 2, "has groups that go whole, of which two stay");
    op.mirror_int("group", &groups);
    op.nonlinear(&groups, "filters each group");
    (groups, inside)
}

/// Y[N, g*M', ..] = sum over C/g, k of X[N, C, ..] * W[C, M', k..] + B[g*M']
fn conv_transpose(op: &mut Typing) -> Ruling {
    let (x, w) = operands(op)?;
    let groups = groups(op)?;
    let per_group = op.size(&w[1])?;
    let channels = op.size(&x[1])?;
    op.unify(&x[1], &w[0]);
    let out = if groups == 1 {
        op.contract(0, 1);
        w[1].clone()
    } else if groups == channels {
        op.mirror_int("group", &w[0]);
        op.nonlinear(&w[0], "filters each channel");
        Type::Product(vec![w[0].clone(), w[1].clone()])
    } else {
        op.contract(0, 1);
        transposed_groups(op, &w, [groups, per_group])?
    };
    // The kernel's places are rows: each makes its own part of an output position's sum.
    let mut roles = vec![Role::Reduction(1), Role::Row(Some(1))];
    roles.resize(w.len(), Role::Row(None));
    op.linear_with(
        1,
        Some(Operand::Input(0)),
        roles,
        groups,
        Some(Bias::whole(2)),
    );
    let spatial = transposed_sizes(op, &x[2..], &w[2..])?;
    output(op, &x, out, spatial, 2)?;
    // It does its work per input position.
    let mut work = vec![x[0].clone(), w[0].clone(), w[1].clone()];
    work.extend_from_slice(&x[2..]);
    op.cost(work, w[2..].to_vec());
    Ok(())
}

/// The channels that a transposed convolution makes of so many groups, each so many.
fn transposed_groups(op: &mut Typing, w: &[Type], [groups, per_group]: [usize; 2]) -> Ruling<Type> {
    let read = divides(op, &w[0], groups)?;
    let total = groups.checked_mul(per_group);
    let total = total.ok_or(Unsupported("its channels overflow"))?;
    if op.state.groups == GroupCut::Whole {
        let (groups, _) = whole_groups(op, &w[0], [groups, read / groups]);
        op.pin(&w[1], "is inside groups, which go whole");
        return Ok(Type::Product(vec![groups, w[1].clone()]));
    }
    let out = op.fresh(Extent::from(total));
    op.balance(&w[0], groups);
    op.balance(&out, groups);
    view_by_block(op, &w[1], &out, groups);
    Ok(out)
}

fn ranked(op: &mut Typing) -> Ruling<(Vec<Type>, Vec<Type>)> {
    let (x, w) = (op.input(0)?, op.input(1)?);
    if x.len() < 2 || x.len() != w.len() {
        return Err(Unsupported("data and weight have no matching ranks"));
    }
    Ok((x, w))
}

pub(in crate::ops) fn operands(op: &mut Typing) -> Ruling<(Vec<Type>, Vec<Type>)> {
    let (x, w) = ranked(op)?;
    op.pin_all(&x[2..], "is a spatial axis of a convolution");
    op.pin_all(&w[2..], "is a kernel axis");
    Ok((x, w))
}

pub(in crate::ops) fn groups(op: &Typing) -> Ruling<usize> {
    let groups = usize::try_from(op.int("group", 1)).unwrap_or(0);
    match groups {
        0 => Err(Unsupported("its group attribute is not positive")),
        groups => Ok(groups),
    }
}

/// The size of a weight's first axis, which falls into equal groups.
fn divides(op: &Typing, w: &Type, groups: usize) -> Ruling<usize> {
    match op.size(w)? {
        0 => Err(Unsupported("its weight is empty")),
        size if size % groups != 0 => Err(Unsupported("its filters do not divide into its groups")),
        size => Ok(size),
    }
}

/// W[0] = groups * multiplier, X[1] = groups.
fn depthwise(op: &mut Typing, x: &Type, w: &Type, groups: usize) -> Ruling {
    let filters = divides(op, w, groups)?;
    let sizes = [Extent::from(groups), Extent::from(filters / groups)];
    let factors = op.factor(w, &sizes);
    op.unify(x, &factors[0]);
    op.mirror_int("group", x);
    op.nonlinear(x, "filters each channel");
    Ok(())
}

/// Makes the weight's second axis the block-wise view of `of`.
fn view_by_block(op: &mut Typing, axis: &Type, of: &Type, blocks: usize) {
    let view = Type::Block {
        of: Box::new(of.clone()),
        blocks,
    };
    op.unify(axis, &view);
}

/// Joins the bias, which stands at a slot, to the channels of the output.
fn join_bias(op: &mut Typing, bias: usize, channels: &Type) -> Ruling {
    if let Some(bias) = op.optional(bias)? {
        let bias = bias.first().ok_or(Unsupported("its bias has rank 0"))?;
        op.unify(bias, channels);
    }
    Ok(())
}

/// The axes of the output, the bias, which stands at a slot, joined to its channels.
pub(in crate::ops) fn output(
    op: &mut Typing,
    x: &[Type],
    channels: Type,
    spatial: Vec<Type>,
    bias: usize,
) -> Ruling<Vec<Type>> {
    join_bias(op, bias, &channels)?;
    let mut out = vec![x[0].clone(), channels];
    out.extend(spatial);
    op.output(0, out.clone());
    Ok(out)
}

/// The window that the node slides over `rank` axes.
fn window(op: &Typing, rank: usize) -> Ruling<Window> {
    Window::of(op.proto(), rank).ok_or(Unsupported(
        "a stride, dilation or pad is not positive or has the wrong length",
    ))
}

/// An axis of this size, which no channels stand on.
fn spatial_axis(op: &mut Typing, axis: usize, size: Option<Extent>) -> Ruling<Type> {
    match size {
        Some(Extent::Known(..=0)) => Err(Unsupported("its kernel is larger than its data")),
        Some(size) => Ok(op.fixed(size, "is a spatial axis")),
        None => Ok(op.unknown(0, axis + 2, "is a spatial axis")),
    }
}

/// Sizes of a sliding window's output, one per spatial axis.
pub(in crate::ops) fn window_sizes(
    op: &mut Typing,
    x: &[Type],
    kernel: &[Extent],
) -> Ruling<Vec<Type>> {
    let window = window(op, x.len())?;
    let sizes = op.extents(x).into_iter().zip(kernel).enumerate();
    let mut out = Vec::with_capacity(x.len());
    for (axis, (size, kernel)) in sizes {
        let size = window.places(axis, &size, kernel, &mut op.state.symbols);
        out.push(spatial_axis(op, axis, size)?);
    }
    Ok(out)
}

fn transposed_sizes(op: &mut Typing, x: &[Type], kernel: &[Type]) -> Ruling<Vec<Type>> {
    let rank = x.len();
    let window = window(op, rank)?;
    let extra = op.ints("output_padding").unwrap_or_else(|| vec![0; rank]);
    let fixed = op.ints("output_shape").filter(|shape| shape.len() >= rank);
    let mut out = Vec::with_capacity(rank);
    for axis in 0..rank {
        let size = match &fixed {
            Some(shape) => Some(Extent::Known(shape[shape.len() - rank + axis])),
            None => {
                let rim = extra.get(axis).copied().unwrap_or(0);
                let (input, kernel) = (op.extent(&x[axis]), op.extent(&kernel[axis]));
                window.spread(axis, &input, &kernel, rim)
            }
        };
        out.push(spatial_axis(op, axis, size)?);
    }
    Ok(out)
}
