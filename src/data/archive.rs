//! Archives of arrays (`.npz`): what they hold, and the arrays that are wanted in temporary files.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use super::npy::Header;
use super::read_fault;
use crate::error::{Error, Result};
use crate::files;

/// Bytes that the arrays of any archive may have, and bytes for each of its own: beyond, it is no data that
/// somebody measured but a small file that would fill the disk.
const LARGEST: u64 = 256 << 20;
const LARGEST_EXPANSION: u64 = 200;

fn archive(path: &Path) -> Result<zip::ZipArchive<File>> {
    let file = files::open(path).map_err(|source| read_fault(path, source))?;
    zip::ZipArchive::new(file).map_err(|reason| broken(path, &reason))
}

fn broken(path: &Path, reason: &zip::result::ZipError) -> Error {
    Error::data(
        path.display().to_string(),
        format!("it is no .npz archive ({reason})"),
    )
}

/// Hands every array of an archive to `each`: its name, its place, and its bytes from the header on.
///
/// # Errors
/// The file is no archive, or `each` refuses an array.
pub(super) fn each_array(
    path: &Path,
    each: &mut dyn FnMut(&str, usize, &mut dyn Read) -> Result<()>,
) -> Result<()> {
    let mut archive = archive(path)?;
    for index in 0..archive.len() {
        let entry = archive.by_index(index);
        let mut entry = entry.map_err(|reason| broken(path, &reason))?;
        let name = entry
            .name()
            .map_err(|reason| broken(path, &reason))?
            .into_owned();
        if let Some(name) = name.strip_suffix(".npy") {
            each(name, index, &mut entry)?;
        }
    }
    Ok(())
}

/// That arrays with these headers, together, are no more than can be unpacked; those of a folder need no room.
///
/// # Errors
/// They would take far more than the archive has bytes.
pub(super) fn check_size<'a>(path: &Path, headers: impl Iterator<Item = &'a Header>) -> Result<()> {
    let metadata = std::fs::metadata(path).map_err(|source| read_fault(path, source))?;
    let most = LARGEST.max(metadata.len().saturating_mul(LARGEST_EXPANSION));
    let bytes = headers
        .map(Header::file_length)
        .fold(0, u64::saturating_add);
    match bytes <= most || metadata.is_dir() {
        true => Ok(()),
        false => Err(Error::data(
            path.display().to_string(),
            format!(
                "its arrays would take {bytes} bytes, {} times as many as the archive has; give them as .npy files, or fewer samples",
                bytes / metadata.len().max(1)
            ),
        )),
    }
}

/// An array of an archive in an unnamed temporary file, no more of it than its header says.
///
/// # Errors
/// The entry is damaged, or longer than its header says; the temporary file cannot be written.
pub(super) fn unpacked(path: &Path, index: usize, header: &Header) -> Result<File> {
    let mut archive = archive(path)?;
    let entry = archive.by_index(index);
    let mut entry = entry.map_err(|reason| broken(path, &reason))?;
    let folder_fault = |source: io::Error| Error::Write {
        path: std::env::temp_dir(),
        source,
    };
    let mut file = tempfile::tempfile().map_err(folder_fault)?;
    let wanted = &mut (&mut entry).take(header.file_length());
    io::copy(wanted, &mut file).map_err(|source| match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => folder_fault(source),
        _ => read_fault(path, source),
    })?;
    // The checksum is compared at the end of an entry alone.
    let more = entry.read(&mut [0]);
    if more.map_err(|source| read_fault(path, source))? > 0 {
        let misfit = "an array of it is longer than its header says".to_owned();
        return Err(Error::data(path.display().to_string(), misfit));
    }
    file.seek(SeekFrom::Start(0)).map_err(folder_fault)?;
    Ok(file)
}
