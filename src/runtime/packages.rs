//! What can be installed, in which version, and where it is kept.

use std::path::PathBuf;

use etcetera::{BaseStrategy, choose_base_strategy};

use crate::error::{Error, Result};

/// Environment variable with the folder for downloaded libraries.
pub(super) const CACHE_VARIABLE: &str = "SECATEUR_CACHE";

/// The version of onnxruntime that is installed.
pub const VERSION: &str = "1.32.0";

/// What can be installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Package {
    /// onnxruntime with the CPU provider.
    Cpu,
    /// onnxruntime with the CUDA and TensorRT providers.
    Cuda,
    /// The WebGPU plugin provider.
    WebGpu,
}

impl Package {
    /// Name and version in the Python package index.
    pub fn requirement(self) -> (&'static str, &'static str) {
        match self {
            Package::Cpu => ("onnxruntime", VERSION),
            // The newest that the index has a build with CUDA of.
            Package::Cuda => ("onnxruntime-gpu", "1.31.1"),
            Package::WebGpu => ("onnxruntime-ep-webgpu", "0.4.0"),
        }
    }

    /// What `runtime install` calls it.
    pub(super) fn argument(self) -> &'static str {
        match self {
            Package::Cpu => "cpu",
            Package::Cuda => "cuda",
            Package::WebGpu => "webgpu",
        }
    }

    /// The folder inside the wheel that holds the libraries.
    pub(super) fn inside(self) -> &'static str {
        match self {
            Package::Cpu | Package::Cuda => "onnxruntime/capi/",
            Package::WebGpu => "onnxruntime_ep_webgpu/",
        }
    }

    /// Where the package's libraries are kept.
    ///
    /// # Errors
    /// There is no cache folder.
    pub(super) fn folder(self) -> Result<PathBuf> {
        let (name, version) = self.requirement();
        Ok(cache_folder()?.join(format!("{name}-{version}")))
    }
}

/// The folder that downloaded libraries are kept in: `SECATEUR_CACHE`, or the user's cache folder. An absolute path.
///
/// # Errors
/// The user has no home folder.
pub fn cache_folder() -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os(CACHE_VARIABLE).filter(|folder| !folder.is_empty()) {
        // pip works in another folder than ours.
        return std::path::absolute(&folder).map_err(|source| Error::Write {
            path: folder.into(),
            source,
        });
    }
    let strategy = choose_base_strategy().map_err(|_| Error::Runtime {
        reason: "there is no home folder to keep libraries in".to_owned(),
        remedy: format!("set {CACHE_VARIABLE} to a folder"),
    })?;
    Ok(strategy.cache_dir().join("secateur"))
}
