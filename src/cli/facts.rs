//! What can be said of each command, for other languages: names, types and help, from the flags themselves.

use std::any::TypeId;
use std::path::PathBuf;

use clap::{Arg, ArgAction, CommandFactory};
use serde::Serialize;

use super::Cli;
use super::settings::{MODELS, is_setting};
use super::shell::ABOUT_COMMANDS;
use crate::data::DataSource;

/// A command.
#[derive(Clone, Debug, Serialize)]
pub struct CommandFacts {
    /// What it is called.
    pub name: String,
    /// What it does, in a sentence.
    pub about: String,
    /// Its settings: those without a flag first.
    pub settings: Vec<SettingFacts>,
}

/// A setting of a command.
#[derive(Clone, Debug, Serialize)]
pub struct SettingFacts {
    /// What it is called, with `_` between words.
    pub name: String,
    /// What it says, with its default.
    pub help: String,
    /// What its value is.
    pub kind: SettingKind,
    /// It has no flag: words of the command line in this order.
    pub positional: bool,
    /// It has to be said.
    pub required: bool,
    /// It takes several values.
    pub many: bool,
    /// Its values are `NAME=VALUE`.
    pub pairs: bool,
    /// Its value may be left out.
    pub bare: bool,
    /// All values that it takes, where they are few.
    pub choices: Vec<String>,
}

/// What the value of a setting is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum SettingKind {
    /// True or false.
    Flag,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// A text.
    Text,
    /// A path of a file or folder.
    Path,
    /// The path of a model that is read.
    Model,
    /// Data: a path, or what is in memory.
    Data,
}

/// All commands that can be called, with what can be said of them.
pub fn commands() -> Vec<CommandFacts> {
    let mut cli = Cli::command();
    cli.build();
    let offered = cli
        .get_subcommands()
        .filter(|command| !command.is_hide_set() && !command.has_subcommands());
    let offered = offered.filter(|command| !ABOUT_COMMANDS.contains(&command.get_name()));
    let facts = offered.map(|command| {
        let settings = command.get_arguments().filter(|flag| is_setting(flag));
        let mut settings: Vec<SettingFacts> = settings.map(SettingFacts::of).collect();
        settings.sort_by_key(|setting| !setting.positional);
        CommandFacts {
            name: command.get_name().to_owned(),
            about: command
                .get_about()
                .map_or(String::new(), |about| about.to_string()),
            settings,
        }
    });
    facts.collect()
}

impl SettingFacts {
    fn of(flag: &Arg) -> SettingFacts {
        let name = flag.get_long().unwrap_or(flag.get_id().as_str());
        let takes_value = flag.get_action().takes_values();
        let values = match takes_value {
            true => flag.get_possible_values(),
            false => Vec::new(),
        };
        let defaults: Vec<_> = flag
            .get_default_values()
            .iter()
            .map(|d| d.to_string_lossy())
            .collect();
        let mut help = flag
            .get_help()
            .map_or(String::new(), |help| help.to_string());
        if takes_value && !defaults.is_empty() {
            help = format!("{help} [default: {}]", defaults.join(","));
        }
        let names = flag.get_value_names().unwrap_or_default();
        SettingFacts {
            name: name.replace('-', "_"),
            help,
            kind: SettingKind::of(flag),
            positional: flag.is_positional(),
            required: flag.is_required_set(),
            many: matches!(flag.get_action(), ArgAction::Append),
            pairs: names.iter().any(|name| name.contains('=')),
            bare: takes_value
                && flag
                    .get_num_args()
                    .is_some_and(|count| count.min_values() == 0),
            choices: values
                .iter()
                .map(|value| value.get_name().to_owned())
                .collect(),
        }
    }
}

impl SettingKind {
    /// What the value of an argument is, by what it is parsed to.
    pub(super) fn of(flag: &Arg) -> SettingKind {
        if !flag.get_action().takes_values() {
            return SettingKind::Flag;
        }
        let parsed = flag.get_value_parser().type_id();
        let is_one_of = |types: &[TypeId]| types.iter().any(|one| parsed == *one);
        let of = TypeId::of::<usize>;
        if is_one_of(&[
            of(),
            TypeId::of::<u64>(),
            TypeId::of::<u32>(),
            TypeId::of::<i64>(),
        ]) {
            // A size in memory has a unit.
            let has_unit = flag
                .get_value_names()
                .is_some_and(|names| names.iter().any(|name| name == "SIZE"));
            return match has_unit {
                true => SettingKind::Text,
                false => SettingKind::Integer,
            };
        }
        if is_one_of(&[TypeId::of::<f64>(), TypeId::of::<f32>()]) {
            return SettingKind::Number;
        }
        if is_one_of(&[TypeId::of::<bool>()]) {
            return SettingKind::Flag;
        }
        if is_one_of(&[TypeId::of::<PathBuf>()]) {
            return match MODELS.contains(&flag.get_id().as_str()) {
                true => SettingKind::Model,
                false => SettingKind::Path,
            };
        }
        match is_one_of(&[TypeId::of::<DataSource>()]) {
            true => SettingKind::Data,
            false => SettingKind::Text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_say_what_they_take() {
        let commands = commands();
        let names: Vec<&str> = commands
            .iter()
            .map(|command| command.name.as_str())
            .collect();
        assert!(
            names.contains(&"prune") && names.contains(&"bench"),
            "{names:?}"
        );
        assert!(
            !names.contains(&"probe-memory") && !names.contains(&"help"),
            "{names:?}"
        );
        let fact = |command: &str, name: &str| {
            let command = commands.iter().find(|one| one.name == command);
            let mut settings = command.expect(name).settings.iter();
            settings
                .find(|setting| setting.name == name)
                .expect(name)
                .clone()
        };
        let kinds = [
            ("prune", "model", SettingKind::Model),
            ("prune", "plan", SettingKind::Path),
            ("tune", "teacher", SettingKind::Model),
            ("prune", "macs", SettingKind::Number),
            ("prune", "dry_run", SettingKind::Flag),
            ("prune", "calibration", SettingKind::Data),
            ("prune", "samples", SettingKind::Integer),
            ("prune", "memory", SettingKind::Text),
            ("prune", "ratio_for", SettingKind::Text),
            ("validate", "data", SettingKind::Data),
        ];
        for (command, name, kind) in kinds {
            assert_eq!(fact(command, name).kind, kind, "{command} {name}");
        }
        assert!(fact("prune", "model").positional && fact("prune", "model").required);
        assert!(fact("prune", "ratio_for").pairs && fact("prune", "ratio_for").many);
        assert!(fact("prune", "quantise").bare && fact("bench", "models").many);
        assert_eq!(fact("mask", "store").choices, ["dense", "sparse"]);
        assert!(fact("prune", "lr").help.contains("[default: "));
    }
}
