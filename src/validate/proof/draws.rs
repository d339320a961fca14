//! What is drawn, and what two models make of it.

use crate::dimensions::Filling;
use crate::runtime::Tensor;

pub(super) type Tensors = Vec<(String, Tensor)>;

/// Which inputs are drawn.
#[derive(Clone, Copy)]
pub(super) struct DrawnInputs {
    pub(super) seed: u64,
    pub(super) filling: Filling,
}

impl DrawnInputs {
    /// Those of a seed, with caches that hold something.
    pub(super) fn plain(seed: u64) -> DrawnInputs {
        let filling = Filling::Filled;
        DrawnInputs { seed, filling }
    }
}

/// One run of both.
pub(super) struct Draw {
    pub(super) drawn: DrawnInputs,
    pub(super) expected: Tensors,
    pub(super) computed: Tensors,
}
