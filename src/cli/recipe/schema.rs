//! The JSON schema of recipes, for editors, made from the command line.

use clap::Arg;
use serde_json::{Map, Value, json};

use super::commands::{
    COMMANDS, SettingRole, StepCommand, is_switch, may_be_bare, role, setting_name, takes_list,
};
use crate::cli::facts::SettingKind;

/// The dialect.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";
/// What a name of a step is made of.
const STEP_NAMES: &str = "^[A-Za-z0-9_-]{1,64}$";

/// The schema of recipes.
pub(super) fn schema() -> Value {
    let commands: Vec<StepCommand> = COMMANDS
        .iter()
        .filter_map(|name| StepCommand::find(name))
        .collect();
    let mut properties = whole();
    for command in &commands {
        let name = command.name();
        properties.insert(name.to_owned(), step(&format!("#/$defs/{name}")));
    }
    let mut definitions: Map<String, Value> = commands
        .iter()
        .map(|command| (command.name().to_owned(), settings_of(command)))
        .collect();
    definitions.insert("path".to_owned(), path());
    definitions.insert("step".to_owned(), named(&commands));
    json!({
        "$schema": DIALECT,
        "title": "secateur recipe",
        "description": "Steps of a pipeline that makes a model smaller, in the order of the file",
        "type": "object",
        "properties": properties,
        "propertyNames": { "pattern": STEP_NAMES },
        "additionalProperties": { "$ref": "#/$defs/step" },
        "$defs": definitions,
    })
}

/// What is said of the recipe as a whole.
fn whole() -> Map<String, Value> {
    let text =
        |description: &str| json!({ "type": "string", "minLength": 1, "description": description });
    let report = text("A report: .html, .md or .json");
    let rows = [
        (
            "model",
            text("The model that the first step takes; paths are relative to the recipe"),
        ),
        (
            "output",
            text("Where the model goes once every step is done"),
        ),
        (
            "data",
            text("Data of the steps that take some and name none"),
        ),
        (
            "work",
            text("Folder in which steps are kept; OUTPUT.secateur without"),
        ),
        ("extends", text("A recipe that this one changes")),
        (
            "report",
            json!({ "anyOf": [report, { "type": "array", "items": report }] }),
        ),
    ];
    rows.into_iter()
        .map(|(name, schema)| (name.to_owned(), schema))
        .collect()
}

/// A step: its settings, or its name alone, or that it is left out.
fn step(definition: &str) -> Value {
    json!({ "anyOf": [{ "type": ["boolean", "null"] }, { "$ref": definition }] })
}

/// A step of another name than its command's.
fn named(commands: &[StepCommand]) -> Value {
    let by_command = commands.iter().map(|command| {
        let name = command.name();
        json!({
            "if": { "properties": { "command": { "const": name } }, "required": ["command"] },
            "then": { "$ref": format!("#/$defs/{name}") },
        })
    });
    let by_command: Vec<Value> = by_command.collect();
    json!({
        "anyOf": [
            { "const": false },
            {
                "type": "object",
                "properties": { "command": { "enum": COMMANDS } },
                "required": ["command"],
                "allOf": by_command,
            },
        ],
    })
}

fn path() -> Value {
    let of_step = json!({
        "type": "object",
        "properties": {
            "step": { "type": "string", "description": "The step whose model it is" },
            "file": { "type": "string", "description": "The setting by which the step makes a file, as in plan-out" },
        },
        "required": ["step"],
        "additionalProperties": false,
    });
    json!({ "anyOf": [{ "type": "string", "minLength": 1 }, of_step] })
}

fn settings_of(command: &StepCommand) -> Value {
    let mut properties = Map::new();
    let name = command.name();
    let what = "The command; the step's name without";
    properties.insert(
        "command".to_owned(),
        json!({ "const": name, "description": what }),
    );
    let from = "The step whose model it takes, or \"model\", the recipe's; the last one that makes a model without";
    properties.insert(
        "from".to_owned(),
        json!({ "type": "string", "description": from }),
    );
    for arg in command.settings() {
        let schema = setting(arg);
        properties.insert(setting_name(arg).replace('-', "_"), schema.clone());
        properties.insert(setting_name(arg), schema);
    }
    json!({
        "type": "object",
        "description": command.about(),
        "properties": properties,
        "additionalProperties": false,
    })
}

/// The schema of a setting.
fn setting(arg: &Arg) -> Value {
    // What would be filled in is left out by false.
    let mut kinds = vec![json!({ "type": ["boolean", "null"] })];
    if !is_switch(arg) {
        kinds = vec![json!({ "enum": [false, null] })];
        if may_be_bare(arg) {
            kinds.push(json!({ "const": true }));
        }
        let one = value(arg);
        if takes_list(arg) {
            kinds.push(json!({ "type": "array", "items": one }));
            if role(arg) == SettingRole::Value {
                let entry = json!({ "type": ["string", "number", "boolean"] });
                kinds.push(json!({ "type": "object", "additionalProperties": entry }));
            }
        }
        kinds.push(one);
    }
    let mut schema = match kinds.len() {
        1 => kinds.remove(0),
        _ => json!({ "anyOf": kinds }),
    };
    if let (Some(rows), Some(help)) = (schema.as_object_mut(), arg.get_help()) {
        rows.insert("description".to_owned(), help.to_string().into());
        let defaults = arg.get_default_values().iter();
        let defaults: Vec<Value> = defaults
            .map(|text| super::said::scalar_of(&text.to_string_lossy()))
            .collect();
        if let ([one], false) = (defaults.as_slice(), is_switch(arg)) {
            rows.insert("default".to_owned(), one.clone());
        }
    }
    schema
}

/// The schema of one value of a setting.
fn value(arg: &Arg) -> Value {
    if matches!(
        role(arg),
        SettingRole::Read | SettingRole::Made | SettingRole::Shared
    ) {
        return json!({ "$ref": "#/$defs/path" });
    }
    let possible = arg.get_possible_values();
    if !possible.is_empty() {
        let names: Vec<&str> = possible.iter().map(|value| value.get_name()).collect();
        return json!({ "enum": names });
    }
    match SettingKind::of(arg) {
        SettingKind::Integer => json!({ "type": "integer", "minimum": 0 }),
        SettingKind::Number => json!({ "type": "number" }),
        _ => json!({ "type": ["string", "number"] }),
    }
}
