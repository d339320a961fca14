//! What is asked of a quantisation.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::algebra::Codes;
use crate::error::{Error, Result};

/// Bits of the weights' codes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum WeightBits {
    /// From -64 to 64: two products with an 8-bit number fit 16 bits, so that no kernel overflows.
    #[default]
    Seven,
    /// From -127 to 127: for kernels that add products in 32 bits (x86 with VNNI, ARM, GPUs).
    Eight,
}

impl WeightBits {
    pub(crate) fn codes(self) -> Codes {
        Codes {
            limit: match self {
                WeightBits::Seven => 64,
                WeightBits::Eight => 127,
            },
        }
    }
}

impl fmt::Display for WeightBits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            WeightBits::Seven => "7",
            WeightBits::Eight => "8",
        })
    }
}

impl FromStr for WeightBits {
    type Err = Error;

    fn from_str(text: &str) -> Result<WeightBits> {
        match text {
            "7" => Ok(WeightBits::Seven),
            "8" => Ok(WeightBits::Eight),
            _ => Err(Error::Usage(format!(
                "weights have 7 or 8 bits, not '{text}'"
            ))),
        }
    }
}

/// What is asked of a quantisation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct QuantiseSettings {
    /// Bits of the weights.
    pub weights: WeightBits,
    /// Only weights become codes, which are made real numbers again when the model is loaded.
    pub weight_only: bool,
    /// Layers whose name matches one of these globs stay real.
    pub keep: Vec<String>,
}
