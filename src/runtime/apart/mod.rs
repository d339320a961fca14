//! onnxruntime in a process of its own.
//!
//! Messages go over a socket. What is large, models and tensors, lies in two files in memory, one for each way: the
//! other process reads models and inputs where they lie.

mod remote;
mod serve;
mod shared;
mod wire;
mod worker;

pub(super) use remote::{Remote, devices, prepare};
pub use serve::serve;
pub use worker::WORKER_COMMAND;
pub(super) use worker::Worker;
