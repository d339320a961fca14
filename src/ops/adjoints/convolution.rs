//! Convolutions: the data's gradient is the opposite convolution, the weight's a product over all places.

use super::Backward;
use super::kernels::kernel_gradient;
use super::rows;
use crate::graph::{Array, Attributes, Slide};
use crate::ops::typing::{Ruling, Unsupported};
use crate::ops::window::Window;

const UNUSUAL: Unsupported = Unsupported("its sizes, groups or padding are unusual");

/// Y = X * W + B
pub(in crate::ops) fn conv(b: &mut Backward) -> Ruling {
    let d = b.cotangent()?;
    conv_of(b, &d)
}

/// As [`conv`], of this gradient of what it makes before an activation.
pub(in crate::ops) fn conv_of(b: &mut Backward, d: &Array) -> Ruling {
    let (x, w) = (b.input(0)?, b.input(1)?);
    let groups = groups(b, [&x, &w, d])?;
    let (sizes, places) = (&x.sizes[2..], &d.sizes[2..]);
    let slide = window(b, places.len())?.slide(sizes, &w.sizes[2..], places);
    let slide = slide.ok_or(UNUSUAL)?;
    fits([&x, d], &w, groups)?;
    if b.emit.on_processor() && groups == 1 && rows::pays([&x, d], &slide) {
        let wanted = [0, 1].map(|slot| b.needs(slot));
        let given = rows::gradients(b.emit, [&x, d, &w], &slide, wanted);
        for (slot, given) in given.iter().enumerate() {
            if let Some(given) = given {
                b.give(slot, given)?;
            }
        }
        return give_bias(b, d);
    }
    if b.needs(0) {
        let given = b.emit.convolve_back(d, &w, &slide, (groups, x.sizes[1]));
        b.give(0, &given)?;
    }
    if b.needs(1) {
        let given = kernel_gradient(b.emit, [&x, d], &slide, groups);
        b.give(1, &given)?;
    }
    give_bias(b, d)
}

/// What a convolution makes, by forms that are faster where its weight is no constant, with channels last; none where there
/// is no such form.
pub(super) fn quicker(b: &mut Backward) -> Ruling<Option<Array>> {
    let (x, w, y) = (b.input(0)?, b.input(1)?, b.output(0)?);
    let groups = groups(b, [&x, &w, &y])?;
    let (sizes, places) = (&x.sizes[2..], &y.sizes[2..]);
    let slide = window(b, places.len())?.slide(sizes, &w.sizes[2..], places);
    let slide = slide.ok_or(UNUSUAL)?;
    fits([&x, &y], &w, groups)?;
    if groups > 1 || !rows::pays_forward([&x, &w], &slide) {
        return Ok(None);
    }
    let bias = b.has(2).then(|| b.input(2)).transpose()?;
    Ok(Some(rows::forward(b.emit, [&x, &w], bias.as_ref(), &slide)))
}

/// Y is what windows that make X would slide over.
pub(in crate::ops) fn conv_transpose(b: &mut Backward) -> Ruling {
    let (d, x, w) = (b.cotangent()?, b.input(0)?, b.input(1)?);
    let groups = groups(b, [&x, &w, &d])?;
    let slide = transposed_window(b, [&x, &w, &d])?;
    fits([&d, &x], &w, groups)?;
    if b.needs(0) {
        let given = b
            .emit
            .convolve_windows(&d, &w, &slide, (groups, x.sizes[1]));
        b.give(0, &given)?;
    }
    if b.needs(1) {
        let given = kernel_gradient(b.emit, [&d, &x], &slide, groups);
        b.give(1, &given)?;
    }
    give_bias(b, &d)
}

fn give_bias(b: &mut Backward, d: &Array) -> Ruling {
    if b.needs(2) {
        let axes: Vec<usize> = (0..d.rank()).filter(|&axis| axis != 1).collect();
        let given = b.emit.sum(d, &axes, false);
        b.give(2, &given)?;
    }
    Ok(())
}

fn window(b: &Backward, rank: usize) -> Ruling<Window> {
    Window::of(b.proto(), rank).ok_or(UNUSUAL)
}

fn transposed_window(b: &Backward, [x, w, d]: [&Array; 3]) -> Ruling<Slide> {
    let (sizes, places) = (&d.sizes[2..], &x.sizes[2..]);
    let (rank, proto) = (places.len(), b.proto());
    let listed = |name: &str| proto.ints(name).map(<[i64]>::to_vec).unwrap_or_default();
    let rim = (listed("output_padding"), !listed("output_shape").is_empty());
    let window = window(b, rank)?;
    let slide = window.transposed_slide(sizes, &w.sizes[2..], places, (&rim.0, rim.1));
    slide.ok_or(UNUSUAL)
}

/// The number of groups of arrays with data, weight and result's gradient, which have the same rank.
fn groups(b: &Backward, arrays: [&Array; 3]) -> Ruling<usize> {
    let rank = arrays[0].rank();
    if rank < 3
        || arrays
            .iter()
            .any(|array| array.rank() != rank || array.count() == 0)
    {
        return Err(UNUSUAL);
    }
    let groups = usize::try_from(b.int("group", 1)).ok();
    groups.filter(|&groups| groups > 0).ok_or(UNUSUAL)
}

/// Data, result and weight have channels that fall into the groups.
fn fits([x, d]: [&Array; 2], w: &Array, groups: usize) -> Ruling {
    let (channels, filters) = (x.sizes[1], d.sizes[1]);
    let whole = channels.is_multiple_of(groups) && filters.is_multiple_of(groups);
    match whole && w.sizes[..2] == [filters, channels / groups] && x.sizes[0] == d.sizes[0] {
        true => Ok(()),
        false => Err(UNUSUAL),
    }
}
