//! The compiled module of the Python package: thin, since commands are called by their words and flags.
//!
//! `secateur/` has what Python sees of it.

#![warn(missing_docs)]

mod arrays;
mod call;
mod fault;
mod folder;
mod log;
mod turn;

use std::ffi::OsString;
use std::path::PathBuf;

use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use secateur::Model;
use secateur::cli::{self, Program};
use secateur::dimensions::InputSizes;
use secateur::graph::Graph;
use secateur::job::{Calibration, SensitivityOptions, copy_tokenizer};
use secateur::runtime::{Hosted, OLDEST_MINOR};

use call::Answer;
use fault::Fault;

/// Runs the program as from a shell; the first word is its name. Returns the exit code.
#[pyfunction]
fn main(py: Python<'_>, words: Vec<OsString>) -> u8 {
    py.detach(|| cli::main(&words))
}

/// What can be said of each command, as JSON.
#[pyfunction]
fn commands() -> PyResult<String> {
    serde_json::to_string(&cli::commands()).map_err(|fault| PyOSError::new_err(fault.to_string()))
}

/// A text with keyword arguments for flags.
#[pyfunction]
fn with_keywords(text: &str) -> String {
    cli::with_keywords(text)
}

/// How this program is started once more.
#[pyfunction]
fn declare_program(path: PathBuf, arguments: Vec<OsString>) {
    Program { path, arguments }.declare();
}

/// The onnxruntime library of this environment, or none with what is wrong and what to do.
#[pyfunction]
fn declare_library(path: Option<PathBuf>, reason: String, remedy: String) {
    match path {
        Some(path) => Hosted::Library(path),
        None => Hosted::Missing { reason, remedy },
    }
    .declare();
}

/// The axes of these inputs of the model at `path` that count samples; `given` says some.
#[pyfunction]
fn sample_axes(
    py: Python<'_>,
    path: PathBuf,
    inputs: Vec<String>,
    given: Vec<(String, Option<usize>)>,
) -> (Vec<Option<usize>>, Option<Fault>) {
    let axes = py.detach(|| {
        let graph = Graph::new(&Model::load(&path)?)?;
        let sizes = InputSizes::with_sample_axes(&graph, &[], &given)?;
        Ok(inputs
            .iter()
            .map(|input| sizes.samples().axis(input))
            .collect())
    });
    match axes {
        Ok(axes) => (axes, None),
        Err(error) => (Vec::new(), Some(Fault::of(&error))),
    }
}

/// Writes the model at `path`, and its data if it has some beside it, to `target`; with its tokenizer.
#[pyfunction]
fn save(py: Python<'_>, path: PathBuf, target: PathBuf, tokenizer: bool) -> Option<Fault> {
    let saved = py.detach(|| {
        if tokenizer {
            copy_tokenizer(&path, &target)?;
        }
        Model::load(path)?.save(target)
    });
    saved.err().map(|error| Fault::of(&error))
}

/// The model at `path` as one message.
#[pyfunction]
fn to_bytes(py: Python<'_>, path: PathBuf) -> (Vec<u8>, Option<Fault>) {
    match py.detach(|| Model::load(path)?.to_bytes()) {
        Ok(bytes) => (bytes, None),
        Err(error) => (Vec::new(), Some(Fault::of(&error))),
    }
}

/// The module.
#[pymodule]
fn _secateur(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("OLDEST_MINOR", OLDEST_MINOR)?;
    module.add("CALIBRATION_SAMPLES", Calibration::SAMPLES)?;
    module.add("SENSITIVITY_SAMPLES", SensitivityOptions::SAMPLES)?;
    module.add_class::<Answer>()?;
    module.add_class::<Fault>()?;
    module.add_class::<folder::Folder>()?;
    module.add_function(wrap_pyfunction!(main, module)?)?;
    module.add_function(wrap_pyfunction!(commands, module)?)?;
    module.add_function(wrap_pyfunction!(with_keywords, module)?)?;
    module.add_function(wrap_pyfunction!(declare_program, module)?)?;
    module.add_function(wrap_pyfunction!(declare_library, module)?)?;
    module.add_function(wrap_pyfunction!(sample_axes, module)?)?;
    module.add_function(wrap_pyfunction!(save, module)?)?;
    module.add_function(wrap_pyfunction!(to_bytes, module)?)?;
    module.add_function(wrap_pyfunction!(call::call, module)?)
}
