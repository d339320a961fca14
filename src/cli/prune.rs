//! `secateur prune`

use std::path::PathBuf;

use crate::criteria::Criterion;
use crate::job::{PlanInput, Proof, PruneFileOptions, PruneOptions, prune_file};
use crate::plan::{AttentionCut, Cost, CostBudget, DropBlocks, GroupCut, RoundTo, Scope, Settings};
use crate::quantise::{QuantiseSettings, WeightBits};
use crate::recover::Recovery;
use crate::report::Breakdown;
use crate::{Error, Events, Result};
use clap::Args;

use super::flags::{CalibrationFlags, ForceFlag, RuntimeFlags, ShapeFlags};
use super::tune::TrainingFlags;
use super::vocabulary::VocabularyFlags;
use super::{Answered, parse_number};

/// Remove channels, neurons, heads and hidden units, and prove that the result is the masked original
#[derive(Args, Debug)]
pub struct PruneArgs {
    /// The model to prune
    model: PathBuf,
    /// Where the pruned model goes
    #[arg(short, long, required_unless_present = "dry_run")]
    output: Option<PathBuf>,
    /// Share of the channels of every dimension to remove, from 0 to below 1 [default: 0.5; 0 with --drop-blocks]
    #[arg(long, value_name = "R", value_parser = parse_ratio, conflicts_with_all = ["plan", "params", "macs", "bytes", "latency"])]
    ratio: Option<f64>,
    /// Keep at most this share of the parameters, and as much of it as channels allow
    #[arg(long, value_name = "S", value_parser = parse_kept, conflicts_with_all = ["plan", "macs", "bytes", "latency"])]
    params: Option<f64>,
    /// Keep at most this share of the multiply-accumulate operations
    #[arg(long, value_name = "S", value_parser = parse_kept, conflicts_with_all = ["plan", "bytes", "latency"])]
    macs: Option<f64>,
    /// Keep at most this share of the bytes of the weights
    #[arg(long, value_name = "S", value_parser = parse_kept, conflicts_with_all = ["plan", "latency"])]
    bytes: Option<f64>,
    /// Keep at most this share of the time of a run, as it is measured here in onnxruntime, with one thread, where
    /// calibration runs
    #[arg(long, value_name = "S", value_parser = parse_kept, conflicts_with = "plan")]
    latency: Option<f64>,
    /// Drop residual blocks whole: so many, those that change the outputs least on the calibration data, or those whose
    /// name, or whose adding node's name, matches a glob
    #[arg(long, value_name = "N|GLOB", conflicts_with = "plan")]
    drop_blocks: Vec<String>,
    /// Time the original and the result side by side, on one thread and on all
    #[arg(long, conflicts_with = "dry_run")]
    bench: bool,
    /// Stop after planning and explain every dimension
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    vocabulary: VocabularyFlags,
    #[command(flatten)]
    force: ForceFlag,
    #[command(flatten)]
    calibration: CalibrationFlags,
    /// Statistics of the layers on the calibration data, as safetensors: read if the file is there, else
    /// written
    #[arg(long, value_name = "FILE", requires = "calibration", help_heading = CALIBRATION)]
    stats: Option<PathBuf>,
    /// What makes up for removed channels: none, bias, fold or solve
    #[arg(long, default_value_t, requires = "calibration", help_heading = CALIBRATION)]
    recover: Recovery,
    /// Train what is left on the calibration data, to answer as the original does
    #[arg(long, requires = "calibration", help_heading = CALIBRATION)]
    tune: bool,
    /// Make products of integers of what is left, as `secateur quantise` does, with weights of 7 bits (safe on every
    /// CPU) or 8 (for x86 with VNNI, ARM, GPUs)
    #[arg(long, value_name = "BITS", num_args = 0..=1, require_equals = true, default_missing_value = "7",
        help_heading = CALIBRATION)]
    quantise: Option<WeightBits>,
    #[command(flatten)]
    training: TrainingFlags,
    #[command(flatten)]
    choice: ChoiceFlags,
    /// Write the plan here
    #[arg(long, value_name = "PLAN", help_heading = PLAN)]
    plan_out: Option<PathBuf>,
    /// Replay this plan instead of making one
    #[arg(long, value_name = "PLAN", help_heading = PLAN)]
    plan: Option<PathBuf>,
    /// Do not compare the result with the masked original in onnxruntime
    #[arg(long, help_heading = PLAN)]
    no_verify: bool,
    /// Fail where the proof fails, instead of leaving the dimensions at fault alone
    #[arg(long, conflicts_with = "no_verify", help_heading = PLAN)]
    strict: bool,
    #[command(flatten)]
    shapes: ShapeFlags,
    #[command(flatten)]
    runtime: RuntimeFlags,
}

