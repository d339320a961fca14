//! How much outputs suffer where one part of a model is cut, masked or rounded.

mod blocks;
mod wanted;
mod weights;

use std::cell::Cell;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use self::wanted::WantedParts;
use super::options::{Calibration, ModelInput, Overwrite, RuntimeOptions, Shapes};
use super::outputs::{Files, text_beside};
use super::parts::DealtData;
use super::prune::{Calibrated, data_path};
use super::watch::Watch;
use super::{analyse_in, analyse_whole};
use crate::dimensions::Analysis;
use crate::error::{Error, Result};
use crate::events::Events;
use crate::files;
use crate::layers::Layers;
use crate::onnx::Model;
use crate::plan::{RoundTo, Scope, Settings};
use crate::recover::Recovery;
use crate::report::{SensitivityPoint, SensitivityReport, SensitivityRow};
use crate::runtime::Tensor;
use crate::search::{ModelJudgement, Outputs, Ranking, Sized, Tally, at_sizes, check, originals};

/// Version of the JSON document.
const SCHEMA: &str = "secateur.sensitivity/1";
/// Shares that are removed.
const SHARES: [f64; 9] = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9];

/// What is tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SensitivityOf {
    /// Channels of each dimension are cut.
    #[default]
    Channels,
    /// Weights of each layer are masked, those of the smallest magnitude.
    Weights,
    /// Weights of each layer are rounded to codes of fewer bits.
    Bits,
    /// Residual branches are dropped.
    Blocks,
}

impl FromStr for SensitivityOf {
    type Err = Error;

    fn from_str(text: &str) -> Result<SensitivityOf> {
        match text {
            "channels" => Ok(SensitivityOf::Channels),
            "weights" => Ok(SensitivityOf::Weights),
            "bits" => Ok(SensitivityOf::Bits),
            "blocks" => Ok(SensitivityOf::Blocks),
            _ => Err(Error::Usage(format!(
                "there is no sensitivity of '{text}'; choose one of channels, weights, bits, blocks"
            ))),
        }
    }
}

impl fmt::Display for SensitivityOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SensitivityOf::Channels => "channels",
            SensitivityOf::Weights => "weights",
            SensitivityOf::Bits => "bits",
            SensitivityOf::Blocks => "blocks",
        })
    }
}

/// How sensitivity is measured.
#[derive(Clone, Debug)]
pub struct SensitivityOptions {
    /// The data, where it runs, and samples at most.
    pub data: Calibration,
    /// What is tried.
    pub of: SensitivityOf,
    /// Whether what reads cut channels makes up for them: [`Recovery::Fold`] or [`Recovery::None`].
    pub recovery: Recovery,
    /// The metric that drops are of; without, the first that labels give, and divergence without labels.
    pub metric: Option<String>,
    /// Glob patterns of dimensions to leave out, to try alone, and how channels are ranked.
    pub settings: Settings,
    /// Where a line for every point goes.
    pub csv: Option<PathBuf>,
    /// Where a picture of the curves goes.
    pub svg: Option<PathBuf>,
    /// Sizes and sample axes of inputs.
    pub shapes: Shapes,
    /// Which onnxruntime.
    pub runtime: RuntimeOptions,
    /// Whether files that the run reads may be replaced.
    pub overwrite: Overwrite,
}

impl SensitivityOptions {
    /// Samples at most, unless told otherwise: all that there are.
    pub const SAMPLES: usize = usize::MAX;

    /// Of channels, on all of this data; all else has its default.
    pub fn new(data: impl Into<Calibration>) -> SensitivityOptions {
        SensitivityOptions {
            data: Calibration {
                samples: SensitivityOptions::SAMPLES,
                ..data.into()
            },
            of: SensitivityOf::default(),
            recovery: Recovery::Fold,
            metric: None,
            settings: Settings::default(),
            csv: None,
            svg: None,
            shapes: Shapes::default(),
            runtime: RuntimeOptions::default(),
            overwrite: Overwrite::default(),
        }
    }

