//! Which commands are steps, and what their settings are to a recipe: all of it follows from the command line itself.

use std::any::TypeId;
use std::path::PathBuf;

use clap::{Arg, ArgAction, Command, CommandFactory};

use crate::cli::settings::is_setting;
use crate::cli::{Cli, words};
use crate::data::DataSource;
use crate::error::Result;

/// Commands that are steps.
pub(super) const COMMANDS: [&str; 11] = [
    "clean",
    "prune",
    "mask",
    "tune",
    "quantise",
    "search",
    "validate",
    "bench",
    "inspect",
    "sensitivity",
    "twin",
];

/// Settings that a recipe says otherwise, and how.
const SAID_OTHERWISE: [(&str, &str); 9] = [
    (
        "model",
        "`from` names the step whose model is taken, or \"model\"",
    ),
    (
        "output",
        "the recipe's `output` names the model that is written",
    ),
    ("force", "a recipe replaces no file that it reads"),
    ("dry-run", "`secateur run` has --dry-run"),
    ("shard", "a shard makes no model; share `results` instead"),
    ("checkpoints", "the work folder has them"),
    ("resume", "a run goes on by itself"),
    (
        "keep-front",
        "a recipe goes on with one model; `secateur search` writes all of the front",
    ),
    (
        "stats",
        "a step that is kept is not measured again, and another one measures anew",
    ),
];
/// Files that a command makes besides its model.
const MADE: [&str; 4] = ["plan-out", "mask-out", "csv", "svg"];
/// Folders that several runs share.
const SHARED: [&str; 2] = ["results", "merge"];
/// Texts with a path in them: what stands before it.
const WITH_PATH: [(&str, &str); 2] = [("criterion", "scores:"), ("provider", "plugin:")];

/// What a setting is to a recipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SettingRole {
    /// A value that means the same everywhere.
    Value,
    /// A text that begins so and goes on with a path.
    WithPath(&'static str),
    /// A file or folder that is read: what is in it counts.
    Read,
    /// A file that is made.
    Made,
    /// A place that changes nothing of what is computed.
    Shared,
}

/// A command as a step.
#[derive(Clone, Debug)]
pub(super) struct StepCommand {
    command: Command,
}

impl StepCommand {
    /// The command of this name, if it is a step.
    pub(super) fn find(name: &str) -> Option<StepCommand> {
        let known = COMMANDS.contains(&name);
        let mut cli = Cli::command();
        cli.build();
        let command = known
            .then(|| cli.find_subcommand(name).cloned())
            .flatten()?;
        Some(StepCommand { command })
    }

    pub(super) fn name(&self) -> &str {
        self.command.get_name()
    }

    /// What the command does, in a sentence.
    pub(super) fn about(&self) -> String {
        self.command
            .get_about()
            .map(ToString::to_string)
            .unwrap_or_default()
    }

    /// All that a call may say of the run.
    pub(super) fn arguments(&self) -> impl Iterator<Item = &Arg> {
        self.command.get_arguments().filter(|arg| is_setting(arg))
    }

    /// The settings that a recipe may say.
    pub(super) fn settings(&self) -> impl Iterator<Item = &Arg> {
        self.arguments()
            .filter(|arg| said_otherwise(&setting_name(arg)).is_none())
    }

    /// The setting of this name, with `-` or `_`.
    pub(super) fn setting(&self, name: &str) -> Option<&Arg> {
        let name = name.replace('_', "-");
        self.settings().find(|arg| {
            let aliases = arg.get_visible_aliases().unwrap_or_default();
            setting_name(arg) == name || aliases.contains(&name.as_str())
        })
    }

    /// Whether it makes a model.
    pub(super) fn makes_model(&self) -> bool {
        self.has("output")
    }

    /// The models that it takes, in order, as settings.
    pub(super) fn models(&self) -> Vec<String> {
        self.command.get_positionals().map(setting_name).collect()
    }

    /// The setting with the data that the command runs on.
    pub(super) fn data(&self) -> Option<&Arg> {
        ["calibration", "data"]
            .iter()
            .find_map(|name| self.setting(name))
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.command
            .get_arguments()
            .any(|arg| setting_name(arg) == name)
    }

    /// Whether a setting can be said beside others.
    pub(super) fn goes_with(&self, arg: &Arg, others: &[&str]) -> bool {
        let excludes = |one: &Arg, name: &str| {
            let excluded = self.command.get_arg_conflicts_with(one);
            excluded.iter().any(|other| setting_name(other) == name)
        };
        others.iter().all(|name| {
            let other = self.setting(name);
            !excludes(arg, name) && !other.is_some_and(|other| excludes(other, &setting_name(arg)))
        })
    }

