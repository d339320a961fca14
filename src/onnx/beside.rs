//! Models whose large weights stay in files, for readers that map these: the weights are not copied.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::external::refer;
use super::model::Model;
use super::save::{SMALLEST_EXTERNAL, set_location};
use crate::error::{Error, Result};

/// Bytes of weights that are in no file and may stand in the message.
const MOST_WITHIN: usize = 16 << 20;
/// Name of the data file of [`Model::spread`].
const NAME: &str = "weights";

/// A model's message that may refer to weights in files of a folder.
#[derive(Debug)]
pub(crate) struct Beside {
    /// The message.
    pub(crate) message: Vec<u8>,
    /// What the files' names are relative to: a name in Unicode. None where all weights are in the message.
    pub(crate) folder: Option<PathBuf>,
}

impl Model {
    /// The model with references to the files that it was read from; none where these are not as they were, or
    /// do not hold most of the weights.
    pub(crate) fn in_place(&self) -> Option<Beside> {
        let model = self.sources().first()?.path();
        let folder = model.canonicalize().ok()?.parent()?.to_owned();
        folder.to_str()?;
        let mut files = Vec::new();
        for source in self.sources() {
            let path = source.unchanged_path()?;
            let name = path.strip_prefix(&folder).ok()?.to_str()?.to_owned();
            files.push((name, source.bytes()));
        }
        let mut proto = self.proto.clone();
        let mut within = 0;
        for tensor in &mut proto.graph.as_mut()?.initializer {
            let length = self.length_of(tensor);
            let data = tensor.raw_data.as_ref();
            let data = data.filter(|_| length >= SMALLEST_EXTERNAL);
            let place = data.and_then(|data| {
                let mut places = files.iter();
                places.find_map(|(name, bytes)| Some((name, offset_in(data, bytes)?)))
            });
            match place {
                Some((name, offset)) => refer(tensor, name, offset as u64, length),
                None => within += length,
            }
        }
        if within > MOST_WITHIN {
            return None;
        }
        let bare = self.with(proto, self.lazy.clone());
        let message = bare.to_bytes().ok()?;
        Some(Beside {
            message,
            folder: Some(folder),
        })
    }

    /// The model with its large weights in a new file of `folder`, which need not outlive its readers.
    ///
    /// # Errors
    /// The folder cannot be written, or its name is not Unicode.
    pub(crate) fn spread(&self, folder: &Path) -> Result<Beside> {
        let mut proto = self.proto.clone();
        let weights = self.move_out(&mut proto);
        let path = folder.join(NAME);
        let write = || -> io::Result<()> {
            folder.to_str().ok_or(io::ErrorKind::InvalidFilename)?;
            let mut file = BufWriter::new(File::create_new(&path)?);
            weights.write(&mut file)?;
            file.flush()
        };
        write().map_err(|source| Error::Write {
            path: path.clone(),
            source,
        })?;
        set_location(&mut proto, NAME);
        Ok(Beside {
            message: self.with(proto, Default::default()).to_bytes()?,
            folder: Some(std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned())),
        })
    }
}

/// Where bytes lie in others that they are a slice of.
fn offset_in(part: &Bytes, whole: &Bytes) -> Option<usize> {
    let offset = part.as_ptr().addr().checked_sub(whole.as_ptr().addr())?;
    let end = offset.checked_add(part.len())?;
    (end <= whole.len()).then_some(offset)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::proto::{GraphProto, ModelProto, OperatorSetIdProto, TensorProto};
    use crate::onnx::{ElementType, LazyBytes, from_raw, packed_bytes};

    /// Weights of several sizes, which start at any place of the file.
    fn model(external: bool) -> Model {
        let sizes = [1, 255, 300, 1000, 5000];
        let tensor = |size: usize| {
            let bytes: Vec<u8> = (0..size * 4).map(|i| (i * 7 % 253) as u8).collect();
            from_raw(&format!("w{size}"), ElementType::Float, &[size], bytes)
        };
        let proto = ModelProto {
            ir_version: Some(10),
            opset_import: vec![OperatorSetIdProto::default()],
            graph: Some(GraphProto {
                initializer: sizes.map(tensor).to_vec(),
                ..GraphProto::default()
            }),
            ..ModelProto::default()
        };
        Model::new(proto, Vec::new(), external)
    }

    fn weights(model: &Model) -> Vec<(String, Bytes)> {
        let graph = model.proto.graph.as_ref().expect("a graph");
        let weight = |tensor: &TensorProto| {
            let bytes = packed_bytes(tensor).expect("bytes");
            (tensor.name().to_owned(), bytes)
        };
        graph.initializer.iter().map(weight).collect()
    }

    /// What a reader finds who puts the message into its folder.
    fn read(beside: &Beside) -> Vec<(String, Bytes)> {
        let path = beside.folder.as_ref().expect("a folder").join("bare.onnx");
        std::fs::write(&path, &beside.message).expect("a file");
        weights(&Model::load(path).expect("a model"))
    }

    #[test]
    fn weights_are_found_where_they_were_read() {
        for external in [false, true] {
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join("model.onnx");
            let made = model(external);
            made.save(&path).expect("a file");
            let loaded = Model::load(&path).expect("a model");
            let beside = loaded.in_place().expect("a reference");
            assert!(beside.message.len() < 4000, "{}", beside.message.len());
            assert_eq!(read(&beside), weights(&made));
            // Other weights are in no file; few of them stand in the message.
            let lazy = LazyBytes::whole(4000, || vec![1; 4000].into());
            let mut edited = loaded.clone();
            edited.lazy.insert("w1000".to_owned(), lazy);
            let graph = edited.proto.graph.as_mut().expect("a graph");
            graph.initializer[3].raw_data = None;
            let beside = edited.in_place().expect("a reference");
            assert_eq!(read(&beside)[3].1, vec![1; 4000]);
            // A file that was written anew is another file.
            made.save(&path).expect("a file");
            assert!(loaded.in_place().is_none());
        }
        assert!(model(false).in_place().is_none());
    }

    #[test]
    fn weights_are_spread_into_a_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut made = model(false);
        let right = weights(&made);
        let bytes = right[4].1.clone();
        let lazy = LazyBytes::whole(bytes.len(), move || bytes.clone());
        made.lazy.insert("w5000".to_owned(), lazy);
        made.proto.graph.as_mut().expect("a graph").initializer[4].raw_data = None;
        let beside = made.spread(folder.path()).expect("a file");
        assert!(beside.message.len() < 4000);
        assert_eq!(read(&beside), right);
    }
}
