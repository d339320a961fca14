//! What is asked of pruning.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{AttentionCut, DropBlocks, GroupCut, RoundTo, Scope, VocabularySettings};
use crate::criteria::Criterion;
use crate::dimensions::Totals;
use crate::error::{Error, Result};
use crate::ops::CutRules;

/// Rounds at most.
const MOST_ROUNDS: usize = 1000;

/// Largest share of a dimension that a scope over several dimensions takes unless told otherwise: a ranking
/// alone would leave some with next to nothing.
const SHARED_MAX_RATIO: f64 = 0.9;

/// What a budget counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Cost {
    /// Numbers in weights.
    Params,
    /// Multiply-accumulate operations.
    Macs,
    /// Bytes of weights.
    Bytes,
    /// Time of a run, as it is measured.
    Latency,
}

impl Cost {
    /// This cost of a model; none for times, which follow from no count.
    pub fn of(self, totals: &Totals) -> Option<u64> {
        match self {
            Cost::Params => Some(totals.params),
            Cost::Macs => Some(totals.macs),
            Cost::Bytes => Some(totals.bytes),
            Cost::Latency => None,
        }
    }
}

/// At most a share of a cost is kept.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CostBudget {
    /// What is counted.
    pub cost: Cost,
    /// Share that is kept, in `(0, 1)`.
    pub share: f64,
}

/// How channels are selected.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Share of the channels that is removed, in `[0, 1)`: of every dimension, or of all together, as the scope
    /// says. Not used with a budget or [`Criterion::Threshold`].
    pub ratio: f64,
    /// How channels are scored; without, [`Criterion::Obs`] on calibration data and [`Criterion::L2`] without any.
    pub criterion: Option<Criterion>,
    /// BLAKE3 hash that the file of [`Criterion::Scores`] has to have; in plans the one that it had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scores_hash: Option<String>,
    /// Seed of [`Criterion::Random`], and of the answers that gradients are made for.
    pub seed: u64,
    /// Glob patterns of dimensions or producing nodes to leave alone.
    pub skip: Vec<String>,
    /// Glob patterns of dimensions or producing nodes to prune and no others; empty for all.
    pub only: Vec<String>,
    /// No dimension gets fewer channels than this.
    pub min_channels: usize,
    /// To which widths kept channels are rounded: odd ones can be slower than the original.
    pub round_to: RoundTo,
    /// Leave mixing dimensions alone.
    pub exact: bool,
    /// Which parts of attentions may lose positions.
    #[serde(default, skip_serializing_if = "AttentionCut::is_default")]
    pub attention: AttentionCut,
    /// What of grouped convolutions may go.
    #[serde(default, skip_serializing_if = "GroupCut::is_default")]
    pub groups: GroupCut,
    /// Glob patterns of inputs and outputs of the graph of which the declared sizes may change, as caches do; all others are
    /// a contract.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub change_signature: Vec<String>,
    /// Rows of tables go that inputs of the graph pick by id, and nothing else; which stay, the plan says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vocabulary: Option<VocabularySettings>,
    /// Among which channels the least important are sought; without, [`Scope::Allocated`] on calibration data,
    /// or [`Scope::Fisher`] where that would take long, and [`Scope::Uniform`] without any.
    #[serde(default)]
    pub scope: Option<Scope>,
    /// Instead of a ratio: keep at most a share of a cost.
    #[serde(default)]
    pub budget: Option<CostBudget>,
    /// Ratios of dimensions by glob pattern; of several that match the last counts.
    #[serde(default)]
    pub ratio_for: Vec<(String, f64)>,
    /// No dimension loses a larger share than this; without, 1 for the uniform scope and 0.9 for others.
    #[serde(default)]
    pub max_ratio: Option<f64>,
    /// Rounds in which channels are removed, scored anew in between, and trained where the last is; without, one, and two
    /// where training follows and a budget asks for a fifth or less. 0 is one.
    #[serde(default)]
    pub iterations: Option<usize>,
    /// Residual branches that are dropped whole, before channels are removed; [`Settings::dropping`] removes none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drop_blocks: Option<DropBlocks>,
}

