//! A settled recipe as TOML.

use std::fmt::Write;
use std::path::{Component, Path};

use serde_json::Value;

use super::commands::{is_switch, setting_name};
use super::pipeline::{ModelOf, Pipeline, RecipeStep, SaidPath, SettingPart, StepSetting};
use super::said::scalar_of;
use crate::cli::characters::has_power;

/// From where paths are said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PathsFrom {
    /// From the working directory, so that the printed recipe can be kept there.
    Here,
    /// As the recipe says them, and outside of its folder by their names alone: folders of this machine are nobody's business.
    Recipe,
}

/// The recipe; with `defaults` what its steps leave to their commands stands in comments.
pub(super) fn toml_of(pipeline: &Pipeline, from: PathsFrom, defaults: bool) -> String {
    let mut out = String::new();
    let one = |path: &SaidPath| quoted(&shown(path, from));
    let mut line = |name: &str, value: String| {
        // Writing to a text does not fail.
        let _ = writeln!(out, "{name} = {value}");
    };
    let ends = [
        ("model", &pipeline.model),
        ("output", &pipeline.output),
        ("data", &pipeline.data),
    ];
    for (name, path) in ends {
        if let Some(path) = path {
            line(name, one(path));
        }
    }
    if from == PathsFrom::Here && !pipeline.reports.is_empty() {
        let reports: Vec<String> = pipeline.reports.iter().map(one).collect();
        line("report", format!("[{}]", reports.join(", ")));
    }
    if from == PathsFrom::Here && pipeline.says_work {
        line("work", one(&pipeline.work));
    }
    for step in &pipeline.steps {
        out += &step_of(pipeline, step, from, defaults);
    }
    out
}

fn step_of(pipeline: &Pipeline, step: &RecipeStep, from: PathsFrom, defaults: bool) -> String {
    let mut out = format!("\n[{}]\n", step.name);
    if step.name != step.command.name() {
        out += &format!("command = {}\n", quoted(step.command.name()));
    }
    if step.says_from {
        out += &format!("from = {}\n", quoted(name_of(pipeline, step.from)));
    }
    for setting in &step.settings {
        // What is the step's own model is said by `from`; what only other steps ask for, by them.
        let is_own = setting.name == "model" || setting.parts == [SettingPart::Made(None)];
        if !is_own {
            let value = value_of(pipeline, setting, from);
            out += &format!("{} = {value}\n", setting.name);
        }
    }
    for name in &step.unsaid {
        out += &format!("{name} = false\n");
    }
    if defaults {
        out += &defaults_of(step);
    }
    out
}

/// What a step leaves to its command.
fn defaults_of(step: &RecipeStep) -> String {
    let left = step.command.settings().filter(|arg| {
        let name = setting_name(arg);
        !is_switch(arg) && step.setting(&name).is_none() && !step.unsaid.contains(&name)
    });
    let lines = left.filter_map(|arg| {
        let texts = arg.get_default_values().iter();
        let texts: Vec<String> = texts
            .map(|text| json_as_toml(&scalar_of(&text.to_string_lossy())))
            .collect();
        let name = setting_name(arg);
        (!texts.is_empty()).then(|| format!("# {name} = {}\n", texts.join(", ")))
    });
    lines.collect()
}

fn value_of(pipeline: &Pipeline, setting: &StepSetting, from: PathsFrom) -> String {
    let parts = setting.parts.iter().map(|part| match part {
        SettingPart::Value(value) => json_as_toml(value),
        SettingPart::WithPath(before, path, after) => {
            quoted(&format!("{before}{}{after}", shown(path, from)))
        }
        SettingPart::Read(path) | SettingPart::Shared(path) => quoted(&shown(path, from)),
        SettingPart::Made(path) => quoted(
            &path
                .as_ref()
                .map_or(String::new(), |path| shown(path, from)),
        ),
        SettingPart::Model(ModelOf::Original) => {
            let original = pipeline.model.as_ref().map(|path| shown(path, from));
            quoted(&original.unwrap_or_default())
        }
        SettingPart::Model(of) => format!("{{ step = {} }}", quoted(name_of(pipeline, *of))),
        SettingPart::FileOf(place, file) => {
            let step = &pipeline.steps[*place].name;
            format!("{{ step = {}, file = {} }}", quoted(step), quoted(file))
        }
    });
    let parts: Vec<String> = parts.collect();
    match (setting.is_list, parts.as_slice()) {
        (false, [one]) => one.clone(),
        _ => format!("[{}]", parts.join(", ")),
    }
}

fn name_of(pipeline: &Pipeline, of: ModelOf) -> &str {
    match of {
        ModelOf::Original => "model",
        ModelOf::Step(place) => &pipeline.steps[place].name,
    }
}

fn shown(path: &SaidPath, from: PathsFrom) -> String {
    match from {
        PathsFrom::Here => path.path.display().to_string(),
        PathsFrom::Recipe if leads_out(Path::new(&path.said)) => {
            let name = Path::new(&path.said).file_name().unwrap_or_default();
            name.to_string_lossy().into_owned()
        }
        PathsFrom::Recipe => path.said.clone(),
    }
}

/// Whether a path leads out of the folder that it is relative to.
fn leads_out(path: &Path) -> bool {
    let inside = |part: Component| matches!(part, Component::Normal(_) | Component::CurDir);
    !path.components().all(inside)
}

fn json_as_toml(value: &Value) -> String {
    match value {
        Value::Null => quoted(""),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) => quoted(text),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(json_as_toml).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(rows) => {
            let rows = rows
                .iter()
                .map(|(name, value)| format!("{} = {}", quoted(name), json_as_toml(value)));
            format!("{{ {} }}", rows.collect::<Vec<_>>().join(", "))
        }
    }
}

/// A basic string of TOML.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if has_power(c) => {
                // Writing to a text does not fail.
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
