//! A file and the data file that it names, replaced in one step.
//!
//! The data file gets a name that holds the hash of its content, so that it never takes the place of other data. Both
//! are written and synced under temporary names. Then, with the folder locked, the data gets its second name, the rename
//! of the file that names it decides, and the data of the replaced file goes. Meanwhile new and old data have a temporary
//! name as well: a run that is killed in between leaves it, and it tells the next run whose second name it may remove.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::temporary::{
    FILE_PREFIX, FILE_SUFFIX, Temporary, is_own, lock_within, second_name, uninterrupted,
};
use super::{check_replaceable, folder_of, map_file, sync_folder};
use crate::error::{Error, Result};

/// Hexadecimal digits of the content's BLAKE3 hash in a data file's name.
const HASH_DIGITS: usize = 12;
const SUFFIX: &str = ".data";
/// Bytes of the stem that a data file's name takes over; file systems allow 255 for all.
const LONGEST_STEM: usize = 200;
/// How long another run's step in the same folder is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// The name of the data file of the file at `path`; `None` where it would not be UTF-8.
pub(crate) fn data_name(path: &Path, hash: &blake3::Hash) -> Option<String> {
    let stem = path.file_stem()?.to_str()?;
    let stem = &stem[..stem.floor_char_boundary(LONGEST_STEM)];
    Some(format!("{stem}-{}{SUFFIX}", &hash.to_hex()[..HASH_DIGITS]))
}

/// Puts a file at `path`, with its data file of the given name beside it, and removes the data of the file that it replaces.
///
/// Old data is removed only where it is ours and idle: the replaced file names it, its name ends in the hash of its
/// content, and no other file of the folder names it.
///
/// # Errors
/// The folder cannot be written, or another run is at it for long. The old pair is whole then.
pub(crate) fn persist_pair(
    mut file: Temporary,
    path: &Path,
    data: Option<(Temporary, String)>,
) -> Result<()> {
    let fault = |source| Error::Write {
        path: path.to_owned(),
        source,
    };
    let folder = folder_of(path);
    let mut data = data.map(|(file, name)| (file, folder.join(name)));
    if let Some((_, target)) = &data {
        check_replaceable(target).map_err(fault)?;
    }
    let _lock = lock_folder(folder).map_err(fault)?;
    let mut old = replaced_data(path);
    if let Some((_, target)) = &data {
        old.retain(|old| old != target);
    }
    uninterrupted(|| {
        // What a killed run does not get to remove is found by these names.
        let marks: Vec<_> = old.iter().map(|old| second_name(old, folder)).collect();
        rename_pair(&mut file, path, data.as_mut())?;
        sync_folder(folder);
        for old in old.iter().filter(|old| !is_named(old)) {
            let _ = std::fs::remove_file(old);
        }
        drop(marks);
        Ok(())
    })
    .map_err(fault)
}

/// Names the data, then the file; takes back the data's name where the file cannot be renamed.
fn rename_pair(
    file: &mut Temporary,
    path: &Path,
    data: Option<&mut (Temporary, PathBuf)>,
) -> io::Result<()> {
    let Some((data, target)) = data else {
        return file.rename(path);
    };
    let is_new = !target.exists();
    name_data(data, target)?;
    file.rename(path).inspect_err(|_| {
        if is_new {
            let _ = std::fs::remove_file(target);
        }
    })
}

/// Gives the data its name: a second one, or the only one where the same data is there already or files have one name.
fn name_data(data: &mut Temporary, target: &Path) -> io::Result<()> {
    match std::fs::hard_link(data.path(), target) {
        Ok(()) => Ok(()),
        Err(_) => data.rename(target),
    }
}

/// The lock that is held while names in a folder change together; `None` where folders cannot be opened, and for those
/// that only this process knows.
fn lock_folder(folder: &Path) -> io::Result<Option<File>> {
    if is_own(folder) {
        return Ok(None);
    }
    let Ok(folder) = File::open(folder) else {
        return Ok(None);
    };
    match lock_within(&folder, PATIENCE) {
        true => Ok(Some(folder)),
        false => Err(io::Error::other(
            "another process has locked its folder; wait for it or name another folder",
        )),
    }
}

/// Removes the second name of a dead run's data unless a file names it; false if that could not be told.
pub(super) fn remove_uncommitted(part: &Path, file: &File) -> bool {
    let folder = folder_of(part);
    if names_of(file) < 2 {
        return true;
    }
    let Ok(_lock) = lock_folder(folder) else {
        return false;
    };
    let same = data_files(folder).into_iter();
    for second in same.filter(|path| same_file(path, part)) {
        if !is_named(&second) {
            let _ = std::fs::remove_file(second);
        }
    }
    true
}

/// Data files of ours beside `path` that the file there names.
fn replaced_data(path: &Path) -> Vec<PathBuf> {
    let mut files = data_files(folder_of(path));
    if files.is_empty() {
        return files;
    }
    let Ok(bytes) = map_file(path) else {
        return Vec::new();
    };
    files.retain(|file| names(&bytes, file) && is_ours(file));
    files
}

/// Regular files of a folder whose names are made as [`data_name`] makes them.
fn data_files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let regular = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()));
    let paths = regular.map(|entry| entry.path());
    paths.filter(|path| hash_in(path).is_some()).collect()
}

/// The hash in a data file's name.
fn hash_in(path: &Path) -> Option<&str> {
    let stem = path.file_name()?.to_str()?.strip_suffix(SUFFIX)?;
    let (_, hash) = stem.rsplit_once('-')?;
    let digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    (hash.len() == HASH_DIGITS && hash.bytes().all(digit)).then_some(hash)
}

/// Whether the content has the hash that the name says.
fn is_ours(path: &Path) -> bool {
    let (Some(hash), Ok(bytes)) = (hash_in(path), map_file(path)) else {
        return false;
    };
    let mut hasher = blake3::Hasher::new();
    hasher.update_rayon(&bytes);
    hasher.finalize().to_hex().starts_with(hash)
}

/// Whether any file of its folder names a data file. What cannot be read may name it.
fn is_named(data: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(folder_of(data)) else {
        return true;
    };
    let mut others = entries.flatten().map(|entry| entry.path());
    others.any(|path| {
        let text = path.is_file() && hash_in(&path).is_none() && !is_temporary(&path);
        text && map_file(&path).map_or_else(|_| path.exists(), |bytes| names(&bytes, data))
    })
}

/// Whether a name is one of our temporary files'.
fn is_temporary(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name.starts_with(FILE_PREFIX) && name.ends_with(FILE_SUFFIX))
}

/// Whether the name of a data file occurs in some bytes.
fn names(bytes: &[u8], data: &Path) -> bool {
    let name = data.file_name().unwrap_or_default().as_encoded_bytes();
    memchr::memmem::find(bytes, name).is_some()
}

#[cfg(unix)]
fn names_of(file: &File) -> u64 {
    use std::os::unix::fs::MetadataExt;
    file.metadata().map_or(1, |of| of.nlink())
}

#[cfg(not(unix))]
fn names_of(_: &File) -> u64 {
    1
}

/// Whether two paths are one file under two names.
#[cfg(unix)]
pub(crate) fn same_file(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let place = |path: &Path| std::fs::metadata(path).map(|of| (of.dev(), of.ino()));
    matches!((place(one), place(other)), (Ok(one), Ok(other)) if one == other)
}

/// Whether two paths are one file under two names.
#[cfg(not(unix))]
pub(crate) fn same_file(one: &Path, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}
