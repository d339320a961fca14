//! `secateur runtime`

use crate::job::runtime_status;
use crate::runtime::{self, install};
use clap::{Args, Subcommand, ValueEnum};

use super::Answered;
use super::flags::RuntimeFlags;
use crate::{Events, Result};

/// Show or install onnxruntime and its providers
#[derive(Args, Debug)]
pub struct RuntimeArgs {
    #[command(subcommand)]
    command: RuntimeCommand,
}

#[derive(Debug, Subcommand)]
enum RuntimeCommand {
    /// Show which library is used, its providers and devices, and what is missing
    Status(RuntimeFlags),
    /// Install a pinned package into the cache
    Install {
        /// What to install
        #[arg(value_enum, default_value_t = Package::Cpu)]
        package: Package,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Package {
    /// onnxruntime with the CPU provider
    Cpu,
    /// onnxruntime with the CUDA and TensorRT providers
    Cuda,
    /// The WebGPU plugin provider
    Webgpu,
}

impl RuntimeArgs {
    pub(super) fn run(self, events: &mut dyn Events) -> Result<Answered> {
        match self.command {
            RuntimeCommand::Status(flags) => Ok(Answered::with(runtime_status(&flags.options())?)),
            RuntimeCommand::Install { package } => {
                let package = match package {
                    Package::Cpu => runtime::Package::Cpu,
                    Package::Cuda => runtime::Package::Cuda,
                    Package::Webgpu => runtime::Package::WebGpu,
                };
                let library = install(package, events)?;
                events.say(&format!("installed: {}", library.path.display()));
                Ok(Answered::silent())
            }
        }
    }
}
