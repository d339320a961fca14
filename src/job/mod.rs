//! The commands as library calls: from files to files, with a report.

mod bench;
mod calibrated;
mod dead;
mod gains;
mod inspect;
mod little;
mod mask;
mod outputs;
mod proven;
mod prune;
mod rounds;
mod runtime;
mod sparsity;
mod twin;
mod validate;
mod watch;

use std::path::{Path, PathBuf};

use crate::data::DataSource;
use crate::dimensions::{Analysis, InputSizes};
use crate::engine::observed;
use crate::error::Result;
use crate::events::Events;
use crate::graph::Graph;
use crate::onnx::Model;
use crate::rewrite::hold_stale;
use crate::runtime::{Library, Package, Provider, Runtime};

pub use bench::{BenchOptions, PeakMemory, Shapes, bench, peak_memory};
pub use calibrated::PruneCalibration;
#[cfg(test)]
pub(crate) use dead::without_dead_channels;
pub use dead::{DeadOptions, prune_dead};
pub use inspect::inspect;
pub use mask::{Calibration, MaskOptions, MaskSource, Store, mask};
pub use prune::{PruneOptions, Source, prune};
pub use runtime::runtime_status;
pub use sparsity::sparsity;
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
        Runtime::load(&Library::find_or_install(
            library,
            preferred,
            self.offline,
            events,
        )?)
    }
}

/// Whether the result is verified before it is written.
#[derive(Clone, Debug)]
pub enum Proof {
    /// In this onnxruntime.
    Required(RuntimeOptions),
    /// Not at all.
    Skipped,
}

/// Types a model. `sizes` are sizes of dynamic input axes. Shapes that no rule says are looked up in an
/// onnxruntime that is there already.
fn analyse(model: &Model, sizes: &[(String, i64)]) -> Result<Analysis> {
    analyse_with(model, sizes, &[])
}

/// As [`analyse`]; `sample_axes` says of inputs which axis counts samples, or that none does.
fn analyse_with(
    model: &Model,
    sizes: &[(String, i64)],
    sample_axes: &[(String, Option<usize>)],
) -> Result<Analysis> {
    analyse_in(model, sizes, sample_axes, &mut installed)
}

/// The onnxruntime that is there already, if one is.
fn installed() -> Option<Runtime> {
    let library = Library::find(None, &[]).ok().flatten()?;
    Runtime::load(&library).ok()
}

/// As [`analyse_with`], with the onnxruntime that `load` gives where one is needed.
fn analyse_in(
    model: &Model,
    sizes: &[(String, i64)],
    sample_axes: &[(String, Option<usize>)],
    load: &mut dyn FnMut() -> Option<Runtime>,
) -> Result<Analysis> {
    let graph = Graph::new(model)?;
    let sizes = InputSizes::with_sample_axes(&graph, sizes, sample_axes)?;
    let mut analysis = Analysis::new(graph, sizes);
    if analysis.has_unknown_ranks()
        && let Some(runtime) = load()
    {
        let observed = observed(&analysis, &runtime);
        if !observed.is_empty() {
            let (graph, sizes) = (analysis.graph().clone(), analysis.sizes().clone());
            analysis = Analysis::with(graph, sizes, observed);
        }
    }
    hold_stale(&mut analysis)?;
    Ok(analysis)
}

/// Path of a data source, where it is one.
fn data_path(source: &DataSource) -> Option<&Path> {
    match source {
        DataSource::Path(path) => Some(path),
        DataSource::Images(images) => Some(&images.folder),
        DataSource::Random { .. } => None,
    }
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

/// Writes into the model which command made it of which.
fn stamp(model: &mut Model, command: &str, source_hash: &str) {
    for (key, value) in [
        ("secateur.version", env!("CARGO_PKG_VERSION")),
        ("secateur.command", command),
        ("secateur.source_hash", source_hash),
    ] {
        model.set_metadata(key, value);
    }
}

/// Bytes of the files of a written model.
fn written_bytes(model: &Model, output: &Path) -> u64 {
    let paths = model.target_paths(output).into_iter();
    let sizes = paths.filter_map(|path| std::fs::metadata(path).ok());
    sizes.map(|metadata| metadata.len()).sum()
}
