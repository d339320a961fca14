//! onnxruntime: where the library comes from, sessions, tensors in and out.
//!
//! The only room that names `ort`. The library is loaded at run time, once per process: see [`Library`] for
//! where it is looked for and [`install`] for how it gets there by itself. It runs in this process, or in one of its
//! own after [`run_apart`].

#[cfg(unix)]
mod apart;
#[cfg(not(unix))]
#[path = "nowhere.rs"]
mod apart;
mod cache;
mod elf;
mod environment;
mod inside;
mod install;
mod kernel;
mod library;
mod local;
mod memory;
mod packages;
mod provider;
mod session;
mod settings;
mod signature;
mod state;
mod tensor;
mod wheels;

pub use apart::{WORKER_COMMAND, serve};
pub use environment::{Runtime, end_apart, run_apart};
// For hosts of the command line, such as the Python module.
#[doc(hidden)]
pub use environment::interrupt_apart;
pub(crate) use inside::time_inside;
pub use install::{install, repair};
pub use kernel::Kernel;
#[doc(hidden)]
pub use library::OLDEST_MINOR;
pub use library::{Hosted, Library, Source};
#[cfg(feature = "tokenizers")]
pub(crate) use local::guarded;
pub(crate) use memory::available;
pub use packages::{Package, VERSION as PINNED_VERSION, cache_folder};
pub use provider::Provider;
pub use session::Session;
pub use settings::{
    Apart, IntegerSums, MemoryUse, Optimisation, Profiling, Purpose, SessionOptions, Spinning,
};
pub use signature::{Device, Signature, UnreadOutput};
pub use tensor::Tensor;

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::Error;

/// Fits most causes of trouble.
const USUAL_REMEDY: &str = "`secateur runtime status` shows which library is used";

/// An onnxruntime error with a remedy that fits most of its causes.
fn fault(what: &str, reason: impl std::fmt::Display) -> Error {
    Error::Runtime {
        reason: format!("{what}: {reason}"),
        remedy: USUAL_REMEDY.to_owned(),
    }
}

/// Holds a mutex; that another thread has panicked while it did leaves nothing half done here.
fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
