//! onnxruntime in this process: the loaded library, its devices, its plugin providers, and the sessions that it opens.

mod clock;
mod guard;
mod profile;
mod session;
mod state;
mod version;

use std::path::PathBuf;
use std::sync::{Mutex, OnceLock};

use ort::environment::Environment;
use ort::ep;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};

pub(crate) use guard::guarded;
pub(super) use session::LocalSession;
use state::StateMemory;
use version::{refused as refused_model, version_of};

use super::cache::{Cached, cached};
use super::library::Library;
use super::packages::Package;
use super::provider::Provider;
use super::settings::{
    IntegerSums, MemoryUse, ModelAt, Optimisation, Profiling, Purpose, SessionOptions, Spinning,
};
use super::signature::{Device, UNKNOWN_VERSION};
use super::{fault, held};
use crate::error::{Error, Result};
use crate::files::TemporaryFolder;

/// An onnxruntime that this process has loaded: one at most.
#[derive(Clone, Debug)]
pub(super) struct Local {
    environment: Environment,
}

/// What a process has loaded: it cannot be loaded twice or unloaded.
struct Loaded {
    environment: Environment,
    version: String,
    /// Plugin libraries with the providers that each brought.
    plugins: Mutex<Vec<(PathBuf, Vec<String>)>>,
}

/// What names the folder that the references of a model in memory are relative to.
const DATA_FOLDER: &str = "session.model_external_initializers_file_folder_path";

/// Turns weights whose products overflow 16 bits into numbers that kernels multiply otherwise, where the processor needs it.
const EXACT_SUMS: &str = "session.x64quantprecision";
/// What names the file, beside a rewritten graph, that has its weights: one message cannot have more than 2 GB.
const REWRITTEN_WEIGHTS: &str = "session.optimized_model_external_initializers_file_name";

static LOADED: OnceLock<Loaded> = OnceLock::new();
static LOADING: Mutex<()> = Mutex::new(());

impl Local {
    /// Whether this process has loaded a library.
    pub(super) fn is_loaded() -> bool {
        LOADED.get().is_some()
    }

    /// Loads `library`, or returns the one that this process has loaded before.
    ///
    /// # Errors
    /// The file is no onnxruntime, is too old, or cannot start.
    pub(super) fn load(library: &Library) -> Result<Local> {
        let _guard = held(&LOADING);
        if let Some(loaded) = LOADED.get() {
            let environment = loaded.environment.clone();
            return Ok(Local { environment });
        }
        let place = format!("{} (from {})", library.path.display(), library.source);
        let environment = ort::init_from(&library.path)
            .map_err(|reason| Error::Runtime {
                reason: format!("{place} cannot be loaded: {reason}"),
                remedy: "name another library with `library`, or run `secateur runtime install`"
                    .to_owned(),
            })?
            .with_name("secateur")
            .with_telemetry(false)
            .build()
            .map_err(|reason| fault(&place, reason))?;
        environment.set_log_level(ort::logging::LogLevel::Fatal);
        let _ = LOADED.set(Loaded {
            environment: environment.clone(),
            version: version_of(&library.path).unwrap_or_else(|| UNKNOWN_VERSION.to_owned()),
            plugins: Mutex::default(),
        });
        Ok(Local { environment })
    }

