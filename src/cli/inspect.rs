//! `secateur inspect`

use std::path::PathBuf;

use crate::plan::GroupCut;
use clap::Args;

use super::Answered;
use super::flags::ShapeFlags;
use crate::Result;

/// Show what can be pruned, what it would save, and what holds the rest
#[derive(Args, Debug)]
pub struct InspectArgs {
    /// The model to look at
    model: PathBuf,
    /// Show the zeros instead: by initializer, with N:M patterns, dead channels and magnitudes
    #[arg(long)]
    sparsity: bool,
    /// What of grouped convolutions may go, as for prune: inside or whole
    #[arg(
        long,
        default_value_t,
        value_name = "inside|whole",
        conflicts_with = "sparsity"
    )]
    groups: GroupCut,
    #[command(flatten)]
    shapes: ShapeFlags,
}

impl InspectArgs {
    pub(super) fn run(self) -> Result<Answered> {
        if self.sparsity {
            return Ok(Answered::with(crate::job::sparsity(&self.model)?));
        }
        let shapes = self.shapes.shapes();
        let inspection = crate::job::inspect(&self.model, &shapes, self.groups)?;
        Ok(Answered::with(inspection))
    }
}
