//! Installing the pinned onnxruntime: its wheel from the Python package index, by pip, checked by hash.
//!
//! Only the shared library inside matters, so any local Python with pip will do, whatever its version.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::process::Command;

use tempfile::{NamedTempFile, TempDir};

use super::library::{Library, PYTHONS, Source, cached_path, file_name};
use crate::error::{Error, Result};

/// The version that is installed.
pub const VERSION: &str = "1.31.1";

/// A wheel of the pinned version.
struct Wheel {
    os: &'static str,
    arch: &'static str,
    platform: &'static str,
    sha256: &'static str,
}

/// One row per system that the index has a wheel for.
const WHEELS: [Wheel; 5] = [
    Wheel {
        os: "linux",
        arch: "x86_64",
        platform: "manylinux_2_28_x86_64",
        sha256: "1f3dea47f2f0e5117c2404cea7d21fd253ae7836a3bf167a501cdfbb2600d536",
    },
    Wheel {
        os: "linux",
        arch: "aarch64",
        platform: "manylinux_2_28_aarch64",
        sha256: "0b9a492176886992e0e875f06bc0367e333f5fff11711a2d642e18b02f3009cc",
    },
    Wheel {
        os: "macos",
        arch: "aarch64",
        platform: "macosx_14_0_arm64",
        sha256: "96dd2564b10ea7153ad9c207e7cd8e5917cb3ba521e0e0a62ac03486fdc8d56c",
    },
    Wheel {
        os: "windows",
        arch: "x86_64",
        platform: "win_amd64",
        sha256: "ae8a9a351efda685cc59a66226cdefaa37a126c1d66872ca23a2de9425326130",
    },
    Wheel {
        os: "windows",
        arch: "aarch64",
        platform: "win_arm64",
        sha256: "fe8b9ac1ae8e894e12c47ee82e4f6dfc1835768133687257866469fda80d0bf1",
    },
];

/// Installs the pinned version into the cache, unless it is there. Says what it does in one line.
///
/// # Errors
/// No wheel for this system, no Python with pip, no network, a wrong hash, or an unwritable cache.
pub fn install(say: &mut dyn FnMut(&str)) -> Result<Library> {
    let target = cached_path()?;
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
    say(&format!(
        "installing onnxruntime {VERSION} into {} (once)",
        folder.display()
    ));
    let download = TempDir::new_in(folder).map_err(write)?;
    download_wheel(download.path())?;
    extract(download.path(), &target)?;
    Ok(library)
}

fn wheel() -> Result<&'static Wheel> {
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    let wheel = WHEELS
        .iter()
        .find(|wheel| wheel.os == os && wheel.arch == arch);
    wheel.ok_or_else(|| Error::Runtime {
        reason: format!("there is no prebuilt library for {os} on {arch}"),
        remedy: "build onnxruntime and name the library with --onnxruntime".to_owned(),
    })
}

fn download_wheel(folder: &Path) -> Result<()> {
    let wheel = wheel()?;
    let requirements = folder.join("requirements.txt");
    let line = format!("onnxruntime=={VERSION} --hash=sha256:{}\n", wheel.sha256);
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
            .args([
                "--python-version",
                "3.12",
                "--implementation",
                "cp",
                "--abi",
                "cp312",
            ])
            .args(["--platform", wheel.platform, "--dest"])
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
        reason: format!("it could not be installed ({})", failures.join("; ")),
        remedy:
            "install Python with pip and check the network, or name a library with --onnxruntime"
                .to_owned(),
    })
}

/// Takes the shared library out of the wheel in `folder`.
fn extract(folder: &Path, target: &Path) -> Result<()> {
    let broken = |reason: String| Error::Runtime {
        reason: format!("the downloaded package is unusable: {reason}"),
        remedy: "try again, or name a library with --onnxruntime".to_owned(),
    };
    let write = |source| Error::Write {
        path: target.to_owned(),
        source,
    };
    let entries = fs::read_dir(folder).map_err(write)?.flatten();
    let is_wheel = |path: &std::path::PathBuf| path.extension().is_some_and(|e| e == "whl");
    let wheel = entries.map(|entry| entry.path()).find(is_wheel);
    let wheel = wheel.ok_or_else(|| broken("it holds no wheel".to_owned()))?;
    let file = File::open(&wheel).map_err(write)?;
    let mut archive = zip::ZipArchive::new(file).map_err(|fault| broken(fault.to_string()))?;
    let inside = format!("onnxruntime/capi/{}", file_name());
    let mut entry = archive
        .by_name(&inside)
        .map_err(|fault| broken(format!("{inside}: {fault}")))?;
    let mut out = NamedTempFile::new_in(folder).map_err(write)?;
    io::copy(&mut entry, &mut out).map_err(write)?;
    out.flush().map_err(write)?;
    out.persist(target)
        .map_err(|refused| write(refused.error))?;
    Ok(())
}