const CALIBRATION: &str = "Calibration";
const PLAN: &str = "Plan and proof";

/// Which channels go.
#[derive(Args, Debug)]
#[command(next_help_heading = "Choice of channels")]
struct ChoiceFlags {
    /// How channels are scored: by weight l1, l2, linf, lp:P, fpgm, bn-scale, random or threshold:T, which removes all
    /// under a norm; scores:FILE (.npz or JSON, by dimension); on calibration data obs, reconstruction, wanda, act-mean,
    /// act-max, act-min, act-var, act-zero, loss, taylor, fisher or obs-fisher [default: obs with calibration data, else
    /// l2]
    #[arg(long, value_name = "C", conflicts_with = "plan")]
    criterion: Option<Criterion>,
    /// Among which channels the least important are sought: uniform (of each dimension), global (of all),
    /// isomorphic (of dimensions that the same operators produce and read), allocated (of each as many as its
    /// measured effect on the outputs allows) or fisher (of each as many as gradients by cost say) [default:
    /// allocated with calibration data, fisher where that would take minutes; else uniform]
    #[arg(long, conflicts_with = "plan")]
    scope: Option<Scope>,
    /// Prune only dimensions whose name, or whose producing node's name, matches this glob
    #[arg(long, value_name = "GLOB", conflicts_with = "plan")]
    only: Vec<String>,
    /// Leave dimensions alone whose name, or whose producing node's name, matches this glob
    #[arg(long, value_name = "GLOB", conflicts_with = "plan")]
    skip: Vec<String>,
    /// Ratio of the dimensions whose name, or whose producing node's name, matches a glob; of several that
    /// match the last counts
    #[arg(long, value_name = "GLOB=R", value_parser = parse_own_ratio, conflicts_with = "plan")]
    ratio_for: Vec<(String, f64)>,
    /// Take at most this share of the channels of any dimension [default: 1; 0.9 for scopes over several]
    #[arg(long, value_name = "R", value_parser = parse_largest, conflicts_with = "plan")]
    max_ratio: Option<f64>,
    /// Keep at least this many channels of every dimension
    #[arg(long, default_value_t = Settings::default().min_channels, value_name = "N", conflicts_with = "plan")]
    min_channels: usize,
    /// Round kept channels to widths that kernels run fast: auto (of the CPU), auto:cuda, auto:webgpu, or up to a
    /// multiple of N; 1 rounds nothing
    #[arg(long, default_value_t, value_name = "auto|N", conflicts_with = "plan")]
    round_to: RoundTo,
    /// Leave dimensions alone whose channels influence each other (LayerNorm, reductions)
    #[arg(long, conflicts_with = "plan")]
    exact: bool,
    /// Which parts of attentions may go: heads, head-dim (the width of a head), both (of one attention heads, where they
    /// may) or none
    #[arg(
        long,
        default_value_t,
        value_name = "heads|head-dim|both|none",
        conflicts_with = "plan"
    )]
    attention: AttentionCut,
    /// What of grouped convolutions may go: inside (channels of every group, as many of each) or whole (groups, of which two
    /// stay at least)
    #[arg(
        long,
        default_value_t,
        value_name = "inside|whole",
        conflicts_with = "plan"
    )]
    groups: GroupCut,
    /// Let the declared sizes of the inputs and outputs follow whose names match this glob (caches, states); without,
    /// the signature stays as it is
    #[arg(long, value_name = "GLOB", conflicts_with = "plan")]
    change_signature: Vec<String>,
    /// Remove channels in this many rounds, each further than the one before, and score them anew in between; with
    /// --tune every round is trained [default: 1; 2 with --tune and a budget of 0.2 or less]
    #[arg(long, value_name = "K", value_parser = parse_multiple, conflicts_with = "plan")]
    iterations: Option<usize>,
    /// Seed of the random criterion, and of the answers that gradients are made for
    #[arg(long, default_value_t = 0, conflicts_with = "plan")]
    seed: u64,
}

