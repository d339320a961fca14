//! The commands as library calls: from files to files, with a report.

mod bench;
mod clean;
mod gains;
mod inspect;
mod joint;
mod little;
mod mask;
mod options;
mod outputs;
mod parts;
mod prune;
mod quantise;
mod quantised;
mod runtime;
mod search;
mod sensitivity;
mod sparsity;
mod tune;
mod twin;
mod validate;
mod watch;

use crate::dimensions::{Analysis, InputSizes};
use crate::engine::observed;
use crate::error::{Error, Fault, Result};
use crate::graph::Graph;
use crate::onnx::Model;
use crate::ops::{CutRules, Premises, unfit_bodies};
use crate::rewrite::hold_stale;
use crate::runtime::{Library, Runtime};

pub use bench::{BenchOptions, PeakMemory, bench, peak_memory};
#[cfg(test)]
pub(crate) use clean::without_dead_channels;
pub use clean::{CleanOptions, clean};
pub use inspect::inspect;
pub use mask::{MaskOptions, MaskSource, Store, mask};
pub use options::{Calibration, ModelInput, Overwrite, Proof, RuntimeOptions, Shapes};
pub use prune::copy_tokenizer;
pub(crate) use prune::tokenizer_beside;
pub use prune::{
    PlanInput, PruneFileOptions, PruneOptions, Pruned, VocabularyOptions, prune, prune_file,
    prune_with,
};
pub use quantise::{QuantiseOptions, quantise_file};
pub use runtime::runtime_status;
pub use search::{SearchFileOptions, SearchOptions, Searched, search, search_file};
pub use sensitivity::{SensitivityOf, SensitivityOptions, sensitivity};
pub use sparsity::sparsity;
pub use tune::{TuneOptions, tune};
pub use twin::{TwinOptions, twin};
pub use validate::{ValidateOptions, Validated, validate};

/// Types a model. Shapes that no rule says are looked up in an onnxruntime that is there already.
fn analyse(model: &Model, shapes: &Shapes, cuts: CutRules) -> Result<Analysis> {
    analyse_in(model, (shapes, cuts), &mut installed)
}

/// As [`analyse`], for runs that cut nothing.
fn analyse_whole(model: &Model, shapes: &Shapes) -> Result<Analysis> {
    typed(model, (shapes, CutRules::default()), &mut installed)
}

/// The onnxruntime that is there already, if one is.
fn installed() -> Option<Runtime> {
    let library = Library::find(None, &[]).ok().flatten()?;
    Runtime::load(&library).ok()
}

/// As [`analyse`], with the onnxruntime that `load` gives where one is needed.
fn analyse_in(
    model: &Model,
    told: (&Shapes, CutRules),
    load: &mut dyn FnMut() -> Option<Runtime>,
) -> Result<Analysis> {
    let mut analysis = typed(model, told, load)?;
    hold_stale(&mut analysis)?;
    Ok(analysis)
}

fn typed(
    model: &Model,
    (shapes, cuts): (&Shapes, CutRules),
    load: &mut dyn FnMut() -> Option<Runtime>,
) -> Result<Analysis> {
    let graph = Graph::new(model)?;
    let sizes = InputSizes::with_sample_axes(&graph, &shapes.sizes, &shapes.sample_axes)?;
    let premises = Premises {
        cuts: cuts.clone(),
        ..Premises::default()
    };
    let mut analysis = Analysis::with(graph, sizes, premises);
    sound(unfit_bodies(analysis.graph(), &analysis.state))?;
    if analysis.has_unknown_ranks()
        && let Some(runtime) = load()
    {
        let observed = observed(&analysis, &runtime);
        if !observed.is_empty() {
            let (graph, sizes) = (analysis.graph().clone(), analysis.sizes().clone());
            analysis = Analysis::with(graph, sizes, Premises { observed, cuts });
        }
    }
    Ok(analysis)
}

/// Refuses a model with inputs or caches whose declared sizes cannot be right; returns warnings about outputs.
///
/// # Errors
/// It has such.
fn checked_declarations(analysis: &Analysis) -> Result<Vec<String>> {
    let found = analysis.declarations();
    sound(found.faults)?;
    Ok(found.wrong)
}

/// Refuses a model with faults.
///
/// # Errors
/// There are some.
fn sound(faults: Vec<Fault>) -> Result<()> {
    match faults.is_empty() {
        true => Ok(()),
        false => Err(Error::Graph {
            step: "the model".to_owned(),
            faults,
        }),
    }
}

/// Writes into the model which command made it of which, and the onnxruntime that measured or proved it, if one did.
fn stamp(model: &mut Model, command: &str, source_hash: &str, onnxruntime: Option<&str>) {
    let used = onnxruntime.map(|version| ("secateur.onnxruntime", version));
    let always = [
        ("secateur.version", env!("CARGO_PKG_VERSION")),
        ("secateur.command", command),
        ("secateur.source_hash", source_hash),
    ];
    for (key, value) in always.into_iter().chain(used) {
        model.set_metadata(key, value);
    }
}
