//! `secateur quantise`

use std::path::PathBuf;

use crate::data::DataSource;
use crate::job::{Calibration, QuantiseOptions, quantise_file};
use crate::quantise::{
    FileBudget, HalfType, KernelTarget, QuantiseSettings, StoredBits, WeightBits,
};
use crate::report::Breakdown;
use crate::runtime::Provider;
use clap::Args;

use super::flags::{DataParser, ForceFlag, RuntimeFlags, ShapeFlags, parse_bytes};
use super::{Answered, parse_number};
use crate::{Events, Result};

/// Turn products into products of 8-bit integers where onnxruntime has kernels for them
#[derive(Args, Debug)]
pub struct QuantiseArgs {
    /// The model to quantise
    model: PathBuf,
    /// Where the quantised model goes
    #[arg(short, long, required_unless_present = "dry_run")]
    output: Option<PathBuf>,
    /// Samples: an .npz file, a folder of .npy files, or onnx test data
    #[arg(long, value_name = "PATH", value_parser = DataParser::default(),
        required_unless_present_any = ["weight_only", "store", "plan"])]
    calibration: Option<DataSource>,
    /// Turn layers into products of integers that are faster in real numbers as well: small ones
    #[arg(long, conflicts_with_all = ["weight_only", "store", "budget", "plan"])]
    every_layer: bool,
    /// Store weights as 8-bit codes and compute in real numbers as before; needs no samples, but is more exact with some
    #[arg(long)]
    weight_only: bool,
    /// Bits of stored weights: 8, 4, 3 or 2
    #[arg(long, value_name = "BITS", default_value_t = StoredBits::Eight, requires = "weight_only")]
    bits: StoredBits,
    /// Bytes of the file at most, as in 90KB, or a share of what it has, as in 0.2: weights are stored in as many bits as
    /// that leaves
    #[arg(long, value_name = "SIZE", value_parser = parse_budget, conflicts_with_all = ["bits", "weights", "store"])]
    budget: Option<FileBudget>,
    /// How far the outputs may diverge on held-out samples: with --weight-only or --budget weights are stored in as few bits
    /// as that leaves, without what costs too much stays real
    #[arg(long, value_name = "KL", value_parser = parse_divergence, conflicts_with_all = ["bits", "store"])]
    max_kl: Option<f64>,
    /// Prune first, as far as that costs less than fewer bits: the smallest file at a divergence, or the smallest divergence
    /// at a size
    #[arg(long, requires = "calibration", conflicts_with_all = ["store", "plan", "plan_out", "weights", "every_layer"])]
    prune: bool,
    /// Store weights as float16 or bfloat16, and compute as before; needs no samples
    #[arg(long, value_name = "TYPE", conflicts_with_all = ["weight_only", "weights", "calibration"])]
    store: Option<HalfType>,
    /// Use at most this many samples
    #[arg(long, value_name = "N", default_value_t = Calibration::SAMPLES)]
    samples: usize,
    /// Whose kernels the products are for: cpu (onnxruntime), tensorrt, or symmetric (codes with sign around 0 everywhere)
    #[arg(long, value_name = "KERNELS", default_value_t = KernelTarget::Cpu, conflicts_with_all = ["weight_only", "store", "budget"])]
    target: KernelTarget,
    /// Bits of weights: 7 (safe on every CPU, the default) or 8 (for x86 with VNNI, ARM and GPUs; the default for tensorrt)
    #[arg(long, value_name = "BITS", conflicts_with = "weight_only")]
    weights: Option<WeightBits>,
    /// Decide what this plan says, on the same data to the same bytes
    #[arg(long, value_name = "FILE", conflicts_with_all = ["target", "weights", "weight_only", "bits", "store", "budget", "max_kl", "keep"])]
    plan: Option<PathBuf>,
    /// Write what was decided: ranges, factors, bits, and what stays real
    #[arg(long, value_name = "FILE")]
    plan_out: Option<PathBuf>,
    /// Leave layers in real numbers whose initializer matches this glob
    #[arg(long, value_name = "GLOB")]
    keep: Vec<String>,
    /// Where the model runs on the samples: cpu, cuda[:N], webgpu or plugin:LIBRARY[,NAME]
    #[arg(long, default_value_t = Provider::Cpu)]
    provider: Provider,
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

impl QuantiseArgs {
    pub(super) fn run(self, events: &mut dyn Events) -> Result<Answered> {
        let model = self.model.clone();
        let options = self.options();
        events.detail(&format!("quantising {}", model.display()));
        let report = quantise_file(&model, &options, events)?;
        tracing::info!("where the time went:\n{}", Breakdown(&report.stages));
        Ok(Answered::with(report))
    }

    fn options(self) -> QuantiseOptions {
        QuantiseOptions {
            calibration: self.calibration.map(|data| Calibration {
                data,
                samples: self.samples,
                provider: self.provider,
            }),
            settings: QuantiseSettings {
                target: self.target,
                weights: self.weights,
                every_layer: self.every_layer,
                weight_only: self.weight_only,
                bits: self.bits,
                store: self.store,
                budget: self.budget,
                max_kl: self.max_kl,
                keep: self.keep,
            },
            prune: self.prune,
            plan: self.plan,
            plan_out: self.plan_out,
            output: self.output.filter(|_| !self.dry_run),
            shapes: self.shapes.shapes(),
            runtime: self.runtime.options(),
            overwrite: self.force.overwrite(),
        }
    }
}

fn parse_budget(text: &str) -> Result<FileBudget, String> {
    match text.parse::<f64>() {
        Ok(share) if share > 0.0 && share <= 1.0 => Ok(FileBudget::Share(share)),
        _ => parse_bytes(text).map(FileBudget::Bytes).map_err(|_| {
            format!("'{text}' is neither a size, as in 90KB, nor a share above 0 and at most 1")
        }),
    }
}

fn parse_divergence(text: &str) -> Result<f64, String> {
    parse_number(
        text,
        1e-9..=1e3,
        "this is a divergence above 0, as in 0.001",
    )
}
