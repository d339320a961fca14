//! What follows from the rest of a recipe: models, data and a teacher of steps that name none.

use super::commands::{setting_name, takes_list};
use super::pipeline::{ModelOf, Pipeline, RecipeStep, SettingPart, StepSetting};

/// Fills in what a step does not say.
pub(super) fn fill(step: &mut RecipeStep, pipeline: &Pipeline) {
    for name in step.command.models() {
        if step.setting(&name).is_none() {
            let models = models_of(&name, step, pipeline);
            add(
                step,
                &name,
                models.into_iter().map(SettingPart::Model).collect(),
            );
        }
    }
    if let Some(data) = &pipeline.data {
        let name = step.command.data().map(setting_name);
        offer(step, name.as_deref(), SettingPart::Read(data.clone()));
    }
    if pipeline.model.is_some() {
        let teacher = step.command.setting("teacher").map(setting_name);
        let original = SettingPart::Model(ModelOf::Original);
        offer(step, teacher.as_deref(), original);
    }
}

/// The models that a command takes where the step names none: the yardstick is the recipe's model.
fn models_of(name: &str, step: &RecipeStep, pipeline: &Pipeline) -> Vec<ModelOf> {
    let last = pipeline.last_model();
    let judged = if step.says_from { step.from } else { last };
    match name {
        "reference" => vec![ModelOf::Original],
        "candidate" => vec![judged],
        "models" if judged == ModelOf::Original => vec![ModelOf::Original],
        "models" => vec![ModelOf::Original, judged],
        _ => vec![step.from],
    }
}

/// Fills in a setting that the command has and that goes with what is said.
fn offer(step: &mut RecipeStep, name: Option<&str>, part: SettingPart) {
    let Some(name) = name else { return };
    let said: Vec<&str> = step
        .settings
        .iter()
        .map(|setting| setting.name.as_str())
        .collect();
    let fits = match step.command.setting(name) {
        Some(arg) => step.command.goes_with(arg, &said),
        None => false,
    };
    if fits && !said.contains(&name) && !step.unsaid.iter().any(|known| known == name) {
        add(step, name, vec![part]);
    }
}

fn add(step: &mut RecipeStep, name: &str, parts: Vec<SettingPart>) {
    step.settings.push(StepSetting {
        is_list: step.command.setting(name).is_some_and(takes_list),
        name: name.to_owned(),
        parts,
        is_filled: true,
        spot: step.spot,
    });
}
