//! What ran in a session.

use serde::{Deserialize, Serialize};

/// One run of one node's kernel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Kernel {
    /// The node's name.
    pub node: String,
    /// The operator, as it was after fusion.
    pub operator: String,
    /// The provider that ran it, by its registered name.
    pub provider: String,
    /// Duration in microseconds.
    pub microseconds: u64,
    /// True if it computes real numbers: not shape arithmetic, not a copy between devices.
    pub computes: bool,
}
