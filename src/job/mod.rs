//! The commands as library calls: from files to files, with a report.

mod bench;
mod inspect;
mod prune;
mod runtime;
mod twin;
mod validate;

use std::path::{Path, PathBuf};

use crate::dimensions::{Analysis, InputSizes};
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::onnx::Model;
use crate::runtime::{Library, Package, Provider, Runtime};

pub use bench::{BenchOptions, PeakMemory, bench, peak_memory};
pub use inspect::inspect;
pub use prune::{Proof, PruneOptions, Source, prune};
pub use runtime::runtime_status;
pub use twin::{TwinOptions, twin};
pub use validate::{ValidateOptions, Validated, validate};

/// Which onnxruntime a job may use.
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
    pub fn load(&self, say: &mut dyn FnMut(&str)) -> Result<Runtime> {
        self.load_for(&[], say)
    }

    /// As [`RuntimeOptions::load`], with a build that has these providers where one is installed.
    ///
    /// # Errors
    /// There is none that can be used.
    pub fn load_for(&self, providers: &[Provider], say: &mut dyn FnMut(&str)) -> Result<Runtime> {
        let cuda = providers.iter().any(Provider::needs_cuda);
        let preferred: &[Package] = if cuda { &[Package::Cuda] } else { &[] };
        let library = self.library.as_deref();
        Runtime::load(&Library::find_or_install(
            library,
            preferred,
            self.offline,
            say,
        )?)
    }
}

/// Reads and types a model. `sizes` are sizes of dynamic input axes.
fn analyse(model: &Model, sizes: &[(String, i64)]) -> Result<Analysis> {
    let graph = Graph::new(model)?;
    let sizes = InputSizes::for_graph(&graph, sizes)?;
    Ok(Analysis::new(graph, sizes))
}

/// Refuses to write over a file that the model is read from.
fn check_target(source: &Model, targets: &[PathBuf], overwrite: Overwrite) -> Result<()> {
    if overwrite == Overwrite::Allowed {
        return Ok(());
    }
    let real = |path: &Path| path.canonicalize().ok();
    for target in targets {
        let same = |path: &Path| real(target).is_some() && real(path) == real(target);
        if source.source_paths().any(same) {
            return Err(Error::Usage(format!(
                "{} is a file of the model that is read; name another output or use --force",
                target.display()
            )));
        }
    }
    Ok(())
}

/// Whether the input's own files may be replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overwrite {
    /// They may not.
    #[default]
    Refused,
    /// They may.
    Allowed,
}
