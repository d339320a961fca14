//! What a step depends on, by content.

use std::collections::BTreeMap;

use serde_json::Value;

use super::contents::{hash_of, hash_of_model};
use super::pipeline::{RecipeStep, SettingPart};
use super::run::{RecipeRun, not_made};
use super::store::StepKey;
use crate::cli::settings::MODELS;
use crate::error::Result;
use crate::events::Events;
use crate::job::RuntimeOptions;
use crate::runtime::{Library, Runtime};

impl RecipeRun<'_> {
    /// All that a step depends on, by content.
    pub(super) fn key(
        &mut self,
        step: &RecipeStep,
        may_install: bool,
        events: &mut dyn Events,
    ) -> Result<StepKey> {
        let mut settings = BTreeMap::new();
        for setting in &step.settings {
            let parts = setting
                .parts
                .iter()
                .map(|part| self.part_key(setting.name.as_str(), part));
            let parts: Vec<Value> = parts.collect::<Result<_>>()?;
            // Places that change nothing are no part of it.
            if !setting
                .parts
                .iter()
                .all(|part| matches!(part, SettingPart::Shared(_)))
            {
                settings.insert(setting.name.clone(), setting.value(parts));
            }
        }
        Ok(StepKey {
            step: step.name.clone(),
            command: step.command.name().to_owned(),
            secateur: env!("CARGO_PKG_VERSION"),
            onnxruntime: self.onnxruntime(step, may_install, events)?,
            settings,
        })
    }

    fn part_key(&self, setting: &str, part: &SettingPart) -> Result<Value> {
        let of = |hash: String| serde_json::json!({ "content": hash });
        Ok(match part {
            SettingPart::Value(value) => value.clone(),
            SettingPart::WithPath(before, path, after) => {
                let hash = of(hash_of(&path.path)?);
                serde_json::json!([before, hash, after])
            }
            SettingPart::Read(path) if MODELS.contains(&setting) => of(hash_of_model(&path.path)?),
            SettingPart::Read(path) => of(hash_of(&path.path)?),
            SettingPart::Shared(_) => Value::Null,
            SettingPart::Made(said) => {
                let path = said.as_ref().and_then(|said| said.path.extension());
                let extension = path.map(|extension| extension.to_string_lossy().into_owned());
                serde_json::json!({ "made": extension })
            }
            SettingPart::Model(model) => {
                let path = self.model_path(*model)?;
                match self.hashes.get(&path) {
                    Some(hash) => of(hash.clone()),
                    None => of(hash_of_model(&path)?),
                }
            }
            SettingPart::FileOf(place, file) => {
                let maker = &self.pipeline.steps[*place];
                if self.due.contains(place) {
                    return Err(not_made(&maker.name));
                }
                of(hash_of(&self.made_file(maker, file))?)
            }
        })
    }

    /// Version of the onnxruntime that a step uses.
    fn onnxruntime(
        &mut self,
        step: &RecipeStep,
        may_install: bool,
        events: &mut dyn Events,
    ) -> Result<Option<String>> {
        if !step.command.has("onnxruntime") {
            return Ok(None);
        }
        let named = step
            .setting("onnxruntime")
            .and_then(|setting| match setting.parts.first() {
                Some(SettingPart::Read(path)) => Some(path.path.clone()),
                _ => None,
            });
        if let Some(version) = self.versions.get(&named) {
            return Ok(version.clone());
        }
        let options = RuntimeOptions {
            library: named.clone(),
            offline: step.is_on("offline"),
        };
        let runtime = match (may_install, Library::find(named.as_deref(), &[])?) {
            (_, Some(library)) => Some(Runtime::load(&library)?),
            (true, None) => Some(options.load(events)?),
            (false, None) => None,
        };
        let version = runtime.map(|runtime| runtime.version().to_owned());
        self.versions.insert(named, version.clone());
        Ok(version)
    }
}
