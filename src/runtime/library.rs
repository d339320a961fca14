//! Finding the onnxruntime library.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use serde::{Deserialize, Serialize};

use super::cache::{Cached, Damage, cached};
use super::elf::cut_short;
use super::held;
use super::packages::Package;
use crate::error::{Error, Result};

/// Oldest minor version of onnxruntime 1.x whose interface we can use.
pub const OLDEST_MINOR: u32 = 24;
/// Environment variable with the path of the library.
pub(super) const PATH_VARIABLE: &str = "ORT_DYLIB_PATH";

/// How a library was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Source {
    /// Named by `--onnxruntime`.
    Given,
    /// Named by `ORT_DYLIB_PATH`.
    Environment,
    /// Installed into the cache by this tool.
    Cache,
    /// In the `onnxruntime` package of the Python on the path.
    Python,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Source::Given => "`library`",
            Source::Environment => PATH_VARIABLE,
            Source::Cache => "secateur's cache",
            Source::Python => "Python's onnxruntime package",
        })
    }
}

/// An onnxruntime library on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Library {
    /// The shared library.
    pub path: PathBuf,
    /// How it was found.
    pub source: Source,
}

/// What the program that this library is a part of has of onnxruntime in its own environment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Hosted {
    /// This library.
    Library(PathBuf),
    /// None that can be used, and what to do about it: none is installed then.
    Missing {
        /// What is wrong.
        reason: String,
        /// What to do.
        remedy: String,
    },
}

static HOSTED: Mutex<Option<Hosted>> = Mutex::new(None);

impl Hosted {
    /// From now on, this is what the program has: it goes before what other programs have.
    pub fn declare(self) {
        *held(&HOSTED) = Some(self);
    }

    /// The library that a part of this program which runs in another process has to be told of.
    #[cfg(feature = "cli")]
    pub(crate) fn to_tell() -> Option<PathBuf> {
        match (held(&HOSTED).clone(), named_by_variable()) {
            (Some(Hosted::Library(path)), None) => Some(path),
            _ => None,
        }
    }
}

fn named_by_variable() -> Option<PathBuf> {
    let variable = std::env::var_os(PATH_VARIABLE).filter(|path| !path.is_empty());
    variable.map(PathBuf::from)
}

/// What looking for a library came to.
pub(super) enum Sought {
    /// One that can be loaded.
    Usable(Library),
    /// One in the cache that must not be.
    Damaged(Damage),
    /// None.
    Nothing,
}

impl Library {
    /// The library that a command would use, in this order: `given`, `ORT_DYLIB_PATH`, the packages in `preferred` in the
    /// cache, what is [`Hosted`], the CPU package in the cache, the active Python. `None` if there is none yet.
    ///
    /// # Errors
    /// A named library that is not there, or one in the cache that is not as it was published.
    pub fn find(given: Option<&Path>, preferred: &[Package]) -> Result<Option<Library>> {
        match Library::look(given, preferred)? {
            Sought::Usable(library) => Ok(Some(library)),
            Sought::Damaged(damage) => Err(damage.error()),
            Sought::Nothing => Ok(None),
        }
    }

    pub(super) fn look(given: Option<&Path>, preferred: &[Package]) -> Result<Sought> {
        let named = [
            (given.map(Path::to_owned), Source::Given),
            (named_by_variable(), Source::Environment),
        ];
        for (path, source) in named {
            let Some(path) = path else { continue };
            if !path.is_file() {
                return Err(Error::Runtime {
                    reason: format!("{} named by {source} is not a file", path.display()),
                    remedy: "correct the path, or leave it out to let secateur find or install one"
                        .to_owned(),
                });
            }
            // What is not absolute would be looked for beside the program first.
            let path = std::path::absolute(&path).unwrap_or(path);
            let library = Library { path, source };
            library.check_whole()?;
            return Ok(Sought::Usable(library));
        }
        if let Some(sought) = in_cache(preferred)? {
            return Ok(sought);
        }
        let hosted = held(&HOSTED).clone();
        if let Some(Hosted::Library(path)) = hosted {
            let source = Source::Python;
            let library = Library { path, source };
            library.check_whole()?;
            return Ok(Sought::Usable(library));
        }
        if let Some(sought) = in_cache(&[Package::Cpu])? {
            return Ok(sought);
        }
        if let Some(Hosted::Missing { reason, remedy }) = hosted {
            return Err(Error::Runtime { reason, remedy });
        }
        let Some(library) = in_python() else {
            return Ok(Sought::Nothing);
        };
        library.check_whole()?;
        Ok(Sought::Usable(library))
    }

    /// That a library that nothing is known of can be loaded as far as its size goes.
    fn check_whole(&self) -> Result<()> {
        let place = format!("{} (from {})", self.path.display(), self.source);
        let reason = match cut_short(&self.path) {
            Ok(None) => return Ok(()),
            Ok(Some((needed, there))) => {
                format!("{place} was cut short: {there} of {needed} bytes are there")
            }
            Err(fault) => format!("{place} cannot be read: {fault}"),
        };
        Err(Error::Runtime {
            reason,
            remedy: "install it again, or name another library with `library`".to_owned(),
        })
    }
}

/// The first of these packages that is in the cache.
fn in_cache(packages: &[Package]) -> Result<Option<Sought>> {
    for &package in packages {
        let source = Source::Cache;
        match cached(package)? {
            Cached::Sound(path) => return Ok(Some(Sought::Usable(Library { path, source }))),
            Cached::Damaged(damage) => return Ok(Some(Sought::Damaged(damage))),
            Cached::Absent => {}
        }
    }
    Ok(None)
}

/// Commands that may start the active Python.
pub(super) const PYTHONS: [&str; 3] = ["python3", "python", "py"];

/// Prints version and folder of the installed package without importing it.
const LOCATE: &str = "import importlib.metadata as m, importlib.util as u
print(m.version('onnxruntime'))
print(list(u.find_spec('onnxruntime').submodule_search_locations)[0])";

/// A Python that takes no code from the working directory, from the environment or from the user's own folder.
pub(super) fn isolated(python: &str) -> Command {
    let mut command = Command::new(python);
    command.arg("-I");
    // Where nobody but the system's owner puts files, so that the name of the program is looked up there at most.
    #[cfg(unix)]
    command.current_dir("/");
    command
}

fn in_python() -> Option<Library> {
    let output = PYTHONS.iter().find_map(|python| {
        let output = isolated(python).args(["-c", LOCATE]).output().ok()?;
        output.status.success().then_some(output.stdout)
    })?;
    let text = String::from_utf8(output).ok()?;
    let mut lines = text.lines();
    let (version, folder) = (lines.next()?, lines.next()?);
    let minor: u32 = version.split('.').nth(1)?.parse().ok()?;
    if minor < OLDEST_MINOR {
        tracing::info!("Python's onnxruntime {version} is too old, ignored");
        return None;
    }
    let folder = Path::new(folder).join("capi");
    let is_library = |name: &str| {
        name == "onnxruntime.dll"
            || name.starts_with("libonnxruntime.so")
            || (name.starts_with("libonnxruntime.") && name.ends_with(".dylib"))
    };
    let mut names: Vec<PathBuf> = std::fs::read_dir(folder)
        .ok()?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            path.file_name()
                .and_then(|n| n.to_str())
                .is_some_and(is_library)
        })
        .collect();
    names.sort();
    let path = names.pop()?;
    let source = Source::Python;
    Some(Library { path, source })
}
