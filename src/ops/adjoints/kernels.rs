//! The gradient of a convolution's weight: for each position of the window, the product of what stands there with the
//! gradient, over all places and samples. Which form is fast depends on channels, groups and window.

use crate::graph::{Array, Emitter, Slide};

/// Below so many channels all positions of the window make one matrix: its parts alone would be too small.
const FEW_CHANNELS: usize = 16;
/// Elements at most in such a matrix.
const MOST_COLUMNS: usize = 1 << 26;
/// Positions at most of a window that is taken apart where there are few channels, or each has filters of its own. With
/// more of them one convolution takes less time.
const FEW_TAPS: usize = 16;
/// The same where there are many channels.
const MOST_TAPS: usize = 64;

/// How the gradient is computed.
#[derive(Clone, Copy, PartialEq)]
enum Form {
    Tiles,
    Exchange,
    Channel,
    Columns,
    Taps,
}

fn form([x, d]: [&Array; 2], slide: &Slide, groups: usize) -> Form {
    let (channels, taps) = (x.sizes[1] / groups, slide.taps());
    let columns = (d.count() / d.sizes[1]).saturating_mul(taps * channels);
    // One sample makes a grouped convolution of one channel each, which is wrong on WebGPU if there are several filters.
    let few = taps <= FEW_TAPS || (x.sizes[0] == 1 && taps <= MOST_TAPS);
    match (groups, channels) {
        (1, _) if slide.tiles() => Form::Tiles,
        (1, ..FEW_CHANNELS) if taps <= FEW_TAPS && columns <= MOST_COLUMNS => Form::Columns,
        (1, ..FEW_CHANNELS) => Form::Exchange,
        (1, _) if taps <= MOST_TAPS => Form::Taps,
        (2.., 1) if few => Form::Channel,
        _ => Form::Exchange,
    }
}

/// `[O, C / groups, kernel..]` from data `[N, C, sizes..]` and the gradient `[N, O, places..]` of what windows over it
/// make.
pub(super) fn kernel_gradient(
    emit: &mut Emitter,
    [x, d]: [&Array; 2],
    slide: &Slide,
    groups: usize,
) -> Array {
    let (channels, filters) = (x.sizes[1] / groups, d.sizes[1]);
    let sizes = [&[filters, channels], &slide.kernel[..]].concat();
    let form = form([x, d], slide, groups);
    match form {
        Form::Tiles => by_tiles(emit, [x, d], slide, &sizes),
        Form::Exchange => by_exchange(emit, [x, d], slide, groups),
        Form::Channel => by_channel(emit, [x, d], slide, &sizes),
        Form::Columns | Form::Taps => {
            let d = by_channels(emit, d);
            let rows = rows(emit, x, slide);
            let made = match form {
                Form::Columns => by_columns(emit, &d, &rows),
                _ => by_taps(emit, &d, &rows),
            };
            emit.reshape(&made, &sizes)
        }
    }
}

/// By position of the window what stands there, `[C, N places..]`.
fn rows(emit: &mut Emitter, x: &Array, slide: &Slide) -> Vec<Array> {
    let (samples, channels) = (x.sizes[0], x.sizes[1]);
    let columns = samples * slide.places.iter().product::<usize>();
    let x = swapped(emit, x);
    let x = emit.reached(&x, slide, 0.0);
    let rows = slide.offsets().into_iter().map(|offset| {
        let tap = emit.tap(&x, slide, &offset);
        emit.reshape(&tap, &[channels, columns])
    });
    rows.collect()
}

/// One product with all positions, `[O, C, K]`.
fn by_columns(emit: &mut Emitter, d: &Array, rows: &[Array]) -> Array {
    let (filters, taps) = (d.sizes[0], rows.len());
    let all = emit.concat(rows, 0);
    let channels = all.sizes[0] / taps;
    let made = emit.gemm(d, &all, [false, true], 1.0);
    let made = emit.reshape(&made, &[filters, taps, channels]);
    emit.transpose(&made, &[0, 2, 1])
}

/// One product per position, `[O, C, K]`.
fn by_taps(emit: &mut Emitter, d: &Array, rows: &[Array]) -> Array {
    let products = rows.iter().map(|tap| {
        let made = emit.gemm(d, tap, [false, true], 1.0);
        let sizes = [d.sizes[0], tap.sizes[0], 1];
        emit.reshape(&made, &sizes)
    });
    let products: Vec<Array> = products.collect();
    emit.concat(&products, 2)
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
    let x = emit.reshape(
        &x,
        &[&[channels, groups * samples], &slide.sizes[..]].concat(),
    );
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
