//! How a window slides over the axes of its data from 2 on: the attributes that convolutions and pools share.

use crate::axes::{Extent, Symbols};
use crate::graph::{Attributes, Slide};
use crate::onnx::proto::{AttributeProto, NodeProto};

/// Attributes that say how a window slides, apart from its size.
const SLIDING: [&str; 4] = ["strides", "pads", "dilations", "auto_pad"];

/// Where the padding comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Padding {
    /// From the list of pads.
    Listed,
    /// As much as gives one output per stride.
    Same,
    None,
}

/// A sliding window.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    strides: Vec<i64>,
    dilations: Vec<i64>,
    /// Before each axis, then behind each.
    pads: Vec<i64>,
    padding: Padding,
    /// True where what [`Padding::Same`] cannot halve goes before the axis.
    more_before: bool,
    round_up: bool,
}

/// A list with one number per axis, `default` for all where it is left out; none if it has another length.
fn listed(proto: &NodeProto, name: &str, default: i64, count: usize) -> Option<Vec<i64>> {
    match proto.ints(name).filter(|list| !list.is_empty()) {
        None => Some(vec![default; count]),
        Some(list) => (list.len() == count).then(|| list.to_vec()),
    }
}

impl Window {
    /// The window that a node slides over `rank` axes; none if an attribute has the wrong length or is not
    /// positive.
    pub(crate) fn of(proto: &NodeProto, rank: usize) -> Option<Window> {
        let positive = |list: &Vec<i64>| list.iter().all(|&n| n > 0);
        let padding = match proto.string("auto_pad").unwrap_or("NOTSET") {
            "SAME_UPPER" | "SAME_LOWER" => Padding::Same,
            "VALID" => Padding::None,
            _ => Padding::Listed,
        };
        Some(Window {
            strides: listed(proto, "strides", 1, rank).filter(positive)?,
            dilations: listed(proto, "dilations", 1, rank).filter(positive)?,
            pads: listed(proto, "pads", 0, 2 * rank)?,
            padding,
            more_before: proto.string("auto_pad") == Some("SAME_LOWER"),
            round_up: proto.int("ceil_mode").unwrap_or(0) != 0,
        })
    }

    /// True if the window reaches over the borders of its data.
    pub(crate) fn is_padded(&self) -> bool {
        match self.padding {
            Padding::Listed => self.pads.iter().any(|&pad| pad != 0),
            Padding::Same => true,
            Padding::None => false,
        }
    }

    /// True if it leaves an axis as it is, where it has this size along it.
    pub(crate) fn passes(&self, axis: usize, kernel: &Extent) -> bool {
        let behind = axis + self.strides.len();
        let bare =
            self.padding != Padding::Listed || (self.pads[axis], self.pads[behind]) == (0, 0);
        kernel.is_one() && self.strides[axis] == 1 && bare
    }

    /// True if its padding does not depend on the size of the data.
    pub(crate) fn has_listed_pads(&self) -> bool {
        self.padding != Padding::Same
    }

    /// By axis how far it moves from one place to the next, and how far apart its own positions are.
    pub(crate) fn steps(&self) -> (&[i64], &[i64]) {
        (&self.strides, &self.dilations)
    }

    /// Padding before each axis, then behind each, as the node lists it.
    pub(crate) fn listed_pads(&self) -> Option<&[i64]> {
        (self.padding == Padding::Listed && self.pads.iter().any(|&pad| pad != 0))
            .then_some(&self.pads)
    }

    /// True if it stands at every place of its data once, where it has the size 1.
    pub(crate) fn is_everywhere(&self) -> bool {
        self.strides.iter().all(|&stride| stride == 1) && self.listed_pads().is_none()
    }

    /// The attributes of a node that say how its window slides, apart from its size.
    pub(crate) fn attributes(proto: &NodeProto) -> Vec<AttributeProto> {
        let found = SLIDING.iter().filter_map(|name| proto.attribute(name));
        found.cloned().collect()
    }

    /// Numbers of places that windows of this size have along axes of these sizes, where the padding is listed.
    pub(crate) fn whole_places(&self, sizes: &[usize], kernel: &[usize]) -> Option<Vec<usize>> {
        let axes = sizes.iter().zip(kernel).enumerate();
        let places = axes.map(|(axis, (&size, &kernel))| {
            let kernel = i64::try_from(kernel).ok()?.checked_sub(1)?;
            let span = kernel.checked_mul(self.dilations[axis])?.checked_add(1)?;
            let free = i64::try_from(size).ok()?.checked_add(self.padding(axis))?;
            let free = usize::try_from(free.checked_sub(span)?).ok()?;
            Some(free / usize::try_from(self.strides[axis]).ok()? + 1)
        });
        places.collect()
    }

    /// The window of this size at its places along axes of these sizes, the padding as numbers; none where it has
    /// negative padding, or more positions than can be counted.
    pub(crate) fn slide(
        &self,
        sizes: &[usize],
        kernel: &[usize],
        places: &[usize],
    ) -> Option<Slide> {
        self.slide_with(sizes, kernel, places, None)
    }

