//! `secateur clean`

use std::path::PathBuf;

use crate::job::{CleanOptions, clean};
use clap::Args;

use super::Answered;
use super::flags::{ForceFlag, RuntimeFlags, ShapeFlags};
use crate::{Events, Result};

/// Remove what zeros have made dead, without loss: channels that nothing reads, or that are constant
#[derive(Args, Debug)]
pub struct CleanArgs {
    /// The model to clean, as `secateur mask` leaves it
    model: PathBuf,
    /// Where the smaller model goes
    #[arg(short, long, required_unless_present = "dry_run")]
    output: Option<PathBuf>,
    /// Stop before writing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    force: ForceFlag,
    #[command(flatten)]
    shapes: ShapeFlags,
    #[command(flatten)]
    runtime: RuntimeFlags,
}

impl CleanArgs {
    pub(super) fn run(self, events: &mut dyn Events) -> Result<Answered> {
        let options = CleanOptions {
            output: self.output.filter(|_| !self.dry_run),
            runtime: self.runtime.options(),
            shapes: self.shapes.shapes(),
            overwrite: self.force.overwrite(),
        };
        events.detail(&format!("cleaning {}", self.model.display()));
        Ok(Answered::with(clean(&self.model, &options, events)?))
    }
}
