//! Files that appear whole or not at all.

use std::fs::{File, Metadata};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use bytes::Bytes;
use memmap2::Mmap;

use crate::error::{Error, Result};

/// Bytes that are gathered before they are written; more at once go straight to the file.
const BUFFER: usize = 64 << 10;
/// Links that are followed to a file that is not there yet.
const LINKS: usize = 16;

mod pair;
mod sweep;
mod temporary;
mod tensors;

pub(crate) use pair::{data_name, persist_pair, same_file};
pub(crate) use temporary::Temporary;
pub use temporary::{TemporaryFolder, remove_temporaries, write_nothing_after};
pub(crate) use tensors::replace_tensors;

/// Replaces the file at `path` by what `write` writes.
///
/// # Errors
/// The folder cannot be written or is full; the old file is untouched then.
pub(crate) fn replace(
    path: &Path,
    write: impl FnOnce(&mut (dyn Write + Send)) -> io::Result<()>,
) -> Result<()> {
    persist(write_temporary(path, write)?, path)
}

/// Writes a synced temporary file in the folder of `path`; it is deleted unless it is persisted.
pub(crate) fn write_temporary(
    path: &Path,
    write: impl FnOnce(&mut (dyn Write + Send)) -> io::Result<()>,
) -> Result<Temporary> {
    let buffered = |file: &File| {
        let mut buffered = BufWriter::with_capacity(BUFFER, file);
        write(&mut buffered)?;
        buffered.flush()
    };
    write_temporary_seekable(path, buffered)
}

/// As [`write_temporary`], for writers that go back in the file.
pub(crate) fn write_temporary_seekable(
    path: &Path,
    write: impl FnOnce(&File) -> io::Result<()>,
) -> Result<Temporary> {
    temporary(path, write).map_err(|source| Error::Write {
        path: path.to_owned(),
        source,
    })
}

fn temporary(path: &Path, write: impl FnOnce(&File) -> io::Result<()>) -> io::Result<Temporary> {
    check_replaceable(path)?;
    sweep::sweep_files(folder_of(path));
    let file = Temporary::new_in(folder_of(path))?;
    write(file.as_file())?;
    file.as_file().sync_all()?;
    Ok(file)
}

/// Makes a temporary folder in `parent`.
///
/// # Errors
/// `parent` is not there or cannot be written.
pub(crate) fn temporary_folder(parent: &Path) -> io::Result<TemporaryFolder> {
    sweep::sweep_folders(parent);
    TemporaryFolder::new_in(parent)
}

/// Renames a temporary file to `path`.
pub(crate) fn persist(mut file: Temporary, path: &Path) -> Result<()> {
    temporary::uninterrupted(|| file.rename(path)).map_err(|source| Error::Write {
        path: path.to_owned(),
        source,
    })?;
    sync_folder(folder_of(path));
    Ok(())
}

/// Makes renames durable; not every file system lets a folder be synced.
fn sync_folder(folder: &Path) {
    if let Ok(folder) = File::open(folder) {
        let _ = folder.sync_all();
    }
}

/// Opens a regular file. Others are not opened at all: a pipe that nobody writes to would be waited for.
///
/// # Errors
/// It is not there, may not be read, or is a folder, device or pipe.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    match std::fs::metadata(path)?.is_file() {
        true => File::open(path),
        false => Err(io::Error::other("it is not a regular file")),
    }
}

/// That whatever is at `path` may be replaced by a file: it is none, or a regular one in the same folder.
///
/// # Errors
/// What it is instead.
pub(crate) fn check_replaceable(path: &Path) -> io::Result<()> {
    let Ok(there) = std::fs::symlink_metadata(path) else {
        return Ok(());
    };
    let refused = |what: &str| {
        Err(io::Error::other(format!(
            "it is {what}, and only regular files are replaced; name another output"
        )))
    };
    if there.is_dir() {
        return refused("a folder");
    }
    if there.is_symlink() {
        let Ok(target) = path.canonicalize() else {
            return refused("a link to nothing");
        };
        if !target.is_file() {
            return refused("a link to something else than a file");
        }
        let folder = folder_of(path).canonicalize().ok();
        if target.parent() != folder.as_deref() {
            return refused("a link out of its folder");
        }
        return Ok(());
    }
    match there.is_file() {
        true => Ok(()),
        false => refused("a device, pipe or socket"),
    }
}

