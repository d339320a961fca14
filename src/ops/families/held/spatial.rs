//! Images sampled at places that the data says, and windows put together again.

use super::{Held, axis, convolution, output};
use crate::axes::Extent;
use crate::onnx::ElementType;
use crate::ops::adjoints::{Adjoint, spatial as adjoint};
use crate::ops::typing::{Ruling, Typing, Unsupported, axis_of};
use crate::ops::{Elements, Row, Window, contrib, row};

const SAMPLES: &str = "its operator reads between positions that the data says";

pub(super) const ROWS: &[Row] = &[
    row("GridSample", grid_sample).stops(SAMPLES),
    contrib("GridSample", grid_sample).stops(SAMPLES),
    row("AffineGrid", affine_grid).slope(adjoint::affine_grid),
    row("RoiAlign", roi_align).stops(SAMPLES),
    row("MaxRoiPool", pooled_regions).stops(SAMPLES),
    row("DeformConv", |op| convolution(op, 0, 1)).stops(SAMPLES),
    row("Col2Im", col2im).slope(adjoint::col2im),
    row("MaxUnpool", unpool).slope(adjoint::unpool),
    row("CenterCropPad", center).slope(adjoint::center),
    row("ImageDecoder", |op| super::ranks(op, &[3])).adjoint(Adjoint::Zero)
        .of_elements(&[Elements::Always(ElementType::Uint8)]),
];

/// X[N, C, ..] at grid[N, places.., rank] to Y[N, C, places..]
fn grid_sample(op: &mut Typing) -> Ruling {
    let held = Held::of(op);
    let (x, grid) = (held.at(0)?, held.at(1)?);
    if x.len() < 3 || grid.len() != x.len() {
        return Err(Unsupported("data and grid have no matching ranks"));
    }
    let mut out = x[..2].to_vec();
    out.extend_from_slice(&grid[1..grid.len() - 1]);
    op.output(0, out);
    Ok(())
}

/// Sizes [N, C, places..] to a grid [N, places.., number of spatial axes].
fn affine_grid(op: &mut Typing) -> Ruling {
    let held = Held::of(op);
    let rank = match held.get(0) {
        Some([_, rows, _]) => op.size(rows)?,
        _ => return Err(Unsupported("the rank of an input is unknown")),
    };
    let sizes = op.integers(1).filter(|sizes| sizes.len() == rank + 2);
    let sizes = sizes.unwrap_or_else(|| vec![None; rank + 2]);
    let mut out = vec![sizes[0].clone()];
    out.extend_from_slice(&sizes[2..]);
    out.push(Some(Extent::from(rank)));
    output(op, 0, out);
    Ok(())
}

/// Y[r, c, ..] = a window of X[index[r], c, ..]: each channel by itself.
fn roi_align(op: &mut Typing) -> Ruling {
    let (x, rois, index) = (op.input(0)?, op.input(1)?, op.input(2)?);
    let (4, 2, [count]) = (x.len(), rois.len(), &index[..]) else {
        return Err(Unsupported("its regions are unusual"));
    };
    op.positions(2, &x[0]);
    op.agree(&rois[0], count, false);
    for axis in [0, 2, 3] {
        op.pin(&x[axis], "is cut into regions");
    }
    op.pin_all(&rois, "is a region");
    op.pin_all(&index, "is a region");
    op.nonlinear(&x[1], "is pooled");
    let mut out = vec![rois[0].clone(), x[1].clone()];
    for name in ["output_height", "output_width"] {
        out.push(op.fixed(Extent::Known(op.int(name, 1)), "is pooled"));
    }
    op.output(0, out);
    Ok(())
}

/// X[N, C, H, W] and rois[count, 4] to Y[count, C, height, width].
fn pooled_regions(op: &mut Typing) -> Ruling {
    let held = Held::of(op);
    let ([_, channels, _, _], [rois, _]) = (held.ranked::<4>(0)?, held.ranked::<2>(1)?);
    let shape = op.ints("pooled_shape").unwrap_or_default();
    let mut out = vec![rois, channels];
    for (place, size) in [(2, shape.first()), (3, shape.get(1))] {
        out.push(axis(op, 0, place, size.copied().map(Extent::Known)));
    }
    op.output(0, out);
    Ok(())
}

/// X[N, C * block, L], the image's shape and the block's to Y[N, C, image..].
fn col2im(op: &mut Typing) -> Ruling {
    let held = Held::of(op);
    let [batch, columns, _] = held.ranked::<3>(0)?;
    let (image, block) = (op.integers(1), op.integers(2));
    let rank = image.as_ref().or(block.as_ref()).map(Vec::len);
    let rank = rank.ok_or(Unsupported("its shapes are computed at run time"))?;
    let block: Option<Vec<Extent>> = block.and_then(|block| block.into_iter().collect());
    let places = block.and_then(|block| Extent::product(&block));
    let channels = places.and_then(|places| op.extent(&columns).div_exact(&places));
    let mut out = vec![Some(op.extent(&batch)), channels];
    out.extend(image.unwrap_or_else(|| vec![None; rank]));
    output(op, 0, out);
    Ok(())
}

/// Values back at the places that a pool took them from.
fn unpool(op: &mut Typing) -> Ruling {
    let x = Held::of(op).at(0)?;
    let sizes = op.integers(2).filter(|sizes| sizes.len() == x.len());
    match sizes {
        Some(sizes) => output(op, 0, sizes),
        None => {
            let spatial = x.len().saturating_sub(2);
            let kernel = op.ints("kernel_shape").unwrap_or_default();
            let window = Window::of(op.proto(), spatial).filter(|_| kernel.len() == spatial);
            let sized = op.value(2).is_some();
            let mut out = x.clone();
            for (place, ty) in out.iter_mut().enumerate().skip(2) {
                let size = window.as_ref().filter(|_| !sized).and_then(|window| {
                    let kernel = Extent::Known(kernel[place - 2]);
                    window.spread(place - 2, &op.extent(ty), &kernel, 0)
                });
                *ty = axis(op, 0, place, size);
            }
            op.output(0, out);
        }
    }
    Ok(())
}

/// Axes cropped or padded to these sizes.
fn center(op: &mut Typing) -> Ruling {
    let mut out = Held::of(op).at(0)?;
    let all = || (0..out.len() as i64).collect();
    let axes = op.ints("axes").unwrap_or_else(all);
    let sizes = op.integers(1).filter(|sizes| sizes.len() == axes.len());
    let sizes = sizes.unwrap_or_else(|| vec![None; axes.len()]);
    for (place, size) in axes.into_iter().zip(sizes) {
        let place = axis_of(place, out.len())?;
        out[place] = axis(op, 0, place, size);
    }
    op.output(0, out);
    Ok(())
}
