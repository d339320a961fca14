//! A process of its own for onnxruntime, where there is none: on systems other than Unix.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::kernel::Kernel;
use super::library::Library;
use super::provider::Provider;
use super::settings::{Apart, ModelAt, SessionOptions};
use super::signature::{About, Device, Interface};
use super::state::RunKind;
use super::tensor::Tensor;
use crate::error::{Error, Result};

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

    pub(super) fn give_up(&self, _: &str) {
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
        _: ModelAt,
        _: u64,
    ) -> Result<(Remote, Interface)> {
        match **worker {}
    }

    pub(super) fn busy(&self) -> Duration {
        match *self {}
    }

    pub(super) fn run(
        &mut self,
        _: &str,
        _: RunKind,
        _: &[(String, Tensor)],
        _: &[String],
    ) -> Result<Vec<(String, Tensor)>> {
        match *self {}
    }

    pub(super) fn keep(
        &mut self,
        _: &str,
        _: &[(String, String)],
        _: Vec<(String, Tensor)>,
    ) -> Result<()> {
        match *self {}
    }

    pub(super) fn set_state(&mut self, _: &str, _: Vec<(String, Tensor)>) -> Result<()> {
        match *self {}
    }

    pub(super) fn state(&self, _: &str, _: Vec<String>) -> Result<Vec<(String, Tensor)>> {
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
