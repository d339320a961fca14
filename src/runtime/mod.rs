//! onnxruntime: where the library comes from, sessions, tensors in and out.
//!
//! The only room that names `ort`. The library is loaded at run time, once per process: see [`Library`] for
//! where it is looked for and [`install`] for how it gets there by itself.

mod cache;
mod elf;
mod environment;
mod guard;
mod install;
mod library;
mod packages;
mod profile;
mod provider;
mod session;
mod tensor;
mod version;
mod wheels;

pub use environment::{Device, Runtime};
pub use install::{install, repair};
pub use library::{Library, Source};
pub use packages::{Package, VERSION as PINNED_VERSION, cache_folder};
pub use profile::Kernel;
pub use provider::Provider;
pub use session::{
    Optimisation, Profiling, Purpose, Session, SessionOptions, Signature, UnreadOutput,
};
pub use tensor::Tensor;

use crate::error::Error;

/// An onnxruntime error with a remedy that fits most of its causes.
fn fault(what: &str, reason: impl std::fmt::Display) -> Error {
    Error::Runtime {
        reason: format!("{what}: {reason}"),
        remedy: "`secateur runtime status` shows which library is used".to_owned(),
    }
}
