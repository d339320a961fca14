//! Pools: what a window gave goes back to its positions.

use super::Backward;
use crate::graph::{Array, Attributes, Emitter, Slide};
use crate::onnx::ElementType;
use crate::ops::typing::{Ruling, Unsupported};
use crate::ops::window::Window;

const UNUSUAL: Unsupported = Unsupported("its window or padding is unusual");

/// Positions at most of a window.
const MOST_TAPS: usize = 1 << 20;
/// Positions at most of a window that are compared one by one.
const MOST_COMPARED: usize = 512;

/// The data, the window at all its places, and where its attributes are.
struct Pool {
    x: Array,
    slide: Slide,
    window: Window,
}

fn pool(b: &Backward) -> Ruling<Pool> {
    let (x, y) = (b.input(0)?, b.output(0)?);
    let kernel = b.proto().ints("kernel_shape").ok_or(UNUSUAL)?.iter();
    let kernel: Vec<usize> = kernel.map(|&n| usize::try_from(n).unwrap_or(0)).collect();
    if x.rank() < 3 || y.rank() != x.rank() || x.count() == 0 {
        return Err(UNUSUAL);
    }
    let window = Window::of(b.proto(), x.rank() - 2).ok_or(UNUSUAL)?;
    let slide = window.slide(&x.sizes[2..], &kernel, &y.sizes[2..]);
    let slide = slide
        .filter(|slide| slide.taps() <= MOST_TAPS)
        .ok_or(UNUSUAL)?;
    Ok(Pool { x, slide, window })
}

/// Equal shares for all positions that count.
pub(in crate::ops) fn average(b: &mut Backward, d: &Array) -> Ruling<Array> {
    let pool = pool(b)?;
    let counts = counts(b, &pool);
    let shares = match counts.iter().all(|&count| count == counts[0]) {
        true => b.emit.scale(d, 1.0 / counts[0]),
        false => {
            let shares: Vec<f64> = counts.iter().map(|count| 1.0 / count).collect();
            let shares = b.emit.constant(&shares, &pool.slide.places, d.element);
            b.emit.mul(d, &shares)
        }
    };
    Ok(b.emit.spread_windows(&shares, &pool.slide))
}

/// By place the number of positions that its window's average is over.
fn counts(b: &Backward, pool: &Pool) -> Vec<f64> {
    let slide = &pool.slide;
    let padded = b.int("count_include_pad", 0) != 0;
    let behind = pool.window.padding_behind(slide);
    let mut counts = vec![1.0];
    for (axis, behind) in behind.iter().enumerate() {
        let before = slide.before[axis] as i64;
        let size = slide.sizes[axis] as i64;
        let counted = match padded {
            true => -before..size.saturating_add(*behind),
            false => 0..size,
        };
        let along = (0..slide.places[axis]).map(|place| {
            let first = (place * slide.strides[axis]) as i64 - before;
            let positions =
                (0..slide.kernel[axis]).map(|n| first + (n * slide.dilations[axis]) as i64);
            positions
                .filter(|position| counted.contains(position))
                .count()
                .max(1) as f64
        });
        let along: Vec<f64> = along.collect();
        let longer = counts
            .iter()
            .flat_map(|count| along.iter().map(move |n| count * n));
        counts = longer.collect();
    }
    counts
}

/// To the first position of each window that holds its maximum. Written as comparisons, since the indices of a MaxPool
/// are not to be had on every provider.
pub(in crate::ops) fn max(b: &mut Backward, d: &Array) -> Ruling<Array> {
    let (Pool { x, slide, .. }, y) = (pool(b)?, b.output(0)?);
    if slide.taps() > MOST_COMPARED {
        return Err(Unsupported("its window has too many positions"));
    }
    let by_columns = b.int("storage_order", 0) != 0;
    let lowest = f64::from(x.element.low());
    let reached = b.emit.reached(&x, &slide, lowest);
    let mut offsets = slide.offsets();
    let order = |offset: &Vec<usize>| offset.iter().rev().copied().collect::<Vec<_>>();
    if by_columns {
        offsets.sort_by_key(order);
    }
    let (mut left, mut parts) = (d.clone(), Vec::new());
    for offset in offsets {
        let tap = b.emit.tap(&reached, &slide, &offset);
        // Products and differences take less than half the time of choices.
        let here = b.emit.equal(&tap, &y);
        let here = b.emit.cast(&here, d.element);
        let part = b.emit.mul(&here, &left);
        left = b.emit.sub(&left, &part);
        parts.push((offset, part));
    }
    parts.sort_by(|a, b| a.0.cmp(&b.0));
    let parts: Vec<Array> = parts.into_iter().map(|(_, part)| part).collect();
    Ok(put_together(b.emit, &parts, &slide))
}

