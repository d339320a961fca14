//! Hashes of what is in files and folders, whatever they are called.

use std::collections::BTreeMap;
use std::path::Path;

use crate::error::{Error, Result};
use crate::onnx::Model;
use crate::pages::InputFile;

/// Folders in folders at most: a link may lead back.
const DEEPEST: usize = 32;

/// Hash of a file.
///
/// # Errors
/// It cannot be read.
pub(super) fn hash_of_file(path: &Path) -> Result<String> {
    Ok(InputFile::of(path)?.blake3)
}

/// Hash of a file, or of a folder with all that is in it.
///
/// # Errors
/// Something of it cannot be read.
pub(super) fn hash_of(path: &Path) -> Result<String> {
    if !path.is_dir() {
        return hash_of_file(path);
    }
    let text = serde_json::to_string(&hashes_in(path)?).unwrap_or_default();
    Ok(blake3::hash(text.as_bytes()).to_hex().to_string())
}

/// Hash of a model with its data files.
///
/// # Errors
/// It cannot be read, or is no model.
pub(super) fn hash_of_model(path: &Path) -> Result<String> {
    Ok(Model::load(path)?.hash().to_owned())
}

/// Hashes of all files in a folder, by their names in it.
///
/// # Errors
/// Something of it cannot be read.
pub(super) fn hashes_in(folder: &Path) -> Result<BTreeMap<String, String>> {
    let mut out = BTreeMap::new();
    walk(folder, "", 0, &mut out)?;
    Ok(out)
}

fn walk(folder: &Path, name: &str, depth: usize, out: &mut BTreeMap<String, String>) -> Result<()> {
    let unreadable = |source| Error::Read {
        path: folder.to_owned(),
        source,
    };
    if depth > DEEPEST {
        let reason = format!("folders are nested more than {DEEPEST} deep");
        return Err(unreadable(std::io::Error::other(reason)));
    }
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let path = entry.path();
        let name = format!("{name}{}", entry.file_name().to_string_lossy());
        match path.is_dir() {
            true => walk(&path, &format!("{name}/"), depth + 1, out)?,
            // What cannot be read, as links to nothing, may be of no use to whoever reads the folder.
            false => drop(out.insert(name, hash_of_file(&path).unwrap_or_default())),
        }
    }
    Ok(())
}
