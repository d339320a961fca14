//! What can be installed: pinned wheels by system, with their hashes, and where their libraries are kept.

use std::path::PathBuf;

use etcetera::{BaseStrategy, choose_base_strategy};

use crate::error::{Error, Result};

/// Environment variable with the folder for downloaded libraries.
const CACHE_VARIABLE: &str = "SECATEUR_CACHE";

/// The version of onnxruntime that is installed.
pub const VERSION: &str = "1.31.1";

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

/// A wheel of a package for one system.
pub(super) struct Wheel {
    package: Package,
    os: &'static str,
    arch: &'static str,
    pub(super) platform: &'static str,
    pub(super) sha256: &'static str,
}

const fn wheel(
    package: Package,
    os: &'static str,
    arch: &'static str,
    platform: &'static str,
    sha256: &'static str,
) -> Wheel {
    Wheel {
        package,
        os,
        arch,
        platform,
        sha256,
    }
}

use Package::{Cpu, Cuda, WebGpu};

/// One row per package and system that the index has a wheel for.
#[rustfmt::skip]
const WHEELS: [Wheel; 12] = [
    wheel(Cpu, "linux", "x86_64", "manylinux_2_28_x86_64", "1f3dea47f2f0e5117c2404cea7d21fd253ae7836a3bf167a501cdfbb2600d536"),
    wheel(Cpu, "linux", "aarch64", "manylinux_2_28_aarch64", "0b9a492176886992e0e875f06bc0367e333f5fff11711a2d642e18b02f3009cc"),
    wheel(Cpu, "macos", "aarch64", "macosx_14_0_arm64", "96dd2564b10ea7153ad9c207e7cd8e5917cb3ba521e0e0a62ac03486fdc8d56c"),
    wheel(Cpu, "windows", "x86_64", "win_amd64", "ae8a9a351efda685cc59a66226cdefaa37a126c1d66872ca23a2de9425326130"),
    wheel(Cpu, "windows", "aarch64", "win_arm64", "fe8b9ac1ae8e894e12c47ee82e4f6dfc1835768133687257866469fda80d0bf1"),
    wheel(Cuda, "linux", "x86_64", "manylinux_2_28_x86_64", "05d548956197b9d01f59b625de740e0d6be3593f874e241a12dc0362650ecdf7"),
    wheel(Cuda, "windows", "x86_64", "win_amd64", "2bb1e9373baba88f6415257f5b6a589d23e23c16004f7d89adf4344eada5749e"),
    wheel(WebGpu, "linux", "x86_64", "manylinux_2_28_x86_64", "5d8c961eda91a88961cad1fb7621f389f006b18497d6ea9ecf96f729f066cbfb"),
    wheel(WebGpu, "linux", "aarch64", "manylinux_2_28_aarch64", "17f660db53b1a509c63e721ac6784a2daa1c4e91a968523ee9986505ee5b0a55"),
    wheel(WebGpu, "macos", "aarch64", "macosx_14_0_universal2", "8d0a91d44b43d931c3068b9134aed9770f27803e353c2b58c93e1700bb68bcca"),
    wheel(WebGpu, "windows", "x86_64", "win_amd64", "7db646669d1a2390551da675115ea125e68cb3d4d2c3a2d6e463372bf8d6ea87"),
    wheel(WebGpu, "windows", "aarch64", "win_arm64", "a9586f6744370776059edd794c11bca2f563258a5bd2707864aefff31d3af39f"),
];

impl Package {
    /// Name and version in the Python package index.
    pub fn requirement(self) -> (&'static str, &'static str) {
        match self {
            Cpu => ("onnxruntime", VERSION),
            Cuda => ("onnxruntime-gpu", VERSION),
            WebGpu => ("onnxruntime-ep-webgpu", "0.4.0"),
        }
    }

    /// The folder inside the wheel that holds the libraries.
    pub(super) fn inside(self) -> &'static str {
        match self {
            Cpu | Cuda => "onnxruntime/capi/",
            WebGpu => "onnxruntime_ep_webgpu/",
        }
    }

    /// File name of the library that is loaded.
    pub(super) fn library(self) -> String {
        match (self, std::env::consts::OS) {
            (WebGpu, "windows") => "onnxruntime_providers_webgpu.dll".to_owned(),
            (WebGpu, "macos") => "libonnxruntime_providers_webgpu.dylib".to_owned(),
            (WebGpu, _) => "libonnxruntime_providers_webgpu.so".to_owned(),
            (Cpu | Cuda, "windows") => "onnxruntime.dll".to_owned(),
            (Cpu | Cuda, "macos") => format!("libonnxruntime.{VERSION}.dylib"),
            (Cpu | Cuda, _) => format!("libonnxruntime.so.{VERSION}"),
        }
    }

    /// Where the package's library is kept.
    pub(super) fn target(self) -> Result<PathBuf> {
        let (name, version) = self.requirement();
        Ok(cache_folder()?
            .join(format!("{name}-{version}"))
            .join(self.library()))
    }
}

/// The library of a package in the cache, if it was installed.
///
/// # Errors
/// There is no cache folder.
pub(super) fn installed(package: Package) -> Result<Option<PathBuf>> {
    let target = package.target()?;
    Ok(target.is_file().then_some(target))
}

/// The wheel of a package for this system.
///
/// # Errors
/// There is none.
pub(super) fn wheel_for(package: Package) -> Result<&'static Wheel> {
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    let fits = |wheel: &&Wheel| wheel.package == package && wheel.os == os && wheel.arch == arch;
    WHEELS.iter().find(fits).ok_or_else(|| Error::Runtime {
        reason: format!(
            "there is no prebuilt {} for {os} on {arch}",
            package.requirement().0
        ),
        remedy: "build it and name the library with `library` or `provider` plugin:LIBRARY"
            .to_owned(),
    })
}

/// The folder that downloaded libraries are kept in: `SECATEUR_CACHE`, or the user's cache folder.
///
/// # Errors
/// The user has no home folder.
pub fn cache_folder() -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os(CACHE_VARIABLE).filter(|folder| !folder.is_empty()) {
        return Ok(PathBuf::from(folder));
    }
    let strategy = choose_base_strategy().map_err(|_| Error::Runtime {
        reason: "there is no home folder to keep libraries in".to_owned(),
        remedy: format!("set {CACHE_VARIABLE} to a folder"),
    })?;
    Ok(strategy.cache_dir().join("secateur"))
}
