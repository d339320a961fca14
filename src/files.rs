//! Files that appear whole or not at all.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use bytes::Bytes;
use memmap2::Mmap;
use tempfile::NamedTempFile;

use crate::error::{Error, Result};

/// Replaces the file at `path` by what `write` writes.
///
/// # Errors
/// The folder cannot be written or is full; the old file is untouched then.
pub(crate) fn replace(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<()> {
    persist(write_temporary(path, write)?, path)
}

/// Writes a synced temporary file in the folder of `path`; it is deleted unless it is persisted.
pub(crate) fn write_temporary(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<NamedTempFile> {
    let buffered = |file: &File| {
        let mut buffered = BufWriter::new(file);
        write(&mut buffered)?;
        buffered.flush()
    };
    write_temporary_seekable(path, buffered)
}

/// As [`write_temporary`], for writers that go back in the file.
pub(crate) fn write_temporary_seekable(
    path: &Path,
    write: impl FnOnce(&File) -> io::Result<()>,
) -> Result<NamedTempFile> {
    temporary(path, write).map_err(|source| Error::Write {
        path: path.to_owned(),
        source,
    })
}

fn temporary(
    path: &Path,
    write: impl FnOnce(&File) -> io::Result<()>,
) -> io::Result<NamedTempFile> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    builder.prefix(".secateur-");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // Temporary files are private by default; a model gets the permissions of any new file.
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let file = builder.tempfile_in(folder)?;
    write(file.as_file())?;
    file.as_file().sync_all()?;
    Ok(file)
}

/// Renames a temporary file to `path`.
pub(crate) fn persist(file: NamedTempFile, path: &Path) -> Result<()> {
    let fault = |source| Error::Write {
        path: path.to_owned(),
        source,
    };
    file.persist(path).map_err(|refused| fault(refused.error))?;
    // The rename itself is durable once the folder is; not every file system lets a folder be synced.
    if let Some(folder) = path.parent().and_then(|folder| File::open(folder).ok()) {
        let _ = folder.sync_all();
    }
    Ok(())
}

/// A file as memory; nothing is read before it is looked at.
pub(crate) fn mapped(file: &File) -> io::Result<Mmap> {
    // SAFETY: the map is only read. As with every mapped file, a foreign process that truncates the file
    // while it is open can end this one; our own writes go to a new file that is renamed into place.
    unsafe { Mmap::map(file) }
}

/// Maps a whole file into memory.
pub(crate) fn map_file(path: &Path) -> Result<Bytes> {
    let fault = |source| Error::Read {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(fault)?;
    let metadata = file.metadata().map_err(fault)?;
    if !metadata.is_file() {
        return Err(fault(std::io::Error::other("it is not a regular file")));
    }
    if metadata.len() == 0 {
        return Ok(Bytes::new());
    }
    Ok(Bytes::from_owner(mapped(&file).map_err(fault)?))
}
