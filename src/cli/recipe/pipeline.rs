//! A recipe with all defaults filled in: steps, what each takes from which, and where files go.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::commands::StepCommand;
use super::tree::Spot;

/// The command whose model is a yardstick.
const TWIN: &str = "twin";

/// A path as it is said, and from the working directory.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SaidPath {
    pub(super) said: String,
    pub(super) path: PathBuf,
    pub(super) spot: Spot,
}

impl SaidPath {
    /// A path from the working directory.
    pub(super) fn here(path: &Path) -> SaidPath {
        SaidPath {
            said: path.display().to_string(),
            path: path.to_owned(),
            spot: Spot { source: 0, line: 0 },
        }
    }
}

/// Whose model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ModelOf {
    /// The recipe's.
    Original,
    /// The one that this step makes.
    Step(usize),
}

/// A value of a setting; a list has several.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum SettingPart {
    Value(Value),
    /// A text with a path in it: what stands before, the path, and what stands behind.
    WithPath(&'static str, SaidPath, String),
    /// A file or folder that is read.
    Read(SaidPath),
    /// A place that changes nothing of what is computed.
    Shared(SaidPath),
    /// A file that is made in the work folder, and copied to where it is said, if it is.
    Made(Option<SaidPath>),
    Model(ModelOf),
    /// What another step makes by this setting.
    FileOf(usize, String),
}

/// A setting of a step.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct StepSetting {
    pub(super) name: String,
    pub(super) parts: Vec<SettingPart>,
    /// Whether the command takes a list here.
    pub(super) is_list: bool,
    /// Whether it follows from the rest of the recipe.
    pub(super) is_filled: bool,
    pub(super) spot: Spot,
}

/// A step.
#[derive(Clone, Debug)]
pub(super) struct RecipeStep {
    pub(super) name: String,
    pub(super) command: StepCommand,
    pub(super) settings: Vec<StepSetting>,
    /// Settings that are not to be filled in.
    pub(super) unsaid: Vec<String>,
    /// The model that it starts from, where it takes one.
    pub(super) from: ModelOf,
    /// Whether `from` is said.
    pub(super) says_from: bool,
    pub(super) spot: Spot,
}

/// A recipe, settled.
#[derive(Clone, Debug)]
pub(super) struct Pipeline {
    pub(super) model: Option<SaidPath>,
    pub(super) output: Option<SaidPath>,
    pub(super) data: Option<SaidPath>,
    pub(super) reports: Vec<SaidPath>,
    /// Where steps are kept.
    pub(super) work: SaidPath,
    /// Whether that is said.
    pub(super) says_work: bool,
    pub(super) steps: Vec<RecipeStep>,
}

impl RecipeStep {
    pub(super) fn setting(&self, name: &str) -> Option<&StepSetting> {
        self.settings.iter().find(|setting| setting.name == name)
    }

    /// Whether it is on, for a setting without value.
    pub(super) fn is_on(&self, name: &str) -> bool {
        self.setting(name).is_some()
    }

    /// Whether its result is a time, which is another one in every run.
    pub(super) fn measures_times(&self) -> bool {
        self.command.name() == "bench" || self.is_on("min-speedup")
    }

    /// Whether it trains, with a state that it can go on from.
    pub(super) fn can_resume(&self) -> bool {
        self.command.has("resume")
            && (self.command.name() == "tune" || self.is_on("tune"))
            && !self.is_on("time-budget")
    }
}

impl Pipeline {
    /// The model at the end of the recipe. A twin is what others are held against, unless nothing else is made.
    pub(super) fn last_model(&self) -> ModelOf {
        let steps = self.steps.iter();
        let is_result =
            |step: &RecipeStep| step.command.makes_model() && step.command.name() != TWIN;
        let last = steps.clone().rposition(is_result);
        let last = last.or_else(|| steps.clone().rposition(|step| step.command.makes_model()));
        last.map_or(ModelOf::Original, ModelOf::Step)
    }

    /// The step on the way to the last model that may make its tokenizer.
    pub(super) fn tokenizer_step(&self) -> Option<ModelOf> {
        let mut next = self.last_model();
        while let ModelOf::Step(place) = next {
            let step = &self.steps[place];
            if step.setting("tokenizer").is_some() {
                return Some(next);
            }
            next = step.from;
        }
        None
    }

    /// The steps between the recipe's model and its last one, and those that only look at a model between them.
    pub(super) fn way(&self) -> Vec<&str> {
        let mut models = vec![ModelOf::Original];
        let mut next = self.last_model();
        while let ModelOf::Step(place) = next {
            models.push(next);
            next = self.steps[place].from;
        }
        let steps = self.steps.iter().enumerate().filter(|(place, step)| {
            let of = match step.command.makes_model() {
                true => ModelOf::Step(*place),
                false => step.from,
            };
            models.contains(&of)
        });
        steps.map(|(_, step)| step.name.as_str()).collect()
    }
}
