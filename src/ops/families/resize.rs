//! Interpolation: Resize and Upsample. Axes that keep their size pass, the others are pinned.

use crate::axes::{Extent, Type};
use crate::ops::adjoints::resize as adjoint;
use crate::ops::typing::{Ruling, Typing, Unsupported, axis_of};
use crate::ops::{Row, row};

pub(in crate::ops) const ROWS: &[Row] = &[
    row("Resize", |op| resize(op, 1))
        .slope(adjoint::resize_of_old)
        .until(10),
    row("Resize", |op| resize(op, 2))
        .slope(adjoint::resize)
        .since(11),
    row("Upsample", upsample).slope(adjoint::resize_of_old),
];

const RESIZED: &str = "is resized";

/// Scales stand in one of the inputs, sizes in the one behind it from operator set 11 on.
fn resize(op: &mut Typing, scales_slot: usize) -> Ruling {
    let x = op.input(0)?;
    let axes: Vec<usize> = match op.ints("axes") {
        Some(axes) => axes
            .into_iter()
            .map(|axis| axis_of(axis, x.len()))
            .collect::<Ruling<_>>()?,
        None => (0..x.len()).collect(),
    };
    let scales = op.reals(scales_slot).filter(|scales| !scales.is_empty());
    if let Some(scales) = scales {
        return scaled(op, &x, &axes, &scales);
    }
    let keeps_ratio = op.string("keep_aspect_ratio_policy", "stretch") != "stretch";
    let sizes = op.list(3).filter(|sizes| sizes.len() == axes.len());
    let (Some(sizes), false) = (sizes, keeps_ratio) else {
        op.hold_like(&x, "is resized by what is computed at run time");
        return Ok(());
    };
    let mut out = x.clone();
    let mut mirrors = vec![None; axes.len()];
    for (place, (&axis, size)) in axes.iter().zip(sizes).enumerate() {
        if size == Some(op.extent(&x[axis])) {
            mirrors[place] = Some(x[axis].clone());
            continue;
        }
        op.pin(&x[axis], RESIZED);
        out[axis] = op.sized((0, axis), size, RESIZED);
    }
    op.mirror(3, "sizes", mirrors);
    op.output(0, out);
    Ok(())
}

fn upsample(op: &mut Typing) -> Ruling {
    let x = op.input(0)?;
    let attribute = op.proto().attribute.iter().find(|a| a.name() == "scales");
    let held = attribute.map(|a| a.floats.iter().copied().map(Some).collect());
    let scales = held.or_else(|| op.reals(1));
    let scales = scales.ok_or(Unsupported("its scales are computed at run time"))?;
    let axes: Vec<usize> = (0..x.len()).collect();
    scaled(op, &x, &axes, &scales)
}

fn scaled(op: &mut Typing, x: &[Type], axes: &[usize], scales: &[Option<f32>]) -> Ruling {
    if axes.len() != scales.len() {
        return Err(Unsupported("it has another number of scales than axes"));
    }
    let mut out = x.to_vec();
    for (&axis, &scale) in axes.iter().zip(scales) {
        if scale == Some(1.0) {
            continue;
        }
        op.pin(&x[axis], RESIZED);
        let Some(scale) = scale else {
            out[axis] = op.unknown(0, axis, RESIZED);
            continue;
        };
        let size = op.extent(&x[axis]);
        let exact = match (&size, scale.fract() == 0.0) {
            (Extent::Known(size), _) => Some(Extent::Known(
                (*size as f64 * f64::from(scale)).floor() as i64,
            )),
            (size, true) => size.mul(&Extent::Known(scale as i64)),
            _ => None,
        };
        out[axis] = op.sized((0, axis), exact, RESIZED);
    }
    op.output(0, out);
    Ok(())
}
