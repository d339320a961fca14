//! `secateur mask`

use std::path::PathBuf;

use crate::job::{MaskOptions, MaskSource, Proof, Store, mask};
use crate::masks::{Amount, Budget, MaskScope, MaskSettings, Pattern, WeightCriterion};
use clap::{Args, ValueEnum};

use super::flags::{CalibrationFlags, ForceFlag, RuntimeFlags, ShapeFlags};
use super::tune::TrainingFlags;
use super::{Answered, parse_number};
use crate::{Error, Events, Result};

/// Zero weights inside the layers: by magnitude, threshold, Wanda or SparseGPT; unstructured, N:M or in
/// blocks
#[derive(Args, Debug)]
pub struct MaskArgs {
    /// The model to mask
    model: PathBuf,
    /// Where the masked model goes
    #[arg(short, long, required_unless_present = "dry_run")]
    output: Option<PathBuf>,
    /// Share of the weights that become zero, from 0 to 1, zeros that are there included [default: 0.5]
    #[arg(long, value_name = "S", value_parser = parse_share, allow_negative_numbers = true,
        conflicts_with_all = ["threshold", "std_threshold"])]
    sparsity: Option<f64>,
    /// Zero weights with an absolute value below this
    #[arg(
        long,
        value_name = "T",
        allow_negative_numbers = true,
        conflicts_with = "std_threshold"
    )]
    threshold: Option<f64>,
    /// Zero weights below this many standard deviations of their layer
    #[arg(long, value_name = "K", allow_negative_numbers = true)]
    std_threshold: Option<f64>,
    /// Among which weights the least important are sought: layer, global or row [default: the criterion's]
    #[arg(long)]
    scope: Option<MaskScope>,
    /// How weights are scored: magnitude, random, lamp, wanda, sparsegpt or activation
    #[arg(long, default_value = "magnitude")]
    criterion: WeightCriterion,
    /// Which zeros belong together: unstructured, N:M (at most N of every M weights along the reduction axis
    /// stay, as in 2:4), or block:RxC
    #[arg(long, default_value = "unstructured")]
    pattern: Pattern,
    /// How the sparsity is shared among layers: uniform, erk or lamp [default: lamp for wanda and sparsegpt,
    /// else uniform]
    #[arg(long)]
    budget: Option<Budget>,
    /// Leave layers alone whose initializer, node or operator matches this glob
    #[arg(long, value_name = "GLOB")]
    skip: Vec<String>,
    /// Mask only layers whose initializer, node or operator matches this glob
    #[arg(long, value_name = "GLOB")]
    only: Vec<String>,
    /// Mask other weights as well (norms, biases, embeddings) whose initializer matches this glob
    #[arg(long, value_name = "GLOB")]
    include: Vec<String>,
    /// Sparsity of the layers that match a glob; of several that match the last counts
    #[arg(long, value_name = "GLOB=S", value_parser = parse_own_share)]
    sparsity_for: Vec<(String, f64)>,
    /// Seed of the random criterion and of random calibration data
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Let each layer see the inputs that the masked layers before it make [default: for sparsegpt]
    #[arg(long, help_heading = "Calibration", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    sequential: Option<bool>,
    /// Apply the masks in this .npz file (arrays of 0 and 1 by initializer) instead of choosing
    #[arg(long, value_name = "FILE", conflicts_with_all = [
        "sparsity", "threshold", "std_threshold", "scope", "criterion", "pattern", "budget", "skip", "only",
        "include", "sparsity_for", "calibration", "sequential",
    ])]
    mask: Option<PathBuf>,
    /// Write the masks here as .npz: one Boolean array per initializer, true where the weight stays
    #[arg(long, value_name = "FILE")]
    mask_out: Option<PathBuf>,
    /// How zeros are stored: dense, or as sparse initializers where that is smaller
    #[arg(long, value_enum, default_value_t = StoreFlag::Dense)]
    store: StoreFlag,
    /// Stop before writing
    #[arg(long)]
    dry_run: bool,
    /// Do not compare the sparsely stored model with the densely stored one in onnxruntime
    #[arg(long)]
    no_verify: bool,
    #[command(flatten)]
    force: ForceFlag,
    #[command(flatten)]
    calibration: CalibrationFlags,
    /// Train what is left on the calibration data, to answer as the original does; zeros stay zeros
    #[arg(long, requires = "calibration", help_heading = "Calibration")]
    tune: bool,
    #[command(flatten)]
    training: TrainingFlags,
    #[command(flatten)]
    shapes: ShapeFlags,
    #[command(flatten)]
    runtime: RuntimeFlags,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum StoreFlag {
    Dense,
    Sparse,
}

fn parse_share(text: &str) -> Result<f64, String> {
    let what = "the sparsity is the share of weights that become zero: a number from 0 to 1";
    parse_number(text, 0.0..=1.0, what)
}

/// `GLOB=S`
fn parse_own_share(text: &str) -> Result<(String, f64), String> {
    let (glob, share) = text
        .rsplit_once('=')
        .ok_or("write GLOB=S, as in 'fc*=0.9'")?;
    Ok((glob.to_owned(), parse_share(share)?))
}

impl MaskArgs {
    pub(super) fn run(self, events: &mut dyn Events) -> Result<Answered> {
        if self.sparsity.is_some() && matches!(self.pattern, Pattern::Grouped { .. }) {
            let text = "an N:M pattern says itself how many weights stay: leave out --sparsity";
            return Err(Error::Usage(text.to_owned()));
        }
        let model = self.model.clone();
        let options = self.options();
        events.detail(&format!("masking {}", model.display()));
        Ok(Answered::with(mask(&model, &options, events)?))
    }

    fn options(self) -> MaskOptions {
        let amount = match (self.threshold, self.std_threshold) {
            (Some(limit), _) => Amount::Threshold(limit),
            (None, Some(count)) => Amount::Deviations(count),
            (None, None) => Amount::Sparsity(self.sparsity.unwrap_or(0.5)),
        };
        let source = match self.mask {
            Some(path) => MaskSource::File(path),
            None => MaskSource::Settings(MaskSettings {
                amount,
                scope: self.scope,
                criterion: self.criterion,
                pattern: self.pattern,
                budget: self.budget,
                skip: self.skip,
                only: self.only,
                include: self.include,
                sparsity_for: self.sparsity_for,
                seed: self.seed,
            }),
        };
        MaskOptions {
            calibration: Some(self.calibration.calibration_or_random(self.seed)),
            source,
            sequential: self.sequential,
            tuning: self.tune.then(|| self.training.tuning()),
            output: self.output.filter(|_| !self.dry_run),
            mask_out: self.mask_out,
            store: match self.store {
                StoreFlag::Dense => Store::Dense,
                StoreFlag::Sparse => Store::Sparse,
            },
            proof: match self.no_verify {
                true => Proof::Skipped,
                false => Proof::Required,
            },
            shapes: self.shapes.shapes(),
            runtime: self.runtime.options(),
            overwrite: self.force.overwrite(),
        }
    }
}
