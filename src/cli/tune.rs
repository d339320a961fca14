//! `secateur tune`

use std::path::PathBuf;
use std::time::Duration;

use crate::data::DataSource;
use crate::job::{Calibration, TuneOptions, tune};
use crate::quantise::{QuantiseSettings, WeightBits};
use crate::report::Breakdown;
use crate::runtime::Provider;
use crate::train::{Augment, Tuning};
use clap::{Args, ValueEnum};

use super::flags::{DataParser, ForceFlag, RuntimeFlags, ShapeFlags, parse_bytes};
use super::{Answered, parse_number};
use crate::{Events, Result};

/// Train a pruned or masked model inside its file, to answer as the dense one does (no labels needed)
#[derive(Args, Debug)]
pub struct TuneArgs {
    /// The model to train
    model: PathBuf,
    /// Where the trained model goes
    #[arg(short, long, required_unless_present = "dry_run")]
    output: Option<PathBuf>,
    /// The model to learn from: the dense one; without, labels are learnt
    #[arg(long, value_name = "MODEL")]
    teacher: Option<PathBuf>,
    /// Make the head anew for this many classes, and train it alone on labels unless --only or --freeze name others
    #[arg(long, value_name = "CLASSES", conflicts_with = "teacher")]
    replace_head: Option<usize>,
    /// Train it as it runs on 8-bit integers, with values and weights rounded, and quantise it as `secateur quantise` does,
    /// with weights of 7 bits (safe on every CPU) or 8 (for x86 with VNNI, ARM, GPUs)
    #[arg(long, value_name = "BITS", num_args = 0..=1, require_equals = true, default_missing_value = "7",
        conflicts_with = "replace_head")]
    quantised: Option<WeightBits>,
    /// Train only weights whose initializer matches this glob
    #[arg(long, value_name = "GLOB")]
    only: Vec<String>,
    /// Leave weights as they are whose initializer matches this glob
    #[arg(long, value_name = "GLOB")]
    freeze: Vec<String>,
    /// Samples: an .npz file, a folder of .npy files, or onnx test data
    #[arg(long, value_name = "PATH", value_parser = DataParser::default())]
    data: DataSource,
    /// Use at most this many samples [default: all]
    #[arg(long, value_name = "N")]
    samples: Option<usize>,
    /// Where training runs: cpu, cuda[:N], webgpu or plugin:LIBRARY[,NAME]
    #[arg(long, default_value_t = Provider::Cpu)]
    provider: Provider,
    /// Stop before writing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    training: TrainingFlags,
    #[command(flatten)]
    force: ForceFlag,
    #[command(flatten)]
    shapes: ShapeFlags,
    #[command(flatten)]
    runtime: RuntimeFlags,
}

/// How a model is trained.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Training")]
pub struct TrainingFlags {
    /// Let the data's labels count as much as the teacher
    #[arg(long)]
    labels: bool,
    /// Steps [default: 1000; 300 for tokens]
    #[arg(long, value_name = "N")]
    steps: Option<usize>,
    /// Samples per step [default: 64; 32 for tokens]
    #[arg(long, value_name = "N")]
    batch: Option<usize>,
    /// The highest learning rate
    #[arg(long, value_name = "R", default_value_t = Tuning::default().rate, value_parser = parse_rate)]
    lr: f64,
    /// Train for about this many seconds: as many steps as fit
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    time_budget: Option<f64>,
    /// Memory that training may take, as in 512MB or 2GB: larger batches are run in parts whose gradients are added up
    /// [default: half of what is available]
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
    memory: Option<u64>,
    /// Whether samples are changed: auto (images shifted and mirrored, rows shifted, tokens exchanged), noise (auto, and
    /// noise on inputs of no known kind) or none
    #[arg(long, value_enum, default_value_t = AugmentFlag::Auto)]
    augment: AugmentFlag,
    /// Keep the state in this folder
    #[arg(long, value_name = "DIR")]
    checkpoints: Option<PathBuf>,
    /// Go on from the state in the folder of --checkpoints
    #[arg(long, requires = "checkpoints")]
    resume: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum AugmentFlag {
    Auto,
    Noise,
    None,
}

fn parse_rate(text: &str) -> Result<f64, String> {
    let what = "a learning rate is a number above 0 and at most 1";
    parse_number(text, f64::MIN_POSITIVE..=1.0, what)
}

pub(super) fn parse_seconds(text: &str) -> Result<f64, String> {
    parse_number(text, 0.001..=1e9, "this is a number of seconds above 0")
}

impl TrainingFlags {
    pub(super) fn tuning(self) -> Tuning {
        Tuning {
            steps: self.steps,
            batch: self.batch,
            rate: self.lr,
            augment: match self.augment {
                AugmentFlag::Auto => Augment::Auto,
                AugmentFlag::Noise => Augment::Noise,
                AugmentFlag::None => Augment::None,
            },
            labels: self.labels,
            time_budget: self.time_budget.map(Duration::from_secs_f64),
            memory: self.memory,
            checkpoints: self.checkpoints,
            resume: self.resume,
            ..Tuning::default()
        }
    }
}

impl TuneArgs {
    pub(super) fn run(self, events: &mut dyn Events) -> Result<Answered> {
        let model = self.model.clone();
        let options = self.options();
        events.detail(&format!("training {}", model.display()));
        let report = tune(&model, &options, events)?;
        tracing::info!("where the time went:\n{}", Breakdown(&report.stages));
        Ok(Answered::with(report))
    }

    fn options(self) -> TuneOptions {
        TuneOptions {
            data: Calibration {
                data: self.data,
                samples: self.samples.unwrap_or(usize::MAX),
                provider: self.provider,
            },
            teacher: self.teacher.map(Into::into),
            replace_head: self.replace_head,
            tuning: Tuning {
                only: self.only,
                freeze: self.freeze,
                ..self.training.tuning()
            },
            quantised: self.quantised.map(|weights| QuantiseSettings {
                weights: Some(weights),
                ..QuantiseSettings::default()
            }),
            output: self.output.filter(|_| !self.dry_run),
            shapes: self.shapes.shapes(),
            runtime: self.runtime.options(),
            overwrite: self.force.overwrite(),
        }
    }
}