    fn check(&self, model: &Model) -> Result<()> {
        if !matches!(self.recovery, Recovery::None | Recovery::Fold) {
            return Err(Error::Usage(format!(
                "sensitivity takes `recovery` none or fold, not {}: parts are tried one at a time",
                self.recovery
            )));
        }
        let others = self.csv.as_deref().into_iter().chain(self.svg.as_deref());
        let named = Files {
            output: None,
            others: others.collect(),
            inputs: (data_path(&self.data.data).into_iter())
                .chain(self.settings.scores_file())
                .collect(),
            ..Files::default()
        };
        named.check(model, self.overwrite)
    }
}

/// Measures how much the outputs of a model, from a path or in memory, suffer where one part of it is cut, masked or rounded; no model is
/// written.
///
/// # Errors
/// A bad model, data or setting, an output that cannot be written, or no onnxruntime.
pub fn sensitivity(
    model: impl Into<ModelInput>,
    options: &SensitivityOptions,
    events: &mut dyn Events,
) -> Result<SensitivityReport> {
    let mut watch = Watch::default();
    let input = model.into();
    let model = watch.stage("read", || input.load())?;
    options.check(&model)?;
    let mut load = || options.runtime.load(&mut crate::events::Silent).ok();
    let told = (&options.shapes, options.settings.cuts());
    let analysis = watch.stage("type", || match options.of {
        SensitivityOf::Channels => analyse_in(&model, told, &mut load),
        _ => analyse_whole(&model, &options.shapes),
    })?;
    if options.of == SensitivityOf::Channels {
        check(&analysis, &options.settings)?;
    }
    let report = measured(&analysis, input.name(), options, (&mut watch, events))?;
    let report = SensitivityReport {
        stages: watch.stages,
        ..report
    };
    let csv = text_beside(options.csv.as_deref(), || report.csv())?;
    let svg = text_beside(options.svg.as_deref(), || report.chart().svg())?;
    for (file, target) in csv.into_iter().chain(svg) {
        files::persist(file, target)?;
    }
    Ok(report)
}

fn measured(
    analysis: &Analysis,
    name: String,
    options: &SensitivityOptions,
    (watch, events): (&mut Watch, &mut dyn Events),
) -> Result<SensitivityReport> {
    let layers = Layers::measurable(analysis);
    let seed = options.settings.seed;
    let parts = options
        .data
        .dealt((analysis, &layers), (seed, 0), &options.runtime, events)?;
    let DealtData {
        opened,
        judged,
        whole,
        ..
    } = parts;
    let samples = [opened.data.samples(), judged.samples()];
    let measure = || Calibrated::on(analysis, (opened, layers), options.recovery, None, events);
    let calibrated = watch.stage("calibrate", measure)?;
    let runs = calibrated.outputs_on(analysis, &judged);
    let dense = watch.stage("run", || originals(&runs, judged.samples()))?;
    let trial = SensitivityTrial {
        runs: &runs,
        dense: &dense,
        metric: metric(&runs, &dense, options)?,
        judged: Cell::new(usize::MAX),
    };
    let wanted = WantedParts::of(&options.settings)?;
    let rows = watch.stage("try", || match options.of {
        SensitivityOf::Channels => trial.channels(&calibrated, options, events),
        SensitivityOf::Weights => trial.weights(&wanted, events),
        SensitivityOf::Bits => trial.bits(&wanted, events),
        SensitivityOf::Blocks => trial.blocks(&wanted, events),
    })?;
    match options.of {
        SensitivityOf::Channels => {}
        SensitivityOf::Blocks => wanted.all_used("residual block", "secateur inspect")?,
        _ => wanted.all_used("weight", "secateur mask --list")?,
    }
    let samples = [samples[0], trial.judged.get().min(samples[1])];
    Ok(SensitivityReport {
        schema: SCHEMA,
        model: name,
        of: options.of.to_string(),
        data: whole.describe(),
        samples,
        recovered: options.recovery != Recovery::None && options.of == SensitivityOf::Channels,
        metric: trial.metric.as_ref().map(|(name, _)| name.clone()),
        original: trial.metric.as_ref().map(|(_, original)| *original),
        rows,
        onnxruntime: runs.runtime.version().to_owned(),
        stages: Vec::new(),
    })
}

