//! The same elements in another arrangement, or repeated: they go back, and repeated ones are added.

use super::Backward;
use crate::graph::Array;
use crate::ops::typing::{Ruling, Unsupported};

const UNUSUAL: Unsupported = Unsupported("its data, block size or repeats are unusual");

/// The sum over all copies.
pub(in crate::ops) fn expand(b: &mut Backward, d: &Array) -> Ruling<Array> {
    let x = b.input(0)?;
    Ok(b.emit.sum_to(d, &x.sizes))
}

/// Each axis as copies of the whole.
pub(in crate::ops) fn tile(b: &mut Backward, d: &Array) -> Ruling<Array> {
    let x = b.input(0)?;
    if d.rank() != x.rank() {
        return Err(UNUSUAL);
    }
    let (mut sizes, mut copies) = (Vec::new(), Vec::new());
    for (&size, &all) in x.sizes.iter().zip(&d.sizes) {
        let times = all.checked_div(size).filter(|times| times * size == all);
        match times.ok_or(UNUSUAL)? {
            1 => (),
            times => {
                copies.push(sizes.len());
                sizes.push(times);
            }
        }
        sizes.push(size);
    }
    let apart = b.emit.reshape(d, &sizes);
    Ok(b.emit.sum(&apart, &copies, false))
}

/// The block size of arrays with four axes.
fn block(b: &Backward, arrays: [&Array; 2]) -> Ruling<usize> {
    let block = usize::try_from(b.int("blocksize", 0)).unwrap_or(0);
    let [few, many] = arrays.map(|array| array.sizes.get(1).copied().unwrap_or(0));
    let square = block.checked_mul(block).and_then(|square| square.checked_mul(few));
    let whole = arrays.iter().all(|array| array.rank() == 4 && array.count() > 0);
    match block > 0 && whole && square == Some(many) {
        true => Ok(block),
        false => Err(UNUSUAL),
    }
}

/// `[N, C, H block, W block]` to `[N, C block^2, H, W]`.
pub(in crate::ops) fn depth_to_space(b: &mut Backward, d: &Array) -> Ruling<Array> {
    let x = b.input(0)?;
    let block = block(b, [d, &x])?;
    let [samples, channels] = [d.sizes[0], d.sizes[1]];
    let apart = [samples, channels, x.sizes[2], block, x.sizes[3], block];
    let apart = b.emit.reshape(d, &apart);
    let order = match b.string("mode", "DCR") == "DCR" {
        true => [0, 3, 5, 1, 2, 4],
        false => [0, 1, 3, 5, 2, 4],
    };
    let turned = b.emit.transpose(&apart, &order);
    Ok(b.emit.reshape(&turned, &x.sizes))
}

/// `[N, C block^2, H, W]` to `[N, C, H block, W block]`.
pub(in crate::ops) fn space_to_depth(b: &mut Backward, d: &Array) -> Ruling<Array> {
    let x = b.input(0)?;
    let block = block(b, [&x, d])?;
    let [samples, channels] = [x.sizes[0], x.sizes[1]];
    let [height, width] = [d.sizes[2], d.sizes[3]];
    let (apart, order) = match b.string("mode", "DCR") == "DCR" {
        true => ([samples, block, block, channels, height, width], [0, 3, 4, 1, 5, 2]),
        false => ([samples, channels, block, block, height, width], [0, 1, 4, 2, 5, 3]),
    };
    let apart = b.emit.reshape(d, &apart);
    let turned = b.emit.transpose(&apart, &order);
    Ok(b.emit.reshape(&turned, &x.sizes))
}
