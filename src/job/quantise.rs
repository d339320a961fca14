//! Quantising a model: read, open the data, place, round, prove, write.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::analyse_whole;
use super::joint::{Joint, in_bytes, less};
use super::options::{Calibration, Opened, Overwrite, RuntimeOptions, Shapes};
use super::outputs::{Files, text_beside};
use super::prune::data_path;
use super::quantised::{BATCHES, LARGE, quantised, real_rows, stored_rows};
use super::watch::Watch;
use crate::dimensions::Analysis;
use crate::error::{Error, Result};
use crate::events::Events;
use crate::files;
use crate::graph::Graph;
use crate::layers::Layers;
use crate::onnx::Model;
use crate::quantise::{
    QuantisePlan, QuantiseSettings, Subject, fitted, folded, store, store_planned,
};
use crate::report::{Outcome, PrunedFirst, Quantisation, QuantiseReport};
use crate::rewrite::with_initializers;
use crate::runtime::Provider;
use crate::search::held_out_divergences;
use crate::validate::verify_equal;

/// Version of the JSON document.
const SCHEMA: &str = "secateur.quantise/1";

/// How a file is quantised.
#[derive(Clone, Debug, Default)]
pub struct QuantiseOptions {
    /// The data, where it runs, and samples at most; weights alone can do without.
    pub calibration: Option<Calibration>,
    /// What becomes codes.
    pub settings: QuantiseSettings,
    /// Prunes the model first where that costs less than fewer bits; with a budget or a divergence.
    pub prune: bool,
    /// Decides what a plan says, whose settings count instead of these.
    pub plan: Option<PathBuf>,
    /// Where the model goes; nothing is written without.
    pub output: Option<PathBuf>,
    /// Where the plan goes.
    pub plan_out: Option<PathBuf>,
    /// Sizes and sample axes of inputs.
    pub shapes: Shapes,
    /// Which onnxruntime.
    pub runtime: RuntimeOptions,
    /// Whether files that the run reads may be replaced.
    pub overwrite: Overwrite,
}

impl QuantiseOptions {
    fn files(&self) -> Files<'_> {
        let data = self.calibration.as_ref().and_then(|of| data_path(&of.data));
        Files {
            output: self.output.as_deref(),
            others: self.plan_out.as_deref().into_iter().collect(),
            inputs: data.into_iter().chain(self.plan.as_deref()).collect(),
            ..Files::default()
        }
    }
}

impl QuantiseOptions {
    /// The plan that is replayed.
    fn decided(&self, model: &Model) -> Result<Option<QuantisePlan>> {
        let Some(path) = &self.plan else {
            return Ok(None);
        };
        let plan = QuantisePlan::load(path)?;
        plan.check(model.hash())?;
        Ok(Some(plan))
    }

    /// Writes the model, and the plan where it is asked for.
    fn write(
        &self,
        source: &Model,
        (made, plan): (&mut Model, &QuantisePlan),
        report: &mut QuantiseReport,
        watch: &mut Watch,
    ) -> Result<()> {
        // The plan is on disk before the model appears, so that a full disk leaves neither.
        let plan = text_beside(self.plan_out.as_deref(), || plan.to_json())?;
        if let Some(output) = self.output.as_deref() {
            let runtime = Some(report.onnxruntime.as_str());
            super::stamp(made, "quantise", source.hash(), runtime);
            report.bytes[1] = watch.stage("write", || made.save_counted(output))?;
            report.outcome = Outcome::Written(output.display().to_string());
        }
        match plan {
            Some((file, target)) => files::persist(file, target),
            None => Ok(()),
        }
    }
}

