//! What dead runs left behind: temporary names of ours without a lock.

use std::fs::File;
use std::path::Path;

use super::pair;
use super::temporary::{FILE_PREFIX, FILE_SUFFIX, FOLDER_PREFIX, FOLDER_SUFFIX, RANDOM, is_at};

/// Removes temporary files that dead runs left in a folder.
pub(super) fn sweep_files(folder: &Path) {
    sweep(folder, FILE_PREFIX, FILE_SUFFIX);
}

/// Removes temporary folders that dead runs left in a folder.
pub(super) fn sweep_folders(folder: &Path) {
    sweep(folder, FOLDER_PREFIX, FOLDER_SUFFIX);
}

/// Removes names of ours that nobody has locked.
fn sweep(folder: &Path, prefix: &str, suffix: &str) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let random = name
            .to_str()
            .and_then(|name| name.strip_prefix(prefix)?.strip_suffix(suffix));
        let ours = |random: &str| {
            random.len() == RANDOM && random.bytes().all(|byte| byte.is_ascii_alphanumeric())
        };
        if random.is_some_and(ours) {
            remove_dead(&entry.path());
        }
    }
}

fn remove_dead(path: &Path) {
    let plain = std::fs::symlink_metadata(path).is_ok_and(|at| at.is_file() || at.is_dir());
    let Some(file) = plain.then(|| File::open(path).ok()).flatten() else {
        return;
    };
    if !matches!(file.try_lock(), Ok(())) || !is_at(&file, path) {
        return;
    }
    if path.is_dir() {
        let _ = std::fs::remove_dir_all(path);
    } else if pair::remove_uncommitted(path, &file) {
        let _ = std::fs::remove_file(path);
    }
}