    /// That the words are a call of the command.
    pub(super) fn check(
        &self,
        settings: &[(String, serde_json::Value)],
    ) -> std::result::Result<(), CallFault> {
        let words = words(self.name(), settings).map_err(|fault| CallFault {
            setting: None,
            reason: fault.to_string(),
        })?;
        let parsed = Cli::command().try_get_matches_from(words);
        parsed.map(drop).map_err(|fault| CallFault::of(&fault))
    }
}

/// Why settings are no call.
pub(super) struct CallFault {
    /// The setting at fault, where it is one.
    pub(super) setting: Option<String>,
    pub(super) reason: String,
}

impl CallFault {
    fn of(fault: &clap::Error) -> CallFault {
        use clap::error::{ContextKind, ContextValue};
        let flags = |kind| match fault.get(kind) {
            Some(ContextValue::String(flag)) => vec![flag.clone()],
            Some(ContextValue::Strings(flags)) => flags.clone(),
            _ => Vec::new(),
        };
        let at_fault = flags(ContextKind::InvalidArg);
        let name = |flag: &String| {
            let name = flag.trim_start_matches('-');
            name.split([' ', '=', '[']).next().map(str::to_owned)
        };
        let text = fault.render().to_string();
        let is_reason = |line: &&str| !line.starts_with("Usage:") && !line.starts_with("For more");
        let lines = text.lines().take_while(is_reason);
        let lines = lines.map(str::trim).filter(|line| !line.is_empty());
        let reason = lines.collect::<Vec<_>>().join(" ");
        let mut reason = reason.strip_prefix("error: ").unwrap_or(&reason).to_owned();
        for flag in at_fault.iter().chain(&flags(ContextKind::PriorArg)) {
            // Settings of a recipe are no flags.
            reason = reason.replace(flag, &name(flag).unwrap_or_default());
        }
        CallFault {
            setting: at_fault.first().and_then(name),
            reason,
        }
    }
}

/// What a setting is called in a recipe.
pub(super) fn setting_name(arg: &Arg) -> String {
    match arg.get_long() {
        Some(long) => long.to_owned(),
        None => arg.get_id().as_str().replace('_', "-"),
    }
}

/// How a recipe says a setting that it does not take by name.
pub(super) fn said_otherwise(name: &str) -> Option<&'static str> {
    let name = name.replace('_', "-");
    let mut found = SAID_OTHERWISE.iter().filter(|(known, _)| *known == name);
    found.next().map(|(_, how)| *how)
}

/// What a setting is to a recipe.
pub(super) fn role(arg: &Arg) -> SettingRole {
    let name = setting_name(arg);
    let named = |list: &[&str]| list.contains(&name.as_str());
    let mut with_path = WITH_PATH.iter().filter(|(known, _)| *known == name);
    match with_path.next() {
        Some((_, before)) => SettingRole::WithPath(before),
        None if !is_path(arg) => SettingRole::Value,
        None if named(&MADE) => SettingRole::Made,
        None if named(&SHARED) => SettingRole::Shared,
        None => SettingRole::Read,
    }
}

fn is_path(arg: &Arg) -> bool {
    let parsed = arg.get_value_parser().type_id();
    [TypeId::of::<PathBuf>(), TypeId::of::<DataSource>()]
        .iter()
        .any(|path| parsed == *path)
}

/// Whether the values of a setting are patterns.
pub(super) fn takes_pattern(arg: &Arg) -> bool {
    let names = arg.get_value_names().unwrap_or_default();
    names.iter().any(|name| name.as_str() == "GLOB")
}

/// Whether a setting takes a list.
pub(super) fn takes_list(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Append)
}

/// Whether a setting is there or not, without a value.
pub(super) fn is_switch(arg: &Arg) -> bool {
    !arg.get_action().takes_values()
}

/// Whether the value of a setting may be left out.
pub(super) fn may_be_bare(arg: &Arg) -> bool {
    let count = arg.get_num_args();
    !is_switch(arg) && count.is_some_and(|count| count.min_values() == 0)
}

/// A step's command by name, with what may be meant where there is none.
///
/// # Errors
/// Said by `fault`.
pub(super) fn command_of(
    name: &str,
    fault: impl FnOnce(String) -> crate::Error,
) -> Result<StepCommand> {
    StepCommand::find(name).ok_or_else(|| {
        let near = match crate::patterns::like(name, COMMANDS) {
            Some(near) => format!("did you mean '{near}'?"),
            None => format!("there are {}", COMMANDS.join(", ")),
        };
        fault(format!("no step does '{name}'; {near}"))
    })
}
