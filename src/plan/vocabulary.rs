//! How a model with a smaller vocabulary is told which pieces it reads.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Where the ids of the pieces that stay become places in the smaller tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Remap {
    /// Outside: callers give the new ids, which count the pieces that stay in their old order.
    #[default]
    Outside,
    /// Inside the model: callers give the old ids, and outputs have a place for each of them.
    Inside,
}

/// How a smaller vocabulary is cut.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VocabularySettings {
    /// Where ids become places.
    pub remap: Remap,
    /// The id that stands for pieces that are gone, where ids become places inside; without, they are refused at run time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown: Option<u32>,
}

impl fmt::Display for Remap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Remap::Outside => "outside",
            Remap::Inside => "inside",
        })
    }
}

impl FromStr for Remap {
    type Err = Error;

    fn from_str(text: &str) -> Result<Remap> {
        match text {
            "outside" => Ok(Remap::Outside),
            "inside" => Ok(Remap::Inside),
            _ => Err(Error::Usage(format!(
                "ids are not renumbered '{text}'; choose one of outside, inside"
            ))),
        }
    }
}
