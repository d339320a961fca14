//! `secateur inspect`

use std::path::PathBuf;

use clap::Args;
use secateur::plan::GroupCut;

use super::Printer;
use super::flags::ShapeFlags;

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
    pub(super) fn run(self, printer: &Printer) -> anyhow::Result<()> {
        if self.sparsity {
            return printer.print(&secateur::job::sparsity(&self.model)?);
        }
        let shapes = self.shapes.shapes();
        printer.print(&secateur::job::inspect(&self.model, &shapes, self.groups)?)
    }
}
