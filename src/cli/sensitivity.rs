//! `secateur sensitivity`

use std::path::PathBuf;

use crate::criteria::Criterion;
use crate::data::DataSource;
use crate::job::{Calibration, SensitivityOf, SensitivityOptions, sensitivity};
use crate::plan::Settings;
use crate::recover::Recovery;
use crate::report::Breakdown;
use crate::runtime::Provider;
use clap::Args;

use super::Answered;
use super::flags::{DataParser, ForceFlag, RuntimeFlags, ShapeFlags};
use crate::{Events, Result};

/// Measure what each part of a model is worth: outputs with its channels cut, its weights masked or rounded, one at a time
#[derive(Args, Debug)]
pub struct SensitivityArgs {
    /// The model
    model: PathBuf,
    /// Samples, with labels where a metric is to be measured: an .npz file, a folder of .npy files, or onnx test data
    #[arg(long, value_name = "PATH", value_parser = DataParser::default())]
    data: DataSource,
    /// What is tried: channels of each dimension cut, weights of each layer masked, their bits taken
    /// away, or residual blocks dropped
    #[arg(long, value_name = "channels|weights|bits|blocks", default_value_t)]
    of: SensitivityOf,
    /// What makes up for cut channels: none, or fold (their readers, by statistics of half of the samples)
    #[arg(long, value_name = "none|fold", default_value_t = Recovery::Fold)]
    recover: Recovery,
    /// The metric that drops are of [default: the first that the labels give: accuracy or mse]
    #[arg(long)]
    metric: Option<String>,
    /// Use at most this many samples [default: all]
    #[arg(long, value_name = "N")]
    samples: Option<usize>,
    /// Where the model runs: cpu, cuda[:N], tensorrt[:N], webgpu or plugin:LIBRARY[,NAME]
    #[arg(long, default_value_t = Provider::Cpu)]
    provider: Provider,
    /// Try only dimensions whose name, or whose producing node's name, matches this glob
    #[arg(long, value_name = "GLOB")]
    only: Vec<String>,
    /// Leave dimensions out whose name, or whose producing node's name, matches this glob
    #[arg(long, value_name = "GLOB")]
    skip: Vec<String>,
    /// How channels are scored, as for prune: the least important are cut first [default: obs]
    #[arg(long, value_name = "C")]
    criterion: Option<Criterion>,
    /// Seed of the order in which samples are dealt
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Write a line for every point here
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Draw the curves here
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    #[command(flatten)]
    force: ForceFlag,
    #[command(flatten)]
    shapes: ShapeFlags,
    #[command(flatten)]
    runtime: RuntimeFlags,
}

impl SensitivityArgs {
    pub(super) fn run(self, events: &mut dyn Events) -> Result<Answered> {
        let model = self.model.clone();
        let options = self.options();
        events.detail(&format!("measuring {}", model.display()));
        let report = sensitivity(model.as_path(), &options, events)?;
        tracing::info!("where the time went:\n{}", Breakdown(&report.stages));
        Ok(Answered::with(report))
    }

    fn options(self) -> SensitivityOptions {
        let data = Calibration {
            data: self.data,
            samples: self.samples.unwrap_or(SensitivityOptions::SAMPLES),
            provider: self.provider,
        };
        SensitivityOptions {
            of: self.of,
            recovery: self.recover,
            metric: self.metric,
            settings: Settings {
                only: self.only,
                skip: self.skip,
                criterion: self.criterion,
                seed: self.seed,
                ..Settings::default()
            },
            csv: self.csv,
            svg: self.svg,
            shapes: self.shapes.shapes(),
            runtime: self.runtime.options(),
            overwrite: self.force.overwrite(),
            data,
        }
    }
}
