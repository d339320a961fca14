//! What pruning can be told. Every default is said here and in [`Settings`], for the library and the command line.

use std::path::{Path, PathBuf};

use super::smaller::VocabularyOptions;
use crate::data::DataSource;
use crate::error::{Error, Result};
use crate::job::options::{Calibration, Overwrite, Proof, RuntimeOptions, Shapes};
use crate::onnx::Model;
use crate::ops::CutRules;
use crate::plan::{Cost, Plan, Settings};
use crate::quantise::QuantiseSettings;
use crate::recover::Recovery;
use crate::train::Tuning;

/// Share of a cost up to which training pays in two rounds.
const FAR: f64 = 0.2;

/// A plan: in a file, or in memory.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum PlanInput {
    /// In this JSON file.
    Path(PathBuf),
    /// This one.
    Plan(Box<Plan>),
}

impl PlanInput {
    /// The plan, read where it is in a file.
    ///
    /// # Errors
    /// It cannot be read, is none, or prunes nothing.
    pub(super) fn load(&self) -> Result<Plan> {
        let (plan, name) = match self {
            PlanInput::Path(path) => (Plan::load(path)?, path.display().to_string()),
            PlanInput::Plan(plan) => ((**plan).clone(), "it".to_owned()),
        };
        match plan.removes_nothing() {
            true => Err(Error::plan(format!("{name} prunes nothing"))),
            false => Ok(plan),
        }
    }
}

impl From<PathBuf> for PlanInput {
    fn from(path: PathBuf) -> PlanInput {
        PlanInput::Path(path)
    }
}

impl From<Plan> for PlanInput {
    fn from(plan: Plan) -> PlanInput {
        PlanInput::Plan(Box::new(plan))
    }
}

/// How a model is pruned. The default removes half of the channels of every dimension by their weights alone and
/// proves the result.
#[derive(Clone, Debug, Default)]
pub struct PruneOptions {
    /// How much is removed, and how it is chosen; what is left open has the best value for the data that there is.
    pub settings: Settings,
    /// Replays this plan instead of making one with `settings`.
    pub plan: Option<PlanInput>,
    /// Cuts the vocabulary and nothing else: rows of tables go that inputs of the graph pick by id.
    pub vocabulary: Option<VocabularyOptions>,
    /// The data that channels are chosen and weights recovered with; without, weights alone decide.
    pub calibration: Option<Calibration>,
    /// A safetensors file of statistics on the calibration data: read if it is there, else written.
    pub stats: Option<PathBuf>,
    /// How far recovery on the calibration data goes.
    pub recovery: Recovery,
    /// How the recovered model is trained on the calibration data, of which the last fifth is kept from recovery then; not
    /// at all without.
    pub tuning: Option<Tuning>,
    /// Makes products of 8-bit codes of what is left, rounded on the calibration data for what the original makes; not at
    /// all without.
    pub quantise: Option<QuantiseSettings>,
    /// Whether the result is verified.
    pub proof: Proof,
    /// Whether a failed proof ends the run; else the dimensions at fault are left alone.
    pub strict: bool,
    /// Sizes and sample axes of inputs, for costs, data and verification.
    pub shapes: Shapes,
    /// Which onnxruntime.
    pub runtime: RuntimeOptions,
}

impl PruneOptions {
    /// Removes this share of the channels, in `[0, 1)`; all else has its default.
    pub fn ratio(ratio: f64) -> PruneOptions {
        PruneOptions {
            settings: Settings {
                ratio,
                ..Settings::default()
            },
            ..PruneOptions::default()
        }
    }

    /// Keeps at most this share of a cost, in `(0, 1)`; all else has its default.
    ///
    /// ```
    /// use secateur::PruneOptions;
    /// use secateur::plan::Cost;
    ///
    /// let options = PruneOptions {
    ///     calibration: Some("calibration.npz".into()),
    ///     ..PruneOptions::keeping(Cost::Macs, 0.5)
    /// };
    /// assert_eq!(options.calibration.map(|data| data.samples), Some(512));
    /// ```
    pub fn keeping(cost: Cost, share: f64) -> PruneOptions {
        PruneOptions {
            settings: Settings::keeping(cost, share),
            ..PruneOptions::default()
        }
    }

    /// The settings in force: what was left open is said.
    pub fn resolved(&self) -> Settings {
        let rounds = if self.is_far() { 2 } else { 1 };
        Settings {
            iterations: self.settings.iterations.or(Some(rounds)),
            ..self.settings.resolved(self.calibration.is_some())
        }
    }

    /// What may go beside what always may: as the plan says, where one is replayed.
    ///
    /// # Errors
    /// A plan that cannot be read.
    pub(super) fn cuts(&self) -> Result<CutRules> {
        Ok(match &self.plan {
            None => CutRules {
                vocabulary: self.vocabulary.is_some(),
                ..self.settings.cuts()
            },
            Some(PlanInput::Path(path)) => Plan::load(path)?.settings.cuts(),
            Some(PlanInput::Plan(plan)) => plan.settings.cuts(),
        })
    }

    /// True where training pays in two rounds.
    fn is_far(&self) -> bool {
        let budget = self.settings.budget;
        self.tuning.is_some() && budget.is_some_and(|budget| budget.share <= FAR)
    }

    /// That nothing is said about data where there is none, and that the model can become what is asked for.
    ///
    /// # Errors
    /// Something is, or it cannot.
    pub(super) fn check(&self, model: &Model) -> Result<()> {
        self.check_vocabulary()?;
        if let Some(settings) = &self.quantise {
            self.check_quantise(settings, model)?;
        }
        if let Some(tuning) = &self.tuning {
            tuning.check()?;
            if self.calibration.is_none() {
                return Err(Error::Usage(
                    "`tuning` is done on calibration data: give some with `calibration`".to_owned(),
                ));
            }
        }
        match (&self.calibration, &self.stats) {
            (None, Some(_)) => Err(Error::Usage(
                "`stats` are of calibration data: give some with `calibration`".to_owned(),
            )),
            _ => Ok(()),
        }
    }

    fn check_quantise(&self, settings: &QuantiseSettings, model: &Model) -> Result<()> {
        if settings.weight_only {
            return Err(Error::Usage(
                "`quantise` makes products of codes: store weights alone as codes with `secateur quantise` afterwards"
                    .to_owned(),
            ));
        }
        if self.calibration.is_none() {
            return Err(Error::Usage(
                "`quantise` takes the ranges of values from data: give some with `calibration`"
                    .to_owned(),
            ));
        }
        settings.check(model.opset(), "prune without `quantise`")
    }

    /// Whether the job runs a model at all.
    pub(super) fn needs_runtime(&self) -> bool {
        let timed = self.plan.is_none() && self.settings.asks_for_time();
        self.proof == Proof::Required || self.calibration.is_some() || timed
    }
}

/// How a file is pruned to a file.
#[derive(Clone, Debug, Default)]
pub struct PruneFileOptions {
    /// How the model is pruned.
    pub prune: PruneOptions,
    /// Where the model goes; without, the run ends after planning.
    pub output: Option<PathBuf>,
    /// Where the plan goes.
    pub plan_out: Option<PathBuf>,
    /// Whether the original and the result are timed side by side.
    pub bench: bool,
    /// Whether files that the run reads may be replaced.
    pub overwrite: Overwrite,
}

/// Path of a data source, where it is one.
pub(in crate::job) fn data_path(source: &DataSource) -> Option<&Path> {
    match source {
        DataSource::Path(path) => Some(path),
        DataSource::Images(images) => Some(&images.folder),
        DataSource::Arrays(_) | DataSource::Random { .. } => None,
    }
}