impl Settings {
    /// The names of those that are not what they are by themselves.
    pub(crate) fn changed(&self) -> Vec<String> {
        let fields = |settings: &Settings| match serde_json::to_value(settings) {
            Ok(serde_json::Value::Object(fields)) => fields,
            _ => serde_json::Map::new(),
        };
        let usual = fields(&Settings::default());
        let own = fields(self).into_iter();
        let changed = own.filter(|(name, value)| usual.get(name) != Some(value));
        changed.map(|(name, _)| name).collect()
    }
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            ratio: 0.5,
            criterion: None,
            scores_hash: None,
            seed: 0,
            skip: Vec::new(),
            only: Vec::new(),
            min_channels: 1,
            round_to: RoundTo::default(),
            exact: false,
            attention: AttentionCut::default(),
            groups: GroupCut::default(),
            change_signature: Vec::new(),
            vocabulary: None,
            scope: None,
            budget: None,
            ratio_for: Vec::new(),
            max_ratio: None,
            iterations: None,
            drop_blocks: None,
        }
    }
}

impl Settings {
    /// At most this share of a cost is kept, in `(0, 1)`; all else has its default.
    pub fn keeping(cost: Cost, share: f64) -> Settings {
        Settings {
            budget: Some(CostBudget { cost, share }),
            ..Settings::default()
        }
    }

    /// These residual branches are dropped, and no channels are removed; all else has its default.
    pub fn dropping(blocks: DropBlocks) -> Settings {
        Settings {
            ratio: 0.0,
            drop_blocks: Some(blocks),
            ..Settings::default()
        }
    }

    /// Whether channels are to be removed at all.
    pub(crate) fn cuts_channels(&self) -> bool {
        let own = self.ratio_for.iter().map(|(_, ratio)| *ratio);
        self.budget.is_some() || own.chain([self.ratio()]).any(|ratio| ratio != 0.0)
    }

    /// These settings with everything said that depends on whether there is calibration data.
    pub fn resolved(&self, calibrated: bool) -> Settings {
        let (criterion, scope) = match calibrated {
            true => (Criterion::Obs, Scope::Allocated),
            false => (Criterion::default(), Scope::default()),
        };
        // Where all under a threshold go there is nothing to spread.
        let scope = match (self.threshold(), self.budget) {
            (Some(_), None) => Scope::Uniform,
            _ => scope,
        };
        Settings {
            criterion: self.criterion.clone().or(Some(criterion)),
            scope: self.scope.or(Some(scope)),
            ..self.clone()
        }
    }

    /// Rounds in which channels are removed.
    pub fn rounds(&self) -> usize {
        self.iterations.unwrap_or(1).max(1)
    }

    /// How channels are scored.
    pub fn criterion(&self) -> Criterion {
        self.criterion.clone().unwrap_or_default()
    }

    /// Among which channels the least important are sought.
    pub fn scope(&self) -> Scope {
        self.scope.unwrap_or_default()
    }

    /// The largest share that a dimension may lose.
    pub fn max_ratio(&self) -> f64 {
        self.max_ratio.unwrap_or(match self.scope() {
            Scope::Uniform => 1.0,
            Scope::Global | Scope::Isomorphic | Scope::Allocated | Scope::Fisher => {
                SHARED_MAX_RATIO
            }
        })
    }