/// The metric that drops are of, with what the original has of it; none without labels.
fn metric(
    runs: &Outputs,
    dense: &[Tensors],
    options: &SensitivityOptions,
) -> Result<Option<(String, f64)>> {
    let mut tally = Tally::default();
    for (number, dense) in dense.iter().enumerate() {
        tally.add(&runs.data.batch(number)?, dense, dense)?;
    }
    let original = tally.points();
    let name = match &options.metric {
        Some(name) => {
            let goal = crate::search::SearchGoal::MaxDrop(name.clone(), 0.0);
            goal.resolved(&original)?;
            Some(name.clone())
        }
        None => original.metrics.first().map(|metric| metric.name.clone()),
    };
    Ok(name.and_then(|name| Some((name.clone(), original.metric(&name)?.original))))
}

type Tensors = Vec<(String, Tensor)>;

/// The model, ready to be tried.
struct SensitivityTrial<'a> {
    runs: &'a Outputs<'a>,
    /// By batch what the original makes.
    dense: &'a [Tensors],
    /// The metric that drops are of, with what the original has of it.
    metric: Option<(String, f64)>,
    /// Samples that every part was judged on: large ones are not all held.
    judged: Cell<usize>,
}

impl SensitivityTrial<'_> {
    fn channels(
        &self,
        calibrated: &Calibrated,
        options: &SensitivityOptions,
        events: &mut dyn Events,
    ) -> Result<Vec<SensitivityRow>> {
        let analysis = self.runs.analysis;
        let settings = Settings {
            scope: Some(Scope::Allocated),
            round_to: RoundTo::Multiple(1),
            max_ratio: Some(1.0),
            ..options.settings.resolved(true)
        };
        let scores = calibrated.scores(analysis, &settings, events)?;
        let ranking = Ranking::new(analysis, &scores, &settings)?;
        let dimensions = analysis.dimensions();
        let sizes: Vec<Vec<Sized>> = dimensions
            .iter()
            .map(|dimension| ranking.without(dimension, &SHARES))
            .collect();
        let total = sizes.iter().map(Vec::len).sum();
        let mut done = 0;
        let mut rows = Vec::new();
        for (place, (dimension, sizes)) in dimensions.iter().zip(&sizes).enumerate() {
            let mut tallies: Vec<Tally> = sizes.iter().map(|_| Tally::default()).collect();
            let mut each = |number: usize, (batch, _): (usize, usize), outputs: Tensors| {
                self.add(&mut tallies[number], batch, &outputs)?;
                if batch == 0 {
                    done += 1;
                    events.progress("try", done, total);
                }
                Ok(())
            };
            let how = (options.recovery != Recovery::None, self.runs.data.samples());
            let made = at_sizes(self.runs, dimension, sizes, how, &mut each)?;
            let points = sizes.iter().zip(&tallies).zip(made);
            let points = points.filter(|(_, made)| *made);
            let point = |((sized, tally), _): ((&Sized, &Tally), bool)| {
                let removed = 1.0 - sized.0 as f64 / dimension.size as f64;
                self.point((removed, sized.0), &tally.points())
            };
            rows.push(SensitivityRow {
                name: dimension.name.clone(),
                size: dimension.size,
                left: ranking.reason(place).map(str::to_owned),
                points: points.map(point).collect(),
            });
        }
        Ok(rows)
    }

    fn add(&self, tally: &mut Tally, batch: usize, outputs: &Tensors) -> Result<()> {
        match self.dense.get(batch) {
            Some(dense) => tally.add(&self.runs.data.batch(batch)?, dense, outputs),
            None => Ok(()),
        }
    }

    fn point(&self, strength: (f64, usize), judged: &ModelJudgement) -> SensitivityPoint {
        self.judged.set(self.judged.get().min(judged.samples));
        let metric = self.metric.as_ref().map(|(name, _)| name.as_str());
        SensitivityPoint::new(strength, judged, metric)
    }
}
