//! What happens to every dimension, as data.

use crate::dimensions::DimensionId;

/// What happens to one dimension.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Decision {
    /// These positions stay, ascending.
    Prune(Vec<u32>),
    /// All stay, for this reason.
    Leave(String),
}

/// A decision for every dimension of an analysis, in their order.
#[derive(Clone, Debug)]
pub struct Selection {
    /// By dimension.
    pub decisions: Vec<Decision>,
}

impl Selection {
    /// Dimensions that lose channels.
    pub fn pruned(&self) -> impl Iterator<Item = (DimensionId, &[u32])> {
        let decisions = self.decisions.iter().enumerate();
        decisions.filter_map(|(index, decision)| match decision {
            Decision::Prune(kept) => Some((DimensionId(index), kept.as_slice())),
            Decision::Leave(_) => None,
        })
    }
}
