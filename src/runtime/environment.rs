//! onnxruntime in this process or in one of its own.

use std::path::Path;
use std::sync::{Arc, Mutex};

use super::apart::{self, Remote, Worker};
use super::held;
use super::inside::counted;
use super::library::Library;
use super::local::Local;
use super::provider::Provider;
use super::session::Session;
use super::settings::{Apart, ModelAt, SessionOptions};
use super::signature::Device;
use crate::error::Result;
use crate::files::TemporaryFolder;
use crate::onnx::{Beside, Model};

/// A loaded onnxruntime. One process loads one library.
#[derive(Clone, Debug)]
pub struct Runtime {
    place: Place,
}

/// Where it is loaded.
#[derive(Clone, Debug)]
enum Place {
    Here(Local),
    Apart(Arc<Worker>),
}

/// Bytes of weights that are worth a file that can be mapped.
const WORTH_A_FILE: usize = 1 << 20;

static APART: Mutex<Option<Apart>> = Mutex::new(None);
static WORKER: Mutex<Option<Arc<Worker>>> = Mutex::new(None);

/// From now on, onnxruntime is loaded in a process of its own, begun anew after [`end_apart`], so that its crash, its want of memory or an endless run
/// is an error instead of the end of this process. Says whether that holds: not where a library has been loaded here
/// before, and not on systems other than Unix.
///
/// The `secateur` command does this. Without it, onnxruntime is loaded in the process that uses the library.
pub fn run_apart(apart: Apart) -> bool {
    let may = cfg!(unix) && !Local::is_loaded();
    if may {
        *held(&APART) = Some(apart);
    }
    may
}

/// Ends the process that [`run_apart`] has led to, if there is one.
pub fn end_apart() {
    let mut worker = held(&WORKER);
    if let Some(worker) = worker.take() {
        worker.end();
    }
}

/// As [`end_apart`], in the midst of a run: whoever still uses that process gets errors, and not another one.
pub fn interrupt_apart() {
    // Whoever starts one holds this only until it is started.
    if let Some(worker) = held(&WORKER).take() {
        worker.give_up("it was interrupted");
    }
}

impl Runtime {
    /// Loads `library`, or returns the one that has been loaded before. In a process of its own it is loaded while
    /// this one goes on: that it cannot be loaded is then the error of what is asked of it first.
    ///
    /// # Errors
    /// The file is no onnxruntime, is too old, or cannot start.
    pub fn load(library: &Library) -> Result<Runtime> {
        let place = match held(&APART).clone() {
            None => Place::Here(Local::load(library)?),
            Some(apart) => {
                let mut worker = held(&WORKER);
                let worker = match worker.as_ref() {
                    Some(worker) => worker.clone(),
                    None => worker
                        .insert(Arc::new(Worker::start(&apart, library)?))
                        .clone(),
                };
                Place::Apart(worker)
            }
        };
        Ok(Runtime { place })
    }

    /// The library's version, as `1.32.0`.
    pub fn version(&self) -> &str {
        match &self.place {
            Place::Here(local) => local.version(),
            Place::Apart(worker) => &worker.about().version,
        }
    }

    /// What the library says of itself.
    pub fn build_info(&self) -> &str {
        match &self.place {
            Place::Here(local) => local.build_info(),
            Place::Apart(worker) => &worker.about().build,
        }
    }

    /// The devices that the library and the plugins loaded so far offer.
    ///
    /// # Errors
    /// The library cannot be loaded or crashes.
    pub fn devices(&self) -> Result<Vec<Device>> {
        match &self.place {
            Place::Here(local) => Ok(local.devices()),
            Place::Apart(worker) => apart::devices(worker),
        }
    }

    /// Makes a provider's plugin library known, if it has one.
    ///
    /// # Errors
    /// The library is not there or does not load.
    pub fn prepare(&self, provider: &Provider) -> Result<()> {
        match &self.place {
            Place::Here(local) => local.prepare(provider),
            Place::Apart(worker) => apart::prepare(worker, provider),
        }
    }

    /// A session that runs `model` on the CPU; `what` names the model in errors.
    ///
    /// # Errors
    /// onnxruntime does not accept the model.
    pub fn session(&self, model: &Model, what: &str) -> Result<Session> {
        self.session_with(model, what, &SessionOptions::default())
    }

    /// A session that runs `model` as `options` say.
    ///
    /// # Errors
    /// The provider is not available, or does not accept the model.
    pub fn session_with(
        &self,
        model: &Model,
        what: &str,
        options: &SessionOptions,
    ) -> Result<Session> {
        if let Some(beside) = model.in_place() {
            return self.session_beside(model, &beside, what, options);
        }
        let large = model.needs_external_data();
        if large || model.weight_bytes() >= WORTH_A_FILE {
            let folder = TemporaryFolder::new();
            match folder.and_then(|folder| Ok((model.spread(folder.path())?, folder))) {
                Ok((beside, _folder)) => {
                    return self.session_beside(model, &beside, what, options);
                }
                Err(fault) if large => return Err(fault),
                // Where files have no room, there may be memory.
                Err(_) => {}
            }
        }
        let beside = Beside {
            message: model.to_bytes()?,
            folder: None,
        };
        self.session_beside(model, &beside, what, options)
    }

    /// A session on a message of the model; onnxruntime maps what lies beside it.
    fn session_beside(
        &self,
        model: &Model,
        beside: &Beside,
        what: &str,
        options: &SessionOptions,
    ) -> Result<Session> {
        let at = ModelAt::Message {
            bytes: &beside.message,
            folder: beside.folder.as_deref(),
        };
        let size = (model.weight_bytes() + beside.message.len()) as u64;
        self.open(at, size, what, options)
    }

    /// `model` as onnxruntime rewrites it to run it on the CPU; `what` names it in errors.
    ///
    /// # Errors
    /// onnxruntime does not accept the model, or there is no room for what it writes.
    pub(crate) fn rewritten(&self, model: &Model, what: &str) -> Result<Model> {
        let folder = TemporaryFolder::new()?;
        let path = folder.path().join("rewritten.onnx");
        let options = SessionOptions {
            rewritten: Some(path.clone()),
            ..SessionOptions::default()
        };
        drop(self.session_with(model, what, &options)?);
        Model::load(path)
    }

    /// A session that runs the model at `path`.
    ///
    /// # Errors
    /// As [`Runtime::session_with`].
    pub fn session_from_file(
        &self,
        path: &Path,
        what: &str,
        options: &SessionOptions,
    ) -> Result<Session> {
        let size = std::fs::metadata(path).map_or(0, |file| file.len());
        self.open(ModelAt::File(path), size, what, options)
    }

    /// A session on a model of this size in bytes.
    fn open(
        &self,
        model: ModelAt,
        size: u64,
        what: &str,
        options: &SessionOptions,
    ) -> Result<Session> {
        counted(|| match &self.place {
            Place::Here(local) => Ok(Session::here(what, local.session(model, what, options)?)),
            Place::Apart(worker) => {
                let (session, interface) = Remote::open(worker, what, options, model, size)?;
                Ok(Session::apart(what, session, interface))
            }
        })
    }
}
