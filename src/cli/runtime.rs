//! `secateur runtime`

use std::fmt;

use clap::{Args, Subcommand, ValueEnum};
use secateur::runtime::{Library, PINNED_VERSION, Runtime, cache_folder, install};
use serde::Serialize;

use super::{Printer, RuntimeFlags, say};

/// Show or install the onnxruntime that proofs run in
#[derive(Args, Debug)]
pub struct RuntimeArgs {
    #[command(subcommand)]
    command: RuntimeCommand,
}

#[derive(Debug, Subcommand)]
enum RuntimeCommand {
    /// Show which library is used and where it was found
    Status(RuntimeFlags),
    /// Install the pinned library into the cache
    Install {
        /// What to install
        #[arg(value_enum, default_value_t = Package::Cpu)]
        package: Package,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Package {
    /// The CPU execution provider
    Cpu,
}

#[derive(Serialize)]
struct Status {
    library: Option<String>,
    source: Option<String>,
    build: Option<String>,
    pinned_version: &'static str,
    cache: String,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.library, &self.source) {
            (Some(library), Some(source)) => {
                writeln!(f, "library: {library}")?;
                writeln!(f, "found by: {source}")?;
            }
            _ => writeln!(
                f,
                "library: none yet; onnxruntime {} is installed when it is first needed",
                self.pinned_version
            )?,
        }
        if let Some(build) = &self.build {
            writeln!(f, "build: {build}")?;
        }
        writeln!(f, "cache: {}", self.cache)
    }
}

impl RuntimeArgs {
    pub(super) fn run(self, printer: &Printer) -> anyhow::Result<()> {
        let library = match self.command {
            RuntimeCommand::Status(flags) => Library::find(flags.onnxruntime.as_deref())?,
            RuntimeCommand::Install {
                package: Package::Cpu,
            } => Some(install(&mut say)?),
        };
        let build = library.as_ref().map(Runtime::load).transpose()?;
        printer.print(&Status {
            library: library
                .as_ref()
                .map(|library| library.path.display().to_string()),
            source: library.as_ref().map(|library| library.source.to_string()),
            build: build.map(|runtime| runtime.build_info().to_owned()),
            pinned_version: PINNED_VERSION,
            cache: cache_folder()?.display().to_string(),
        })
    }
}
