//! The steps of a settled recipe, one after the other: each is kept, or runs and is kept from then on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::Value;

use super::pipeline::{ModelOf, Pipeline, RecipeStep, SettingPart};
use super::store::{StepKey, StepRecord, WorkFolder, folder_of};
use crate::cli::{Answered, DataInMemory, call, words};
use crate::error::{Error, Result};
use crate::events::Events;
use crate::onnx::Model;
use crate::pages::Page;
use crate::report::{StepRow, StepState};

/// What a step's model is called in its folder.
const MODEL: &str = "model.onnx";

/// A run of a recipe.
pub(super) struct RecipeRun<'a> {
    pub(super) pipeline: &'a Pipeline,
    /// None where nothing was ever kept, and nothing is to be.
    pub(super) work: Option<WorkFolder>,
    /// The model at each step: the one that it made, or the one that it left as it was.
    pub(super) models: Vec<Option<PathBuf>>,
    /// Hashes of the models that steps made, which nobody else changes.
    pub(super) hashes: BTreeMap<PathBuf, String>,
    /// Steps that would run, where a run is only foreseen: what they made before does not count.
    pub(super) due: BTreeSet<usize>,
    /// What there is to look at, by step.
    pub(super) pages: Vec<(String, Page)>,
    /// Versions of onnxruntime, by the library that is named.
    pub(super) versions: BTreeMap<Option<PathBuf>, Option<String>>,
}

/// What became of a step.
pub(super) struct StepEnd {
    pub(super) row: StepRow,
    pub(super) fault: Option<Error>,
}

