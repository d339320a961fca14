//! Training a model inside its file: read, open the data, train, write.

mod coded;

use std::path::{Path, PathBuf};

use self::coded::{Course, check};
use super::analyse_whole;
use super::options::{Calibration, ModelInput, Overwrite, RuntimeOptions, Shapes};
use super::outputs::Files;
use super::prune::data_path;
use super::watch::Watch;
use crate::data::{DataSet, declared_inputs};
use crate::dimensions::Analysis;
use crate::error::{Error, Result};
use crate::events::Events;
use crate::graph::Graph;
use crate::onnx::Model;
use crate::quantise::QuantiseSettings;
use crate::report::{CodedTuning, Outcome, TrainingRow, TuneReport};
use crate::rewrite::{with_new_head, with_weights};
use crate::runtime::Runtime;
use crate::train::{Classroom, Pool, TrainOptions, Trained, Tuning, check_reach, train};

/// Version of the JSON document.
const SCHEMA: &str = "secateur.tune/1";

/// How a file is trained.
#[derive(Clone, Debug)]
pub struct TuneOptions {
    /// The data, where it runs, and samples at most.
    pub data: Calibration,
    /// The model that it learns from; without, it learns from labels.
    pub teacher: Option<ModelInput>,
    /// Makes the head anew for so many classes, and trains that alone unless `tuning` names others.
    pub replace_head: Option<usize>,
    /// How it is trained.
    pub tuning: Tuning,
    /// Trains it as it runs on codes, with values and weights rounded, and quantises it: products become products of 8-bit
    /// codes.
    pub quantised: Option<QuantiseSettings>,
    /// Where the model goes; nothing is written without.
    pub output: Option<PathBuf>,
    /// Sizes and sample axes of inputs.
    pub shapes: Shapes,
    /// Which onnxruntime.
    pub runtime: RuntimeOptions,
    /// Whether files that the run reads may be replaced.
    pub overwrite: Overwrite,
}

impl TuneOptions {
    /// With this teacher on this data; all else has its default.
    pub fn new(teacher: impl Into<ModelInput>, data: impl Into<Calibration>) -> TuneOptions {
        TuneOptions {
            data: data.into(),
            teacher: Some(teacher.into()),
            replace_head: None,
            tuning: Tuning::default(),
            quantised: None,
            output: None,
            shapes: Shapes::default(),
            runtime: RuntimeOptions::default(),
            overwrite: Overwrite::default(),
        }
    }

    /// The model with a new head, which alone is trained unless others are named.
    fn with_new_head(
        &self,
        analysis: &Analysis,
        classes: usize,
        tuning: &mut Tuning,
    ) -> Result<Analysis> {
        if self.teacher.is_some() {
            return Err(Error::Usage(
                "a new head has no `teacher`: it learns from labels".to_owned(),
            ));
        }
        if classes < 2 {
            return Err(Error::Usage("a head has at least 2 classes".to_owned()));
        }
        let head = with_new_head(analysis, classes, tuning.seed)?;
        if tuning.only.is_empty() && tuning.freeze.is_empty() {
            let names = head.names.iter();
            tuning.only = names.map(|name| globset::escape(name)).collect();
        }
        analyse_whole(&head.model, &self.shapes)
    }

    fn files(&self) -> Files<'_> {
        let teacher = match &self.teacher {
            Some(ModelInput::Path(path)) => Some(path.as_path()),
            _ => None,
        };
        Files {
            output: self.output.as_deref(),
            others: Vec::new(),
            inputs: data_path(&self.data.data)
                .into_iter()
                .chain(teacher)
                .collect(),
            ..Files::default()
        }
    }
}

