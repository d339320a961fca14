//! `secateur twin`

use std::path::PathBuf;

use clap::Args;
use secateur::job::{TwinOptions, twin};
use secateur::rewrite::Masks;

use super::flags::ForceFlag;
use super::{Printer, say};

/// Write the original with a plan's masks multiplied in: what the pruned model must equal
#[derive(Args, Debug)]
pub struct TwinArgs {
    /// The model
    model: PathBuf,
    /// The plan, as `prune --plan-out` writes it
    #[arg(long)]
    plan: PathBuf,
    /// Where the twin goes
    #[arg(short, long)]
    output: PathBuf,
    /// Make the masks graph inputs instead of initializers
    #[arg(long)]
    mask_inputs: bool,
    #[command(flatten)]
    force: ForceFlag,
}

impl TwinArgs {
    pub(super) fn run(self, _printer: &Printer) -> anyhow::Result<()> {
        let options = TwinOptions {
            masks: if self.mask_inputs {
                Masks::Inputs
            } else {
                Masks::Initializers
            },
            overwrite: self.force.overwrite(),
        };
        twin(&self.model, &self.plan, &self.output, options)?;
        say(&format!("written: {}", self.output.display()));
        Ok(())
    }
}
