//! How a window slides over the axes of its data from 2 on: the attributes that convolutions and pools share.

use crate::axes::{Extent, Symbols};
use crate::graph::Attributes;
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
