//! Looking at the runtime.

use super::RuntimeOptions;
use crate::error::Result;
use crate::onnx::Model;
use crate::report::{DeviceRow, ProviderRow, RuntimeStatus};
use crate::runtime::{
    Library, PINNED_VERSION, Package, Provider, Runtime, SessionOptions, cache_folder,
};

/// Version of the JSON document.
const SCHEMA: &str = "secateur.runtime/1";

/// The smallest model: y = Relu(x), of one element.
const PROBE: &[u8] = &[
    0x08, 0x08, 0x3a, 0x33, 0x0a, 0x0c, 0x0a, 0x01, 0x78, 0x12, 0x01, 0x79, 0x22, 0x04, 0x52, 0x65,
    0x6c, 0x75, 0x12, 0x01, 0x67, 0x5a, 0x0f, 0x0a, 0x01, 0x78, 0x12, 0x0a, 0x0a, 0x08, 0x08, 0x01,
    0x12, 0x04, 0x0a, 0x02, 0x08, 0x01, 0x62, 0x0f, 0x0a, 0x01, 0x79, 0x12, 0x0a, 0x0a, 0x08, 0x08,
    0x01, 0x12, 0x04, 0x0a, 0x02, 0x08, 0x01, 0x42, 0x04, 0x0a, 0x00, 0x10, 0x11,
];

/// Which library is used, which providers it has, and what is missing for the others. Installs nothing.
///
/// # Errors
/// A named library that is not there or cannot be loaded.
pub fn runtime_status(options: &RuntimeOptions) -> Result<RuntimeStatus> {
    let library = Library::find(options.library.as_deref(), &[Package::Cuda])?;
    let runtime = library.as_ref().map(Runtime::load).transpose()?;
    let known = [
        Provider::Cpu,
        Provider::Cuda { device: 0 },
        Provider::TensorRt { device: 0 },
        Provider::WebGpu,
    ];
    let providers = known.into_iter().map(|provider| ProviderRow {
        missing: match &runtime {
            Some(runtime) => unavailable(runtime, &provider),
            None => Some("no onnxruntime yet".to_owned()),
        },
        provider: provider.to_string(),
    });
    let providers = providers.collect();
    // Only now, since a provider's plugin brings devices of its own.
    let devices = runtime.as_ref().map(Runtime::devices).transpose()?;
    let devices = devices.into_iter().flatten().map(|device| DeviceRow {
        provider: device.provider,
        vendor: device.vendor,
        kind: device.kind,
    });
    Ok(RuntimeStatus {
        schema: SCHEMA,
        library: library
            .as_ref()
            .map(|library| library.path.display().to_string()),
        source: library.as_ref().map(|library| library.source.to_string()),
        version: runtime.as_ref().map(|runtime| runtime.version().to_owned()),
        build: runtime
            .as_ref()
            .map(|runtime| runtime.build_info().to_owned()),
        pinned_version: PINNED_VERSION,
        cache: cache_folder()?.display().to_string(),
        providers,
        devices: devices.collect(),
    })
}

/// The CPU and every GPU provider that can run here.
pub(super) fn available(runtime: &Runtime) -> Vec<Provider> {
    let known = [
        Provider::Cpu,
        Provider::Cuda { device: 0 },
        Provider::WebGpu,
    ];
    let usable = known
        .into_iter()
        .filter(|provider| unavailable(runtime, provider).is_none());
    usable.collect()
}

/// Why a provider cannot run the smallest model; `None` if it can.
fn unavailable(runtime: &Runtime, provider: &Provider) -> Option<String> {
    let options = SessionOptions {
        provider: provider.clone(),
        ..SessionOptions::default()
    };
    let session = Model::from_bytes(PROBE).and_then(|probe| {
        runtime.prepare(provider)?;
        runtime.session_with(&probe, "a probe", &options)
    });
    session.err().map(|error| error.provider_reason())
}
