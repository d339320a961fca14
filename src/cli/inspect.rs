//! `secateur inspect`

use std::path::PathBuf;

use clap::Args;

use super::{Printer, parse_size};

/// Show what can be pruned, what it would save, and what holds the rest
#[derive(Args, Debug)]
pub struct InspectArgs {
    /// The model to look at
    model: PathBuf,
    /// Size of a dynamic input axis, as in batch=2
    #[arg(long = "dim", value_name = "NAME=SIZE", value_parser = parse_size)]
    dims: Vec<(String, i64)>,
}

impl InspectArgs {
    pub(super) fn run(self, printer: &Printer) -> anyhow::Result<()> {
        printer.print(&secateur::job::inspect(&self.model, &self.dims)?)
    }
}
