//! Images sampled at places that the data says, and windows put together again: each channel by itself.

use super::convolution::{channels, groups, operands, output, window_sizes};
use crate::axes::{Extent, Type};
use crate::ops::adjoints::{regions, sampling, spatial as adjoint};
use crate::ops::facts::{Bias, Role};
use crate::ops::typing::{Ruling, Typing, Unsupported, axis_of};
use crate::ops::{KernelFamily, Row, contrib, row};

const STOPS: &str = "its operator reads between positions that the data says";

pub(in crate::ops) const ROWS: &[Row] = &[
    row("GridSample", grid_sample).gives(sampling::grid_sample),
    contrib("GridSample", grid_sample).gives(sampling::grid_sample),
    row("AffineGrid", affine_grid).slope(adjoint::affine_grid),
    row("RoiAlign", roi_align).gives(regions::roi_align),
    row("MaxRoiPool", pooled_regions).stops(STOPS),
    row("DeformConv", deform_conv)
        .ranked_as(0, 1)
        .kernels(KernelFamily::Convolution)
        .stops(STOPS),
    row("Col2Im", col2im).slope(adjoint::col2im),
    row("CenterCropPad", center).slope(adjoint::center),
];

const SAMPLED: &str = "is sampled at places that the data says";
const REGION: &str = "is cut into regions";

/// Y[n, c, places..] = X[n, c, ..] at grid[n, places.., :]
fn grid_sample(op: &mut Typing) -> Ruling {
    let (x, grid) = (op.input(0)?, op.input(1)?);
    if x.len() < 3 || grid.len() != x.len() {
        return Err(Unsupported("data and grid have no matching ranks"));
    }
    let places = &grid[1..grid.len() - 1];
    op.unify(&x[0], &grid[0]);
    op.pin_all(&x[2..], SAMPLED);
    op.pin(&grid[grid.len() - 1], "holds places");
    for axis in places.iter().chain(&x[..1]) {
        op.nonlinear(axis, "has places of its own at each position");
    }
    let mut out = x[..2].to_vec();
    out.extend_from_slice(places);
    op.output(0, out);
    Ok(())
}

/// A grid[n, places.., number of spatial axes] for each matrix, from sizes [N, C, places..].
fn affine_grid(op: &mut Typing) -> Ruling {
    let theta = op.input(0)?;
    let [samples, rows, columns] = &theta[..] else {
        return Err(Unsupported("the rank of an input is unknown"));
    };
    let rank = op.size(rows)?;
    let why = "is a matrix of places";
    op.pin_all(&[rows.clone(), columns.clone()], why);
    let sizes = op.integers(1).filter(|sizes| sizes.len() == rank + 2);
    let sizes = sizes.unwrap_or_else(|| vec![None; rank + 2]);
    let mut mirrors = vec![None; rank + 2];
    match sizes[0] == Some(op.extent(samples)) {
        true => mirrors[0] = Some(samples.clone()),
        false => op.pin(samples, "is given a size that is computed at run time"),
    }
    op.nonlinear(samples, "has places of its own at each position");
    op.mirror(1, "size", mirrors);
    let mut out = vec![samples.clone()];
    for (place, size) in sizes.into_iter().enumerate().skip(2) {
        out.push(op.sized((0, place - 1), size, why));
    }
    out.push(op.fixed(Extent::from(rank), why));
    op.output(0, out);
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
    op.pin_all(&index, "is a region");
    let out = ["output_height", "output_width"].map(|name| Some(op.int(name, 1)));
    regions_of(op, &x, &rois, out);
    Ok(())
}

/// X[N, C, H, W] and rois[count, 5] to Y[count, C, height, width].
fn pooled_regions(op: &mut Typing) -> Ruling {
    let (x, rois) = (op.input(0)?, op.input(1)?);
    if x.len() != 4 || rois.len() != 2 {
        return Err(Unsupported("its regions are unusual"));
    }
    let shape = op.ints("pooled_shape").unwrap_or_default();
    regions_of(op, &x, &rois, [0, 1].map(|place| shape.get(place).copied()));
    Ok(())
}

