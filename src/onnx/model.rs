//! A model in memory: the messages, tensors still to be computed, and where it came from.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Deref, DerefMut, Range};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::proto::{ModelProto, OperatorSetIdProto, StringStringEntryProto};
use crate::error::Result;
use crate::files::{Stamp, map_stamped};

/// The version of the intermediate representation that `proto/onnx.proto` states: the newest that nothing is lost of.
pub(crate) const NEWEST_IR: i64 = super::proto::Version::IrVersion as i64;

/// Bytes of a file that are worth a thread to hash them.
const WORTH_A_THREAD: u64 = 1 << 20;

/// A file that a model was read from, or a buffer, whose path is empty.
#[derive(Clone, Debug)]
pub(crate) struct SourceFile {
    path: PathBuf,
    bytes: Bytes,
    stamp: Option<Stamp>,
}

impl SourceFile {
    /// The file at `path`, mapped.
    ///
    /// # Errors
    /// It cannot be read.
    pub(super) fn open(path: &Path) -> Result<SourceFile> {
        let (bytes, stamp) = map_stamped(path)?;
        Ok(SourceFile {
            path: path.to_owned(),
            bytes,
            stamp: Some(stamp),
        })
    }

    pub(super) fn buffer(bytes: Bytes) -> SourceFile {
        SourceFile {
            path: PathBuf::new(),
            bytes,
            stamp: None,
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Where the file is without links on the way; none where another one is there now, or it was changed.
    pub(super) fn unchanged_path(&self) -> Option<PathBuf> {
        let path = self.path.canonicalize().ok()?;
        (Stamp::at(&path) == self.stamp && self.stamp.is_some()).then_some(path)
    }
}

fn hash_of(sources: &[SourceFile]) -> String {
    let mut hasher = blake3::Hasher::new();
    for source in sources {
        hasher.update_rayon(&source.bytes);
    }
    hasher.finalize().to_hex().to_string()
}

/// Bytes of an initializer that are computed when the model is written, so that a large model is never held
/// twice in memory.
#[derive(Clone)]
pub(crate) struct LazyBytes {
    length: usize,
    parts: usize,
    make: Arc<Make>,
}

/// Appends the packed bytes of some parts.
type Make = dyn Fn(Range<usize>, &mut Vec<u8>) + Send + Sync;

impl LazyBytes {
    /// `length` bytes that are made at once.
    pub(crate) fn whole(
        length: usize,
        make: impl Fn() -> Bytes + Send + Sync + 'static,
    ) -> LazyBytes {
        let make = move |_, out: &mut Vec<u8>| out.extend_from_slice(&make());
        LazyBytes::in_parts(length, 1, make)
    }

    /// `length` bytes in `parts` parts of equal length, one behind the other, that can be made apart.
    pub(crate) fn in_parts(
        length: usize,
        parts: usize,
        make: impl Fn(Range<usize>, &mut Vec<u8>) + Send + Sync + 'static,
    ) -> LazyBytes {
        LazyBytes {
            length,
            parts,
            make: Arc::new(make),
        }
    }

    pub(crate) fn length(&self) -> usize {
        self.length
    }

    /// All of them.
    pub(crate) fn bytes(&self) -> Bytes {
        let mut out = Vec::with_capacity(self.length);
        self.append(0..self.parts, &mut out);
        out.into()
    }

    /// Appends the bytes of some parts.
    pub(super) fn append(&self, parts: Range<usize>, out: &mut Vec<u8>) {
        (self.make)(parts, out);
    }

    /// The parts in ranges of about `bytes` bytes; a longer part stands alone.
    pub(super) fn ranges(&self, bytes: usize) -> impl Iterator<Item = Range<usize>> + use<> {
        let parts = self.parts;
        let length = (self.length / parts.max(1)).max(1);
        let step = (bytes / length).max(1);
        (0..parts)
            .step_by(step)
            .map(move |start| start..parts.min(start.saturating_add(step)))
    }
}

impl fmt::Debug for LazyBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LazyBytes({})", self.length)
    }
}

/// The messages of a model: copies share them until they are changed.
#[derive(Clone, Debug)]
pub(crate) struct Messages(Arc<ModelProto>);

impl From<ModelProto> for Messages {
    fn from(proto: ModelProto) -> Messages {
        Messages(Arc::new(proto))
    }
}

impl Deref for Messages {
    type Target = ModelProto;

    fn deref(&self) -> &ModelProto {
        &self.0
    }
}

impl DerefMut for Messages {
    fn deref_mut(&mut self) -> &mut ModelProto {
        Arc::make_mut(&mut self.0)
    }
}

/// An ONNX model: read by [`Model::load`], written by [`Model::save`].
#[derive(Clone, Debug)]
pub struct Model {
    pub(crate) proto: Messages,
    /// By initializer name: data that `proto` does not hold yet.
    pub(crate) lazy: BTreeMap<String, LazyBytes>,
    /// Keep the weights in a file of their own when writing.
    pub(crate) external: bool,
    sources: Vec<SourceFile>,
    hash: Arc<OnceLock<String>>,
}

/// The one name of a domain of operators: the default domain has two, "" and "ai.onnx".
pub(crate) fn domain_of(name: &str) -> &str {
    if name == "ai.onnx" { "" } else { name }
}

impl Model {
    pub(crate) fn new(
        proto: impl Into<Messages>,
        sources: Vec<SourceFile>,
        external: bool,
    ) -> Model {
        Model {
            proto: proto.into(),
            lazy: BTreeMap::new(),
            external,
            sources,
            hash: Arc::default(),
        }
    }

    /// The same model with other messages and lazily computed initializers.
    pub(crate) fn with(
        &self,
        proto: impl Into<Messages>,
        lazy: BTreeMap<String, LazyBytes>,
    ) -> Model {
        Model {
            proto: proto.into(),
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
                tensor.raw_data = Some(lazy.bytes());
            }
        }
        self
    }

    /// BLAKE3 hash (hexadecimal) of the files that the model was read from: the model, then its data files
    /// in the order of their names.
    pub fn hash(&self) -> &str {
        self.hash.get_or_init(|| hash_of(&self.sources))
    }

    /// Begins to find [`Model::hash`] while other work goes on.
    pub(crate) fn hash_ahead(&self) {
        // A thread of a pool that waits for another thread, which needs the pool, could wait forever.
        let pooled = rayon::current_thread_index().is_some();
        if pooled || self.source_bytes() < WORTH_A_THREAD {
            return;
        }
        let (hash, sources) = (self.hash.clone(), self.sources.clone());
        let work = move || {
            hash.get_or_init(|| hash_of(&sources));
        };
        // Where there is no other thread, who asks for the hash finds it.
        let _ = std::thread::Builder::new().spawn(work);
    }

    /// What the model was read from: the model, then its data files.
    pub(super) fn sources(&self) -> &[SourceFile] {
        &self.sources
    }

    /// Bytes of the files that the model was read from.
    pub fn source_bytes(&self) -> u64 {
        self.sources
            .iter()
            .map(|source| source.bytes.len() as u64)
            .sum()
    }

    /// The files that the model was read from: the model, then its data files.
    pub fn source_paths(&self) -> impl Iterator<Item = &Path> {
        let paths = self.sources.iter().map(SourceFile::path);
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

    /// Imports a further set of operators, if it is not there.
    pub(crate) fn import(&mut self, domain: &str, version: i64) {
        let imports = &mut self.proto.opset_import;
        if imports.iter().all(|import| import.domain() != domain) {
            imports.push(OperatorSetIdProto {
                domain: Some(domain.to_owned()),
                version: Some(version),
            });
        }
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
