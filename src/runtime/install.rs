//! Installing onnxruntime and its plugins: pinned wheels from the Python package index, by pip, checked by
//! hash.
//!
//! Only the shared libraries inside matter, so any local Python with pip will do, whatever its version.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::library::{Library, PATH_VARIABLE, PYTHONS, Source, isolated};
use super::packages::{Package, wheel_for};
use crate::error::{Error, Result};
use crate::events::Events;
use crate::files;

/// Installs a package into the cache, unless it is there. Says what it does in one line.
///
/// # Errors
/// No wheel for this system, no Python with pip, no network, a wrong hash, or an unwritable cache.
pub fn install(package: Package, events: &mut dyn Events) -> Result<Library> {
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
    events.say(&format!(
        "installing {name} {version} into {} (once)",
        folder.display()
    ));
    let download = files::temporary_folder(folder).map_err(write)?;
    download_wheel(package, download.path())?;
    extract(package, download.path(), &target)?;
    Ok(library)
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
        let output = isolated(python)
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
        remedy: "install Python with pip and check the network, or name a library with `library`"
            .to_owned(),
    })
}

/// Takes the shared libraries out of the wheel in `folder`; the one that is looked for comes last, so that
/// it is there only when all are.
fn extract(package: Package, folder: &Path, target: &Path) -> Result<()> {
    let broken = |reason: String| Error::Runtime {
        reason: format!("the downloaded package is unusable: {reason}"),
        remedy: "try again, or name a library with `library`".to_owned(),
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

impl Library {
    /// As [`Library::find`], and installs the pinned version into the cache where there is none.
    ///
    /// # Errors
    /// There is none and `offline` forbids to install it, or the installation fails.
    pub fn find_or_install(
        given: Option<&Path>,
        preferred: &[Package],
        offline: bool,
        events: &mut dyn Events,
    ) -> Result<Library> {
        if let Some(library) = Library::find(given, preferred)? {
            return Ok(library);
        }
        if offline {
            return Err(Error::Runtime {
                reason: "no library was found and `offline` forbids to install one".to_owned(),
                remedy: format!(
                    "run `secateur runtime install` once, or name a library with `library` or {PATH_VARIABLE}"
                ),
            });
        }
        install(Package::Cpu, events)
    }
}
