//! Pools over spatial axes: each channel by itself.

use super::convolution::window_sizes;
use crate::axes::{Extent, Type};
use crate::onnx::ElementType;
use crate::ops::adjoints::pooling as adjoint;
use crate::ops::typing::{Ruling, Typing, Unsupported};
use crate::ops::{Form, Row, Window, row};

pub(in crate::ops) const ROWS: &[Row] = &[
    row("AveragePool", window)
        .slope(adjoint::average)
        .homogeneous()
        .form(Form::Rescaled),
    row("MaxPool", selecting_window)
        .slope(adjoint::max)
        .form(Form::Through)
        .yields(1, ElementType::Int64),
    row("LpPool", selecting_window).slope(adjoint::lp),
    row("GlobalAveragePool", global)
        .slope(adjoint::global_average)
        .homogeneous()
        .form(Form::Rescaled),
    row("GlobalMaxPool", selecting_global)
        .slope(adjoint::global_max)
        .homogeneous(),
    row("GlobalLpPool", selecting_global).slope(adjoint::global_lp),
];

const POOLED: &str = "is pooled";

fn image(op: &mut Typing) -> Ruling<Vec<Type>> {
    let x = op.input(0)?;
    if x.len() < 2 {
        return Err(Unsupported("its data has no channel axis"));
    }
    Ok(x)
}

/// Axes along which the window has one position and moves by one pass.
pub(super) fn window(op: &mut Typing) -> Ruling {
    let x = image(op)?;
    let kernel = op
        .ints("kernel_shape")
        .filter(|kernel| kernel.len() == x.len() - 2);
    let kernel = kernel.ok_or(Unsupported("it has no kernel shape"))?;
    let kernel: Vec<Extent> = kernel.into_iter().map(Extent::Known).collect();
    let mut out = x[..2].to_vec();
    out.extend(window_sizes(op, &x[2..], &kernel)?);
    let sliding = Window::of(op.proto(), kernel.len());
    for (axis, size) in kernel.iter().enumerate() {
        let passes = sliding.as_ref().is_some_and(|of| of.passes(axis, size));
        match passes && !op.has_output(1) {
            true => {
                out[axis + 2] = x[axis + 2].clone();
                op.nonlinear(&x[axis + 2], POOLED);
            }
            false => op.pin(&x[axis + 2], POOLED),
        }
    }
    if op.has_output(1) {
        // Indices count through the channels as well.
        op.pin(&x[1], "is counted by the indices of a pool");
    }
    for slot in 0..op.output_count() {
        op.output(slot, out.clone());
    }
    Ok(())
}

fn selecting_window(op: &mut Typing) -> Ruling {
    window(op)?;
    let channel = op.input(0)?.swap_remove(1);
    op.nonlinear(&channel, POOLED);
    Ok(())
}

pub(super) fn global(op: &mut Typing) -> Ruling {
    let x = image(op)?;
    op.pin_all(&x[2..], POOLED);
    let mut out = x[..2].to_vec();
    for _ in &x[2..] {
        out.push(op.fixed(Extent::ONE, POOLED));
    }
    op.output(0, out);
    Ok(())
}

fn selecting_global(op: &mut Typing) -> Ruling {
    global(op)?;
    let channel = op.input(0)?.swap_remove(1);
    op.nonlinear(&channel, POOLED);
    Ok(())
}
