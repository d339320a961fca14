//! The gradient of a convolution's weight: for each position of the window, the product of what stands there with the
//! gradient, over all places and samples. Which form is fast depends on channels, groups and window.

use crate::graph::{Array, Emitter, Slide};

/// Below so many channels all positions of the window make one matrix: its parts alone would be too small.
const FEW_CHANNELS: usize = 16;
/// Elements at most in such a matrix.
const MOST_COLUMNS: usize = 1 << 26;
/// Larger windows are not taken apart.
const MOST_TAPS: usize = 64;

/// `[O, C / groups, kernel..]` from data `[N, C, sizes..]` and the gradient `[N, O, places..]` of what windows over it
/// make.
pub(super) fn kernel_gradient(
    emit: &mut Emitter,
    [x, d]: [&Array; 2],
    slide: &Slide,
    groups: usize,
) -> Array {
    let (channels, filters) = (x.sizes[1] / groups, d.sizes[1]);
    let taps = slide.taps();
    let sizes = [&[filters, channels], &slide.kernel[..]].concat();
    if groups == 1 && slide.tiles() {
        return by_tiles(emit, [x, d], slide, &sizes);
    }
    if taps > MOST_TAPS || (groups > 1 && channels > 1) {
        return by_exchange(emit, [x, d], slide, groups);
    }
    if groups > 1 {
        return by_channel(emit, [x, d], slide, &sizes);
    }
    let d = by_channels(emit, d);
    let x = swapped(emit, x);
    let x = emit.reached(&x, slide, 0.0);
    let columns = d.sizes[1];
    let few = channels < FEW_CHANNELS && taps * channels * columns <= MOST_COLUMNS;
    let rows = slide.offsets().into_iter().map(|offset| {
        let tap = emit.tap(&x, slide, &offset);
        emit.reshape(&tap, &[channels, columns])
    });
    let rows: Vec<Array> = rows.collect();
    if few {
        let all = emit.concat(&rows, 0);
        let made = emit.gemm(&d, &all, [false, true], 1.0);
        let made = emit.reshape(&made, &[filters, taps, channels]);
        let made = emit.transpose(&made, &[0, 2, 1]);
        return emit.reshape(&made, &sizes);
    }
    let products = rows.iter().map(|tap| {
        let made = emit.gemm(&d, tap, [false, true], 1.0);
        emit.reshape(&made, &[filters, channels, 1])
    });
    let products: Vec<Array> = products.collect();
    let made = emit.concat(&products, 2);
    emit.reshape(&made, &sizes)
}

/// The first two axes exchanged.
fn swapped(emit: &mut Emitter, x: &Array) -> Array {
    if x.sizes[0] == 1 || x.sizes[1] == 1 {
        let mut sizes = x.sizes.clone();
        sizes.swap(0, 1);
        return emit.reshape(x, &sizes);
    }
    let mut order: Vec<usize> = (0..x.rank()).collect();
    order.swap(0, 1);
    emit.transpose(x, &order)
}

/// A row per channel.
fn by_channels(emit: &mut Emitter, x: &Array) -> Array {
    let (channels, columns) = (x.sizes[1], x.count() / x.sizes[1].max(1));
    let x = swapped(emit, x);
    emit.reshape(&x, &[channels, columns])
}

/// Windows side by side: each element of the data stands in one of them, so that it is only put in order.
fn by_tiles(emit: &mut Emitter, [x, d]: [&Array; 2], slide: &Slide, sizes: &[usize]) -> Array {
    let (samples, channels) = (x.sizes[0], x.sizes[1]);
    let x = emit.reached(x, slide, 0.0);
    let tiled = Emitter::tiled_sizes(&[samples, channels], slide);
    let x = emit.reshape(&x, &tiled);
    // Channel and window positions first, then sample and places.
    let places = (0..slide.rank()).map(|axis| 2 + 2 * axis);
    let mut order = vec![1];
    order.extend(places.clone().map(|axis| axis + 1));
    order.push(0);
    order.extend(places);
    let x = match slide.taps() {
        1 => swapped(emit, &x),
        _ => emit.transpose(&x, &order),
    };
    let rows = channels * slide.taps();
    let x = emit.reshape(&x, &[rows, x.count() / rows.max(1)]);
    let d = by_channels(emit, d);
    let made = emit.gemm(&d, &x, [false, true], 1.0);
    emit.reshape(&made, sizes)
}

/// One convolution: the samples are its channels, the gradient its weight, strides and dilations exchanged.
fn by_exchange(emit: &mut Emitter, [x, d]: [&Array; 2], slide: &Slide, groups: usize) -> Array {
    let (samples, channels) = (x.sizes[0], x.sizes[1] / groups);
    let filters = d.sizes[1];
    let grouped = [&[samples, groups, channels], &slide.sizes[..]].concat();
    let x = emit.reshape(x, &grouped);
    let mut order: Vec<usize> = (0..x.rank()).collect();
    order.swap(0, 2);
    let x = emit.transpose(&x, &order);
    let x = emit.reshape(&x, &[&[channels, groups * samples], &slide.sizes[..]].concat());
    let weight = swapped(emit, d);
    let exchanged = Slide {
        sizes: slide.sizes.clone(),
        kernel: slide.places.clone(),
        strides: slide.dilations.clone(),
        dilations: slide.strides.clone(),
        before: slide.before.clone(),
        places: slide.kernel.clone(),
    };
    let made = emit.convolve_windows(&x, &weight, &exchanged, (groups, filters));
    swapped(emit, &made)
}

/// A filter, or several, of each channel: one product per position of the window, summed over samples and places.
fn by_channel(emit: &mut Emitter, [x, d]: [&Array; 2], slide: &Slide, sizes: &[usize]) -> Array {
    let (samples, channels, filters) = (x.sizes[0], x.sizes[1], d.sizes[1]);
    let padded = emit.reached(x, slide, 0.0);
    let each = filters / channels;
    let columns = slide.places.iter().product();
    let d = emit.reshape(d, &[samples, channels, each, columns]);
    let sums = slide.offsets().into_iter().map(|offset| {
        let tap = emit.tap(&padded, slide, &offset);
        let tap = emit.reshape(&tap, &[samples, channels, 1, columns]);
        let product = emit.mul(&tap, &d);
        let sum = emit.sum(&product, &[0, 3], false);
        emit.reshape(&sum, &[filters, 1])
    });
    let sums: Vec<Array> = sums.collect();
    let made = emit.concat(&sums, 1);
    emit.reshape(&made, sizes)
}
