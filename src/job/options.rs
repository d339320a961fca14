//! What several commands take: a model, data, sizes of inputs, an onnxruntime, and what may be replaced.

use std::path::{Path, PathBuf};

use crate::data::{DataSet, DataSource, HELD_OUT, declared_inputs};
use crate::dimensions::Analysis;
use crate::engine::Pass;
use crate::error::{Error, Result};
use crate::events::Events;
use crate::layers::Layer;
use crate::onnx::Model;
use crate::runtime::{Library, Package, Provider, Runtime, repair};
use crate::statistics::{Walk, batch_size};

/// A model: in a file, or in memory.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ModelInput {
    /// In this file.
    Path(PathBuf),
    /// This one.
    Model(Box<Model>),
}

impl ModelInput {
    /// The model, read where it is in a file.
    ///
    /// # Errors
    /// It cannot be read, or is no model.
    pub(super) fn load(&self) -> Result<Model> {
        match self {
            ModelInput::Path(path) => Model::load(path),
            ModelInput::Model(model) => Ok((**model).clone()),
        }
    }

    /// What reports call it.
    pub(super) fn name(&self) -> String {
        match self {
            ModelInput::Path(path) => path.display().to_string(),
            ModelInput::Model(model) => match model.source_paths().next() {
                Some(path) => path.display().to_string(),
                None => "the model".to_owned(),
            },
        }
    }
}

impl From<&str> for ModelInput {
    fn from(path: &str) -> ModelInput {
        ModelInput::Path(path.into())
    }
}

impl From<&Path> for ModelInput {
    fn from(path: &Path) -> ModelInput {
        ModelInput::Path(path.to_owned())
    }
}

impl From<PathBuf> for ModelInput {
    fn from(path: PathBuf) -> ModelInput {
        ModelInput::Path(path)
    }
}

impl From<Model> for ModelInput {
    fn from(model: Model) -> ModelInput {
        ModelInput::Model(Box::new(model))
    }
}

/// Which onnxruntime a job may use.
///
/// onnxruntime leaves a device id in the user's home and calls a telemetry server unless `ORT_DISABLE_TELEMETRY=1` is in
/// the environment before it is loaded. The `secateur` command sets it; a program that uses the library should do so
/// at the start of `main`, before it has other threads.
#[derive(Clone, Debug, Default)]
pub struct RuntimeOptions {
    /// A library to use instead of looking for one.
    pub library: Option<PathBuf>,
    /// Never install one.
    pub offline: bool,
}

impl RuntimeOptions {
    /// Finds or installs a library and loads it.
    ///
    /// # Errors
    /// There is none that can be used.
    pub fn load(&self, events: &mut dyn Events) -> Result<Runtime> {
        self.load_for(&[], events)
    }

    /// As [`RuntimeOptions::load`], with a build that has these providers where one is installed.
    ///
    /// # Errors
    /// There is none that can be used.
    pub fn load_for(&self, providers: &[Provider], events: &mut dyn Events) -> Result<Runtime> {
        let cuda = providers.iter().any(Provider::needs_cuda);
        let preferred: &[Package] = if cuda { &[Package::Cuda] } else { &[] };
        let library = self.library.as_deref();
        if providers.contains(&Provider::WebGpu) {
            repair(Package::WebGpu, self.offline, events)?;
        }
        Runtime::load(&Library::find_or_install(
            library,
            preferred,
            self.offline,
            events,
        )?)
    }
}

/// Whether the result is verified in onnxruntime.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Proof {
    /// It is, and what fails is not written.
    #[default]
    Required,
    /// It is not.
    Skipped,
}

/// What is said about the sizes of inputs.
#[derive(Clone, Debug, Default)]
pub struct Shapes {
    /// Sizes of dynamic axes by name.
    pub sizes: Vec<(String, i64)>,
    /// The axis of an input that counts samples, or that none does, where the model's symbols do not say it.
    pub sample_axes: Vec<(String, Option<usize>)>,
}

/// Whether the input's own files may be replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Overwrite {
    /// They may not.
    #[default]
    Refused,
    /// They may.
    Allowed,
}

/// The data that a model is calibrated on, and where the model runs on it.
#[derive(Clone, Debug)]
pub struct Calibration {
    /// The data; no labels are needed.
    pub data: DataSource,
    /// Samples at most.
    pub samples: usize,
    /// Where the model runs.
    pub provider: Provider,
}

impl Calibration {
    /// Samples at most, unless told otherwise.
    pub const SAMPLES: usize = 512;

    /// On `data`, on the CPU.
    pub fn new(data: DataSource) -> Calibration {
        Calibration {
            data,
            samples: Calibration::SAMPLES,
            provider: Provider::Cpu,
        }
    }

    /// Opens the data and loads the onnxruntime that runs on it, in at least `batches` batches where there are
    /// samples enough. Where some are reserved, the last ones are left out: training is judged on them.
    pub(super) fn open<'a>(
        &self,
        analysis: &'a Analysis,
        layers: &[Layer],
        (batches, reserved): (usize, bool),
        runtime: &RuntimeOptions,
        events: &mut dyn Events,
    ) -> Result<Opened<'a>> {
        let data = DataSet::open(&self.data, &declared_inputs(analysis), analysis, 1)?;
        if self.samples == 0 {
            return Err(Error::Usage("`samples` is 1 at least".to_owned()));
        }
        let mut data = data.first(self.samples);
        if reserved {
            let samples = data.samples();
            data = data.first(samples - samples / HELD_OUT);
        }
        let most = (data.samples() / batches).max(1);
        let batch = batch_size(analysis, layers.iter()).min(most);
        let provider = self.provider.clone();
        let runtime = runtime.load_for(std::slice::from_ref(&provider), events)?;
        let mut data = data.in_batches(batch);
        if data.is_random() && !analysis.caches().is_empty() {
            let model = analysis.graph().model();
            data = data.with_caches(&mut runtime.session(model, "the model")?)?;
        }
        Ok(Opened {
            data,
            runtime,
            provider,
        })
    }
}

impl From<DataSource> for Calibration {
    fn from(data: DataSource) -> Calibration {
        Calibration::new(data)
    }
}

impl From<&str> for Calibration {
    fn from(path: &str) -> Calibration {
        Calibration::new(DataSource::Path(path.into()))
    }
}

impl From<PathBuf> for Calibration {
    fn from(path: PathBuf) -> Calibration {
        Calibration::new(DataSource::Path(path))
    }
}

/// Calibration data and what runs on it.
pub(super) struct Opened<'a> {
    pub(super) data: DataSet<'a>,
    pub(super) runtime: Runtime,
    pub(super) provider: Provider,
}

impl Opened<'_> {
    /// All of the data where it runs.
    pub(in crate::job) fn pass(&self) -> Pass<'_> {
        Pass {
            runtime: &self.runtime,
            provider: &self.provider,
            data: &self.data,
        }
    }

    /// A run over the data that measures layers; in their order where not all of them are measured at once.
    pub(super) fn walk<'b>(&'b self, analysis: &'b Analysis, in_order: bool) -> Walk<'b> {
        Walk {
            analysis,
            runtime: &self.runtime,
            provider: self.provider.clone(),
            data: &self.data,
            in_order,
        }
    }
}
