//! Constants that are added to the rows that a layer produces.

use crate::graph::NodeId;
use crate::ops::Linear;

/// Constants to be added to the rows of a layer.
#[derive(Clone, Debug)]
pub(crate) struct Addition {
    pub(crate) linear: Linear,
    /// By row, batch after batch.
    pub(crate) added: Vec<f32>,
}

impl Addition {
    /// The node whose rows get the constants.
    pub(crate) fn node(&self) -> NodeId {
        self.linear.node
    }
}
