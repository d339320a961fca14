//! A model in memory: the messages, tensors still to be computed, and where it came from.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::proto::{ModelProto, StringStringEntryProto};

/// The version of the intermediate representation that `proto/onnx.proto` states: the newest that nothing is lost of.
pub(crate) const NEWEST_IR: i64 = super::proto::Version::IrVersion as i64;

/// Bytes of an initializer that are computed when the model is written, so that a large model is never held
/// twice in memory.
#[derive(Clone)]
pub(crate) struct LazyBytes {
    /// Length of what `make` returns.
    pub(crate) length: usize,
    /// Computes the packed bytes.
    pub(crate) make: Arc<dyn Fn() -> Bytes + Send + Sync>,
}

impl fmt::Debug for LazyBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LazyBytes({})", self.length)
    }
}

/// An ONNX model: read by [`Model::load`], written by [`Model::save`].
#[derive(Clone, Debug)]
pub struct Model {
    pub(crate) proto: ModelProto,
    /// By initializer name: data that `proto` does not hold yet.
    pub(crate) lazy: BTreeMap<String, LazyBytes>,
    /// Keep the weights in a file of their own when writing.
    pub(crate) external: bool,
    /// The files that it was read from; a buffer has an empty path.
    sources: Vec<(PathBuf, Bytes)>,
    hash: Arc<OnceLock<String>>,
}

/// The one name of a domain of operators: the default domain has two, "" and "ai.onnx".
pub(crate) fn domain_of(name: &str) -> &str {
    if name == "ai.onnx" { "" } else { name }
}

impl Model {
    pub(crate) fn new(proto: ModelProto, sources: Vec<(PathBuf, Bytes)>, external: bool) -> Model {
        Model {
            proto,
            lazy: BTreeMap::new(),
            external,
            sources,
            hash: Arc::default(),
        }
    }

    /// The same model with other messages and lazily computed initializers.
    pub(crate) fn with(&self, proto: ModelProto, lazy: BTreeMap<String, LazyBytes>) -> Model {
        Model {
            proto,
            lazy,
            external: self.external,
            sources: self.sources.clone(),
            hash: self.hash.clone(),
        }
    }

    /// The same model with every initializer's bytes at hand.
    pub(crate) fn settled(mut self) -> Model {
        let graph = self.proto.graph.get_or_insert_default();
        for tensor in &mut graph.initializer {
            if let Some(lazy) = self.lazy.remove(tensor.name()) {
                tensor.raw_data = Some((lazy.make)());
            }
        }
        self
    }

    /// BLAKE3 hash (hexadecimal) of the files that the model was read from: the model, then its data files
    /// in the order of their names.
    pub fn hash(&self) -> &str {
        self.hash.get_or_init(|| {
            let mut hasher = blake3::Hasher::new();
            for (_, source) in &self.sources {
                hasher.update_rayon(source);
            }
            hasher.finalize().to_hex().to_string()
        })
    }

    /// Bytes of the files that the model was read from.
    pub fn source_bytes(&self) -> u64 {
        self.sources
            .iter()
            .map(|(_, source)| source.len() as u64)
            .sum()
    }

    /// The files that the model was read from: the model, then its data files.
    pub fn source_paths(&self) -> impl Iterator<Item = &Path> {
        let paths = self.sources.iter().map(|(path, _)| path.as_path());
        paths.filter(|path| !path.as_os_str().is_empty())
    }

    /// Version of the default operator set; 1 where the model does not name it.
    pub fn opset(&self) -> i64 {
        self.proto
            .opset_import
            .iter()
            .find(|import| domain_of(import.domain()).is_empty())
            .map_or(1, |import| import.version())
    }

    /// Version of the intermediate representation.
    pub fn ir_version(&self) -> i64 {
        self.proto.ir_version()
    }

    /// Value of a key in the model's `metadata_props`.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        let entry = self.proto.metadata_props.iter().find(|e| e.key() == key);
        entry.map(StringStringEntryProto::value)
    }

    /// Sets a key of the model's `metadata_props`; other keys stay as they are.
    pub fn set_metadata(&mut self, key: &str, value: &str) {
        self.proto.metadata_props.retain(|entry| entry.key() != key);
        self.proto.metadata_props.push(StringStringEntryProto {
            key: Some(key.to_owned()),
            value: Some(value.to_owned()),
        });
    }
}
