//! `secateur search`

use std::path::PathBuf;
use std::time::Duration;

use crate::criteria::Criterion;
use crate::data::DataSource;
use crate::job::{Calibration, SearchFileOptions, SearchOptions, search_file};
use crate::plan::{AttentionCut, Cost, GroupCut, RoundTo, Settings};
use crate::quantise::{QuantiseSettings, WeightBits};
use crate::recover::Recovery;
use crate::report::{Breakdown, SearchReport};
use crate::results::Shard;
use crate::runtime::Provider;
use crate::search::SearchGoal;
use crate::{Error, Events, Result};
use clap::{Args, ValueEnum};

use super::flags::{DataParser, ForceFlag, RuntimeFlags, ShapeFlags};
use super::tune::parse_seconds;
use super::{Answered, parse_number};

/// Find the smallest model that still does what is asked, and write it with its plan, a record and the trade-off
#[derive(Args, Debug)]
pub struct SearchArgs {
    /// The model
    model: PathBuf,
    /// Where the smallest model goes; NAME.plan.json, .search.json, .search.csv and .search.svg go beside it
    #[arg(short, long, required_unless_present_any = ["dry_run", "shard"])]
    output: Option<PathBuf>,
    /// Samples, with labels where a metric is asked for: an .npz file, a folder of .npy files, or onnx test data
    #[arg(long, value_name = "PATH", value_parser = DataParser::default())]
    data: DataSource,
    /// What a metric must be at least (of mse and mae at most), as in accuracy=0.97; repeatable
    #[arg(long, value_name = "METRIC=NUMBER", value_parser = SearchGoal::floor, help_heading = BOUNDS)]
    floor: Vec<SearchGoal>,
    /// By how much a metric may drop, as in accuracy=0.01; repeatable
    #[arg(long, value_name = "METRIC=NUMBER", help_heading = BOUNDS)]
    max_drop: Vec<SearchGoal>,
    /// How far the outputs may diverge, per sample; needs no labels
    #[arg(long, value_name = "KL", value_parser = parse_divergence, help_heading = BOUNDS)]
    max_kl: Option<f64>,
    /// Share of rows that must have the same largest element; needs no labels
    #[arg(long, value_name = "SHARE", value_parser = parse_share, help_heading = BOUNDS)]
    min_agreement: Option<f64>,
    /// What is to be smallest; latency is the time of a run, measured here in onnxruntime with one thread
    #[arg(long, value_enum, default_value_t = Minimised::Macs)]
    minimize: Minimised,
    /// Weigh every model with products of 8-bit integers as well, with weights of 7 bits (safe on every CPU) or 8 (for x86 with
    /// VNNI, ARM, GPUs)
    #[arg(long, value_name = "BITS", num_args = 0..=1, require_equals = true, default_missing_value = "7")]
    quantise: Option<WeightBits>,
    /// Write every model that no other one is both smaller and better than into this folder
    #[arg(long, value_name = "DIR", conflicts_with_all = ["dry_run", "shard"])]
    keep_front: Option<PathBuf>,
    /// Begin no further model after this many seconds
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    time_budget: Option<f64>,
    /// Use at most this many samples [default: all]
    #[arg(long, value_name = "N")]
    samples: Option<usize>,
    /// Where the model runs: cpu, cuda[:N], tensorrt[:N], webgpu or plugin:LIBRARY[,NAME]
    #[arg(long, default_value_t = Provider::Cpu)]
    provider: Provider,
    /// Stop before writing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    force: ForceFlag,
    #[command(flatten)]
    many: ManyFlags,
    #[command(flatten)]
    choice: SearchedFlags,
    #[command(flatten)]
    shapes: ShapeFlags,
    #[command(flatten)]
    runtime: RuntimeFlags,
}

const BOUNDS: &str = "Bounds (at least one)";

/// Many processes, or one that was interrupted.
#[derive(Args, Debug)]
#[command(next_help_heading = "Many machines")]
struct ManyFlags {
    /// Keep evaluations in this folder, for a run that goes on and for other processes
    #[arg(long, value_name = "DIR")]
    results: Option<PathBuf>,
    /// Make this share of the evaluations and no model, as in 2/8
    #[arg(
        long,
        value_name = "NUMBER/OF",
        requires = "results",
        conflicts_with = "output"
    )]
    shard: Option<Shard>,
    /// Go on from the evaluations in this folder: those of shards, or of a run that was interrupted
    #[arg(long, visible_alias = "resume", value_name = "DIR", conflicts_with_all = ["results", "shard"])]
    merge: Option<PathBuf>,
}