    /// The library's version, as `1.32.0`.
    pub(super) fn version(&self) -> &'static str {
        LOADED
            .get()
            .map_or(UNKNOWN_VERSION, |loaded| &loaded.version)
    }

    /// What the library says of itself.
    pub(super) fn build_info(&self) -> &'static str {
        ort::info()
    }

    /// The devices that the library and the plugins loaded so far offer.
    pub(super) fn devices(&self) -> Vec<Device> {
        let device = |device: ort::device::Device<'_>| {
            let hardware = device.hardware_device();
            Device {
                provider: device.ep().unwrap_or_default().to_owned(),
                vendor: hardware.vendor().unwrap_or_default().to_owned(),
                kind: format!("{:?}", hardware.ty()),
            }
        };
        self.environment.devices().map(device).collect()
    }

    /// Makes a provider's plugin library known, if it has one.
    ///
    /// # Errors
    /// The library is not there or does not load.
    pub(super) fn prepare(&self, provider: &Provider) -> Result<()> {
        self.provider_names(provider).map(drop)
    }

    /// Names of the providers that a plugin provider's library brought; empty for built-in ones.
    fn provider_names(&self, provider: &Provider) -> Result<Vec<String>> {
        let library = match provider {
            Provider::Plugin { library, .. } => library.clone(),
            Provider::WebGpu => match cached(Package::WebGpu)? {
                Cached::Sound(path) => path,
                Cached::Damaged(damage) => return Err(unavailable(provider, &damage.reason())),
                Cached::Absent => {
                    return Err(unavailable(provider, "its plugin library is not installed"));
                }
            },
            Provider::Cpu | Provider::Cuda { .. } | Provider::TensorRt { .. } => {
                return Ok(Vec::new());
            }
        };
        let Some(loaded) = LOADED.get() else {
            return Err(unavailable(provider, "no onnxruntime is loaded"));
        };
        let mut plugins = held(&loaded.plugins);
        if let Some((_, names)) = plugins.iter().find(|(path, _)| *path == library) {
            return Ok(names.clone());
        }
        if !library.is_file() {
            return Err(unavailable(
                provider,
                &format!("{} is not a file", library.display()),
            ));
        }
        let before = self.devices();
        self.environment
            .register_ep_library(format!("secateur-plugin-{}", plugins.len()), &library)
            .map_err(|reason| unavailable(provider, &reason.to_string()))?;
        let mut names: Vec<String> = self
            .devices()
            .into_iter()
            .map(|device| device.provider)
            .collect();
        names.retain(|name| !before.iter().any(|device| device.provider == *name));
        names.dedup();
        plugins.push((library, names.clone()));
        Ok(names)
    }

    /// A session that runs a model; `what` names it in errors.
    ///
    /// # Errors
    /// The provider is not available, or does not accept the model.
    pub(super) fn session(
        &self,
        model: ModelAt,
        what: &str,
        options: &SessionOptions,
    ) -> Result<LocalSession> {
        self.commit(what, options, |builder| match model {
            ModelAt::File(path) => builder.commit_from_file(path),
            ModelAt::Message {
                bytes,
                folder: None,
            } => builder.commit_from_memory(bytes),
            ModelAt::Message {
                bytes,
                folder: Some(folder),
            } => {
                let folder = folder.to_string_lossy();
                let builder = builder.clone().with_config_entry(DATA_FOLDER, folder)?;
                { builder }.commit_from_memory(bytes)
            }
        })
    }

    fn commit(
        &self,
        what: &str,
        options: &SessionOptions,
        commit: impl FnOnce(&mut SessionBuilder) -> ort::Result<ort::session::Session>,
    ) -> Result<LocalSession> {
        let refused = |reason: ort::Error| match options.provider {
            Provider::Cpu => refused_model(what, self.version(), plain(&reason.to_string())),
            _ => unavailable(
                &options.provider,
                &format!("{what} cannot be run: {reason}"),
            ),
        };
        let profile = match options.profiling {
            Profiling::Off => None,
            Profiling::On => Some(TemporaryFolder::new()?),
        };
        let mut builder = self.builder(options, profile.as_ref())?;
        // Sizes below zero, as of a kernel that is larger than its image, are a panic there.
        let made = guarded(|| commit(&mut builder));
        let made = made.map_err(|reason| fault(&format!("{what} cannot be run"), reason))?;
        let inner = made.map_err(refused)?;
        let memory = StateMemory::of(&options.provider);
        Ok(LocalSession::new(what, inner, profile, memory))
    }

    fn builder(
        &self,
        options: &SessionOptions,
        profile: Option<&TemporaryFolder>,
    ) -> Result<SessionBuilder> {
        let provider = &options.provider;
        let refused =
            |reason: ort::Error<SessionBuilder>| unavailable(provider, &reason.to_string());
        let builder = ort::session::Session::builder(&self.environment);
        // Denormals are flushed on both sides of every comparison, or one could be many times slower.
        let mut builder = builder
            .map_err(|reason| fault("a session cannot be made", reason))?
            .with_flush_to_zero()
            .map_err(refused)?;
        // Between runs its threads would take the processor from what is done with the outputs.
        let wait = match (options.spinning, options.purpose) {
            (Spinning::OfPurpose, Purpose::Latency) => None,
            (Spinning::OfPurpose, Purpose::Parity) | (Spinning::WithinRuns, _) => {
                Some(("session.force_spinning_stop", "1"))
            }
            (Spinning::Never, _) => Some(("session.intra_op.allow_spinning", "0")),
        };
        if let Some((key, value)) = wait {
            builder = builder.with_config_entry(key, value).map_err(refused)?;
        }
        if let Some(threads) = options.threads {
            builder = builder.with_intra_threads(threads).map_err(refused)?;
        }
        if let Some(folder) = profile {
            builder = builder
                .with_profiling(folder.path().join("profile"))
                .map_err(refused)?;
        }
        if options.memory == MemoryUse::Least {
            builder = builder.with_memory_pattern(false).map_err(refused)?;
        }
        builder = optimised(builder, options)?;
        let exact = options.purpose == Purpose::Parity;
        match provider {
            Provider::Cpu => Ok(builder),
            Provider::Cuda { device } => {
                let cuda = ep::CUDA::default().with_device_id(*device as i32);
                let cuda = if exact { cuda.with_tf32(false) } else { cuda };
                let cuda = cuda.build().error_on_failure();
                builder.with_execution_providers([cuda]).map_err(refused)
            }
            Provider::TensorRt { device } => {
                let tensorrt = ep::TensorRT::default().with_device_id(*device as i32);
                let tensorrt = tensorrt.build().error_on_failure();
                builder
                    .with_execution_providers([tensorrt])
                    .map_err(refused)
            }
            Provider::WebGpu | Provider::Plugin { .. } => {
                let devices = self.plugin_devices(provider)?;
                builder.with_devices(devices, None).map_err(refused)
            }
        }
    }

    /// The devices that a plugin provider offers.
    fn plugin_devices(&self, provider: &Provider) -> Result<Vec<ort::device::Device<'_>>> {
        let names = self.provider_names(provider)?;
        let wanted = match provider.registered_name() {
            "" => names.first().cloned().unwrap_or_default(),
            name => name.to_owned(),
        };
        let chosen =
            |device: &ort::device::Device<'_>| device.ep().is_ok_and(|name| name == wanted);
        let devices: Vec<_> = self.environment.devices().filter(chosen).collect();
        match devices.is_empty() {
            true => {
                let reason = format!("the library offers no device for '{wanted}' on this machine");
                Err(unavailable(provider, &reason))
            }
            false => Ok(devices),
        }
    }
}

