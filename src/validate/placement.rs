//! Where a model's nodes really run, from a profiled run.

use std::path::Path;

use serde::Serialize;

use crate::data::Batch;
use crate::error::Result;
use crate::runtime::{Profiling, Provider, Runtime, SessionOptions};

/// Where a model's nodes ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Placement {
    /// Nodes that compute real numbers.
    pub compute_nodes: usize,
    /// Those of them that ran on the provider.
    pub on_provider: usize,
    /// Operators of the others.
    pub elsewhere: Vec<String>,
}

/// Runs a model once with profiling and sees where its kernels ran.
pub(super) fn placement(
    runtime: &Runtime,
    model: &Path,
    options: &SessionOptions,
    batch: &Batch,
) -> Result<Placement> {
    let options = SessionOptions {
        profiling: Profiling::On,
        ..options.clone()
    };
    let mut session = runtime.session_from_file(model, "the model", &options)?;
    session.run(&batch.inputs)?;
    let kernels = session.kernels()?;
    let compute: Vec<_> = kernels.iter().filter(|kernel| kernel.computes).collect();
    let cpu = Provider::Cpu.registered_name();
    let mut elsewhere: Vec<String> = compute
        .iter()
        .filter(|kernel| kernel.provider == cpu)
        .map(|kernel| kernel.operator.clone())
        .collect();
    let on_provider = compute.len() - elsewhere.len();
    elsewhere.sort();
    elsewhere.dedup();
    Ok(Placement {
        compute_nodes: compute.len(),
        on_provider,
        elsewhere,
    })
}
