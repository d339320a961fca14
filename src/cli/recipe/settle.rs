//! From what a recipe says to what its steps do.

use std::path::Path;

use serde_json::Value;

use super::commands::{
    COMMANDS, SettingRole, StepCommand, command_of, may_be_bare, role, said_otherwise,
    setting_name, takes_list,
};
use super::fill::fill;
use super::pipeline::{Pipeline, RecipeStep, SaidPath, SettingPart, StepSetting};
use super::read::{ReadRecipe, SETTINGS};
use super::tree::{RecipeNode, RecipeValue, Spot};
use crate::error::Result;
use crate::patterns::like;

/// What stands in a step beside the settings of its command.
const OF_STEP: [&str; 2] = ["command", "from"];
/// The step whose model is taken.
pub(super) const FROM: &str = OF_STEP[1];
/// Characters of a step's name at most.
const LONGEST: usize = 64;
/// Steps of a recipe at most.
const MOST: usize = 256;
/// What is added to a name for the folder of the work.
const WORK: &str = ".secateur";

/// A step as it is said.
pub(super) struct SaidStep<'a> {
    pub(super) name: &'a str,
    pub(super) command: StepCommand,
    settings: &'a [(String, RecipeNode)],
    spot: Spot,
}

impl SaidStep<'_> {
    pub(super) fn said(&self, name: &str) -> Option<&RecipeNode> {
        let mut found = self.settings.iter().filter(|(known, _)| known == name);
        found.next().map(|(_, node)| node)
    }
}

/// Settles the recipe that was read from `path`.
///
/// # Errors
/// A name that is none, with the nearest; a value that a setting cannot have; steps that take from each other in a circle.
pub(super) fn settle(path: &Path, read: &ReadRecipe) -> Result<Pipeline> {
    let one = |name: &str| -> Result<Option<SaidPath>> {
        let row = read.rows.iter().find(|(known, _)| known == name);
        row.map(|(name, node)| read.path(name, node)).transpose()
    };
    let reports = read.rows.iter().find(|(name, _)| name == "report");
    let reports = reports.map_or(&[][..], |(_, node)| node.items());
    let reports = reports.iter().map(|node| read.path("report", node));
    let (output, work) = (one("output")?, one("work")?);
    let said = read.steps()?;
    let mut pipeline = Pipeline {
        model: one("model")?,
        data: one("data")?,
        reports: reports.collect::<Result<_>>()?,
        says_work: work.is_some(),
        work: work.unwrap_or_else(|| work_beside(path, output.as_ref())),
        output,
        steps: Vec::new(),
    };
    for (place, step) in said.iter().enumerate() {
        let step = read.step(place, step, &said, &mut pipeline)?;
        pipeline.steps.push(step);
    }
    read.check_calls(&pipeline)?;
    Ok(pipeline)
}

/// Where steps are kept unless a recipe says it: beside its output, or beside itself.
fn work_beside(path: &Path, output: Option<&SaidPath>) -> SaidPath {
    let spot = output.map_or(Spot { source: 0, line: 0 }, |output| output.spot);
    let beside = output.map_or(path, |output| &output.path);
    let mut name = beside.file_name().unwrap_or_default().to_owned();
    name.push(WORK);
    let said = name.to_string_lossy().into_owned();
    let path = beside.with_file_name(name);
    SaidPath { said, path, spot }
}

impl ReadRecipe {
    /// A path, said at a place.
    fn path(&self, name: &str, node: &RecipeNode) -> Result<SaidPath> {
        match node.text() {
            Some(said) if !said.is_empty() => Ok(SaidPath {
                said: said.to_owned(),
                path: self.sources.path(node.spot, said),
                spot: node.spot,
            }),
            said => {
                let kind = said.map_or(node.kind(), |_| "empty");
                let reason = format!("`{name}` is a path, and this is {kind}");
                Err(self.sources.fault(node.spot, reason))
            }
        }
    }

