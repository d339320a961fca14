//! The cache: whether the libraries in it are those that were published.
//!
//! They are compared with the pins of the source, each time before they are loaded: a file that was cut short
//! would end the process, changed bytes would run.

use std::path::{Path, PathBuf};

use super::packages::Package;
use super::wheels::{Pin, published};
use crate::error::{Error, Result};
use crate::files;

/// What the cache has of a package.
#[derive(Debug)]
pub(super) enum Cached {
    /// Nothing.
    Absent,
    /// All of it, as it was published: the library that is loaded.
    Sound(PathBuf),
    /// Something else.
    Damaged(Damage),
}

/// A library in the cache that must not be loaded.
#[derive(Debug)]
pub(super) struct Damage {
    pub(super) package: Package,
    path: PathBuf,
    reason: String,
}

impl Damage {
    /// The file and what is wrong with it.
    pub(super) fn reason(&self) -> String {
        format!(
            "the cached library {} is damaged: {}",
            self.path.display(),
            self.reason
        )
    }

    /// The same with what to do.
    pub(super) fn error(&self) -> Error {
        Error::Runtime {
            reason: self.reason(),
            remedy: format!(
                "run `secateur runtime install {}` to repair it, or name a library with `library`",
                self.package.argument()
            ),
        }
    }
}

/// What the cache has of `package`; every library of it is read and hashed.
///
/// # Errors
/// There is no cache folder.
pub(super) fn cached(package: Package) -> Result<Cached> {
    let Some(wheel) = published(package) else {
        return Ok(Cached::Absent);
    };
    let folder = package.folder()?;
    let library = folder.join(wheel.libraries[0].name);
    if std::fs::symlink_metadata(&library).is_err() {
        return Ok(Cached::Absent);
    }
    for pin in wheel.libraries {
        let path = folder.join(pin.name);
        if let Err(reason) = compare(&path, pin) {
            return Ok(Cached::Damaged(Damage {
                package,
                path,
                reason,
            }));
        }
    }
    Ok(Cached::Sound(library))
}

/// That the file at `path` is what `pin` says.
pub(super) fn compare(path: &Path, pin: &Pin) -> Result<(), String> {
    let file = files::open(path).map_err(|fault| fault.to_string())?;
    let there = file.metadata().map_err(|fault| fault.to_string())?.len();
    if there != pin.bytes {
        return Err(format!(
            "it has {there} bytes, and {} were published",
            pin.bytes
        ));
    }
    let bytes = files::mapped(&file).map_err(|fault| fault.to_string())?;
    let mut hasher = blake3::Hasher::new();
    match hasher.update_rayon(&bytes).finalize().to_hex().as_str() == pin.blake3 {
        true => Ok(()),
        false => Err("its bytes are others than those that were published".to_owned()),
    }
}
