//! Installing onnxruntime and its plugins: pinned wheels from the Python package index, by pip, checked by
//! hash.
//!
//! Only the shared libraries inside matter, so any local Python with pip will do, whatever its version.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::library::{Library, PYTHONS, Source, cache_folder};
use crate::error::{Error, Result};
use crate::files;

/// The version of onnxruntime that is installed.
pub const VERSION: &str = "1.31.1";

/// What can be installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Package {
    /// onnxruntime with the CPU provider.
    Cpu,
    /// onnxruntime with the CUDA and TensorRT providers.
    Cuda,
    /// The WebGPU plugin provider.
    WebGpu,
}

/// A wheel of a package for one system.
struct Wheel {
    package: Package,
    os: &'static str,
    arch: &'static str,
    platform: &'static str,
    sha256: &'static str,
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
    fn inside(self) -> &'static str {
        match self {
            Cpu | Cuda => "onnxruntime/capi/",
            WebGpu => "onnxruntime_ep_webgpu/",
        }
    }

    /// File name of the library that is loaded.
    fn library(self) -> String {
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
    fn target(self) -> Result<PathBuf> {
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

/// Installs a package into the cache, unless it is there. Says what it does in one line.
///
/// # Errors
/// No wheel for this system, no Python with pip, no network, a wrong hash, or an unwritable cache.
pub fn install(package: Package, say: &mut dyn FnMut(&str)) -> Result<Library> {
    let target = package.target()?;
    let library = Library {
        path: target.clone(),
        source: Source::Cache,
    };
    if target.is_file() {
        return Ok(library);
    }
    let folder = target.parent().unwrap_or(Path::new("."));
    let write = |source| Error::Write {
        path: folder.to_owned(),
        source,
    };
    fs::create_dir_all(folder).map_err(write)?;
    // Of several processes that need it at once one installs, the others wait for it.
    let lock = File::create(folder.join(".lock")).map_err(write)?;
    lock.lock().map_err(write)?;
    if target.is_file() {
        return Ok(library);
    }
    let (name, version) = package.requirement();
    say(&format!(
        "installing {name} {version} into {} (once)",
        folder.display()
    ));
    let download = TempDir::new_in(folder).map_err(write)?;
    download_wheel(package, download.path())?;
    extract(package, download.path(), &target)?;
    Ok(library)
}

fn wheel_for(package: Package) -> Result<&'static Wheel> {
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    let fits = |wheel: &&Wheel| wheel.package == package && wheel.os == os && wheel.arch == arch;
    WHEELS.iter().find(fits).ok_or_else(|| Error::Runtime {
        reason: format!(
            "there is no prebuilt {} for {os} on {arch}",
            package.requirement().0
        ),
        remedy: "build it and name the library with --onnxruntime or --provider plugin:LIBRARY"
            .to_owned(),
    })
}

fn download_wheel(package: Package, folder: &Path) -> Result<()> {
    let wheel = wheel_for(package)?;
    let (name, version) = package.requirement();
    let requirements = folder.join("requirements.txt");
    let line = format!("{name}=={version} --hash=sha256:{}\n", wheel.sha256);
    fs::write(&requirements, line).map_err(|source| Error::Write {
        path: requirements.clone(),
        source,
    })?;
    let mut failures = Vec::new();
    for python in PYTHONS {
        let output = Command::new(python)
            .args([
                "-m",
                "pip",
                "download",
                "--quiet",
                "--disable-pip-version-check",
            ])
            .args(["--no-deps", "--require-hashes", "--only-binary=:all:"])
            .args(["--python-version", "3.12", "--implementation", "cp"])
            .args([
                "--abi",
                "cp312",
                "--abi",
                "none",
                "--platform",
                wheel.platform,
            ])
            .arg("--dest")
            .arg(folder)
            .arg("--requirement")
            .arg(&requirements)
            .output();
        match output {
            Ok(output) if output.status.success() => return Ok(()),
            Ok(output) => {
                let text = String::from_utf8_lossy(&output.stderr);
                let last = text.lines().rfind(|line| !line.trim().is_empty());
                failures.push(format!("{python}: {}", last.unwrap_or("pip failed")));
            }
            Err(source) if source.kind() == io::ErrorKind::NotFound => {}
            Err(source) => failures.push(format!("{python}: {source}")),
        }
    }
    if failures.is_empty() {
        failures.push("no Python was found".to_owned());
    }
    Err(Error::Runtime {
        reason: format!("{name} could not be installed ({})", failures.join("; ")),
        remedy:
            "install Python with pip and check the network, or name a library with --onnxruntime"
                .to_owned(),
    })
}

/// Takes the shared libraries out of the wheel in `folder`; the one that is looked for comes last, so that
/// it is there only when all are.
fn extract(package: Package, folder: &Path, target: &Path) -> Result<()> {
    let broken = |reason: String| Error::Runtime {
        reason: format!("the downloaded package is unusable: {reason}"),
        remedy: "try again, or name a library with --onnxruntime".to_owned(),
    };
    let write = |source| Error::Write {
        path: target.to_owned(),
        source,
    };
    let entries = fs::read_dir(folder).map_err(write)?.flatten();
    let is_wheel = |path: &PathBuf| path.extension().is_some_and(|e| e == "whl");
    let wheel = entries.map(|entry| entry.path()).find(is_wheel);
    let wheel = wheel.ok_or_else(|| broken("it holds no wheel".to_owned()))?;
    let file = File::open(&wheel).map_err(write)?;
    let mut archive = zip::ZipArchive::new(file).map_err(|fault| broken(fault.to_string()))?;
    let library = package.library();
    let mut names: Vec<String> = archive
        .file_names()
        .filter_map(|path| Some(path.ok()?.strip_prefix(package.inside())?.to_owned()))
        .filter(|name| !name.contains('/') && !name.contains("pybind"))
        .filter(|name| {
            [".so", ".dll", ".dylib"]
                .iter()
                .any(|end| name.contains(end))
        })
        .collect();
    if !names.contains(&library) {
        return Err(broken(format!("{library} is not in it")));
    }
    names.sort_by_key(|name| *name == library);
    for name in names {
        let path = format!("{}{name}", package.inside());
        let mut entry = archive
            .by_name(&path)
            .map_err(|fault| broken(format!("{path}: {fault}")))?;
        let target = target.with_file_name(name);
        files::replace(&target, |out| io::copy(&mut entry, out).map(drop))?;
    }
    Ok(())
}
