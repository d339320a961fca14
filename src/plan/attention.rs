//! Which parts of attentions may go.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::ops::AttentionPart;

/// Which parts of attentions may lose positions. Of two that multiply each other one does: heads where both may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum AttentionCut {
    /// Heads and the width of a head.
    #[default]
    Both,
    /// Heads alone.
    Heads,
    /// The width of a head alone.
    HeadDim,
    /// Neither.
    None,
}

impl AttentionCut {
    /// True where a part may lose positions.
    pub(crate) fn takes(self, part: AttentionPart) -> bool {
        match self {
            AttentionCut::Both => true,
            AttentionCut::Heads => part == AttentionPart::Heads,
            AttentionCut::HeadDim => part == AttentionPart::HeadWidth,
            AttentionCut::None => false,
        }
    }

    /// True where nothing is asked.
    pub(super) fn is_default(&self) -> bool {
        *self == AttentionCut::default()
    }
}

impl fmt::Display for AttentionCut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AttentionCut::Both => "both",
            AttentionCut::Heads => "heads",
            AttentionCut::HeadDim => "head-dim",
            AttentionCut::None => "none",
        })
    }
}

impl FromStr for AttentionCut {
    type Err = Error;

    fn from_str(text: &str) -> Result<AttentionCut> {
        match text {
            "both" => Ok(AttentionCut::Both),
            "heads" => Ok(AttentionCut::Heads),
            "head-dim" => Ok(AttentionCut::HeadDim),
            "none" => Ok(AttentionCut::None),
            _ => Err(Error::Usage(format!(
                "attentions have no part '{text}'; choose one of heads, head-dim, both, none"
            ))),
        }
    }
}