/// Quantises the model at `path`: products become products of 8-bit codes wherever onnxruntime has kernels for them, or
/// weights are stored as codes.
///
/// # Errors
/// A bad model, data or setting; nothing to quantise; a result that is not proven; an output that cannot be written. In
/// all cases no output is left.
pub fn quantise_file(
    path: &Path,
    options: &QuantiseOptions,
    events: &mut dyn Events,
) -> Result<QuantiseReport> {
    let mut watch = Watch::default();
    let model = watch.stage("read", || Model::load(path))?;
    options.files().check(&model, options.overwrite)?;
    let decided = options.decided(&model)?;
    let mut job = Job {
        options,
        settings: decided
            .as_ref()
            .map_or(&options.settings, |of| &of.settings),
        decided: decided.as_ref(),
        original: None,
        watch,
        events,
    };
    job.settings.check(model.opset(), "use `weight_only`")?;
    let pruned = job.pruned(&model)?;
    let settings = match &pruned {
        Some((_, first)) => {
            let settings = in_bytes(job.settings, model.source_bytes());
            less(&settings, first.divergence)
        }
        None => job.settings.clone(),
    };
    job.settings = &settings;
    job.original = pruned.is_some().then_some(&model);
    let start = pruned.as_ref().map_or(&model, |(model, _)| model);
    let analysis = job.watch.stage("type", || {
        let model = with_initializers(&Graph::new(start)?)?;
        analyse_whole(&model, &options.shapes)
    })?;
    let analysis = job.folded(analysis)?;
    let (mut made, mut plan, mut report) = match job.settings.stores() {
        true => job.stored(&analysis)?,
        false => job.quantised(&analysis)?,
    };
    plan.model_hash = model.hash().to_owned();
    report.model = path.display().to_string();
    report.pruned = pruned.as_ref().map(|(_, first)| *first);
    report.bytes[0] = model.source_bytes();
    report.compare(&plan, decided.as_ref());
    options.write(&model, (&mut made, &plan), &mut report, &mut job.watch)?;
    report.stages = job.watch.stages;
    Ok(report)
}

/// A model, what was decided for it, and what is said of it.
type Made = (Model, QuantisePlan, QuantiseReport);

struct Job<'a> {
    options: &'a QuantiseOptions,
    settings: &'a QuantiseSettings,
    decided: Option<&'a QuantisePlan>,
    /// What the model was before it was pruned.
    original: Option<&'a Model>,
    watch: Watch,
    events: &'a mut dyn Events,
}