    /// As [`Window::slide`], for a transposed convolution, `sizes` being those of what it makes: where these, or the
    /// padding, are not listed, the rim counts as well.
    pub(crate) fn transposed_slide(
        &self,
        sizes: &[usize],
        kernel: &[usize],
        places: &[usize],
        (rim, is_sized): (&[i64], bool),
    ) -> Option<Slide> {
        let is_free = is_sized || self.padding == Padding::Same;
        let rim = is_free.then_some(rim);
        self.slide_with(sizes, kernel, places, rim)
    }

    fn slide_with(
        &self,
        sizes: &[usize],
        kernel: &[usize],
        places: &[usize],
        free_rim: Option<&[i64]>,
    ) -> Option<Slide> {
        let numbers = |list: &[i64]| -> Option<Vec<usize>> {
            list.iter().map(|&n| usize::try_from(n).ok()).collect()
        };
        let rank = self.strides.len();
        let mut slide = Slide {
            sizes: sizes.to_vec(),
            kernel: kernel.to_vec(),
            strides: numbers(&self.strides)?,
            dilations: numbers(&self.dilations)?,
            before: vec![0; rank],
            places: places.to_vec(),
        };
        if !slide.is_sound() {
            return None;
        }
        for axis in 0..rank {
            let rim = free_rim.map(|rim| rim.get(axis).copied().unwrap_or(0));
            let halved = |total: i64| match self.more_before {
                true => total - total / 2,
                false => total / 2,
            };
            let before = match (self.padding, rim) {
                // All that the places need and the axis lacks.
                (Padding::Same, None) => halved(slide.behind(axis).max(0)),
                (Padding::Same, Some(rim)) => halved(slide.behind(axis).checked_add(rim)?.max(0)),
                (_, Some(rim)) => {
                    let total = slide.behind(axis).checked_add(rim)?.max(0);
                    total - total / 2
                }
                (Padding::None, None) => 0,
                (Padding::Listed, None) => self.pads[axis],
            };
            slide.before[axis] = usize::try_from(before).ok()?;
        }
        slide.is_sound().then_some(slide)
    }

    /// Positions that stand behind each axis and count as padding, where they are listed.
    pub(crate) fn padding_behind(&self, slide: &Slide) -> Vec<i64> {
        let rank = self.strides.len();
        let axes = 0..rank;
        let behind = axes.map(|axis| match self.padding {
            Padding::Listed => self.pads[axis + rank],
            _ => slide.behind(axis).max(0),
        });
        behind.collect()
    }

    fn padding(&self, axis: usize) -> i64 {
        self.pads[axis].saturating_add(self.pads[axis + self.strides.len()])
    }

    /// Positions that a kernel of this size spans, holes included.
    fn span(&self, axis: usize, kernel: &Extent) -> Option<Extent> {
        let steps = kernel.sub(&Extent::ONE)?;
        steps
            .mul(&Extent::Known(self.dilations[axis]))?
            .add(&Extent::ONE)
    }

    /// Number of places that a kernel takes along an axis of this size; none where it cannot be computed.
    pub(super) fn places(
        &self,
        axis: usize,
        input: &Extent,
        kernel: &Extent,
        symbols: &mut Symbols,
    ) -> Option<Extent> {
        let stride = self.strides[axis];
        if self.padding == Padding::Same {
            let above = input.add(&Extent::Known(stride - 1))?;
            return symbols.floor_div(&above, &Extent::Known(stride));
        }
        let padding = match self.padding {
            Padding::None => 0,
            _ => self.padding(axis),
        };
        let span = self.span(axis, kernel)?;
        let mut free = input.add(&Extent::Known(padding))?.sub(&span)?;
        if self.round_up {
            free = free.add(&Extent::Known(stride - 1))?;
        }
        let steps = symbols.floor_div(&free, &Extent::Known(stride))?;
        let mut count = steps.add(&Extent::ONE)?;
        // Rounding up, a window may not start in the padding behind the input.
        let last_start = steps.known().and_then(|steps| steps.checked_mul(stride));
        if self.round_up
            && let (Some(start), Some(size)) = (last_start, input.known())
            && start >= size.saturating_add(self.pads[axis])
        {
            count = count.sub(&Extent::ONE)?;
        }
        Some(count)
    }

    /// Size of what a transposed convolution makes along an axis, with `rim` more at its end; none where it
    /// cannot be computed.
    pub(super) fn spread(
        &self,
        axis: usize,
        input: &Extent,
        kernel: &Extent,
        rim: i64,
    ) -> Option<Extent> {
        let stride = Extent::Known(self.strides[axis]);
        if self.padding == Padding::Same {
            return input.mul(&stride);
        }
        let cut = match self.padding {
            Padding::None => 0,
            _ => self.padding(axis),
        };
        let places = input.sub(&Extent::ONE)?.mul(&stride)?;
        places
            .add(&self.span(axis, kernel)?)?
            .add(&Extent::Known(rim.saturating_sub(cut)))
    }
}
