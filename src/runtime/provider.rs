//! Execution providers: how they are named, and what makes each available.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Where a session runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Provider {
    /// The CPU.
    Cpu,
    /// An NVIDIA GPU by CUDA.
    Cuda {
        /// Number of the device.
        device: u32,
    },
    /// An NVIDIA GPU by TensorRT.
    TensorRt {
        /// Number of the device.
        device: u32,
    },
    /// Any GPU by WebGPU (a plugin library).
    WebGpu,
    /// Any onnxruntime plugin provider.
    Plugin {
        /// The plugin's shared library.
        library: PathBuf,
        /// The provider's registered name, where the library has several.
        name: Option<String>,
    },
}

impl Provider {
    /// The name that onnxruntime gives the provider; for a plugin the given one.
    pub fn registered_name(&self) -> &str {
        match self {
            Provider::Cpu => "CPUExecutionProvider",
            Provider::Cuda { .. } => "CUDAExecutionProvider",
            Provider::TensorRt { .. } => "TensorrtExecutionProvider",
            Provider::WebGpu => "WebGpuExecutionProvider",
            Provider::Plugin { name, .. } => name.as_deref().unwrap_or(""),
        }
    }

    /// True for those that only the CUDA build of onnxruntime has.
    pub(crate) fn needs_cuda(&self) -> bool {
        matches!(self, Provider::Cuda { .. } | Provider::TensorRt { .. })
    }

    /// What to install where the provider is not available.
    pub(crate) fn remedy(&self) -> &'static str {
        match self {
            Provider::Cpu => "run `secateur runtime install`",
            Provider::Cuda { .. } | Provider::TensorRt { .. } => {
                "run `secateur runtime install cuda`, and install the NVIDIA driver with CUDA 13 and cuDNN 9 (for TensorRT also TensorRT 10)"
            }
            Provider::WebGpu => {
                "run `secateur runtime install webgpu`, and install a Vulkan, Metal or Direct3D 12 driver"
            }
            Provider::Plugin { .. } => "check the library's path and what it depends on",
        }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Provider::Cpu => f.write_str("cpu"),
            Provider::Cuda { device } => write!(f, "cuda:{device}"),
            Provider::TensorRt { device } => write!(f, "tensorrt:{device}"),
            Provider::WebGpu => f.write_str("webgpu"),
            Provider::Plugin { library, name } => {
                write!(f, "plugin:{}", library.display())?;
                name.iter().try_for_each(|name| write!(f, ",{name}"))
            }
        }
    }
}

impl FromStr for Provider {
    type Err = Error;

    fn from_str(text: &str) -> Result<Provider> {
        let (kind, rest) = match text.split_once(':') {
            Some((kind, rest)) => (kind, Some(rest)),
            None => (text, None),
        };
        let device = || match rest {
            None => Ok(0),
            Some(number) => number
                .parse()
                .map_err(|_| Error::Usage(format!("'{number}' is no device number"))),
        };
        match (kind, rest) {
            ("cpu", None) => Ok(Provider::Cpu),
            ("webgpu", None) => Ok(Provider::WebGpu),
            ("cuda", _) => Ok(Provider::Cuda { device: device()? }),
            ("tensorrt", _) => Ok(Provider::TensorRt { device: device()? }),
            ("plugin", Some(rest)) if !rest.is_empty() => {
                let (library, name) = match rest.rsplit_once(',') {
                    Some((library, name)) => (library, Some(name.to_owned())),
                    None => (rest, None),
                };
                let library = PathBuf::from(library);
                Ok(Provider::Plugin { library, name })
            }
            _ => Err(Error::Usage(format!(
                "there is no provider '{text}'; choose cpu, cuda[:DEVICE], tensorrt[:DEVICE], webgpu or plugin:LIBRARY[,NAME]"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for text in [
            "cpu",
            "cuda:0",
            "cuda:3",
            "tensorrt:1",
            "webgpu",
            "plugin:/a/b.so",
            "plugin:/a/b.so,MyProvider",
        ] {
            assert_eq!(
                text.parse::<Provider>().expect("a provider").to_string(),
                text
            );
        }
        for text in ["", "gpu", "cpu:1", "cuda:x", "plugin:", "webgpu:0"] {
            assert!(text.parse::<Provider>().is_err(), "{text}");
        }
    }
}
