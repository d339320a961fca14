//! Convolutions of any rank: plain, grouped, depthwise, with channel multiplier; forward and transposed.
//!
//! In a grouped convolution each group keeps its own channels, as many as the others: the data's channel
//! axis is balanced over the groups and the weight's channel axis is a [`Type::Block`] view of it.

use crate::axes::{Extent, Type};
use crate::ops::state::{Bias, Operand, Role};
use crate::ops::typing::{Ruling, Typing, Unsupported};
use crate::ops::{KernelFamily, Row, row};

pub(in crate::ops) const ROWS: &[Row] = &[
    row("Conv", conv)
        .ranked_as(0, 1)
        .kernels(KernelFamily::Convolution),
    row("ConvTranspose", conv_transpose)
        .ranked_as(0, 1)
        .kernels(KernelFamily::MatMul),
];

/// Y[N, M, ..] = sum over C/g, k of X[N, C, ..] * W[M, C/g, k..] + B[M]
fn conv(op: &mut Typing) -> Ruling {
    let (x, w) = operands(op)?;
    let groups = groups(op)?;
    let per_group = op.size(&w[1])?;
    if groups == 1 {
        op.unify(&x[1], &w[1]);
        op.contract(0, 1);
    } else if per_group == 1 {
        depthwise(op, &x[1], &w[0], groups)?;
    } else {
        op.balance(&x[1], groups);
        op.balance(&w[0], groups);
        view_by_block(op, &w[1], &x[1], groups)?;
        op.contract(0, 1);
    }
    let mut roles = vec![Role::Row(Some(1)), Role::Reduction(1)];
    roles.resize(w.len(), Role::Kernel);
    op.linear_with(
        1,
        Some(Operand::Input(0)),
        roles,
        groups,
        Some(Bias::whole(2)),
    );
    let spatial = forward_sizes(op, &x[2..], &w[2..])?;
    finish(op, &x, &w, w[0].clone(), w[1].clone(), spatial)
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
        let out = op.fresh(Extent::from(groups * per_group));
        op.balance(&w[0], groups);
        op.balance(&out, groups);
        view_by_block(op, &w[1], &out, groups)?;
        op.contract(0, 1);
        out
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
    finish(op, &x, &w, out, w[0].clone(), spatial)
}

fn operands(op: &mut Typing) -> Ruling<(Vec<Type>, Vec<Type>)> {
    let (x, w) = (op.input(0)?, op.input(1)?);
    if x.len() < 2 || x.len() != w.len() {
        return Err(Unsupported("data and weight have no matching ranks"));
    }
    op.pin_all(&x[2..], "is a spatial axis of a convolution");
    op.pin_all(&w[2..], "is a kernel axis");
    Ok((x, w))
}

fn groups(op: &Typing) -> Ruling<usize> {
    let groups = usize::try_from(op.int("group", 1)).unwrap_or(0);
    match groups {
        0 => Err(Unsupported("its group attribute is not positive")),
        groups => Ok(groups),
    }
}

/// W[0] = groups * multiplier, X[1] = groups.
fn depthwise(op: &mut Typing, x: &Type, w: &Type, groups: usize) -> Ruling {
    let filters = op.size(w)?;
    if filters % groups != 0 {
        return Err(Unsupported("its filters do not divide into its groups"));
    }
    let sizes = [Extent::from(groups), Extent::from(filters / groups)];
    let factors = op.factor(w, &sizes);
    op.unify(x, &factors[0]);
    op.mirror_int("group", x);
    op.nonlinear(x, "filters each channel");
    Ok(())
}

/// Makes the weight's second axis the block-wise view of `of`.
fn view_by_block(op: &mut Typing, axis: &Type, of: &Type, blocks: usize) -> Ruling {
    if !op.is_constant(1) {
        return Err(Unsupported(
            "the weight of a grouped convolution is computed",
        ));
    }
    let view = Type::Block {
        of: Box::new(of.clone()),
        blocks,
    };
    op.unify(axis, &view);
    Ok(())
}

fn finish(
    op: &mut Typing,
    x: &[Type],
    w: &[Type],
    channels: Type,
    summed: Type,
    spatial: Vec<Type>,
) -> Ruling {
    if let Some(bias) = op.optional(2)? {
        let bias = bias.first().ok_or(Unsupported("its bias has rank 0"))?;
        op.unify(bias, &channels);
    }
    let mut out = vec![x[0].clone(), channels];
    out.extend(spatial);
    let mut contracted = vec![summed];
    contracted.extend_from_slice(&w[2..]);
    // A transposed convolution does its work per input position.
    let transposed = op.proto().op_type() == "ConvTranspose";
    if transposed {
        let mut work = vec![x[0].clone(), contracted[0].clone(), w[1].clone()];
        work.extend_from_slice(&x[2..]);
        op.cost(work, w[2..].to_vec());
    } else {
        op.cost(out.clone(), contracted);
    }
    op.output(0, out);
    Ok(())
}

