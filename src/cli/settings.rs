//! Settings by name as words of a command line.

use std::ffi::OsString;

use clap::{Arg, ArgAction, Command, CommandFactory};
use serde_json::Value;

use super::Cli;
use crate::patterns::like;
use crate::{Error, Result};

/// Arguments that are models, whose weights may lie in other files.
pub(super) const MODELS: [&str; 5] = ["model", "models", "reference", "candidate", "teacher"];

/// The words of `secateur COMMAND` with these settings. A setting is called as its flag, with `-` or `_`, or as the
/// argument that has no flag (`model`, `models`, `reference`, `candidate`).
///
/// A flag without a value takes `true` and `false`; one of which the value may be left out takes these too. Lists repeat a
/// flag, tables say `NAME=VALUE` for each of their entries, `null` says nothing.
///
/// # Errors
/// No such command or setting, with the nearest name, or a value that a flag cannot have.
pub fn words(command: &str, settings: &[(String, Value)]) -> Result<Vec<OsString>> {
    let mut cli = Cli::command();
    cli.build();
    let Some(found) = cli
        .find_subcommand(command)
        .filter(|one| !one.is_hide_set())
    else {
        let names = cli.get_subcommands().filter(|one| !one.is_hide_set());
        let names: Vec<&str> = names.map(Command::get_name).collect();
        return Err(unknown("there is no command", command, &names));
    };
    let mut out: Vec<OsString> = vec!["secateur".into(), command.into()];
    let mut bare = Vec::new();
    for (name, value) in settings {
        let flag = named(found, name)?;
        let words = setting(flag, name, value)?;
        match flag.is_positional() {
            true => bare.push((flag.get_index(), words)),
            false => out.extend(words),
        }
    }
    // What stands behind this is no flag, whatever it begins with.
    out.push("--".into());
    bare.sort_by_key(|(index, _)| *index);
    out.extend(bare.into_iter().flat_map(|(_, words)| words));
    Ok(out)
}

/// The argument of a command that a setting names.
fn named<'a>(command: &'a Command, name: &str) -> Result<&'a Arg> {
    let said = name.replace('_', "-");
    let is = |flag: &&Arg| {
        let names = flag.get_visible_aliases().unwrap_or_default();
        flag.get_long() == Some(&said)
            || names.contains(&said.as_str())
            || (flag.is_positional() && flag.get_id().as_str() == name)
    };
    let offered = || command.get_arguments().filter(|flag| is_setting(flag));
    offered().find(is).ok_or_else(|| {
        let names: Vec<&str> = offered()
            .map(|flag| flag.get_long().unwrap_or(flag.get_id().as_str()))
            .collect();
        let what = format!("{} has no setting", command.get_name());
        unknown(&what, name, &names)
    })
}

/// Whether an argument says something of a run, not of how it is shown.
pub(super) fn is_setting(flag: &Arg) -> bool {
    !flag.is_hide_set() && !flag.is_global_set() && !is_help(flag)
}

fn is_help(flag: &Arg) -> bool {
    matches!(
        flag.get_action(),
        ArgAction::Help | ArgAction::HelpShort | ArgAction::HelpLong | ArgAction::Version
    )
}

fn unknown(what: &str, name: &str, names: &[&str]) -> Error {
    let hint = match like(name, names.iter().copied()) {
        Some(near) => format!("did you mean '{near}'?"),
        None => format!("there are {}", names.join(", ")),
    };
    Error::Usage(format!("{what} '{name}'; {hint}"))
}

/// The words of one setting.
fn setting(flag: &Arg, name: &str, value: &Value) -> Result<Vec<OsString>> {
    let misfit = |wanted: &str| Error::Usage(format!("`{name}` is {value}: it takes {wanted}"));
    if !flag.get_action().takes_values() {
        return match value {
            Value::Bool(true) => Ok(vec![long(flag, name).into()]),
            Value::Bool(false) | Value::Null => Ok(Vec::new()),
            _ => Err(misfit("true or false")),
        };
    }
    let values = match value {
        Value::Null => return Ok(Vec::new()),
        Value::Bool(said)
            if flag
                .get_num_args()
                .is_some_and(|count| count.min_values() == 0) =>
        {
            return Ok(left_out(flag, name, *said));
        }
        Value::Array(values) if matches!(flag.get_action(), ArgAction::Append) => values.clone(),
        Value::Array(_) => return Err(misfit("one value, not a list")),
        Value::Object(entries) => {
            return of_entries(flag, name, entries).ok_or_else(|| misfit("a value, not a table"));
        }
        one => vec![one.clone()],
    };
    let texts: Option<Vec<String>> = values.iter().map(text).collect();
    let texts = texts.ok_or_else(|| misfit("text, numbers or true and false"))?;
    Ok(texts
        .into_iter()
        .map(|text| said(flag, name, &text))
        .collect())
}