fn optimised(builder: SessionBuilder, options: &SessionOptions) -> Result<SessionBuilder> {
    let refused =
        |reason: ort::Error<SessionBuilder>| unavailable(&options.provider, &reason.to_string());
    let builder = match &options.rewritten {
        Some(path) => builder
            .with_optimized_model_path(path)
            .map_err(refused)?
            .with_config_entry(REWRITTEN_WEIGHTS, "weights.bin")
            .map_err(refused)?,
        None => builder,
    };
    let builder = match options.sums {
        IntegerSums::Exact => builder
            .with_config_entry(EXACT_SUMS, "1")
            .map_err(refused)?,
        IntegerSums::Fast => builder,
    };
    match options.optimisation {
        Optimisation::Full => Ok(builder),
        Optimisation::Light => builder
            .with_optimization_level(GraphOptimizationLevel::Level2)
            .map_err(refused)?
            .with_config_entry("session.disable_prepacking", "1")
            .map_err(refused),
        Optimisation::Off => builder
            .with_optimization_level(GraphOptimizationLevel::Disable)
            .map_err(refused),
    }
}

/// A provider cannot be used, and what to install.
fn unavailable(provider: &Provider, reason: &str) -> Error {
    Error::Provider {
        provider: provider.to_string(),
        reason: plain(reason).trim_end_matches('.').to_owned(),
        remedy: provider.remedy().to_owned(),
    }
}

/// onnxruntime's message without the place in its source and the number of the error.
fn plain(reason: &str) -> &str {
    let Some((_, rest)) = reason.rsplit_once("[ONNXRuntimeError] : ") else {
        return reason.trim();
    };
    rest.splitn(3, " : ").last().unwrap_or(rest).trim()
}
