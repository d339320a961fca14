//! Installing onnxruntime and its plugins: pinned wheels from the Python package index, by pip.
//!
//! pip is asked for one wheel by its hash and runs no code of it. Only the shared libraries inside matter, so any
//! local Python with pip will do, whatever its version. They are taken out here, by their pinned names, and compared
//! with their pins before they get their names in the cache.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::cache::{Cached, Damage, cached, compare};
use super::library::{Library, PATH_VARIABLE, PYTHONS, Sought, Source, isolated};
use super::packages::{CACHE_VARIABLE, Package};
use super::wheels::{Pin, Wheel, wheel_for};
use crate::error::{Error, Result};
use crate::events::Events;
use crate::files;

/// Name of the file that a process holds while it installs.
const LOCK: &str = ".lock";
/// What folders begin with in which a wheel is unpacked.
const UNPACKING: &str = ".installing-";

/// Installs a package into the cache, unless it is there as it was published. Says what it does in one line.
///
/// # Errors
/// No wheel for this system, no Python with pip, no network, a wrong hash, or an unwritable cache.
pub fn install(package: Package, events: &mut dyn Events) -> Result<Library> {
    let wheel = wheel_for(package)?;
    let source = Source::Cache;
    if let Cached::Sound(path) = cached(package)? {
        return Ok(Library { path, source });
    }
    let folder = package.folder()?;
    fs::create_dir_all(&folder).map_err(|fault| unwritable(&folder, fault))?;
    let _lock = locked(&folder, events)?;
    let (name, version) = package.requirement();
    let place = folder.display();
    match cached(package)? {
        // Another process was there before.
        Cached::Sound(path) => return Ok(Library { path, source }),
        Cached::Absent => events.say(&format!("installing {name} {version} into {place} (once)")),
        Cached::Damaged(damage) => events.say(&format!(
            "{}; installing {name} {version} into {place} again",
            damage.reason()
        )),
    }
    sweep(&folder);
    let unpacked = tempfile::Builder::new()
        .prefix(UNPACKING)
        .tempdir_in(&folder)
        .map_err(|fault| unwritable(&folder, fault))?;
    download(wheel, unpacked.path())?;
    unpack(wheel, unpacked.path())?;
    // The library that is loaded comes last: until then the others are not looked for.
    for pin in wheel.libraries.iter().rev() {
        publish(&unpacked, &folder.join(pin.name)).map_err(|fault| unwritable(&folder, fault))?;
    }
    match cached(package)? {
        Cached::Sound(path) => Ok(Library { path, source }),
        Cached::Damaged(damage) => Err(damage.error()),
        Cached::Absent => Err(unusable("it was removed while it was installed")),
    }
}

/// Installs a package again where the cache has something else than was published.
///
/// # Errors
/// `offline` forbids it; those of [`install`].
pub fn repair(package: Package, offline: bool, events: &mut dyn Events) -> Result<()> {
    match cached(package)? {
        Cached::Damaged(damage) => mended(damage, offline, events).map(drop),
        Cached::Sound(_) | Cached::Absent => Ok(()),
    }
}

fn mended(damage: Damage, offline: bool, events: &mut dyn Events) -> Result<Library> {
    match offline {
        true => Err(damage.error()),
        false => install(damage.package, events),
    }
}

fn unwritable(folder: &Path, fault: io::Error) -> Error {
    Error::Runtime {
        reason: format!("{} cannot be written: {fault}", folder.display()),
        remedy: format!(
            "make it a folder that can be, name another with {CACHE_VARIABLE}, or name a library with `library`"
        ),
    }
}

fn unusable(reason: &str) -> Error {
    Error::Runtime {
        reason: format!("the downloaded package is unusable: {reason}"),
        remedy: "try again, or name a library with `library`".to_owned(),
    }
}

/// Of several processes that need a package at once one installs it, the others wait here.
fn locked(folder: &Path, events: &mut dyn Events) -> Result<File> {
    let path = folder.join(LOCK);
    let fault = |fault| unwritable(&path, fault);
    // A pipe of this name would be waited for.
    if path.exists() {
        files::open(&path).map_err(fault)?;
    }
    let lock = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .map_err(fault)?;
    match lock.try_lock() {
        Ok(()) => return Ok(lock),
        Err(TryLockError::WouldBlock) => events.say(&format!(
            "waiting for another process that installs into {}",
            folder.display()
        )),
        Err(TryLockError::Error(source)) => return Err(fault(source)),
    }
    lock.lock().map_err(fault)?;
    Ok(lock)
}

