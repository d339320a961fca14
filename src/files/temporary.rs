//! Temporary files and folders that no run leaves behind.
//!
//! Each is locked as long as its run lives. What bears our name and is not locked belongs to a dead run, and the next
//! run that writes there removes it. Those of this run are listed, so that an interrupted run can remove them.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tempfile::{NamedTempFile, TempDir};

use crate::error::{Error, Result};

pub(super) const FILE_PREFIX: &str = ".secateur-";
pub(super) const FILE_SUFFIX: &str = ".part";
pub(super) const FOLDER_PREFIX: &str = "secateur-";
pub(super) const FOLDER_SUFFIX: &str = ".tmp";
/// Random characters between prefix and suffix.
pub(super) const RANDOM: usize = 6;
/// Times that a name is made anew because a sweep took it before it was locked.
const TRIES: usize = 16;

/// The temporary files and folders of this process.
static ALIVE: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

fn alive() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    ALIVE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes all temporary files and folders of this process, for a program that is about to end early.
///
/// Files that are being renamed into place are waited for. No other can be made or renamed afterwards: threads that
/// try it wait for the end of the process.
pub fn remove_temporaries() {
    let alive = alive();
    for path in alive.iter() {
        let _ = match path.is_dir() {
            true => std::fs::remove_dir_all(path),
            false => std::fs::remove_file(path),
        };
    }
    std::mem::forget(alive);
}

thread_local! {
    /// Set where the run of this thread may write no more.
    static INTERRUPTED: RefCell<Option<Arc<AtomicBool>>> = const { RefCell::new(None) };
}

/// From now on, this thread makes and renames no file once `flag` is set: a run that is given up leaves nothing behind,
/// however long it takes to notice.
pub fn write_nothing_after(flag: Arc<AtomicBool>) {
    INTERRUPTED.with(|interrupted| interrupted.replace(Some(flag)));
}

fn check_not_interrupted() -> io::Result<()> {
    let set = |flag: &Arc<AtomicBool>| flag.load(Ordering::Relaxed);
    match INTERRUPTED.with(|flag| flag.borrow().as_ref().is_some_and(set)) {
        true => Err(io::Error::other("the run was interrupted")),
        false => Ok(()),
    }
}

/// Whether a folder is a temporary one of this process, and so locked by it.
pub(super) fn is_own(folder: &Path) -> bool {
    alive().contains(folder)
}

/// Runs `work` as one step that [`remove_temporaries`] does not come between.
pub(super) fn uninterrupted<T>(work: impl FnOnce() -> T) -> T {
    let _alive = alive();
    work()
}

/// A path that is listed as long as this lives.
#[derive(Debug)]
struct Listed(PathBuf);

impl Drop for Listed {
    fn drop(&mut self) {
        alive().remove(&self.0);
    }
}

/// A locked file beside the one that it is going to replace; it is deleted unless it is renamed.
#[derive(Debug)]
pub(crate) struct Temporary {
    file: NamedTempFile,
    _listed: Listed,
}

impl Temporary {
    pub(super) fn new_in(folder: &Path) -> io::Result<Temporary> {
        let mut builder = file_names();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            // Temporary files are private by default; a model gets the permissions of any new file.
            builder.permissions(std::fs::Permissions::from_mode(0o666));
        }
        check_not_interrupted()?;
        for _ in 0..TRIES {
            let mut alive = alive();
            let file = builder.tempfile_in(folder)?;
            alive.insert(file.path().to_owned());
            drop(alive);
            let listed = Listed(file.path().to_owned());
            if locked_at(file.as_file(), file.path()) {
                return Ok(Temporary {
                    file,
                    _listed: listed,
                });
            }
        }
        Err(io::Error::other("its temporary file was removed"))
    }

    pub(super) fn as_file(&self) -> &File {
        self.file.as_file()
    }

    pub(super) fn path(&self) -> &Path {
        self.file.path()
    }

    /// Bytes that were written, of what is going to be at `target`.
    pub(crate) fn length(&self, target: &Path) -> Result<u64> {
        let metadata = self.file.as_file().metadata();
        metadata.map(|of| of.len()).map_err(|source| Error::Write {
            path: target.to_owned(),
            source,
        })
    }

    /// Renames the file; to be called within [`uninterrupted`].
    pub(super) fn rename(&mut self, target: &Path) -> io::Result<()> {
        check_not_interrupted()?;
        std::fs::rename(self.file.path(), target)?;
        self.file.disable_cleanup(true);
        Ok(())
    }
}