fn parse_ratio(text: &str) -> Result<f64, String> {
    let what = "the ratio is the share of channels to remove: a number from 0 to below 1";
    parse_number(text, 0.0..1.0, what)
}

fn parse_kept(text: &str) -> Result<f64, String> {
    let what = "a budget is the share that is kept: a number above 0 and below 1";
    parse_number(text, f64::MIN_POSITIVE..1.0, what)
}

fn parse_largest(text: &str) -> Result<f64, String> {
    let what = "this is a share of channels: a number from 0 to 1";
    parse_number(text, 0.0..=1.0, what)
}

/// `GLOB=R`
fn parse_own_ratio(text: &str) -> Result<(String, f64), String> {
    let (glob, ratio) = text
        .rsplit_once('=')
        .ok_or("write GLOB=R, as in 'layer1*=0.25'")?;
    Ok((glob.to_owned(), parse_ratio(ratio)?))
}

fn parse_multiple(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(multiple) if multiple > 0 => Ok(multiple),
        _ => Err(format!("'{text}' is no positive number")),
    }
}

impl PruneArgs {
    pub(super) fn run(self, events: &mut dyn Events) -> Result<Answered> {
        let model = self.model.clone();
        let options = self.options()?;
        events.detail(&format!("pruning {}", model.display()));
        let report = prune_file(&model, &options, events)?;
        tracing::info!("where the time went:\n{}", Breakdown(&report.stages));
        Ok(Answered::with(report))
    }

    fn options(self) -> crate::Result<PruneFileOptions> {
        let budgets = [
            (Cost::Params, self.params),
            (Cost::Macs, self.macs),
            (Cost::Bytes, self.bytes),
            (Cost::Latency, self.latency),
        ];
        let mut budgets = budgets.into_iter();
        let budget = budgets.find_map(|(cost, share)| {
            let share = share?;
            Some(CostBudget { cost, share })
        });
        if self.ratio.is_some() && matches!(self.choice.criterion, Some(Criterion::Threshold(_))) {
            return Err(Error::Usage(
                "--criterion threshold says how many channels go: leave --ratio out; --max-ratio bounds what any dimension loses"
                    .to_owned(),
            ));
        }
        let calibration = self.calibration.calibration_alone()?;
        let start = match DropBlocks::of(&self.drop_blocks)? {
            Some(blocks) => Settings::dropping(blocks),
            None => Settings::default(),
        };
        Ok(PruneFileOptions {
            prune: PruneOptions {
                settings: Settings {
                    ratio: self.ratio.unwrap_or(start.ratio),
                    drop_blocks: start.drop_blocks,
                    budget,
                    ..self.choice.settings()
                },
                plan: self.plan.map(PlanInput::from),
                vocabulary: self.vocabulary.options(),
                calibration,
                stats: self.stats,
                recovery: self.recover,
                tuning: self.tune.then(|| self.training.tuning()),
                quantise: self.quantise.map(|weights| QuantiseSettings {
                    weights: Some(weights),
                    ..QuantiseSettings::default()
                }),
                proof: match self.no_verify {
                    true => Proof::Skipped,
                    false => Proof::Required,
                },
                strict: self.strict,
                shapes: self.shapes.shapes(),
                runtime: self.runtime.options(),
            },
            output: self.output.filter(|_| !self.dry_run),
            plan_out: self.plan_out,
            bench: self.bench,
            overwrite: self.force.overwrite(),
        })
    }
}

impl ChoiceFlags {
    fn settings(self) -> Settings {
        Settings {
            criterion: self.criterion,
            seed: self.seed,
            skip: self.skip,
            only: self.only,
            min_channels: self.min_channels,
            round_to: self.round_to,
            exact: self.exact,
            attention: self.attention,
            groups: self.groups,
            change_signature: self.change_signature,
            scope: self.scope,
            ratio_for: self.ratio_for,
            max_ratio: self.max_ratio,
            iterations: self.iterations,
            ..Settings::default()
        }
    }
}
