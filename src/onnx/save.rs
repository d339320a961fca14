//! Writing to files, with the weights in the model's message or beside it.
//!
//! A file appears whole or not at all: it is written under a temporary name in the target's folder, synced
//! and renamed. Weights go to a data file beside the model, named after their hash, when they were external before or when
//! the model would pass the 2 GB that protobuf allows.

use std::io::{self, Write};
use std::path::Path;

use super::external::{LOCATION, refer};
use super::model::Model;
use super::proto::ModelProto;
use super::stream::Stream;
use crate::error::{Error, Result};
use crate::files::{Temporary, data_name, persist_pair, write_temporary};
use prost::Message;

/// Protobuf readers refuse messages of 2 GiB; external data starts a little below.
const LARGEST_FILE: usize = (1 << 31) - (1 << 20);
/// Tensors below this size stay in the model file when the others are external.
pub(super) const SMALLEST_EXTERNAL: usize = 1024;
/// External tensors start at multiples of the page size, so that readers can map them.
const EXTERNAL_ALIGNMENT: u64 = 4096;

impl Model {
    /// Writes the model to `path`, with a data file `STEM-HASH.data` beside it where external data is needed.
    ///
    /// A reader finds the old model with its data or the new one, at any moment. Data of ours that only the replaced
    /// model named is removed.
    ///
    /// # Errors
    /// The folder cannot be written or is full; in that case no file is left or changed.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        self.save_counted(path.as_ref()).map(drop)
    }

    /// As [`Model::save`]; returns the bytes of the files.
    pub(crate) fn save_counted(&self, path: &Path) -> Result<u64> {
        self.check_target(path)?;
        let length = |file: &Temporary| file.length(path);
        if !self.needs_external_data() {
            let file = write_temporary(path, |file| self.encoded().write(file))?;
            let bytes = length(&file)?;
            persist_pair(file, path, None)?;
            return Ok(bytes);
        }
        let mut proto = self.proto.clone();
        let mut hasher = blake3::Hasher::new();
        let weights = self.move_out(&mut proto);
        let data = write_temporary(path, |file| {
            weights.write(&mut Hashed {
                hasher: &mut hasher,
                out: file,
            })
        })?;
        let name = data_name(path, &hasher.finalize()).ok_or_else(|| unnameable(path))?;
        set_location(&mut proto, &name);
        let bare = self.with(proto, Default::default());
        let file = write_temporary(path, |file| bare.encoded().write(file))?;
        let data = (hasher.count() > 0).then_some((data, name));
        let beside = data.as_ref().map(|(data, _)| length(data)).transpose()?;
        let bytes = length(&file)? + beside.unwrap_or(0);
        persist_pair(file, path, data)?;
        Ok(bytes)
    }

    /// That [`Model::save`] can write to `path` as far as names go.
    ///
    /// # Errors
    /// The data file would have a name that no model can hold.
    pub(crate) fn check_target(&self, path: &Path) -> Result<()> {
        let name = path.file_name().and_then(|name| name.to_str());
        match name.is_none() && self.needs_external_data() {
            true => Err(unnameable(path)),
            false => Ok(()),
        }
    }

    /// The whole model as one message.
    ///
    /// # Errors
    /// The model is larger than protobuf allows.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        match self.encoded().write(&mut bytes) {
            Ok(()) if bytes.len() <= LARGEST_FILE => Ok(bytes),
            _ => Err(Error::Usage(
                "the model is larger than 2 GB and has to be saved to a file with external data"
                    .to_owned(),
            )),
        }
    }

    /// True if [`Model::save`] writes a data file beside the model.
    pub(crate) fn needs_external_data(&self) -> bool {
        let lazy: usize = self.lazy.values().map(|lazy| lazy.length()).sum();
        self.external || self.proto.encoded_len() + lazy > LARGEST_FILE
    }

    /// The weights as the content of a data file, and references to them in `proto`, to a file without a name yet.
    pub(super) fn move_out(&self, proto: &mut ModelProto) -> Stream<'_> {
        let mut stream = Stream::default();
        let mut position = 0_u64;
        let graph = proto.graph.get_or_insert_default();
        for tensor in &mut graph.initializer {
            let length = self.length_of(tensor);
            if length < SMALLEST_EXTERNAL {
                if let Some(lazy) = self.lazy.get(tensor.name()) {
                    tensor.raw_data = Some(lazy.bytes());
                }
                continue;
            }
            let offset = position.next_multiple_of(EXTERNAL_ALIGNMENT);
            stream.push(vec![0; (offset - position) as usize]);
            self.push_data(tensor, &mut stream);
            position = offset + length as u64;
            refer(tensor, "", offset, length);
        }
        stream
    }
}

fn unnameable(path: &Path) -> Error {
    Error::Usage(format!(
        "the name of {} is not UTF-8, and the model has to name the data file beside it; name another output",
        path.display()
    ))
}

/// Names the data file in every reference to it.
pub(super) fn set_location(proto: &mut ModelProto, name: &str) {
    let graph = proto.graph.get_or_insert_default();
    let entries = graph
        .initializer
        .iter_mut()
        .flat_map(|tensor| &mut tensor.external_data);
    for entry in entries.filter(|entry| entry.key() == LOCATION) {
        entry.value = Some(name.to_owned());
    }
}

/// Hashes what is written.
struct Hashed<'a> {
    hasher: &'a mut blake3::Hasher,
    out: &'a mut (dyn Write + Send),
}

impl Write for Hashed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.hasher.update_rayon(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