/// That a file at `path` can be made, before the work is done that it is for.
///
/// # Errors
/// Its folder is not there or cannot be written.
pub(crate) fn check_writable(path: &Path) -> Result<()> {
    write_temporary(path, |_| Ok(())).map(drop)
}

/// Where a path leads, over links and other names of folders, whether or not the file is there.
pub(crate) fn place_of(path: &Path) -> PathBuf {
    let mut path = path.to_owned();
    for _ in 0..LINKS {
        if let Ok(real) = path.canonicalize() {
            return real;
        }
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
            _ => PathBuf::from("."),
        };
        let folder = folder.canonicalize().unwrap_or(folder);
        match std::fs::read_link(&path) {
            Ok(target) => path = folder.join(target),
            Err(_) => return folder.join(path.file_name().unwrap_or_default()),
        }
    }
    path
}

/// The folder that a file is in.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// A file as memory; nothing is read before it is looked at.
pub(crate) fn mapped(file: &File) -> io::Result<Mmap> {
    // SAFETY: the map is only read. As with every mapped file, a foreign process that truncates the file
    // while it is open can end this one; our own writes go to a new file that is renamed into place.
    unsafe { Mmap::map(file) }
}

/// Which file it is, and when it was last written: another stamp says that the content may be another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    length: u64,
    modified: Option<SystemTime>,
    place: Option<(u64, u64)>,
}

impl Stamp {
    fn of(file: &Metadata) -> Stamp {
        #[cfg(unix)]
        let place = {
            use std::os::unix::fs::MetadataExt;
            Some((file.dev(), file.ino()))
        };
        #[cfg(not(unix))]
        let place = None;
        Stamp {
            length: file.len(),
            modified: file.modified().ok(),
            place,
        }
    }

    /// That of the file at `path`, if there is one.
    pub(crate) fn at(path: &Path) -> Option<Stamp> {
        std::fs::metadata(path).ok().as_ref().map(Stamp::of)
    }
}

/// Maps a whole file into memory.
pub(crate) fn map_file(path: &Path) -> Result<Bytes> {
    map_stamped(path).map(|(bytes, _)| bytes)
}

/// As [`map_file`], with the file's stamp.
pub(crate) fn map_stamped(path: &Path) -> Result<(Bytes, Stamp)> {
    let fault = |source| Error::Read {
        path: path.to_owned(),
        source,
    };
    let file = open(path).map_err(fault)?;
    let metadata = file.metadata().map_err(fault)?;
    let stamp = Stamp::of(&metadata);
    if metadata.len() == 0 {
        return Ok((Bytes::new(), stamp));
    }
    Ok((Bytes::from_owner(mapped(&file).map_err(fault)?), stamp))
}

#[cfg(test)]
mod tests {
    #[cfg(unix)]
    #[test]
    fn only_regular_files_are_replaced() {
        use super::*;
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        assert!(check_replaceable(&at("new")).is_ok());
        std::fs::write(at("file"), b"x").expect("a file");
        assert!(check_replaceable(&at("file")).is_ok());
        std::os::unix::fs::symlink("file", at("link")).expect("a link");
        assert!(check_replaceable(&at("link")).is_ok());
        let other = tempfile::NamedTempFile::new().expect("a file");
        std::os::unix::fs::symlink(other.path(), at("away")).expect("a link");
        std::os::unix::fs::symlink("nothing", at("dangling")).expect("a link");
        std::os::unix::fs::symlink("/dev/null", at("null")).expect("a link");
        for (name, what) in [
            ("away", "out of its folder"),
            ("dangling", "to nothing"),
            ("null", "something else than a file"),
            (".", "a folder"),
        ] {
            let fault = check_replaceable(&at(name)).expect_err("it is refused");
            assert!(fault.to_string().contains(what), "{name}: {fault}");
        }
        let fault = check_replaceable(Path::new("/dev/null")).expect_err("it is refused");
        assert!(fault.to_string().contains("a device"), "{fault}");
    }
}
