//! The program that runs commands: it is started once more where something has to run in a process of its own.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use crate::runtime::{Apart, run_apart};

/// What cuDNN listens to where it would use TF32 whatever a session says.
const EXACT_CUDNN: (&str, &str) = ("NVIDIA_TF32_OVERRIDE", "0");
/// What keeps onnxruntime from leaving a device id in the user's home and from calling a server.
const NO_TELEMETRY: (&str, &str) = ("ORT_DISABLE_TELEMETRY", "1");

/// How this program is started: `secateur`, or a Python that has it as a module.
#[derive(Clone, Debug)]
pub struct Program {
    /// The file that is run.
    pub path: PathBuf,
    /// Its arguments before those of a command.
    pub arguments: Vec<OsString>,
}

static PROGRAM: Mutex<Option<Program>> = Mutex::new(None);

impl Program {
    /// From now on this is the program; without, it is the file of this process.
    pub fn declare(self) {
        *PROGRAM.lock().unwrap_or_else(PoisonError::into_inner) = Some(self);
    }

    /// The program of this process.
    pub(super) fn own() -> Option<Program> {
        let declared = PROGRAM.lock().unwrap_or_else(PoisonError::into_inner);
        declared.clone().or_else(|| {
            Some(Program {
                path: std::env::current_exe().ok()?,
                arguments: Vec::new(),
            })
        })
    }

    /// A call of it.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command.args(&self.arguments);
        command
    }

    /// Has onnxruntime run in a process of its own, in which floats are as exact as they say where that is asked for.
    pub(super) fn runs_onnxruntime(self, exact: bool) -> bool {
        let exact = exact.then_some(EXACT_CUDNN);
        let environment = [NO_TELEMETRY].into_iter().chain(exact);
        run_apart(Apart {
            program: self.path,
            arguments: self.arguments,
            environment: environment
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
            time_limit: None,
            memory_limit: None,
        })
    }
}