impl<'a> RecipeRun<'a> {
    pub(super) fn new(pipeline: &'a Pipeline, work: Option<WorkFolder>) -> RecipeRun<'a> {
        RecipeRun {
            pipeline,
            work,
            models: Vec::new(),
            hashes: BTreeMap::new(),
            due: BTreeSet::new(),
            pages: Vec::new(),
            versions: BTreeMap::new(),
        }
    }

    /// Looks what a run would do with the next step.
    pub(super) fn foresee(&mut self) -> StepRow {
        let step = &self.pipeline.steps[self.models.len()];
        // What depends on a step that would run is not known.
        let known = self.key(step, false, &mut crate::events::Silent).ok();
        let kept = known.and_then(|key| self.known(step, &key));
        let state = match kept {
            Some(record) => return self.take_kept(step, record),
            None => StepState::Due,
        };
        self.due.insert(self.models.len());
        self.models.push(None);
        row_of(step, state)
    }

    /// Runs the next step, or takes what is kept of it.
    ///
    /// # Errors
    /// The work folder cannot be written. What the step itself fails with is in its end.
    pub(super) fn advance(&mut self, events: &mut dyn Events) -> Result<StepEnd> {
        let step = &self.pipeline.steps[self.models.len()];
        let start = Instant::now();
        let key = match self.key(step, true, events) {
            Ok(key) => key,
            Err(fault) => return Ok(failed(step, fault, start)),
        };
        if let Some(record) = self.known(step, &key) {
            let row = self.take_kept(step, record);
            return Ok(StepEnd { row, fault: None });
        }
        let Some(work) = &self.work else {
            return Ok(failed(step, no_work(), start));
        };
        let goes_on = work.begin(&key)?;
        let answered = self.answer(step, goes_on, events);
        let answered = match answered {
            Ok(_) if events.is_enough() => Err(Error::Interrupted),
            // What has nothing dead in it is clean.
            Err(Error::NothingToPrune { .. }) if step.command.name() == "clean" => Ok(None),
            answered => answered.map(Some),
        };
        let answered = match answered {
            Ok(answered) => answered,
            Err(fault) => return Ok(failed(step, fault, start)),
        };
        self.take_made(step, &key, answered, start)
    }

    /// What is kept of a step; times are measured in every run.
    fn known(&self, step: &RecipeStep, key: &StepKey) -> Option<StepRecord> {
        let work = self.work.as_ref()?;
        let kept = work.kept(key)?;
        (!step.measures_times()).then_some(kept)
    }

    fn take_kept(&mut self, step: &RecipeStep, record: StepRecord) -> StepRow {
        let folder = folder_of(&self.pipeline.work.path, &step.name);
        let made = record.model.map(|name| folder.join(name));
        let bytes = made.as_deref().and_then(|made| self.look_at(made));
        let model = made.or_else(|| self.model(step.from));
        self.models.push(model);
        if let Ok(page) = serde_json::from_value(record.page) {
            self.pages.push((step.name.clone(), page));
        }
        StepRow {
            model_bytes: bytes,
            report: record.document,
            text: record.text,
            ..row_of(step, StepState::Kept)
        }
    }

    /// Keeps what a step made; without an answer it left its model as it was.
    fn take_made(
        &mut self,
        step: &RecipeStep,
        key: &StepKey,
        answered: Option<Answered>,
        start: Instant,
    ) -> Result<StepEnd> {
        let is_changed = answered.is_some();
        let (report, fault) = match answered {
            Some(answered) => (answered.report, answered.fault),
            None => (None, None),
        };
        let document = match &report {
            Some(report) => serde_json::from_str(&report.json()?).unwrap_or_default(),
            None => Value::Null,
        };
        let folder = folder_of(&self.pipeline.work.path, &step.name);
        let made = folder.join(MODEL);
        let makes = step.command.makes_model() && is_changed && made.is_file();
        let page = report.as_ref().map(|report| report.page());
        let mut record = StepRecord {
            page: serde_json::to_value(&page).unwrap_or_default(),
            model: makes.then(|| MODEL.to_owned()),
            files: BTreeMap::new(),
            text: report.map_or(String::new(), |report| report.text()),
            document,
        };
        self.pages
            .extend(page.map(|page| (step.name.clone(), page)));
        if let (None, Some(work)) = (&fault, &self.work) {
            work.keep(key, &mut record)?;
        }
        let model = match makes {
            true => Some(made),
            false => self.model(step.from),
        };
        let bytes = model.as_deref().filter(|_| makes);
        let bytes = bytes.and_then(|model| self.look_at(model));
        self.models.push(model);
        let state = match (&fault, is_changed) {
            (Some(_), _) => StepState::Failed,
            (None, false) => StepState::Unchanged,
            (None, true) => StepState::Done,
        };
        let row = StepRow {
            model_bytes: bytes,
            fault: fault.as_ref().map(ToString::to_string),
            seconds: start.elapsed().as_secs_f64(),
            report: record.document,
            text: record.text,
            ..row_of(step, state)
        };
        let fault = fault.map(|fault| of_step(step, fault));
        Ok(StepEnd { row, fault })
    }

    /// Bytes of a model that a step made, with its data files; its hash is known from then on.
    fn look_at(&mut self, path: &Path) -> Option<u64> {
        let model = Model::load(path).ok()?;
        self.hashes.insert(path.to_owned(), model.hash().to_owned());
        Some(model.source_bytes())
    }

    /// Calls the step's command.
    fn answer(
        &self,
        step: &RecipeStep,
        goes_on: bool,
        events: &mut dyn Events,
    ) -> Result<Answered> {
        let mut settings = self.settings(step)?;
        let Some(work) = &self.work else {
            return Err(no_work());
        };
        if step.command.makes_model() {
            let output = work.folder(&step.name).join(MODEL);
            settings.push(("output".to_owned(), text_of(&output)?.into()));
        }
        let gathers = step.command.has("results") && step.command.has("merge");
        if gathers && !step.is_on("results") && !step.is_on("merge") {
            let folder = work.evaluations(&step.name);
            settings.push(("results".to_owned(), text_of(&folder)?.into()));
        }
        if !step.can_resume() {
            return run_command(step, &settings, events);
        }
        let folder = work.checkpoints(&step.name);
        settings.push(("checkpoints".to_owned(), text_of(&folder)?.into()));
        if !goes_on || !folder.is_dir() {
            return run_command(step, &settings, events);
        }
        let mut resumed = settings.clone();
        resumed.push(("resume".to_owned(), true.into()));
        events.say(&format!("step '{}' goes on from where it was", step.name));
        match run_command(step, &resumed, events) {
            Err(fault) if fault.class() == crate::Class::Input => {
                events.say(&format!("step '{}' begins anew: {fault}", step.name));
                // What cannot be removed is replaced.
                let _ = std::fs::remove_dir_all(&folder);
                run_command(step, &settings, events)
            }
            answered => answered,
        }
    }

    /// The settings of a step, with paths where they are now.
    fn settings(&self, step: &RecipeStep) -> Result<Vec<(String, Value)>> {
        let settings = step.settings.iter().map(|setting| {
            let values = setting.parts.iter().map(|part| -> Result<Value> {
                Ok(match part {
                    SettingPart::Value(value) => value.clone(),
                    SettingPart::WithPath(before, path, after) => {
                        format!("{before}{}{after}", text_of(&path.path)?).into()
                    }
                    SettingPart::Read(path) | SettingPart::Shared(path) => {
                        text_of(&path.path)?.into()
                    }
                    SettingPart::Made(_) => {
                        text_of(&self.made_file(step, &setting.name)).map(Value::from)?
                    }
                    SettingPart::Model(of) => text_of(&self.model_path(*of)?)?.into(),
                    SettingPart::FileOf(place, file) => {
                        let maker = &self.pipeline.steps[*place];
                        text_of(&self.made_file(maker, file))?.into()
                    }
                })
            });
            let values: Vec<Value> = values.collect::<Result<_>>()?;
            Ok((setting.name.clone(), setting.value(values)))
        });
        settings.collect()
    }

    /// Where a step makes the file that a setting names.
    pub(super) fn made_file(&self, step: &RecipeStep, setting: &str) -> PathBuf {
        let folder = folder_of(&self.pipeline.work.path, &step.name);
        let parts = step
            .setting(setting)
            .map_or(&[][..], |setting| &setting.parts);
        let said = parts.iter().find_map(|part| match part {
            SettingPart::Made(Some(path)) => path.path.extension(),
            _ => None,
        });
        let extension = said
            .and_then(|said| said.to_str())
            .unwrap_or(match setting {
                "mask-out" => "npz",
                "csv" => "csv",
                "svg" => "svg",
                _ => "json",
            });
        folder.join(format!("{setting}.{extension}"))
    }

    fn model(&self, of: ModelOf) -> Option<PathBuf> {
        match of {
            ModelOf::Original => self.pipeline.model.as_ref().map(|model| model.path.clone()),
            ModelOf::Step(place) => self.models.get(place).cloned().flatten(),
        }
    }

    /// A model that is there.
    pub(super) fn model_path(&self, of: ModelOf) -> Result<PathBuf> {
        self.model(of).ok_or_else(|| {
            not_made(match of {
                ModelOf::Original => "model",
                ModelOf::Step(place) => &self.pipeline.steps[place].name,
            })
        })
    }
}

fn run_command(
    step: &RecipeStep,
    settings: &[(String, Value)],
    events: &mut dyn Events,
) -> Result<Answered> {
    let words = words(step.command.name(), settings)?;
    call(&words, DataInMemory::default(), events)
}

pub(super) fn row_of(step: &RecipeStep, state: StepState) -> StepRow {
    StepRow {
        step: step.name.clone(),
        command: step.command.name().to_owned(),
        state,
        model_bytes: None,
        fault: None,
        seconds: 0.0,
        report: Value::Null,
        text: String::new(),
    }
}

fn failed(step: &RecipeStep, fault: Error, start: Instant) -> StepEnd {
    StepEnd {
        row: StepRow {
            fault: Some(fault.to_string()),
            seconds: start.elapsed().as_secs_f64(),
            ..row_of(step, StepState::Failed)
        },
        fault: Some(of_step(step, fault)),
    }
}

fn of_step(step: &RecipeStep, source: Error) -> Error {
    Error::Step {
        step: step.name.clone(),
        source: Box::new(source),
    }
}

fn no_work() -> Error {
    Error::Usage(
        "this run only looks, and cannot make a step; please report this recipe".to_owned(),
    )
}

/// What a step makes is asked for before it is made.
pub(super) fn not_made(step: &str) -> Error {
    Error::Usage(format!(
        "what '{step}' makes is not there yet; please report this recipe"
    ))
}

fn text_of(path: &Path) -> Result<String> {
    path.to_str().map(str::to_owned).ok_or_else(|| {
        let shown = path.display();
        Error::Usage(format!(
            "the path {shown} is not UTF-8; a recipe needs one that is"
        ))
    })
}