/// Sizes of a sliding window's output, one per spatial axis.
pub(in crate::ops) fn window_sizes(
    op: &mut Typing,
    x: &[Type],
    kernel: &[Extent],
) -> Ruling<Vec<Type>> {
    let rank = x.len();
    let list = |op: &Typing, name: &str, default: i64, n: usize| {
        let list = op.ints(name).filter(|list| !list.is_empty());
        let list = list.unwrap_or_else(|| vec![default; n]);
        (list.len() == n)
            .then_some(list)
            .ok_or(Unsupported("an attribute has the wrong length"))
    };
    let strides = list(op, "strides", 1, rank)?;
    let dilations = list(op, "dilations", 1, rank)?;
    let pads = list(op, "pads", 0, 2 * rank)?;
    let auto_pad = op.string("auto_pad", "NOTSET");
    let round_up = op.int("ceil_mode", 0) != 0;
    let mut out = Vec::with_capacity(rank);
    for axis in 0..rank {
        let input = op.extent(&x[axis]);
        let window = Window {
            stride: strides[axis],
            span: kernel[axis]
                .sub(&Extent::ONE)
                .and_then(|k| k.mul(&Extent::Known(dilations[axis])))
                .and_then(|k| k.add(&Extent::ONE)),
            pads: pads[axis].saturating_add(pads[axis + rank]),
            round_up,
        };
        let extent = window.output(&input, &auto_pad, op);
        out.push(match extent {
            Some(extent) => op.fixed(extent, "is a spatial axis"),
            None => op.unknown(0, axis + 2, "is a spatial axis"),
        });
    }
    Ok(out)
}

struct Window {
    stride: i64,
    span: Option<Extent>,
    pads: i64,
    round_up: bool,
}

impl Window {
    fn output(&self, input: &Extent, auto_pad: &str, op: &mut Typing) -> Option<Extent> {
        let stride = Extent::Known(self.stride);
        let symbols = &mut op.state.symbols;
        if auto_pad.starts_with("SAME") {
            let above = input.add(&Extent::Known(self.stride.checked_sub(1)?))?;
            return symbols.floor_div(&above, &stride);
        }
        let padding = if auto_pad == "VALID" { 0 } else { self.pads };
        let span = self.span.as_ref()?;
        let mut free = input.add(&Extent::Known(padding))?.sub(span)?;
        if self.round_up {
            free = free.add(&Extent::Known(self.stride.checked_sub(1)?))?;
        }
        let steps = symbols.floor_div(&free, &stride)?;
        let mut count = steps.add(&Extent::ONE)?;
        // Rounding up, a window may not start in the padding behind the input.
        let last_start = steps
            .known()
            .and_then(|steps| steps.checked_mul(self.stride));
        if self.round_up
            && let (Some(start), Some(size)) = (last_start, input.known())
            && start >= size.saturating_add(padding / 2)
        {
            count = count.sub(&Extent::ONE)?;
        }
        Some(count)
    }
}

fn forward_sizes(op: &mut Typing, x: &[Type], kernel: &[Type]) -> Ruling<Vec<Type>> {
    let kernel = op.extents(kernel);
    window_sizes(op, x, &kernel)
}

fn transposed_sizes(op: &mut Typing, x: &[Type], kernel: &[Type]) -> Ruling<Vec<Type>> {
    let rank = x.len();
    let strides = op.ints("strides").unwrap_or_else(|| vec![1; rank]);
    let dilations = op.ints("dilations").unwrap_or_else(|| vec![1; rank]);
    let pads = op.ints("pads").unwrap_or_else(|| vec![0; 2 * rank]);
    let extra = op.ints("output_padding").unwrap_or_else(|| vec![0; rank]);
    let fixed_shape = op.ints("output_shape").filter(|shape| shape.len() >= rank);
    let same = op.string("auto_pad", "NOTSET").starts_with("SAME");
    let mut out = Vec::with_capacity(rank);
    for axis in 0..rank {
        let stride = Extent::Known(*strides.get(axis).unwrap_or(&1));
        let input = op.extent(&x[axis]);
        let extent = if let Some(shape) = &fixed_shape {
            Some(Extent::Known(shape[shape.len() - rank + axis]))
        } else if same {
            input.mul(&stride)
        } else {
            let pad = |at: usize| pads.get(at).copied().unwrap_or(0);
            let dilation = Extent::Known(*dilations.get(axis).unwrap_or(&1));
            let rim = extra.get(axis).copied().unwrap_or(0).saturating_add(1);
            let rim = rim
                .saturating_sub(pad(axis))
                .saturating_sub(pad(axis + rank));
            let span = op.extent(&kernel[axis]).sub(&Extent::ONE);
            input
                .sub(&Extent::ONE)
                .and_then(|n| n.mul(&stride))
                .and_then(|n| n.add(&span?.mul(&dilation)?))
                .and_then(|n| n.add(&Extent::Known(rim)))
        };
        out.push(match extent {
            Some(extent) => op.fixed(extent, "is a spatial axis"),
            None => op.unknown(0, axis + 2, "is a spatial axis"),
        });
    }
    Ok(out)
}
