//! What happens to every dimension, as data.

use std::sync::Arc;

use crate::axes::Kept;
use crate::dimensions::{Analysis, DimensionId};

/// What happens to one dimension.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Decision {
    /// These positions stay, ascending.
    Prune(Vec<u32>),
    /// All stay.
    Leave(Left),
}

/// Why a dimension keeps all its channels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// The reason, as a clause.
    pub why: String,
    /// True where the settings say so, false where the model does.
    pub chosen: bool,
}

impl Left {
    /// The settings say so.
    pub(crate) fn chosen(why: impl Into<String>) -> Left {
        Left {
            why: why.into(),
            chosen: true,
        }
    }

    /// The model, or what was found in it, says so.
    pub(crate) fn forced(why: impl Into<String>) -> Left {
        Left {
            why: why.into(),
            chosen: false,
        }
    }
}

/// A decision for every dimension of an analysis, in their order.
#[derive(Clone, Debug)]
pub struct Selection {
    /// By dimension.
    pub decisions: Vec<Decision>,
}

impl Selection {
    /// What stays of the analysed model.
    pub(crate) fn kept(&self, analysis: &Analysis) -> Kept {
        let mut kept = analysis.everything();
        for (id, positions) in self.pruned() {
            kept.insert(analysis.dimensions()[id.0].var, Arc::from(positions));
        }
        kept
    }

    /// Dimensions that lose channels.
    pub fn pruned(&self) -> impl Iterator<Item = (DimensionId, &[u32])> {
        let decisions = self.decisions.iter().enumerate();
        decisions.filter_map(|(index, decision)| match decision {
            Decision::Prune(kept) => Some((DimensionId(index), kept.as_slice())),
            Decision::Leave(_) => None,
        })
    }
}