impl Job<'_> {
    fn open<'b>(&mut self, analysis: &'b Analysis) -> Result<Option<Opened<'b>>> {
        let Some(calibration) = &self.options.calibration else {
            return Ok(None);
        };
        let layers = Layers::of(analysis).layers;
        let runtime = &self.options.runtime;
        let Job { watch, events, .. } = self;
        let open = || calibration.open(analysis, &layers, (BATCHES, false), runtime, *events);
        watch.stage("data", open).map(Some)
    }

    /// The model pruned as far as that costs less than fewer bits, where that is asked for and so.
    fn pruned(&mut self, model: &Model) -> Result<Option<(Model, PrunedFirst)>> {
        let options = self.options;
        if !options.prune {
            return Ok(None);
        }
        let (true, Some(data), None) = (
            self.settings.is_fitted(),
            &options.calibration,
            self.decided,
        ) else {
            return Err(Error::Usage(
                "`prune` needs `calibration`, and a `budget` or `max_kl` with `weight_only`, and no plan"
                    .to_owned(),
            ));
        };
        let settings = in_bytes(self.settings, model.source_bytes());
        let joint = Joint {
            model,
            settings: &settings,
            data,
            shapes: &options.shapes,
            runtime: &options.runtime,
        };
        let Job { watch, events, .. } = self;
        watch.stage("prune", || joint.chosen(*events))
    }

    /// The model with weights that nodes rearrange as constants.
    fn folded(&mut self, analysis: Analysis) -> Result<Analysis> {
        let calibration = self.options.calibration.iter();
        let providers: Vec<Provider> = calibration.map(|of| of.provider.clone()).collect();
        let runtime = self.options.runtime.load_for(&providers, self.events)?;
        let fold = || folded(&analysis, &runtime);
        match self.watch.stage("fold", fold)? {
            Some(model) => analyse_whole(&model.settled(), &self.options.shapes),
            None => Ok(analysis),
        }
    }

    /// The model with products of codes.
    fn quantised(&mut self, analysis: &Analysis) -> Result<Made> {
        let Some(opened) = self.open(analysis)? else {
            return Err(Error::Usage(
                "the ranges of values need data: give `calibration`, or use `weight_only`"
                    .to_owned(),
            ));
        };
        let subject = Subject::alone(analysis).by(self.decided).timed();
        let mut report = self.report(opened.runtime.version());
        let settings = self.settings;
        let Job { watch, events, .. } = self;
        let found = quantised(&subject, settings, &opened, watch, *events)?;
        let pass = opened.pass();
        let diverged = || held_out_divergences(pass, analysis.graph().model(), [found.judged()]);
        let [divergence] = self.watch.stage("judge", diverged)?;
        report.quantisation = found.quantisation;
        report.quantisation.divergence = Some(divergence);
        report.warn();
        Ok((found.model, found.plan, report))
    }

    /// The model with weights that are stored as codes.
    fn stored(&mut self, analysis: &Analysis) -> Result<Made> {
        let opened = self.open(analysis)?;
        let runtime = match &opened {
            Some(opened) => opened.runtime.clone(),
            None => self.options.runtime.load(self.events)?,
        };
        let settings = self.settings;
        let pass = opened.as_ref().map(Opened::pass);
        let decided = self.decided;
        let Job { watch, events, .. } = self;
        let found = watch.stage("quantise", || match (decided, pass) {
            (Some(plan), pass) => store_planned(analysis, plan, pass, *events),
            (None, None) if settings.is_fitted() => Err(Error::Usage(
                "what fewer bits cost needs data: give `calibration`".to_owned(),
            )),
            (None, Some(pass)) if settings.is_fitted() => fitted(analysis, settings, pass, *events),
            (None, pass) => store(analysis, settings, pass, *events),
        })?;
        let verify = || {
            let what = "the model with the numbers that codes stand for";
            verify_equal(
                analysis,
                &found.planned,
                &found.model,
                what,
                found.allowed(),
                &runtime,
            )
        };
        let verification = watch.stage("verify", verify)?;
        let mut report = self.report(runtime.version());
        if let Some(pass) = pass {
            let original = self.original.unwrap_or(analysis.graph().model());
            let diverged = || held_out_divergences(pass, original, [&found.model]);
            let [divergence] = self.watch.stage("judge", diverged)?;
            report.quantisation.divergence = Some(divergence);
        }
        report.verification = Some(verification);
        report.quantisation.layers = stored_rows(&found);
        report.quantisation.real = real_rows(&found.real);
        report.warn();
        let plan = found.plan(analysis.graph().model().hash(), settings)?;
        Ok((found.model, plan, report))
    }

    fn report(&self, onnxruntime: &str) -> QuantiseReport {
        QuantiseReport {
            schema: SCHEMA,
            model: String::new(),
            outcome: Outcome::DryRun,
            bytes: [0; 2],
            pruned: None,
            quantisation: Quantisation {
                settings: self.settings.settled(),
                layers: Vec::new(),
                real: Vec::new(),
                for_original: false,
                rounded: 0,
                equalised: 0,
                divergence: None,
                proof: None,
                speedup: None,
                fused: None,
            },
            verification: None,
            onnxruntime: onnxruntime.to_owned(),
            warnings: Vec::new(),
            stages: Vec::new(),
        }
    }
}

impl QuantiseReport {
    /// Says where weights are not what a plan says of them.
    fn compare(&mut self, made: &QuantisePlan, decided: Option<&QuantisePlan>) {
        const SHOWN: usize = 3;
        let differing = decided.map_or(BTreeSet::new(), |decided| made.differing(decided));
        let shown: Vec<&str> = differing.iter().copied().take(SHOWN).collect();
        if !differing.is_empty() {
            self.warnings.push(format!(
                "{} weight(s) were rounded otherwise than when the plan was made, on other data or by another version: {}",
                differing.len(),
                shown.join(", ")
            ));
        }
    }

    fn warn(&mut self) {
        let divergence = self.quantisation.divergence;
        if let Some(divergence) = divergence.filter(|divergence| *divergence > LARGE) {
            self.warnings.push(format!(
                "the outputs diverge by {divergence:.4} on held-out samples: leave layers real with `keep`, or give more samples"
            ));
        }
        self.warnings.extend(self.quantisation.notes());
    }
}