    /// Checks that all numbers are in their ranges.
    ///
    /// # Errors
    /// The first that is not.
    pub fn check(&self) -> Result<()> {
        self.criterion().check()?;
        let own = self.ratio_for.iter().map(|(_, ratio)| *ratio);
        for ratio in own.chain([self.ratio]) {
            if !(0.0..1.0).contains(&ratio) {
                return Err(Error::Usage(format!(
                    "the ratio {ratio} is outside [0, 1): it is the share of channels to remove"
                )));
            }
        }
        if !(0.0..=1.0).contains(&self.max_ratio()) {
            return Err(Error::Usage(format!(
                "the largest ratio {} is outside [0, 1]: it is a share of channels",
                self.max_ratio()
            )));
        }
        if self.rounds() > MOST_ROUNDS {
            return Err(Error::Usage(format!(
                "`iterations` {} are more rounds than {MOST_ROUNDS}: each removes a part of what is to go, and a few are enough",
                self.rounds()
            )));
        }
        if self.drop_blocks == Some(DropBlocks::Least(0)) {
            return Err(Error::Usage(
                "`drop_blocks` 0 drops nothing: leave it out, or give a positive number or globs"
                    .to_owned(),
            ));
        }
        match self.budget {
            Some(CostBudget { share, .. }) if !(share > 0.0 && share < 1.0) => {
                Err(Error::Usage(format!(
                    "the share {share} is outside (0, 1): it is what is kept of the {}",
                    self.budget.map_or(Cost::Params, |budget| budget.cost)
                )))
            }
            _ => Ok(()),
        }
    }

    /// True if the budget is one of time.
    pub(crate) fn asks_for_time(&self) -> bool {
        self.budget
            .is_some_and(|budget| budget.cost == Cost::Latency)
    }

    /// The command that asks for these settings; what is not said has its default.
    pub fn command(&self) -> String {
        let default = Settings::default();
        if let Some(of) = &self.vocabulary {
            return format!("prune --vocabulary --remap {}", of.remap);
        }
        let mut words = match self.budget {
            None if self.threshold().is_some() => "prune".to_owned(),
            None => format!("prune --ratio {}", self.ratio),
            Some(CostBudget { cost, share }) => format!("prune --{} {share}", cost.flag()),
        };
        if let Some(blocks) = &self.drop_blocks {
            words += &blocks.words();
        }
        words += &match self.criterion() {
            of @ Criterion::Scores(_) => format!(" --criterion '{of}'"),
            of => format!(" --criterion {of}"),
        };
        if self.criterion() == Criterion::Random || self.seed != default.seed {
            words += &format!(" --seed {}", self.seed);
        }
        if self.scope() != default.scope() {
            words += &format!(" --scope {}", self.scope());
        }
        for (flag, globs) in [("skip", &self.skip), ("only", &self.only)] {
            for glob in globs {
                words += &format!(" --{flag} '{glob}'");
            }
        }
        for (glob, ratio) in &self.ratio_for {
            words += &format!(" --ratio-for '{glob}={ratio}'");
        }
        if let Some(ratio) = self.max_ratio {
            words += &format!(" --max-ratio {ratio}");
        }
        if self.rounds() > 1 {
            words += &format!(" --iterations {}", self.rounds());
        }
        if self.min_channels != default.min_channels {
            words += &format!(" --min-channels {}", self.min_channels);
        }
        if self.round_to != default.round_to {
            words += &format!(" --round-to {}", self.round_to);
        }
        if self.exact {
            words += " --exact";
        }
        if self.attention != default.attention {
            words += &format!(" --attention {}", self.attention);
        }
        for glob in &self.change_signature {
            words += &format!(" --change-signature '{glob}'");
        }
        if self.groups != default.groups {
            words += &format!(" --groups {}", self.groups);
        }
        words
    }
}

impl Settings {
    /// What may go of a model beside what always may.
    pub(crate) fn cuts(&self) -> CutRules {
        CutRules {
            groups: self.groups,
            signature: self.change_signature.clone(),
            vocabulary: self.vocabulary.is_some(),
        }
    }
}

impl Cost {
    fn flag(self) -> &'static str {
        match self {
            Cost::Params => "params",
            Cost::Macs => "macs",
            Cost::Bytes => "bytes",
            Cost::Latency => "latency",
        }
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Cost::Params => "params",
            Cost::Macs => "MACs",
            Cost::Bytes => "weight bytes",
            Cost::Latency => "latency",
        })
    }
}
