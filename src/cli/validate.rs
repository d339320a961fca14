//! `secateur validate`

use std::path::PathBuf;

use crate::data::{DataSource, ImageOptions, Layout};
use crate::job::{ValidateOptions, validate};
use crate::runtime::Provider;
use crate::validate::{Fallback, Gate, Perturbation};
use clap::Args;

use super::Answered;
use super::flags::{DataParser, RuntimeFlags, ShapeFlags, SumsFlag};
use crate::{Events, Result};

/// Compare a candidate with a reference, on every execution provider, and fail if a gate does not hold
#[derive(Args, Debug)]
pub struct ValidateArgs {
    /// The model that is the yardstick
    reference: PathBuf,
    /// The model that is judged
    candidate: PathBuf,
    /// The plan that the candidate was made by with --change-signature: both are fed the reference's inputs, and of outputs
    /// what stayed is compared
    #[arg(long, value_name = "PLAN")]
    plan: Option<PathBuf>,
    /// Where to run: cpu, cuda[:DEVICE], tensorrt[:DEVICE], webgpu or plugin:LIBRARY[,NAME]; repeatable;
    /// without it the CPU and every GPU that is available
    #[arg(long, value_name = "PROVIDER")]
    provider: Vec<Provider>,
    /// Fail if a compute node runs on the CPU instead of the provider
    #[arg(long)]
    no_fallback: bool,
    /// An .npz file, a folder of .npy files, or a folder of onnx test data
    #[arg(long, value_name = "PATH", value_parser = DataParser::default(), conflicts_with = "images")]
    data: Option<DataSource>,
    /// A folder of images, with class folders or --labels
    #[arg(long, value_name = "FOLDER")]
    images: Option<PathBuf>,
    /// A CSV file of FILE,CLASS lines for --images
    #[arg(long, value_name = "CSV", requires = "images")]
    labels: Option<PathBuf>,
    /// Height and width of the images, as in 224x224 (the model's where it fixes them)
    #[arg(long, value_name = "HxW", value_parser = parse_image_size, requires = "images")]
    image_size: Option<(u32, u32)>,
    /// Subtracted per channel after scaling to 0..1, as in 0.485,0.456,0.406
    #[arg(
        long,
        value_name = "NUMBERS",
        value_delimiter = ',',
        requires = "images"
    )]
    mean: Vec<f32>,
    /// Divided by per channel
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',', value_parser = parse_divisor, requires = "images")]
    std: Vec<f32>,
    /// Order of the image axes
    #[arg(long, value_enum, default_value_t = LayoutFlag::Nchw)]
    layout: LayoutFlag,
    /// Number of random samples where there is no data
    #[arg(long, default_value_t = 64, value_name = "N")]
    samples: usize,
    /// Samples per run, where the model leaves it open
    #[arg(long, default_value_t = 32, value_name = "N")]
    batch: usize,
    /// Repeat on disturbed inputs: gaussian:X, uniform:X, dropout:X, brightness:X; repeatable
    #[arg(long, value_name = "KIND:X")]
    perturb: Vec<Perturbation>,
    /// Fail if a metric drops by more, as in accuracy=0.01; repeatable
    #[arg(long, value_name = "METRIC=X")]
    max_drop: Vec<Gate>,
    /// Fail if pruning adds a larger relative error to any output
    #[arg(long, value_name = "X", value_parser = parse_bound)]
    max_error: Option<f64>,
    /// Fail if fewer rows agree about the largest element
    #[arg(long, value_name = "X", value_parser = parse_bound)]
    min_agreement: Option<f64>,
    /// Fail if the candidate is not this many times as fast
    #[arg(long, value_name = "X", value_parser = parse_bound)]
    min_speedup: Option<f64>,
    /// Seed of random samples, perturbations and intervals
    #[arg(long, default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    sums: SumsFlag,
    #[command(flatten)]
    shapes: ShapeFlags,
    #[command(flatten)]
    runtime: RuntimeFlags,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum LayoutFlag {
    /// Batch, channels, height, width
    Nchw,
    /// Batch, height, width, channels
    Nhwc,
}

/// A bound of a gate: what is no number would let everything, or nothing, through.
fn parse_bound(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(bound) if bound.is_finite() && bound >= 0.0 => Ok(bound),
        _ => Err(format!("'{text}' is no bound; give a number from 0 on")),
    }
}

fn parse_image_size(text: &str) -> Result<(u32, u32), String> {
    let parts = text.split_once('x').map(|(h, w)| (h.parse(), w.parse()));
    match parts {
        Some((Ok(height), Ok(width))) if height > 0 && width > 0 => Ok((height, width)),
        _ => Err(format!(
            "'{text}' is no size; write HEIGHTxWIDTH, as in 224x224"
        )),
    }
}

fn parse_divisor(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(number) if number.is_finite() && number != 0.0 => Ok(number),
        _ => Err(format!("'{text}' is no number to divide by")),
    }
}

impl ValidateArgs {
    pub(super) fn run(self, events: &mut dyn Events) -> Result<Answered> {
        let (reference, candidate) = (self.reference.clone(), self.candidate.clone());
        let options = self.options();
        events.detail(&format!("comparing {}", candidate.display()));
        let validated = validate(&reference, &candidate, &options, events)?;
        Ok(Answered::with(validated.report).but(validated.fault))
    }

    fn options(self) -> ValidateOptions {
        let mut gates = self.max_drop;
        gates.extend(self.max_error.map(Gate::MaxError));
        gates.extend(self.min_agreement.map(Gate::MinAgreement));
        gates.extend(self.min_speedup.map(Gate::MinSpeedup));
        let source = match (self.data, self.images) {
            (Some(data), _) => data,
            (None, Some(folder)) => DataSource::Images(ImageOptions {
                folder,
                labels: self.labels,
                size: self.image_size,
                mean: self.mean,
                std: self.std,
                layout: match self.layout {
                    LayoutFlag::Nchw => Layout::Nchw,
                    LayoutFlag::Nhwc => Layout::Nhwc,
                },
            }),
            (None, None) => DataSource::Random {
                samples: self.samples,
                seed: self.seed,
            },
        };
        ValidateOptions {
            plan: self.plan,
            providers: self.provider,
            source,
            batch: self.batch,
            shapes: self.shapes.shapes(),
            perturbations: self.perturb,
            gates,
            fallback: if self.no_fallback {
                Fallback::Refused
            } else {
                Fallback::Allowed
            },
            seed: self.seed,
            sums: self.sums.sums(),
            runtime: self.runtime.options(),
        }
    }
}