/// By position of the window what belongs there at each place, `[N, C, places..]`, put where it stands, and added where
/// windows overlap.
fn put_together(emit: &mut Emitter, parts: &[Array], slide: &Slide) -> Array {
    let Some(first) = parts.first() else {
        return emit.number(0.0, ElementType::Float);
    };
    let outer = [first.sizes[0], first.sizes[1]];
    let (images, taps) = (outer[0] * outer[1], parts.len());
    let single = [&[images, 1], &slide.places[..]].concat();
    let rows = parts.iter().map(|part| emit.reshape(part, &single));
    let rows: Vec<Array> = rows.collect();
    let rows = emit.concat(&rows, 1);
    // Where there is such a convolution, it is faster than a change of order.
    if slide.tiles() && first.element != ElementType::Float {
        let apart = [&[images], &slide.kernel[..], &slide.places[..]].concat();
        let apart = emit.reshape(&rows, &apart);
        let rank = slide.rank();
        let mut order = vec![0];
        (0..rank).for_each(|axis| order.extend([1 + rank + axis, 1 + axis]));
        let tiled = emit.transpose(&apart, &order);
        let tiled = emit.reshape(&tiled, &Emitter::tiled_sizes(&outer, slide));
        return emit.untiled(&tiled, slide);
    }
    let mut each = vec![0.0; taps * taps];
    (0..taps).for_each(|tap| each[tap * taps + tap] = 1.0);
    let sizes = [&[taps, 1], &slide.kernel[..]].concat();
    let each = emit.constant(&each, &sizes, first.element);
    let sum = emit.convolve_back(&rows, &each, slide, (1, 1));
    emit.reshape(&sum, &[&outer[..], &slide.sizes[..]].concat())
}

/// Of `(sum |x|^p)^(1/p)`: `d y^(1-p)` goes to all positions, and is there multiplied by `sign(x) |x|^(p-1)`.
pub(in crate::ops) fn lp(b: &mut Backward, d: &Array) -> Ruling<Array> {
    let (Pool { x, slide, .. }, y) = (pool(b)?, b.output(0)?);
    let share = share_of_norm(b, d, &y);
    let all = b.emit.spread_windows(&share, &slide);
    Ok(times_power(b, &all, &x))
}

/// As [`lp`], of one window that is everywhere.
pub(in crate::ops) fn global_lp(b: &mut Backward, d: &Array) -> Ruling<Array> {
    let (x, y) = (b.input(0)?, b.output(0)?);
    let share = share_of_norm(b, d, &y);
    Ok(times_power(b, &share, &x))
}

/// `d y^(1-p)`, and 0 where the norm is.
fn share_of_norm(b: &mut Backward, d: &Array, y: &Array) -> Array {
    let p = order(b);
    if p == 1.0 {
        return d.clone();
    }
    let positive = b.emit.above(y, 0.0);
    let one = b.emit.number(1.0, y.element);
    let safe = b.emit.choose(&positive, y, &one);
    let power = match p {
        2.0 => safe,
        _ => {
            let less = b.emit.number(p - 1.0, y.element);
            b.emit.pow(&safe, &less)
        }
    };
    let share = b.emit.div(d, &power);
    b.emit.keep_where(&positive, &share)
}

/// `d sign(x) |x|^(p-1)`
fn times_power(b: &mut Backward, d: &Array, x: &Array) -> Array {
    let p = order(b);
    if p == 2.0 {
        return b.emit.mul(d, x);
    }
    let (above, below) = (b.emit.above(x, 0.0), b.emit.below(x, 0.0));
    let opposite = b.emit.neg(d);
    let rest = b.emit.keep_where(&below, &opposite);
    let signed = b.emit.choose(&above, d, &rest);
    if p == 1.0 {
        return signed;
    }
    let size = b.emit.map("Abs", x);
    let less = b.emit.number(p - 1.0, x.element);
    let power = b.emit.pow(&size, &less);
    b.emit.mul(&signed, &power)
}

fn order(b: &Backward) -> f64 {
    // The first version has a real number.
    let real = b.float("p", 2.0);
    b.proto().int("p").map_or(real, |p| p as f64)
}

pub(in crate::ops) fn global_average(b: &mut Backward, d: &Array) -> Ruling<Array> {
    let x = b.input(0)?;
    let count: usize = x.sizes.iter().skip(2).product();
    let share = b.emit.scale(d, 1.0 / count.max(1) as f64);
    Ok(b.emit.expand(&share, &x.sizes))
}

/// To those that are the maximum, in equal shares.
pub(in crate::ops) fn global_max(b: &mut Backward, d: &Array) -> Ruling<Array> {
    let (x, y) = (b.input(0)?, b.output(0)?);
    let axes: Vec<usize> = (2..x.rank()).collect();
    let taken = b.emit.equal(&x, &y);
    let ones = b.emit.cast(&taken, d.element);
    let count = b.emit.sum(&ones, &axes, true);
    let share = b.emit.div(d, &count);
    Ok(b.emit.mul(&ones, &share))
}
