//! Among which channels the least important are sought.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Among which channels the least important are sought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Scope {
    /// Those of one dimension: each loses the same share.
    #[default]
    Uniform,
    /// Those of all dimensions together.
    Global,
    /// Those of all dimensions that the same operators produce and read (Fang et al. 2024).
    Isomorphic,
    /// Those of all dimensions, as many of each as the divergence of the outputs says that was measured for it
    /// on calibration data.
    Allocated,
    /// Those of all dimensions, as many of each as Fisher information by cost says, from gradients on calibration
    /// data.
    Fisher,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Scope::Uniform => "uniform",
            Scope::Global => "global",
            Scope::Isomorphic => "isomorphic",
            Scope::Allocated => "allocated",
            Scope::Fisher => "fisher",
        })
    }
}

impl FromStr for Scope {
    type Err = Error;

    fn from_str(text: &str) -> Result<Scope> {
        match text {
            "uniform" => Ok(Scope::Uniform),
            "global" => Ok(Scope::Global),
            "isomorphic" => Ok(Scope::Isomorphic),
            "allocated" => Ok(Scope::Allocated),
            "fisher" => Ok(Scope::Fisher),
            _ => Err(Error::Usage(format!(
                "there is no scope '{text}'; choose one of uniform, global, isomorphic, allocated, fisher"
            ))),
        }
    }
}
