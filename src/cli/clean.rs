//! `secateur clean`

use std::path::PathBuf;

use clap::Args;
use secateur::job::{CleanOptions, clean};

use super::flags::{ForceFlag, RuntimeFlags, ShapeFlags};
use super::{Console, Printer};

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
    pub(super) fn run(self, printer: &Printer) -> anyhow::Result<()> {
        let options = CleanOptions {
            output: self.output.filter(|_| !self.dry_run),
            runtime: self.runtime.options(),
            shapes: self.shapes.shapes(),
            overwrite: self.force.overwrite(),
        };
        let what = format!("cleaning {}", self.model.display());
        let report = Console::watch(what, |events| clean(&self.model, &options, events))?;
        printer.print(&report)
    }
}
