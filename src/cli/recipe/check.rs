//! That a settled recipe can be followed, as far as its words go.

use serde_json::Value;

use super::commands::COMMANDS;
use super::pipeline::{ModelOf, Pipeline, RecipeStep, SettingPart};
use super::read::ReadRecipe;
use super::tree::Spot;
use crate::error::Result;

impl ReadRecipe {
    /// That there is a model to begin with and a place for the one at the end.
    ///
    /// # Errors
    /// There is not, or no step.
    pub(super) fn check_ends(&self, pipeline: &Pipeline) -> Result<()> {
        let start = Spot { source: 0, line: 0 };
        let fault = |reason: String| Err(self.sources.fault(start, reason));
        let Some(first) = pipeline.steps.first() else {
            return fault(format!(
                "it has no step; steps are tables called {}",
                COMMANDS.join(", ")
            ));
        };
        let takes = |step: &&RecipeStep| {
            let parts = step.settings.iter().flat_map(|setting| &setting.parts);
            let mut parts = parts.filter(|part| **part == SettingPart::Model(ModelOf::Original));
            parts.next().is_some()
        };
        if let (None, Some(step)) = (&pipeline.model, pipeline.steps.iter().find(takes)) {
            return fault(format!(
                "it names no `model`, which step '{}' takes",
                step.name
            ));
        }
        let makes = pipeline
            .steps
            .iter()
            .find(|step| step.command.makes_model());
        match (&pipeline.output, makes) {
            (None, Some(step)) => fault(format!(
                "it names no `output`, though step '{}' makes a model",
                step.name
            )),
            (Some(output), None) => Err(self.sources.fault(
                output.spot,
                format!(
                    "it names an `output`, but no step makes a model: '{}' only looks",
                    first.name
                ),
            )),
            _ => Ok(()),
        }
    }

    /// That every step is a call of its command.
    pub(super) fn check_calls(&self, pipeline: &Pipeline) -> Result<()> {
        for step in &pipeline.steps {
            let mut settings: Vec<(String, Value)> = Vec::new();
            for setting in &step.settings {
                let values = setting.parts.iter().map(|part| match part {
                    SettingPart::Value(value) => value.clone(),
                    SettingPart::WithPath(before, path, after) => {
                        format!("{before}{}{after}", path.path.display()).into()
                    }
                    SettingPart::Read(path) | SettingPart::Shared(path) => {
                        path.path.display().to_string().into()
                    }
                    _ => "made".into(),
                });
                settings.push((setting.name.clone(), setting.value(values.collect())));
            }
            if step.command.makes_model() {
                settings.push(("output".to_owned(), "made".into()));
            }
            step.command.check(&settings).map_err(|fault| {
                let at = fault
                    .setting
                    .and_then(|name| Some(step.setting(&name)?.spot));
                let reason = format!("step '{}': {}", step.name, fault.reason);
                self.sources.fault(at.unwrap_or(step.spot), reason)
            })?;
        }
        Ok(())
    }
}
