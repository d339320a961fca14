//! A process of its own for onnxruntime, where there is none: on systems other than Unix.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::kernel::Kernel;
use super::library::Library;
use super::provider::Provider;
use super::settings::{Apart, SessionOptions};
use super::signature::{Device, Signature, UnreadOutput};
use super::tensor::Tensor;
use crate::error::{Error, Result};
use crate::onnx::Beside;

/// The hidden command of the program that [`serve`]s.
pub const WORKER_COMMAND: &str = "runtime-worker";

/// Answers nobody.
///
/// # Errors
/// Always.
pub fn serve(_: &[String]) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// There is none.
#[derive(Debug)]
pub(super) enum Worker {}

/// There is none.
#[derive(Debug)]
pub(super) enum Remote {}

/// What a library says of itself.
pub(super) struct About {
    pub(super) version: &'static str,
    pub(super) build: &'static str,
}

/// What a session says of itself.
pub(super) struct RemoteSession {
    pub(super) inputs: Vec<Signature>,
    pub(super) outputs: Vec<Signature>,
    pub(super) unread: Vec<UnreadOutput>,
}

/// A model to open a session on.
#[allow(dead_code, reason = "nobody opens it")]
pub(super) struct ModelSource<'a> {
    pub(super) place: ModelAt<'a>,
    pub(super) size: u64,
}

/// Where it is.
#[allow(dead_code, reason = "nobody opens it")]
pub(super) enum ModelAt<'a> {
    File(&'a Path),
    Message(&'a Beside),
}

impl Worker {
    pub(super) fn start(_: &Apart, _: &Library) -> Result<Worker> {
        Err(Error::Runtime {
            reason: "it cannot run in a process of its own on this system".to_owned(),
            remedy: "load it in this one".to_owned(),
        })
    }

    pub(super) fn end(&self) {
        match *self {}
    }

    pub(super) fn about(&self) -> &'static About {
        match *self {}
    }
}

impl Remote {
    pub(super) fn open(
        worker: &Arc<Worker>,
        _: &str,
        _: &SessionOptions,
        _: ModelSource,
    ) -> Result<Remote> {
        match **worker {}
    }

    pub(super) fn opened(&self) -> &RemoteSession {
        match *self {}
    }

    pub(super) fn busy(&self) -> Duration {
        match *self {}
    }

    pub(super) fn run(
        &mut self,
        _: &str,
        _: &[(String, Tensor)],
        _: &[String],
    ) -> Result<Vec<(String, Tensor)>> {
        match *self {}
    }

    pub(super) fn kernels(self, _: &str) -> Result<Vec<Kernel>> {
        match self {}
    }
}

pub(super) fn devices(worker: &Worker) -> Result<Vec<Device>> {
    match *worker {}
}

pub(super) fn prepare(worker: &Worker, _: &Provider) -> Result<()> {
    match *worker {}
}
