//! Messages between this process and the one that runs onnxruntime: a size, then JSON.

use std::io::{self, Read, Write};
use std::path::PathBuf;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::shared::Part;
use crate::error::Error;
use crate::onnx::ElementType;
use crate::runtime::USUAL_REMEDY;
use crate::runtime::kernel::Kernel;
use crate::runtime::library::Library;
use crate::runtime::provider::Provider;
use crate::runtime::settings::SessionOptions;
use crate::runtime::signature::{About, Device, Interface};
use crate::runtime::state::RunKind;

/// What is asked of the other process.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Request {
    /// Load a library.
    Load {
        library: Library,
        /// Bytes of memory that the process may take, if not nearly all of the machine's.
        memory_limit: Option<u64>,
    },
    /// Make a provider's plugin known.
    Prepare(Provider),
    /// List the devices.
    Devices,
    /// Open a session on a model.
    Open {
        place: ModelPlace,
        what: String,
        options: SessionOptions,
    },
    /// Run a session; read the outputs of these names.
    Run {
        session: u64,
        kind: RunKind,
        inputs: Vec<PackedTensor>,
        read: Vec<String>,
    },
    /// Do something with the state of a session.
    State { session: u64, call: StateCall },
    /// Close a session and tell its kernels.
    Kernels { session: u64 },
    /// Close a session. There is no answer.
    Close { session: u64 },
}

/// What is done with the state of a session.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum StateCall {
    /// Keep one of these inputs and outputs.
    Keep {
        pairs: Vec<(String, String)>,
        start: Vec<PackedTensor>,
    },
    /// Read values.
    Read(Vec<String>),
    /// Replace values.
    Set(Vec<PackedTensor>),
}

/// Where a model is.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum ModelPlace {
    File(PathBuf),
    /// A message, whose data files are in the folder.
    Message {
        part: Part,
        folder: Option<PathBuf>,
    },
}

/// What the other process answers.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Reply {
    Loaded(About),
    Devices(Vec<Device>),
    Opened {
        session: u64,
        interface: Interface,
    },
    Ran {
        outputs: Vec<PackedTensor>,
        busy_nanoseconds: u64,
    },
    Kernels(Vec<Kernel>),
    State(Vec<PackedTensor>),
    Done,
    Failed(Failure),
}

/// A tensor whose elements are a part.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct PackedTensor {
    pub(super) name: String,
    pub(super) element: ElementType,
    pub(super) shape: Vec<usize>,
    pub(super) part: Part,
}

/// An error on its way.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Failure {
    provider: Option<String>,
    reason: String,
    remedy: String,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        let (provider, reason, remedy) = match error {
            Error::Provider {
                provider,
                reason,
                remedy,
            } => (Some(provider), reason, remedy),
            Error::Runtime { reason, remedy } => (None, reason, remedy),
            other => (None, other.to_string(), USUAL_REMEDY.to_owned()),
        };
        Failure {
            provider,
            reason,
            remedy,
        }
    }
}

impl Failure {
    pub(super) fn into_error(self) -> Error {
        let Failure {
            provider,
            reason,
            remedy,
        } = self;
        match provider {
            Some(provider) => Error::Provider {
                provider,
                reason,
                remedy,
            },
            None => Error::Runtime { reason, remedy },
        }
    }
}

/// Writes one message.
pub(super) fn send(mut to: impl Write, message: &impl Serialize) -> io::Result<()> {
    let message = serde_json::to_vec(message)?;
    let mut bytes = (message.len() as u64).to_le_bytes().to_vec();
    bytes.extend(message);
    to.write_all(&bytes)
}

/// Reads one message; what comes is of our own program.
pub(super) fn receive<T: DeserializeOwned>(mut from: impl Read) -> io::Result<T> {
    let mut size = [0; 8];
    from.read_exact(&mut size)?;
    let size = u64::from_le_bytes(size);
    let mut message = Vec::new();
    from.take(size).read_to_end(&mut message)?;
    if message.len() as u64 != size {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(serde_json::from_slice(&message)?)
}