/// A flag of which the value may be left out, said or not.
fn left_out(flag: &Arg, name: &str, said_so: bool) -> Vec<OsString> {
    let takes_bool = flag
        .get_possible_values()
        .iter()
        .any(|value| value.get_name() == "false");
    match (said_so, takes_bool) {
        (true, _) => vec![long(flag, name).into()],
        (false, true) => vec![said(flag, name, "false")],
        (false, false) => Vec::new(),
    }
}

/// `NAME=VALUE` for each entry.
fn of_entries(
    flag: &Arg,
    name: &str,
    entries: &serde_json::Map<String, Value>,
) -> Option<Vec<OsString>> {
    if !matches!(flag.get_action(), ArgAction::Append) {
        return None;
    }
    let words = entries.iter().map(|(key, value)| {
        let value = text(value)?;
        Some(said(flag, name, &format!("{key}={value}")))
    });
    words.collect()
}

/// A scalar as a word.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn long(flag: &Arg, name: &str) -> String {
    format!("--{}", flag.get_long().unwrap_or(name))
}

/// A flag with its value in one word, or the value alone of an argument without flag.
fn said(flag: &Arg, name: &str, value: &str) -> OsString {
    match flag.is_positional() {
        true => value.into(),
        false => format!("{}={value}", long(flag, name)).into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(command: &str, settings: Value) -> Result<Vec<String>> {
        let Value::Object(settings) = settings else {
            panic!("settings are a table");
        };
        let settings: Vec<(String, Value)> = settings.into_iter().collect();
        let words = words(command, &settings)?;
        Ok(words[2..]
            .iter()
            .map(|word| word.to_string_lossy().into_owned())
            .collect())
    }

    #[test]
    fn settings_become_words_that_the_command_understands() {
        let words = of(
            "prune",
            json!({
                "model": "-m.onnx", "output": "o.onnx", "macs": 0.5, "dry_run": true, "bench": false, "quantise": true,
                "only": ["a*", "b"], "ratio-for": {"c": 0.25}, "seed": null,
            }),
        );
        let expected = [
            "--macs=0.5",
            "--dry-run",
            "--only=a*",
            "--only=b",
            "--output=o.onnx",
            "--quantise",
            "--ratio-for=c=0.25",
            "--",
            "-m.onnx",
        ];
        let mut words = words.expect("they are settings of prune");
        words[..7].sort();
        let mut sorted = expected.map(str::to_owned);
        sorted[..7].sort();
        assert_eq!(words, sorted);
        let words = of("mask", json!({"sequential": false, "model": "m"})).expect("settings");
        assert_eq!(words, ["--sequential=false", "--", "m"]);
        let words = of("bench", json!({"models": ["a", "b"], "batch": [1, 16]})).expect("settings");
        assert_eq!(words, ["--batch=1", "--batch=16", "--", "a", "b"]);
        let words = of("validate", json!({"candidate": "c", "reference": "r"})).expect("settings");
        assert_eq!(words, ["--", "r", "c"]);
    }

    #[test]
    fn what_is_no_setting_is_named_with_the_nearest() {
        for (command, settings, part) in [
            ("prun", json!({}), "prune"),
            ("probe-memory", json!({}), "no command"),
            ("prune", json!({"mac": 0.5}), "macs"),
            ("prune", json!({"json": true}), "no setting 'json'"),
            ("prune", json!({"help": true}), "no setting 'help'"),
            ("prune", json!({"dry-run": "yes"}), "true or false"),
            ("prune", json!({"macs": [0.5]}), "not a list"),
            ("prune", json!({"macs": {"a": 1}}), "not a table"),
            ("prune", json!({"only": [["a"]]}), "text"),
        ] {
            let fault = of(command, settings).expect_err(command).to_string();
            assert!(fault.contains(part), "{command}: {fault}");
        }
    }
}
