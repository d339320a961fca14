//! Which residual branches are dropped.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Which residual branches are dropped whole. In documents a number, or a list of patterns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum DropBlocks {
    /// So many: those that change the outputs least on calibration data, one after the other.
    Least(usize),
    /// Those whose names match one of these glob patterns.
    Named(Vec<String>),
}

impl DropBlocks {
    /// What words ask for: one number, or patterns; nothing without any.
    ///
    /// # Errors
    /// A number among others.
    pub fn of(words: &[String]) -> Result<Option<DropBlocks>> {
        let number = words.iter().find_map(|word| word.parse().ok());
        match (number, words) {
            (_, []) => Ok(None),
            (None, globs) => Ok(Some(DropBlocks::Named(globs.to_vec()))),
            (Some(count), [_]) => Ok(Some(DropBlocks::Least(count))),
            (Some(count), _) => Err(Error::Usage(format!(
                "`drop_blocks` {count} stands alone: give one number, or globs of names"
            ))),
        }
    }
}

impl DropBlocks {
    /// The flags that ask for them.
    pub(super) fn words(&self) -> String {
        match self {
            DropBlocks::Least(count) => format!(" --drop-blocks {count}"),
            DropBlocks::Named(globs) => {
                let flag = |glob: &String| format!(" --drop-blocks '{glob}'");
                globs.iter().map(flag).collect()
            }
        }
    }
}

impl fmt::Display for DropBlocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DropBlocks::Least(count) => write!(f, "{count}"),
            DropBlocks::Named(globs) => f.write_str(&globs.join(", ")),
        }
    }
}
