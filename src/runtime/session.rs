//! Sessions on the CPU execution provider.

use std::path::Path;
use std::sync::{Mutex, OnceLock};

use ort::environment::Environment;
use ort::session::{SessionInputValue, SessionInputs};
use ort::value::{Outlet, ValueType};

use super::fault;
use super::library::Library;
use super::tensor::{Tensor, element_of};
use crate::error::{Error, Result};
use crate::onnx::{ElementType, Model};

/// A loaded onnxruntime. One process loads one library.
#[derive(Clone, Debug)]
pub struct Runtime {
    environment: Environment,
}

static LOADED: OnceLock<Environment> = OnceLock::new();
static LOADING: Mutex<()> = Mutex::new(());

impl Runtime {
    /// Loads `library`, or returns the one that this process has loaded before.
    ///
    /// # Errors
    /// The file is no onnxruntime, is too old, or cannot start.
    pub fn load(library: &Library) -> Result<Runtime> {
        // A poisoned lock only means that another thread failed to load.
        let _guard = LOADING
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(environment) = LOADED.get() {
            let environment = environment.clone();
            return Ok(Runtime { environment });
        }
        let place = format!("{} (from {})", library.path.display(), library.source);
        let environment = ort::init_from(&library.path)
            .map_err(|reason| Error::Runtime {
                reason: format!("{place} cannot be loaded: {reason}"),
                remedy:
                    "name another library with --onnxruntime, or run `secateur runtime install`"
                        .to_owned(),
            })?
            .with_name("secateur")
            .with_telemetry(false)
            .build()
            .map_err(|reason| fault(&place, reason))?;
        environment.set_log_level(ort::logging::LogLevel::Fatal);
        let _ = LOADED.set(environment.clone());
        Ok(Runtime { environment })
    }

    /// What the library says of itself.
    pub fn build_info(&self) -> &'static str {
        ort::info()
    }

    /// A session that runs `model`; `what` names the model in errors.
    ///
    /// # Errors
    /// onnxruntime does not accept the model.
    pub fn session(&self, model: &Model, what: &str) -> Result<Session> {
        if !model.needs_external_data() {
            let bytes = model.to_bytes()?;
            return self.commit(what, |builder| builder.commit_from_memory(&bytes));
        }
        let folder = tempfile::tempdir().map_err(|source| Error::Write {
            path: std::env::temp_dir(),
            source,
        })?;
        let path = folder.path().join("model.onnx");
        model.save(&path)?;
        self.session_from_file(&path, what)
    }

    /// A session that runs the model at `path`.
    ///
    /// # Errors
    /// As [`Runtime::session`].
    pub fn session_from_file(&self, path: &Path, what: &str) -> Result<Session> {
        self.commit(what, |builder| builder.commit_from_file(path))
    }

    fn commit(
        &self,
        what: &str,
        commit: impl FnOnce(
            &mut ort::session::builder::SessionBuilder,
        ) -> ort::Result<ort::session::Session>,
    ) -> Result<Session> {
        let refused = |reason: ort::Error| fault(&format!("{what} cannot be run"), reason);
        let mut builder = ort::session::Session::builder(&self.environment).map_err(refused)?;
        let inner = commit(&mut builder).map_err(refused)?;
        Ok(Session {
            what: what.to_owned(),
            inner,
        })
    }
}

/// Name, element type and sizes of an input or output; -1 for a dynamic size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// Its name.
    pub name: String,
    /// Element type; `None` for what is no tensor of a type we can make.
    pub element: Option<ElementType>,
    /// Sizes of the axes.
    pub shape: Vec<i64>,
}

impl Signature {
    fn of(outlet: &Outlet) -> Signature {
        let (element, shape) = match outlet.dtype() {
            ValueType::Tensor { ty, shape, .. } => (element_of(*ty), shape.to_vec()),
            _ => (None, Vec::new()),
        };
        Signature {
            name: outlet.name().to_owned(),
            element,
            shape,
        }
    }
}

/// A model ready to run.
#[derive(Debug)]
pub struct Session {
    what: String,
    inner: ort::session::Session,
}

impl Session {
    /// The inputs in the model's order.
    pub fn inputs(&self) -> Vec<Signature> {
        self.inner.inputs().iter().map(Signature::of).collect()
    }

    /// The outputs in the model's order.
    pub fn outputs(&self) -> Vec<Signature> {
        self.inner.outputs().iter().map(Signature::of).collect()
    }

    /// Runs the model on named inputs; returns the outputs in the model's order.
    ///
    /// # Errors
    /// Inputs that the model does not take, or a failure inside onnxruntime.
    pub fn run(&mut self, inputs: &[(String, Tensor)]) -> Result<Vec<(String, Tensor)>> {
        let names: Vec<String> = self.outputs().into_iter().map(|s| s.name).collect();
        let mut values = Vec::with_capacity(inputs.len());
        for (name, tensor) in inputs {
            values.push((
                name.as_str().into(),
                SessionInputValue::from(tensor.to_value()?),
            ));
        }
        let outputs = self
            .inner
            .run(SessionInputs::<0>::ValueMap(values))
            .map_err(|reason| fault(&format!("{} failed to run", self.what), reason))?;
        names
            .into_iter()
            .map(|name| {
                let value = outputs.get(&name);
                let value =
                    value.ok_or_else(|| fault(&self.what, format!("no output '{name}'")))?;
                Ok((name, Tensor::from_value(value)?))
            })
            .collect()
    }
}