    fn steps(&self) -> Result<Vec<SaidStep<'_>>> {
        let rows = self
            .rows
            .iter()
            .filter(|(name, _)| !SETTINGS.contains(&name.as_str()));
        let mut steps: Vec<SaidStep<'_>> = Vec::new();
        for (name, node) in rows {
            let fault = |reason: String| Err(self.sources.fault(node.spot, reason));
            if steps.len() == MOST {
                return fault(format!(
                    "it has more than {MOST} steps; make several recipes of it"
                ));
            }
            // Each has a folder, and there are disks on which such names are one.
            let same = |step: &&SaidStep<'_>| step.name.eq_ignore_ascii_case(name);
            if let Some(other) = steps.iter().find(same) {
                return fault(format!(
                    "'{name}' and '{}' differ in nothing but the case of letters; give one another name",
                    other.name
                ));
            }
            steps.push(self.said_step(name, node)?);
        }
        Ok(steps)
    }

    fn said_step<'a>(&'a self, name: &'a str, node: &'a RecipeNode) -> Result<SaidStep<'a>> {
        let fault = |reason: String| self.sources.fault(node.spot, reason);
        let RecipeValue::Table(settings) = &node.value else {
            if COMMANDS.contains(&name) {
                let reason = format!("'{name}' is a step, and this is no table of its settings");
                return Err(fault(reason));
            }
            let near = match like(name, SETTINGS.into_iter().chain(COMMANDS)) {
                Some(near) => format!("did you mean '{near}'?"),
                None => format!("there are {}", SETTINGS.join(", ")),
            };
            let reason = format!(
                "'{name}' is no setting of a recipe, and no table of a step's settings; {near}"
            );
            return Err(fault(reason));
        };
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if name.is_empty() || name.len() > LONGEST || !name.chars().all(is_name) {
            let reason = format!(
                "'{name}' is no name of a step: letters, digits, - and _ make one, {LONGEST} at most"
            );
            return Err(fault(reason));
        }
        let said = settings.iter().find(|(known, _)| known == OF_STEP[0]);
        let command = match said {
            None => command_of(name, |reason| {
                fault(format!(
                    "{reason} A step of another name says its `command`."
                ))
            })?,
            Some((_, node)) => {
                let fault = |reason: String| self.sources.fault(node.spot, reason);
                let said = node
                    .text()
                    .ok_or_else(|| fault("`command` is a text".to_owned()))?;
                if COMMANDS.contains(&name) && said != name {
                    let reason = format!(
                        "a step that is called '{name}' cannot do '{said}'; give it another name"
                    );
                    return Err(fault(reason));
                }
                command_of(said, fault)?
            }
        };
        Ok(SaidStep {
            name,
            command,
            settings,
            spot: node.spot,
        })
    }

    fn step(
        &self,
        place: usize,
        said: &SaidStep<'_>,
        all: &[SaidStep<'_>],
        pipeline: &mut Pipeline,
    ) -> Result<RecipeStep> {
        let from = match said.said(FROM) {
            None => None,
            Some(node) => Some(self.model_of(place, node, all)?),
        };
        let mut step = RecipeStep {
            name: said.name.to_owned(),
            command: said.command.clone(),
            settings: Vec::new(),
            unsaid: Vec::new(),
            says_from: from.is_some(),
            from: from.unwrap_or_else(|| pipeline.last_model()),
            spot: said.spot,
        };
        let settings = said.settings.iter();
        for (name, node) in settings.filter(|(name, _)| !OF_STEP.contains(&name.as_str())) {
            let arg = self.known(said, name, node)?;
            let nothing = node.value == RecipeValue::Plain(Value::Null);
            let takes_false = may_be_bare(arg)
                && arg
                    .get_possible_values()
                    .iter()
                    .any(|value| value.get_name() == "false");
            if nothing || (node.is(false) && !takes_false) {
                step.unsaid.push(setting_name(arg));
                continue;
            }
            let name = setting_name(arg);
            if step.setting(&name).is_some() {
                let reason = format!("`{name}` is said twice, once with - and once with _");
                return Err(self.sources.fault(node.spot, reason));
            }
            let parts = node
                .items()
                .iter()
                .map(|item| self.part(arg, item, place, all));
            let is_value = role(arg) == SettingRole::Value;
            let parts = match is_value {
                // Tables and lists of values are the command's.
                true => vec![SettingPart::Value(node.json())],
                false => parts.collect::<Result<_>>()?,
            };
            step.settings.push(StepSetting {
                name,
                parts,
                is_list: !is_value && takes_list(arg),
                is_filled: false,
                spot: node.spot,
            });
        }
        self.ask(&step, pipeline);
        fill(&mut step, pipeline);
        Ok(step)
    }

    /// The argument that a setting is called after.
    fn known<'a>(
        &self,
        said: &'a SaidStep<'_>,
        name: &str,
        node: &RecipeNode,
    ) -> Result<&'a clap::Arg> {
        said.command.setting(name).ok_or_else(|| {
            if let Some(how) =
                said_otherwise(name).filter(|_| said.command.has(&name.replace('_', "-")))
            {
                let reason = format!("step '{}': `{name}` is no setting here: {how}", said.name);
                return self.sources.fault(node.spot, reason);
            }
            let names: Vec<String> = said.command.settings().map(setting_name).collect();
            let names = names.iter().map(String::as_str).chain(OF_STEP);
            let near = match like(name, names.clone()) {
                Some(near) => format!("did you mean '{near}'?"),
                None => format!("there are {}", names.collect::<Vec<_>>().join(", ")),
            };
            let reason = format!(
                "step '{}': {} has no setting '{name}'; {near}",
                said.name,
                said.command.name()
            );
            self.sources.fault(node.spot, reason)
        })
    }

    /// A value of a setting that is more than a value.
    fn part(
        &self,
        arg: &clap::Arg,
        node: &RecipeNode,
        place: usize,
        all: &[SaidStep<'_>],
    ) -> Result<SettingPart> {
        let name = setting_name(arg);
        let role = role(arg);
        if let RecipeValue::Table(rows) = &node.value {
            return self.of_step(&name, rows, node.spot, (place, all));
        }
        Ok(match role {
            SettingRole::Value => SettingPart::Value(node.json()),
            SettingRole::WithPath(before) => match node.text() {
                Some(text) if text.starts_with(before) => {
                    let rest = &text[before.len()..];
                    let (said, after) = rest.split_at(rest.find(',').unwrap_or(rest.len()));
                    let path = self.path(&name, &RecipeNode::plain(said, node.spot))?;
                    SettingPart::WithPath(before, path, after.to_owned())
                }
                _ => SettingPart::Value(node.json()),
            },
            SettingRole::Read => SettingPart::Read(self.path(&name, node)?),
            SettingRole::Shared => SettingPart::Shared(self.path(&name, node)?),
            SettingRole::Made => SettingPart::Made(Some(self.path(&name, node)?)),
        })
    }

    /// Has the steps make the files that another one takes from them.
    fn ask(&self, step: &RecipeStep, pipeline: &mut Pipeline) {
        for setting in &step.settings {
            for part in &setting.parts {
                if let SettingPart::FileOf(place, file) = part
                    && let Some(maker) = pipeline.steps.get_mut(*place)
                    && maker.setting(file).is_none()
                {
                    maker.settings.push(StepSetting {
                        name: file.clone(),
                        parts: vec![SettingPart::Made(None)],
                        is_list: false,
                        is_filled: true,
                        spot: setting.spot,
                    });
                }
            }
        }
    }
}

impl StepSetting {
    /// The setting's value, of its parts' values.
    pub(super) fn value(&self, mut values: Vec<Value>) -> Value {
        match (self.is_list, values.len()) {
            (false, 1) => values.remove(0),
            _ => Value::Array(values),
        }
    }
}
