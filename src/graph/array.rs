//! Values whose sizes are numbers.

use crate::onnx::ElementType;

/// A value whose sizes are numbers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Array {
    pub(crate) name: String,
    pub(crate) sizes: Vec<usize>,
    pub(crate) element: ElementType,
}

impl Array {
    /// Number of elements.
    pub(crate) fn count(&self) -> usize {
        let sizes = self.sizes.iter();
        sizes.fold(1, |count: usize, &size| count.saturating_mul(size))
    }

    /// Bytes of the elements.
    pub(crate) fn bytes(&self) -> u64 {
        let bits = (self.count() as u64).saturating_mul(self.element.bits().into());
        bits.div_ceil(8)
    }

    /// Number of axes.
    pub(crate) fn rank(&self) -> usize {
        self.sizes.len()
    }
}

/// The sizes of two arrays broadcast; the larger one of each axis from the back.
pub(crate) fn broadcast_sizes(a: &[usize], b: &[usize]) -> Vec<usize> {
    let rank = a.len().max(b.len());
    let size = |sizes: &[usize], axis: usize| match (axis + sizes.len()).checked_sub(rank) {
        Some(place) => sizes[place],
        None => 1,
    };
    let axes = 0..rank;
    axes.map(|axis| match (size(a, axis), size(b, axis)) {
        (1, other) | (other, _) => other,
    })
    .collect()
}
