//! External data (`TensorProto.external_data`): found, checked, mapped.
//!
//! A location is a path inside the model's own folder. Absolute paths, `..` and symbolic links that lead out
//! of the folder are refused: a model file must not make its reader open other files of the machine.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use bytes::Bytes;

use super::model::SourceFile;
use super::proto::{StringStringEntryProto, TensorProto, tensor_proto::DataLocation};
use super::tensor::{byte_length, element_count, element_type};
use crate::error::{Error, Result};

/// Key of the data file's name in a tensor's references.
pub(super) const LOCATION: &str = "location";

/// The data files of one model, each mapped once.
pub(crate) struct ExternalFiles {
    folder: PathBuf,
    maps: BTreeMap<String, SourceFile>,
}

impl ExternalFiles {
    /// Data files beside the model file at `model_path`.
    pub(crate) fn beside(model_path: &Path) -> ExternalFiles {
        let folder = match model_path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        ExternalFiles {
            folder,
            maps: BTreeMap::new(),
        }
    }

    /// Puts the bytes of an external tensor into its `raw_data`, as a slice of the mapped file.
    pub(crate) fn resolve(&mut self, tensor: &mut TensorProto) -> Result<()> {
        if tensor.data_location() != DataLocation::External {
            return Ok(());
        }
        let entry = Reference::of(tensor)?;
        let map = self.map(tensor.name(), &entry.location)?;
        let range = entry.range(tensor, map.len())?;
        tensor.raw_data = Some(map.slice(range));
        tensor.data_location = None;
        tensor.external_data.clear();
        Ok(())
    }

    /// The files in the order of their locations.
    pub(crate) fn into_files(self) -> Vec<SourceFile> {
        self.maps.into_values().collect()
    }

    fn map(&mut self, tensor: &str, location: &str) -> Result<&Bytes> {
        if !self.maps.contains_key(location) {
            let path = self.path_inside(tensor, location)?;
            self.maps
                .insert(location.to_owned(), SourceFile::open(&path)?);
        }
        Ok(self.maps[location].bytes())
    }

    fn path_inside(&self, tensor: &str, location: &str) -> Result<PathBuf> {
        let refuse = |reason: &str| Error::External {
            tensor: tensor.to_owned(),
            location: location.to_owned(),
            reason: reason.to_owned(),
        };
        let relative = Path::new(location);
        let plain = |part| matches!(part, Component::Normal(_) | Component::CurDir);
        if location.is_empty() || !relative.components().all(plain) {
            return Err(refuse(
                "is not a path inside the model's folder (absolute paths and '..' are refused); put the data file beside the model",
            ));
        }
        let path = self.folder.join(relative);
        let real = path.canonicalize().map_err(|source| {
            refuse(&format!(
                "cannot be opened at {}: {source}; put the data file beside the model",
                path.display()
            ))
        })?;
        let folder = self.folder.canonicalize().map_err(|source| Error::Read {
            path: self.folder.clone(),
            source,
        })?;
        if !real.starts_with(folder) {
            return Err(refuse(
                "is a symbolic link that leads out of the model's folder; copy the data file into the folder",
            ));
        }
        Ok(real)
    }
}

/// Lets a tensor refer to bytes of a file instead of holding them.
pub(super) fn refer(tensor: &mut TensorProto, location: &str, offset: u64, length: usize) {
    let entry = |key: &str, value: String| StringStringEntryProto {
        key: Some(key.to_owned()),
        value: Some(value),
    };
    tensor.raw_data = None;
    tensor.data_location = Some(DataLocation::External as i32);
    tensor.external_data = vec![
        entry(LOCATION, location.to_owned()),
        entry("offset", offset.to_string()),
        entry("length", length.to_string()),
    ];
}

/// The key-value pairs of `external_data` that matter.
struct Reference {
    location: String,
    offset: usize,
    length: Option<usize>,
}

impl Reference {
    fn of(tensor: &TensorProto) -> Result<Reference> {
        let mut entry = Reference {
            location: String::new(),
            offset: 0,
            length: None,
        };
        for pair in &tensor.external_data {
            let number = || {
                pair.value().parse::<usize>().map_err(|_| {
                    Error::tensor(
                        tensor.name(),
                        format!("external data {} '{}' is no size", pair.key(), pair.value()),
                    )
                })
            };
            match pair.key() {
                LOCATION => entry.location = pair.value().to_owned(),
                "offset" => entry.offset = number()?,
                "length" => entry.length = Some(number()?),
                _ => {}
            }
        }
        Ok(entry)
    }

    /// The byte range inside a file of `available` bytes.
    fn range(&self, tensor: &TensorProto, available: usize) -> Result<std::ops::Range<usize>> {
        let needed = byte_length(element_count(tensor)?, element_type(tensor)?.bits());
        let length = self.length.or(needed);
        let end = length.and_then(|length| self.offset.checked_add(length));
        match end {
            Some(end) if end <= available => Ok(self.offset..end),
            _ => Err(Error::External {
                tensor: tensor.name().to_owned(),
                location: self.location.clone(),
                reason: format!(
                    "is too short: {} bytes at offset {} are needed, the file has {available}; check that it was copied completely",
                    length.map_or("too many".to_owned(), |n| n.to_string()),
                    self.offset
                ),
            }),
        }
    }
}