/// Which channels may go.
#[derive(Args, Debug)]
#[command(next_help_heading = "Choice of channels")]
struct SearchedFlags {
    /// Prune only dimensions whose name, or whose producing node's name, matches this glob
    #[arg(long, value_name = "GLOB")]
    only: Vec<String>,
    /// Leave dimensions alone whose name, or whose producing node's name, matches this glob
    #[arg(long, value_name = "GLOB")]
    skip: Vec<String>,
    /// How channels are scored, as for prune [default: obs]
    #[arg(long, value_name = "C")]
    criterion: Option<Criterion>,
    /// What makes up for removed channels: none, bias, fold or solve
    #[arg(long, default_value_t)]
    recover: Recovery,
    /// Round kept channels to widths that kernels run fast: auto (of the CPU), auto:cuda, auto:webgpu, or up to a
    /// multiple of N; 1 rounds nothing
    #[arg(long, default_value_t, value_name = "auto|N")]
    round_to: RoundTo,
    /// Keep at least this many channels of every dimension
    #[arg(long, default_value_t = Settings::default().min_channels, value_name = "N")]
    min_channels: usize,
    /// Leave dimensions alone whose channels influence each other (LayerNorm, reductions)
    #[arg(long)]
    exact: bool,
    /// Which parts of attentions may go: heads, head-dim (the width of a head), both (of one attention heads, where they
    /// may) or none
    #[arg(long, default_value_t, value_name = "heads|head-dim|both|none")]
    attention: AttentionCut,
    /// What of grouped convolutions may go: inside (channels of every group, as many of each) or whole (groups, of which two
    /// stay at least)
    #[arg(long, default_value_t, value_name = "inside|whole")]
    groups: GroupCut,
    /// Seed of the order in which samples are dealt, and of intervals
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Minimised {
    Params,
    Macs,
    Bytes,
    Latency,
}

impl From<Minimised> for Cost {
    fn from(cost: Minimised) -> Cost {
        match cost {
            Minimised::Params => Cost::Params,
            Minimised::Macs => Cost::Macs,
            Minimised::Bytes => Cost::Bytes,
            Minimised::Latency => Cost::Latency,
        }
    }
}

fn parse_divergence(text: &str) -> Result<f64, String> {
    parse_number(text, 1e-9..=1e3, "this is a divergence above 0, as in 0.01")
}

fn parse_share(text: &str) -> Result<f64, String> {
    parse_number(text, 0.0..=1.0, "this is a share from 0 to 1, as in 0.98")
}

impl SearchArgs {
    pub(super) fn run(self, events: &mut dyn Events) -> Result<Answered> {
        let model = self.model.clone();
        let is_shard = self.many.shard.is_some();
        let options = self.options();
        events.detail(&format!("searching {}", model.display()));
        let report = search_file(&model, &options, events)?;
        tracing::info!("where the time went:\n{}", Breakdown(&report.stages));
        let fault = match report.chosen {
            None if !is_shard => Some(nothing_holds(&report)),
            _ => None,
        };
        Ok(Answered::with(report).but(fault))
    }

    fn options(self) -> SearchFileOptions {
        let data = Calibration {
            data: self.data,
            samples: self.samples.unwrap_or(SearchOptions::SAMPLES),
            provider: self.provider,
        };
        let mut goals = self.floor;
        goals.extend(self.max_drop);
        goals.extend(self.max_kl.map(SearchGoal::MaxDivergence));
        goals.extend(self.min_agreement.map(SearchGoal::MinAgreement));
        let resume = self.many.merge.is_some();
        let search = SearchOptions {
            minimise: self.minimize.into(),
            settings: Settings {
                only: self.choice.only,
                skip: self.choice.skip,
                criterion: self.choice.criterion,
                round_to: self.choice.round_to,
                min_channels: self.choice.min_channels,
                exact: self.choice.exact,
                attention: self.choice.attention,
                groups: self.choice.groups,
                seed: self.choice.seed,
                ..Settings::default()
            },
            recovery: self.choice.recover,
            quantise: self.quantise.map(|weights| QuantiseSettings {
                weights: Some(weights),
                ..QuantiseSettings::default()
            }),
            time_budget: self.time_budget.map(Duration::from_secs_f64),
            results: self.many.results.or(self.many.merge),
            resume,
            shard: self.many.shard,
            shapes: self.shapes.shapes(),
            runtime: self.runtime.options(),
            data: data.clone(),
            ..SearchOptions::new(data, goals)
        };
        SearchFileOptions {
            search,
            output: self.output.filter(|_| !self.dry_run),
            keep_front: self.keep_front,
            overwrite: self.force.overwrite(),
        }
    }
}

/// A gate that no model passes.
fn nothing_holds(report: &SearchReport) -> Error {
    if report.points.is_empty() {
        let failed = vec![format!("no model was made: {}", report.ended)];
        return Error::Gates { failed };
    }
    Error::Gates {
        failed: vec![format!(
            "no smaller model was found that holds {} ({}): allow more, give more samples, or train what is left with `secateur prune --tune`",
            report.goals.join(" and "),
            report.ended
        )],
    }
}