/// A locked folder of the system's temporary ones, deleted with all that is in it.
#[derive(Debug)]
pub struct TemporaryFolder {
    folder: TempDir,
    _lock: Option<File>,
    _listed: Listed,
}

impl TemporaryFolder {
    /// Makes a folder in `parent`.
    ///
    /// # Errors
    /// `parent` is not there or cannot be written.
    pub(super) fn new_in(parent: &Path) -> io::Result<TemporaryFolder> {
        let mut builder = tempfile::Builder::new();
        builder
            .prefix(FOLDER_PREFIX)
            .suffix(FOLDER_SUFFIX)
            .rand_bytes(RANDOM);
        check_not_interrupted()?;
        for _ in 0..TRIES {
            let mut alive = alive();
            let folder = builder.tempdir_in(parent)?;
            alive.insert(folder.path().to_owned());
            drop(alive);
            let listed = Listed(folder.path().to_owned());
            // Not every system opens folders; there nothing is swept either.
            let lock = File::open(folder.path()).ok();
            let ours = |file: &File| locked_at(file, folder.path());
            if lock.as_ref().is_none_or(ours) && folder.path().is_dir() {
                return Ok(TemporaryFolder {
                    folder,
                    _lock: lock,
                    _listed: listed,
                });
            }
        }
        Err(io::Error::other("its temporary folder was removed"))
    }

    /// Makes one in the system's folder for them, and removes those of dead runs.
    ///
    /// # Errors
    /// The system's folder cannot be written.
    pub fn new() -> Result<TemporaryFolder> {
        let parent = std::env::temp_dir();
        super::temporary_folder(&parent).map_err(|source| Error::Write {
            path: parent,
            source,
        })
    }

    /// Where the folder is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Gives a file a second, temporary name in a folder, which goes when this is dropped.
///
/// To be called and dropped within [`uninterrupted`]: the name is not listed.
pub(super) fn second_name(of: &Path, folder: &Path) -> io::Result<NamedTempFile<()>> {
    file_names().make_in(folder, |name| std::fs::hard_link(of, name))
}

fn file_names() -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder
        .prefix(FILE_PREFIX)
        .suffix(FILE_SUFFIX)
        .rand_bytes(RANDOM);
    builder
}

/// Locks a file, and says whether it is still the one at `path`. Where files cannot be locked, none is swept.
fn locked_at(file: &File, path: &Path) -> bool {
    file.lock().is_err() || is_at(file, path)
}

#[cfg(unix)]
pub(super) fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let place = |of: std::fs::Metadata| (of.dev(), of.ino());
    let (Ok(here), Ok(there)) = (file.metadata(), std::fs::symlink_metadata(path)) else {
        return false;
    };
    place(here) == place(there)
}

#[cfg(not(unix))]
pub(super) fn is_at(_: &File, path: &Path) -> bool {
    path.exists()
}

/// Waits for the lock on a file, at most `patience`; true if it was got or files cannot be locked here.
pub(super) fn lock_within(file: &File, patience: std::time::Duration) -> bool {
    let start = std::time::Instant::now();
    loop {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) if start.elapsed() < patience => {
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
            Err(TryLockError::WouldBlock) => return false,
            _ => return true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interrupted_threads_write_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, flag) = (folder.path().to_owned(), Arc::new(AtomicBool::new(false)));
        let run = move || {
            write_nothing_after(flag.clone());
            let mut file = Temporary::new_in(&path).expect("a file");
            flag.store(true, Ordering::Relaxed);
            assert!(file.rename(&path.join("model")).is_err());
            assert!(Temporary::new_in(&path).is_err());
            assert!(TemporaryFolder::new_in(&path).is_err());
        };
        std::thread::spawn(run).join().expect("it refuses");
        let left = std::fs::read_dir(folder.path()).expect("a folder").count();
        assert_eq!(left, 0);
        assert!(Temporary::new_in(folder.path()).is_ok());
    }
}
