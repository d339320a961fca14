//! Grids, windows put together, and values put back where a pool took them from.

use super::Backward;
use crate::graph::{Array, Slide, int};
use crate::ops::typing::{Ruling, Unsupported, axis_of};
use crate::ops::window::Window;

const UNUSUAL: Unsupported = Unsupported("its sizes and axes are unusual");

/// A grid is a product with constant places: `[N, places.., rank]` to `[N, rank, rank + 1]`.
pub(in crate::ops) fn affine_grid(b: &mut Backward, d: &Array) -> Ruling<Array> {
    let theta = b.input(0)?;
    let rank = d.rank().checked_sub(2).ok_or(UNUSUAL)?;
    let (samples, sizes) = (d.sizes[0], &d.sizes[1..=rank]);
    if theta.sizes != [samples, rank, rank + 1] || d.sizes[rank + 1] != rank {
        return Err(UNUSUAL);
    }
    let aligned = b.int("align_corners", 0) != 0;
    let place = |at: usize, size: usize| match (aligned, size) {
        (true, 1) => 0.0,
        (true, _) => 2.0 * at as f64 / (size - 1) as f64 - 1.0,
        (false, _) => (2 * at + 1) as f64 / size as f64 - 1.0,
    };
    // The last axis is the first coordinate.
    let mut rows: Vec<Vec<f64>> = vec![vec![1.0]];
    for &size in sizes {
        let longer = rows.iter().flat_map(|row| {
            (0..size).map(move |at| [&[place(at, size)], &row[..]].concat())
        });
        rows = longer.collect();
    }
    let count = rows.len();
    let base = b.emit.constant(&rows.concat(), &[count, rank + 1], d.element);
    let flat = b.emit.reshape(d, &[samples, count, rank]);
    let turned = b.emit.transpose(&flat, &[0, 2, 1]);
    Ok(b.emit.matmul(&turned, &base))
}

/// Each window's own elements of the image.
pub(in crate::ops) fn col2im(b: &mut Backward, d: &Array) -> Ruling<Array> {
    let x = b.input(0)?;
    let kernel = b.integers(2, "")?.ok_or(UNUSUAL)?;
    let kernel: Vec<usize> = kernel.iter().map(|&n| usize::try_from(n).unwrap_or(0)).collect();
    let rank = d.rank().checked_sub(2).filter(|&rank| rank == kernel.len());
    let rank = rank.filter(|_| x.rank() == 3 && d.count() > 0).ok_or(UNUSUAL)?;
    let window = Window::of(b.proto(), rank).ok_or(UNUSUAL)?;
    let places = window.whole_places(&d.sizes[2..], &kernel).ok_or(UNUSUAL)?;
    let slide: Slide = window.slide(&d.sizes[2..], &kernel, &places).ok_or(UNUSUAL)?;
    let (samples, channels, columns) = (d.sizes[0], d.sizes[1], places.iter().product());
    if x.sizes != [samples, channels * slide.taps(), columns] {
        return Err(UNUSUAL);
    }
    let reached = b.emit.reached(d, &slide, 0.0);
    let taps = slide.offsets().into_iter().map(|offset| {
        let tap = b.emit.tap(&reached, &slide, &offset);
        b.emit.reshape(&tap, &[samples, channels, 1, columns])
    });
    let taps: Vec<Array> = taps.collect();
    let all = b.emit.concat(&taps, 2);
    Ok(b.emit.reshape(&all, &x.sizes))
}

/// Each value's own place.
pub(in crate::ops) fn unpool(b: &mut Backward, d: &Array) -> Ruling<Array> {
    let (x, index) = (b.input(0)?, b.input(1)?);
    let flat = b.emit.reshape(d, &[d.count()]);
    let made = (x.sizes, d.element);
    let names = [&*flat.name, &index.name];
    Ok(b.emit.node("Gather", &names, vec![int("axis", 0)], made))
}

/// Zeros for what was cropped; what was padded is cut off.
pub(in crate::ops) fn center(b: &mut Backward, d: &Array) -> Ruling<Array> {
    let x = b.input(0)?;
    if d.rank() != x.rank() {
        return Err(UNUSUAL);
    }
    let mut pads = [vec![0_i64; x.rank()], vec![0_i64; x.rank()]];
    let axes = b.integers(3, "axes").ok().flatten();
    let axes = axes.unwrap_or_else(|| (0..x.rank() as i64).collect());
    for axis in axes {
        let axis = axis_of(axis, x.rank())?;
        let (old, new) = (x.sizes[axis] as i64, d.sizes[axis] as i64);
        // The first half is the smaller one, of what is cut and of what is added.
        let before = (old - new).abs() / 2 * (old - new).signum();
        pads[0][axis] = before;
        pads[1][axis] = old - new - before;
    }
    Ok(b.emit.pad(d, &pads[0], &pads[1]))
}
