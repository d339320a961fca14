//! That a settled recipe can be followed, as far as its words go.

use serde_json::Value;

use super::commands::{COMMANDS, takes_pattern};
use super::pipeline::{ModelOf, Pipeline, RecipeStep, SettingPart};
use super::read::ReadRecipe;
use super::tree::Spot;
use crate::error::Result;
use crate::patterns::Patterns;

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

    /// That patterns are some.
    fn check_patterns(&self, step: &RecipeStep) -> Result<()> {
        for setting in &step.settings {
            let arg = step.command.setting(&setting.name);
            if !arg.is_some_and(takes_pattern) {
                continue;
            }
            let texts = setting.parts.iter().filter_map(|part| match part {
                SettingPart::Value(Value::String(text)) => Some(vec![text.as_str()]),
                SettingPart::Value(Value::Array(texts)) => {
                    Some(texts.iter().filter_map(Value::as_str).collect())
                }
                _ => None,
            });
            Patterns::new(texts.flatten()).map_err(|fault| {
                let reason = format!("step '{}': {}: {fault}", step.name, setting.name);
                self.sources.fault(setting.spot, reason)
            })?;
        }
        Ok(())
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
            self.check_patterns(step)?;
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