fn regions_of(op: &mut Typing, x: &[Type], rois: &[Type], sizes: [Option<i64>; 2]) {
    for axis in [0, 2, 3] {
        op.pin(&x[axis], REGION);
    }
    op.pin_all(rois, "is a region");
    op.nonlinear(&x[1], "is pooled");
    let mut out = vec![rois[0].clone(), x[1].clone()];
    for (place, size) in sizes.into_iter().enumerate() {
        out.push(op.sized((0, place + 2), size.map(Extent::Known), "is pooled"));
    }
    op.output(0, out);
}

/// Y[N, M, ..] = sum over C/g, k of X[N, C, .. + offset[N, (groups of places, k, 2), ..]] * W[M, C/g, k..] + B[M]
fn deform_conv(op: &mut Typing) -> Ruling {
    let (x, w) = operands(op)?;
    let groups = groups(op)?;
    // The channels of a group of places share them: each group keeps as many, as there is one list of places for each.
    let shared = usize::try_from(op.int("offset_group", 1)).unwrap_or(0);
    match shared {
        0 => return Err(Unsupported("its offset groups are not positive")),
        1 => {}
        shared => op.balance(&x[1], shared),
    }
    channels(op, &x, &w, groups)?;
    for slot in [2, 4] {
        let Some(places) = op.optional(slot)? else {
            continue;
        };
        op.unify(
            &x[0],
            places.first().ok_or(Unsupported("its offset has rank 0"))?,
        );
        op.pin_all(&places[1..], "holds places");
    }
    let mut roles = vec![Role::Row(Some(1)), Role::Reduction(1)];
    roles.resize(w.len(), Role::Kernel);
    // What it multiplies with lies between positions: no value holds it.
    op.linear_with(1, None, roles, groups, Some(Bias::whole(3)));
    let kernel = op.extents(&w[2..]);
    let spatial = window_sizes(op, &x[2..], &kernel)?;
    let out = output(op, &x, w[0].clone(), spatial, 3)?;
    op.cost(out, w[1..].to_vec());
    Ok(())
}

/// X[N, (C, block), L], the image's shape and the block's to Y[N, C, image..].
fn col2im(op: &mut Typing) -> Ruling {
    let x = op.input(0)?;
    let [samples, columns, places] = &x[..] else {
        return Err(Unsupported("its data has an unusual rank"));
    };
    let (image, block) = (op.integers(1), op.integers(2));
    let rank = image.as_ref().or(block.as_ref()).map(Vec::len);
    let rank = rank.ok_or(Unsupported("its shapes are computed at run time"))?;
    let block: Option<Vec<Extent>> = block.and_then(|block| block.into_iter().collect());
    let block = block.and_then(|block| Extent::product(&block));
    let sizes = block.and_then(|block| Some([op.extent(columns).div_exact(&block)?, block]));
    let why = "is put together";
    op.pin(places, why);
    let channel = match sizes {
        Some(sizes) => {
            let [channel, block] = <[Type; 2]>::try_from(op.factor(columns, &sizes))
                .map_err(|_| Unsupported("its channels do not divide into blocks"))?;
            op.pin(&block, why);
            channel
        }
        None => {
            op.pin(columns, why);
            op.unknown(0, 1, why)
        }
    };
    let mut out = vec![samples.clone(), channel];
    let image = image.unwrap_or_else(|| vec![None; rank]);
    for (place, size) in image.into_iter().enumerate() {
        out.push(op.sized((0, place + 2), size, why));
    }
    op.output(0, out);
    Ok(())
}

/// Axes cropped or padded to these sizes: all others pass.
fn center(op: &mut Typing) -> Ruling {
    let x = op.input(0)?;
    let all = || (0..x.len() as i64).collect();
    let axes = op.ints("axes").unwrap_or_else(all);
    let sizes = op.integers(1).filter(|sizes| sizes.len() == axes.len());
    let sizes = sizes.unwrap_or_else(|| vec![None; axes.len()]);
    let mut out = x.clone();
    let mut mirrors = vec![None; axes.len()];
    for (at, (place, size)) in axes.into_iter().zip(sizes).enumerate() {
        let place = axis_of(place, x.len())?;
        if size == Some(op.extent(&x[place])) {
            mirrors[at] = Some(x[place].clone());
            continue;
        }
        let why = "is cropped or padded";
        op.pin(&x[place], why);
        out[place] = op.sized((0, place), size, why);
    }
    op.mirror(1, "shape", mirrors);
    op.output(0, out);
    Ok(())
}
