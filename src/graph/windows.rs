//! New nodes that read an array by windows, and that put windows together again. The axes that windows slide over are
//! the last ones.

use super::emit::signed;
use super::{Array, Emitter, Span, int, ints};
use crate::onnx::ElementType;
use crate::onnx::proto::AttributeProto;

/// The longest axis that a window may reach over, padding included.
const LONGEST: usize = 1 << 31;

/// A window at all its places. Each list has one number per axis that it slides over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Slide {
    pub(crate) sizes: Vec<usize>,
    pub(crate) kernel: Vec<usize>,
    pub(crate) strides: Vec<usize>,
    pub(crate) dilations: Vec<usize>,
    /// Padding before the axis.
    pub(crate) before: Vec<usize>,
    pub(crate) places: Vec<usize>,
}

impl Slide {
    /// True if all lists have one length, all numbers but the padding are positive, and what it reaches over can be
    /// counted.
    pub(crate) fn is_sound(&self) -> bool {
        let lists = [&self.kernel, &self.strides, &self.dilations, &self.places];
        let rank = self.sizes.len();
        let even = lists.iter().all(|list| list.len() == rank) && self.before.len() == rank;
        let positive = |list: &&Vec<usize>| list.iter().all(|&n| (1..LONGEST).contains(&n));
        let taps = self
            .kernel
            .iter()
            .try_fold(1, |all: usize, &size| all.checked_mul(size));
        even && taps.is_some_and(|taps| taps < LONGEST)
            && lists.iter().all(positive)
            && positive(&&self.sizes)
            && (0..rank).all(|axis| {
                let steps = (self.places[axis] - 1).checked_mul(self.strides[axis]);
                let holes = (self.kernel[axis] - 1).checked_mul(self.dilations[axis]);
                let room = steps.zip(holes).and_then(|(a, b)| a.checked_add(b));
                room.is_some_and(|room| (self.before[axis]..LONGEST).contains(&room))
            })
    }

    pub(crate) fn rank(&self) -> usize {
        self.sizes.len()
    }

    /// Positions that the window spans, holes included.
    fn span(&self, axis: usize) -> usize {
        (self.kernel[axis] - 1) * self.dilations[axis] + 1
    }

    /// Positions from the first to the last one that any place reaches.
    fn room(&self, axis: usize) -> usize {
        (self.places[axis] - 1) * self.strides[axis] + self.span(axis)
    }

    /// Padding behind an axis; below zero where positions are left over.
    pub(crate) fn behind(&self, axis: usize) -> i64 {
        self.room(axis) as i64 - self.sizes[axis] as i64 - self.before[axis] as i64
    }

    /// True if the windows lie side by side and cover all that they reach over.
    pub(crate) fn tiles(&self) -> bool {
        (0..self.rank()).all(|axis| {
            let (kernel, places) = (self.kernel[axis], self.places[axis]);
            (places == 1 || self.strides[axis] == kernel)
                && (kernel == 1 || self.dilations[axis] == 1)
        })
    }

    /// Number of positions of the window.
    pub(crate) fn taps(&self) -> usize {
        self.kernel.iter().product()
    }

    /// The number of a position of the window in row-major order.
    pub(crate) fn place_of(&self, position: &[usize]) -> usize {
        let axes = position.iter().zip(&self.kernel);
        axes.fold(0, |place, (position, size)| place * size + position)
    }

    /// All positions of the window in row-major order.
    pub(crate) fn offsets(&self) -> Vec<Vec<usize>> {
        let mut all = vec![Vec::new()];
        for &size in &self.kernel {
            let longer = all.iter().flat_map(|offset: &Vec<usize>| {
                (0..size).map(|place| [offset.as_slice(), &[place]].concat())
            });
            all = longer.collect();
        }
        all
    }

    /// Padding before and behind all `outer + rank` axes.
    fn pads(&self, outer: usize) -> [Vec<i64>; 2] {
        let (mut before, mut behind) = (vec![0; outer], vec![0; outer]);
        before.extend(signed(&self.before));
        behind.extend((0..self.rank()).map(|axis| self.behind(axis)));
        [before, behind]
    }
}

impl Emitter {
    /// All that the windows reach over: padded with a number, and without what is left over.
    pub(crate) fn reached(&mut self, x: &Array, slide: &Slide, padding: f64) -> Array {
        let [before, behind] = slide.pads(x.rank() - slide.rank());
        if padding == 0.0 {
            return self.pad(x, &before, &behind);
        }
        self.pad_with(x, &before, &behind, padding)
    }

    /// The inverse of [`Emitter::reached`]: without the padding, and zeros for what is left over.
    fn unreached(&mut self, x: &Array, slide: &Slide) -> Array {
        let pads = slide.pads(x.rank() - slide.rank());
        let [before, behind] = pads.map(|list| list.iter().map(|n| -n).collect::<Vec<i64>>());
        self.pad(x, &before, &behind)
    }

