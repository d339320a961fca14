//! `secateur twin`

use std::path::PathBuf;

use crate::job::{TwinOptions, twin};
use crate::rewrite::Masks;
use clap::Args;

use super::Answered;
use super::flags::ForceFlag;
use crate::{Events, Result};

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
    pub(super) fn run(self, events: &mut dyn Events) -> Result<Answered> {
        let options = TwinOptions {
            masks: if self.mask_inputs {
                Masks::Inputs
            } else {
                Masks::Initializers
            },
            overwrite: self.force.overwrite(),
        };
        twin(&self.model, &self.plan, &self.output, options)?;
        events.say(&format!("written: {}", self.output.display()));
        Ok(Answered::silent())
    }
}
