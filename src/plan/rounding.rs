//! To which widths kept channels are rounded.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Where a model is going to run: each has kernels of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Platform {
    /// onnxruntime's CPU provider.
    #[default]
    Cpu,
    /// NVIDIA GPUs, also by TensorRT.
    Cuda,
    /// WebGPU.
    Webgpu,
}

/// To which widths kept channels are rounded. In documents a number, `"auto"` or `"auto:TARGET"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
#[non_exhaustive]
pub enum RoundTo {
    /// To the nearest width that the kernels of the target like, which differs by dimension.
    Auto(Platform),
    /// Up to a multiple of this, per group in grouped convolutions; 1 rounds nothing.
    Multiple(usize),
}

/// How it is written in documents.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    Number(usize),
    Text(String),
}

impl Default for RoundTo {
    fn default() -> RoundTo {
        RoundTo::Auto(Platform::default())
    }
}

impl TryFrom<Written> for RoundTo {
    type Error = Error;

    fn try_from(written: Written) -> Result<RoundTo> {
        match written {
            Written::Number(multiple) => Ok(RoundTo::Multiple(multiple)),
            Written::Text(text) => text.parse(),
        }
    }
}

impl From<RoundTo> for Written {
    fn from(round_to: RoundTo) -> Written {
        match round_to {
            RoundTo::Multiple(multiple) => Written::Number(multiple),
            RoundTo::Auto(_) => Written::Text(round_to.to_string()),
        }
    }
}

impl fmt::Display for RoundTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RoundTo::Multiple(multiple) => write!(f, "{multiple}"),
            RoundTo::Auto(Platform::Cpu) => f.write_str("auto"),
            RoundTo::Auto(target) => write!(f, "auto:{target}"),
        }
    }
}

impl FromStr for RoundTo {
    type Err = Error;

    fn from_str(text: &str) -> Result<RoundTo> {
        let target = match text {
            "auto" | "auto:cpu" => Platform::Cpu,
            "auto:cuda" => Platform::Cuda,
            "auto:webgpu" => Platform::Webgpu,
            _ => {
                let number = text.parse().ok().filter(|&multiple| multiple > 0);
                return number.map(RoundTo::Multiple).ok_or_else(|| {
                    Error::Usage(format!(
                        "kept channels cannot be rounded to '{text}'; give auto, auto:cuda, auto:webgpu or a positive number"
                    ))
                });
            }
        };
        Ok(RoundTo::Auto(target))
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Platform::Cpu => "cpu",
            Platform::Cuda => "cuda",
            Platform::Webgpu => "webgpu",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Platform, RoundTo};

    #[test]
    fn numbers_of_older_documents_are_read() {
        let read = |text| serde_json::from_str::<RoundTo>(text);
        assert_eq!(read("8").expect("a number"), RoundTo::Multiple(8));
        assert_eq!(read("\"auto\"").expect("a word"), RoundTo::default());
        let cuda = RoundTo::Auto(Platform::Cuda);
        let text = serde_json::to_string(&cuda).expect("JSON");
        assert_eq!(read(&text).expect("a word"), cuda);
        assert!(read("\"often\"").is_err());
    }
}