    /// What stands at one position of the window, at each of its places; `x` is all that windows reach over.
    pub(crate) fn tap(&mut self, x: &Array, slide: &Slide, offset: &[usize]) -> Array {
        let outer = x.rank() - slide.rank();
        let ranges = offset.iter().enumerate().map(|(axis, place)| Span {
            axis: outer + axis,
            start: place * slide.dilations[axis],
            count: slide.places[axis],
            step: slide.strides[axis],
        });
        self.slice(x, &ranges.collect::<Vec<_>>())
    }

    /// Sizes with each axis of the window as places and positions: `[outer.., places, kernel, places, kernel..]`.
    pub(crate) fn tiled_sizes(outer: &[usize], slide: &Slide) -> Vec<usize> {
        let mut sizes = outer.to_vec();
        for axis in 0..slide.rank() {
            sizes.extend([slide.places[axis], slide.kernel[axis]]);
        }
        sizes
    }

    /// What windows side by side hold, as [`Emitter::tiled_sizes`] has it, put together to `[outer.., sizes..]`.
    pub(crate) fn untiled(&mut self, x: &Array, slide: &Slide) -> Array {
        let mut sizes = x.sizes[..x.rank() - 2 * slide.rank()].to_vec();
        sizes.extend((0..slide.rank()).map(|axis| slide.room(axis)));
        let joined = self.reshape(x, &sizes);
        self.unreached(&joined, slide)
    }

    /// `x[outer.., places..]` added to every position of each place's window: `[outer.., sizes..]`.
    pub(crate) fn spread_windows(&mut self, x: &Array, slide: &Slide) -> Array {
        let outer = x.sizes[..x.rank() - slide.rank()].to_vec();
        // Where there is such a convolution, it takes a fifth of the time.
        if slide.tiles() && x.element != ElementType::Float {
            let full = Self::tiled_sizes(&outer, slide);
            let mut single = full.clone();
            (0..slide.rank()).for_each(|axis| single[outer.len() + 2 * axis + 1] = 1);
            let single = self.reshape(x, &single);
            let all = self.expand(&single, &full);
            return self.untiled(&all, slide);
        }
        let images = outer.iter().product();
        let flat = self.reshape(x, &[&[images, 1], &slide.places[..]].concat());
        let sizes = [&[1, 1], &slide.kernel[..]].concat();
        let ones = self.constant(&vec![1.0; slide.taps()], &sizes, x.element);
        let sum = self.convolve_back(&flat, &ones, slide, (1, 1));
        self.reshape(&sum, &[&outer[..], &slide.sizes[..]].concat())
    }

    /// A transposed convolution from the places of windows to all that they slide over: with a number of groups, to a
    /// number of channels.
    pub(crate) fn convolve_back(
        &mut self,
        x: &Array,
        weight: &Array,
        slide: &Slide,
        (groups, channels): (usize, usize),
    ) -> Array {
        let rank = slide.rank();
        let (mut cut, mut rim, mut rest) = (Vec::new(), vec![0; rank], vec![0; rank + 2]);
        for axis in 0..rank {
            let (before, behind) = (slide.before[axis] as i64, slide.behind(axis));
            // More behind than before is not what all providers compute rightly.
            cut.push(behind.clamp(0, before));
            let left = cut[axis] - behind;
            let step = slide.strides[axis].max(slide.dilations[axis]) as i64;
            match (0..step).contains(&left) {
                true => rim[axis] = left,
                false => rest[axis + 2] = left,
            }
        }
        let mut sizes = vec![x.sizes[0], channels];
        let made = slide.sizes.iter().zip(&rest[2..]);
        sizes.extend(made.map(|(&size, rest)| (size as i64 - rest) as usize));
        let mut attributes = slide.attributes(&cut, groups);
        if rim.iter().any(|&n| n != 0) {
            attributes.push(ints("output_padding", &rim));
        }
        let sum = self.convolve("ConvTranspose", [x, weight], attributes, &sizes);
        self.pad(&sum, &vec![0; rank + 2], &rest)
    }

    /// A convolution from all that windows slide over to their places: with a number of groups, to a number of
    /// channels.
    pub(crate) fn convolve_windows(
        &mut self,
        x: &Array,
        weight: &Array,
        slide: &Slide,
        (groups, channels): (usize, usize),
    ) -> Array {
        let rank = slide.rank();
        let left: Vec<i64> = (0..rank).map(|axis| slide.behind(axis)).collect();
        let mut cut = vec![0; 2];
        cut.extend(left.iter().map(|&behind| behind.min(0)));
        let x = self.pad(x, &vec![0; rank + 2], &cut);
        let behind: Vec<i64> = left.iter().map(|&behind| behind.max(0)).collect();
        let sizes = [&[x.sizes[0], channels], &slide.places[..]].concat();
        self.convolve(
            "Conv",
            [&x, weight],
            slide.attributes(&behind, groups),
            &sizes,
        )
    }
}

impl Slide {
    /// The attributes of a convolution with so much padding behind.
    fn attributes(&self, behind: &[i64], groups: usize) -> Vec<AttributeProto> {
        let pads = [&signed(&self.before), behind].concat();
        vec![
            ints("kernel_shape", &signed(&self.kernel)),
            ints("strides", &signed(&self.strides)),
            ints("dilations", &signed(&self.dilations)),
            ints("pads", &pads),
            int("group", groups as i64),
        ]
    }
}