/// Removes what installations left behind that were ended: none is under way while the lock is held.
fn sweep(folder: &Path) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in entries {
        if entry.file_name().to_string_lossy().starts_with(UNPACKING) {
            // What stays is in nobody's way.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Has pip put the wheel into `folder`.
///
/// pip reads the user's own settings (index, proxy, certificates), which its isolated mode would not; code it gets
/// from its installation alone, since Python is isolated.
fn download(wheel: &Wheel, folder: &Path) -> Result<()> {
    let (name, version) = wheel.package.requirement();
    let requirements = folder.join("requirements.txt");
    let line = format!("{name}=={version} --hash=sha256:{}\n", wheel.sha256);
    fs::write(&requirements, line).map_err(|fault| unwritable(folder, fault))?;
    let mut failures = Vec::new();
    for python in PYTHONS {
        let output = isolated(python)
            .args(["-m", "pip", "download"])
            .args(["--quiet", "--disable-pip-version-check", "--no-input"])
            .args(["--no-deps", "--require-hashes", "--only-binary=:all:"])
            .args(["--python-version", "3.12", "--implementation", "cp"])
            .args(["--abi", "cp312", "--abi", "none"])
            .args(["--platform", wheel.platform])
            .arg("--dest")
            .arg(folder)
            .arg("--requirement")
            .arg(&requirements)
            .arg("--no-cache-dir")
            // pip asks for the version of rustc, and rustup, where it answers, leaves settings in the user's home.
            .env("RUSTUP_HOME", folder)
            .env_remove("RUSTUP_TOOLCHAIN")
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

/// Takes the pinned libraries out of the wheel in `folder`. Nothing else of it is read: no name that it holds becomes
/// a path, and no more bytes are unpacked than were published.
fn unpack(wheel: &Wheel, folder: &Path) -> Result<()> {
    let entries = fs::read_dir(folder).map_err(|fault| unwritable(folder, fault))?;
    let is_wheel = |path: &PathBuf| path.extension().is_some_and(|e| e == "whl");
    let path = entries.flatten().map(|entry| entry.path()).find(is_wheel);
    let path = path.ok_or_else(|| unusable("it holds no wheel"))?;
    let file = files::open(&path).map_err(|fault| unusable(&fault.to_string()))?;
    let mut archive =
        zip::ZipArchive::new(file).map_err(|fault| unusable(&format!("it is no zip: {fault}")))?;
    for pin in wheel.libraries {
        let inside = format!("{}{}", wheel.package.inside(), pin.name);
        let broken = |reason: &str| unusable(&format!("{inside}: {reason}"));
        let entry = archive.by_name(&inside);
        let entry = entry.map_err(|fault| broken(&fault.to_string()))?;
        let path = folder.join(pin.name);
        write(entry, pin, &path).map_err(|fault| broken(&fault.to_string()))?;
        compare(&path, pin).map_err(|reason| broken(&reason))?;
    }
    Ok(())
}

/// Writes as many bytes of `entry` as were published, and one more if it has more.
fn write(entry: impl Read, pin: &Pin, path: &Path) -> io::Result<()> {
    let mut out = File::create_new(path)?;
    io::copy(&mut entry.take(pin.bytes + 1), &mut out).map(drop)
}

/// Gives an unpacked library its place in the cache, whatever is there.
fn publish(unpacked: &TempDir, target: &Path) -> io::Result<()> {
    let Some(name) = target.file_name() else {
        return Ok(());
    };
    // A folder cannot be replaced; it goes away with the folder that it is moved to.
    if fs::symlink_metadata(target).is_ok_and(|there| there.is_dir()) {
        let mut aside = name.to_owned();
        aside.push(".folder");
        fs::rename(target, unpacked.path().join(aside))?;
    }
    fs::rename(unpacked.path().join(name), target)
}

impl Library {
    /// As [`Library::find`], and installs the pinned version into the cache where there is none, or where what is
    /// there is damaged.
    ///
    /// # Errors
    /// There is none and `offline` forbids to install it, or the installation fails.
    pub fn find_or_install(
        given: Option<&Path>,
        preferred: &[Package],
        offline: bool,
        events: &mut dyn Events,
    ) -> Result<Library> {
        match Library::look(given, preferred)? {
            Sought::Usable(library) => return Ok(library),
            Sought::Damaged(damage) => return mended(damage, offline, events),
            Sought::Nothing => {}
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
