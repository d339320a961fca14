//! Writing a masked twin.

use std::path::Path;

use super::outputs::Files;
use super::{Overwrite, Shapes, analyse};
use crate::error::{Error, Result};
use crate::onnx::Model;
use crate::plan::Plan;
use crate::rewrite::{self, Masks};

/// How a twin is written.
#[derive(Clone, Copy, Debug)]
pub struct TwinOptions {
    /// Where the masks stand.
    pub masks: Masks,
    /// Whether the model itself may be replaced.
    pub overwrite: Overwrite,
}

/// Writes the masked twin of the model at `path` under the plan at `plan` to `output`.
///
/// # Errors
/// A bad model or plan, or an output that cannot be written.
pub fn twin(path: &Path, plan: &Path, output: &Path, options: TwinOptions) -> Result<()> {
    let model = Model::load(path)?;
    let files = Files {
        output: Some(output),
        inputs: vec![plan],
        ..Files::default()
    };
    files.check(&model, options.overwrite)?;
    let plan = Plan::load(plan)?;
    if plan.settings.vocabulary.is_some() {
        return Err(Error::Usage(
            "a plan of a smaller vocabulary has no twin: its model reads other ids, and `prune` has compared both on those that stay"
                .to_owned(),
        ));
    }
    let analysis = analyse(&model, &Shapes::default(), plan.settings.cuts())?;
    let plan = plan.checked(&analysis)?;
    let twin = rewrite::twin(&analysis, &plan, options.masks)?;
    twin.save(output)
}