/// Trains the model at `path`: its weights move so that it answers as its teacher does, on data without labels, or as the
/// labels say. Where no step is better on samples that are held out, the weights stay.
///
/// # Errors
/// A bad model, teacher, data or setting; nothing to train; an output that cannot be written. In all cases no output is
/// left.
pub fn tune(path: &Path, options: &TuneOptions, events: &mut dyn Events) -> Result<TuneReport> {
    options.tuning.check()?;
    let mut watch = Watch::default();
    let model = watch.stage("read", || Model::load(path))?;
    options.files().check(&model, options.overwrite)?;
    check(options, &model)?;
    let teacher = options.teacher.as_ref();
    let teacher = watch.stage("read", || teacher.map(ModelInput::load).transpose())?;
    let mut analysis = watch.stage("type", || analyse_whole(&model, &options.shapes))?;
    let mut tuning = options.tuning.clone();
    if let Some(classes) = options.replace_head {
        analysis = options.with_new_head(&analysis, classes, &mut tuning)?;
    }
    check_reach(analysis.graph(), &tuning)?;
    let runtime = options
        .runtime
        .load_for(std::slice::from_ref(&options.data.provider), events)?;
    let class = (&analysis, teacher.as_ref(), &runtime);
    let by = (&mut watch, events);
    let mut made = match &options.quantised {
        Some(settings) => rounded(class, options, settings, by)?,
        None => real(class, options, &tuning, by)?,
    };
    let mut report = TuneReport {
        schema: SCHEMA,
        model: path.display().to_string(),
        teacher: options.teacher.as_ref().map(ModelInput::name),
        outcome: Outcome::DryRun,
        training: made.training,
        quantisation: made.quantisation,
        onnxruntime: runtime.version().to_owned(),
        warnings: made.warnings,
        stages: Vec::new(),
    };
    if let Some(output) = options.output.as_deref() {
        super::stamp(
            &mut made.model,
            "tune",
            model.hash(),
            Some(runtime.version()),
        );
        watch.stage("write", || made.model.save_counted(output))?;
        report.outcome = Outcome::Written(output.display().to_string());
    }
    report.stages = watch.stages;
    Ok(report)
}

/// A trained model, and what became of it.
struct Made {
    model: Model,
    training: TrainingRow,
    quantisation: Option<CodedTuning>,
    warnings: Vec<String>,
}

/// The model trained as codes.
fn rounded(
    (student, teacher, runtime): (&Analysis, Option<&Model>, &Runtime),
    options: &TuneOptions,
    settings: &QuantiseSettings,
    (watch, events): (&mut Watch, &mut dyn Events),
) -> Result<Made> {
    let course = Course {
        student,
        teacher,
        options,
        settings,
        runtime,
    };
    let coded = course.coded(watch, events)?;
    Ok(Made {
        warnings: coded.warnings(),
        model: coded.model,
        training: TrainingRow(coded.training),
        quantisation: Some(coded.quantisation),
    })
}

/// The model trained in real numbers.
fn real(
    (analysis, teacher, runtime): (&Analysis, Option<&Model>, &Runtime),
    options: &TuneOptions,
    tuning: &Tuning,
    (watch, events): (&mut Watch, &mut dyn Events),
) -> Result<Made> {
    let pool = watch.stage("data", || opened(analysis, &options.data))?;
    let class = Classroom {
        student: analysis.graph(),
        teacher,
        pool: &pool,
        runtime,
        provider: &options.data.provider,
    };
    let labels = tuning.labels || teacher.is_none();
    let settings = tuning.resolved(&pool.batch(&[0])?, labels);
    let trained = watch.stage("tune", || train(&class, &settings, events))?;
    Ok(Made {
        model: with_weights(analysis.graph(), &trained.edits)?,
        training: TrainingRow(trained.record),
        quantisation: None,
        warnings: Vec::new(),
    })
}

/// What a changed model learns from: the model that it was.
pub(super) struct School<'a> {
    pub(super) teacher: &'a Analysis,
    pub(super) data: &'a Calibration,
    pub(super) tuning: &'a Tuning,
    pub(super) runtime: &'a RuntimeOptions,
}

/// Trains `student` to answer as its teacher does; `adapt` has the last word on how. Gives the version of onnxruntime
/// as well.
///
/// # Errors
/// No onnxruntime, bad data, nothing to train, or a failure inside onnxruntime.
pub(super) fn distilled(
    school: &School,
    student: &Graph,
    events: &mut dyn Events,
    adapt: impl FnOnce(&mut TrainOptions),
) -> Result<(Trained, String)> {
    let School {
        teacher,
        data,
        tuning,
        ..
    } = school;
    let provider = &data.provider;
    let runtime = school
        .runtime
        .load_for(std::slice::from_ref(provider), events)?;
    let pool = opened(teacher, data)?;
    let mut settings = tuning.resolved(&pool.batch(&[0])?, tuning.labels);
    adapt(&mut settings);
    let class = Classroom {
        student,
        teacher: Some(teacher.graph().model()),
        pool: &pool,
        runtime: &runtime,
        provider,
    };
    let trained = train(&class, &settings, events)?;
    Ok((trained, runtime.version().to_owned()))
}

/// The data of a training.
fn opened<'a>(analysis: &'a Analysis, data: &Calibration) -> Result<Pool<'a>> {
    let set = DataSet::open(&data.data, &declared_inputs(analysis), analysis, 1)?;
    let set = set.first(data.samples);
    if set.samples() == 0 {
        return Err(Error::Data {
            what: set.describe(),
            misfits: vec!["it has no sample".to_owned()],
        });
    }
    Pool::new(set, analysis)
}
