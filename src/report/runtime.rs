//! What `runtime status` says.

use std::fmt;

use serde::Serialize;

use super::table::table;

/// The onnxruntime that is used, and what it can run on.
#[derive(Clone, Debug, Serialize)]
pub struct RuntimeStatus {
    /// Version of this document.
    pub schema: &'static str,
    /// The library; none until it is first needed.
    pub library: Option<String>,
    /// How it was found.
    pub source: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// What it says of its build.
    pub build: Option<String>,
    /// The version that is installed where none is found.
    pub pinned_version: &'static str,
    /// Where installed libraries are kept.
    pub cache: String,
    /// Every provider, and what is missing for it.
    pub providers: Vec<ProviderRow>,
    /// Devices that onnxruntime lists.
    pub devices: Vec<DeviceRow>,
}

/// A provider.
#[derive(Clone, Debug, Serialize)]
pub struct ProviderRow {
    /// Its name on the command line.
    pub provider: String,
    /// Why it cannot be used; none where it can.
    pub missing: Option<String>,
}

/// A device.
#[derive(Clone, Debug, Serialize)]
pub struct DeviceRow {
    /// The provider's registered name.
    pub provider: String,
    /// Who makes the device.
    pub vendor: String,
    /// CPU, GPU or NPU.
    pub kind: String,
}

impl fmt::Display for RuntimeStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.library, &self.source) {
            (Some(library), Some(source)) => writeln!(f, "library: {library}\nfound by: {source}")?,
            _ => writeln!(
                f,
                "library: none yet; onnxruntime {} is installed when it is first needed",
                self.pinned_version
            )?,
        }
        if let Some(version) = &self.version {
            writeln!(f, "version: {version}")?;
        }
        if let Some(build) = &self.build {
            writeln!(f, "build: {build}")?;
        }
        writeln!(f, "cache: {}", self.cache)?;
        let mut rows = table(&["provider", "state"], 2);
        for row in &self.providers {
            let state = match &row.missing {
                None => "available".to_owned(),
                Some(reason) => reason.clone(),
            };
            rows.add_row([row.provider.clone(), state]);
        }
        writeln!(f, "{rows}")?;
        for device in &self.devices {
            writeln!(
                f,
                "device: {} {} ({})",
                device.vendor, device.kind, device.provider
            )?;
        }
        Ok(())
    }
}
