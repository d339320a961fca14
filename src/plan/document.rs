//! The plan as a JSON document.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize};

use super::decision::Selection;
use super::settings::Settings;
use crate::axes::{Kept, Type};
use crate::dimensions::{Analysis, Dimension};
use crate::error::{Error, Result};
use crate::files;

/// Version of the document that this library writes and reads.
const VERSION: u32 = 1;

/// Which positions of every dimension stay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Version of the document.
    pub secateur_plan: u32,
    /// Version of the library that wrote it.
    pub version: String,
    /// BLAKE3 hash of the model's files.
    pub model_hash: String,
    /// How it was made.
    pub settings: Settings,
    /// The residual branches that are dropped, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dropped_blocks: Vec<String>,
    /// The pruned dimensions.
    pub dimensions: Vec<PlannedDimension>,
    /// What that means for every initializer touched: a keep map for checkpoints. Follows from
    /// `dimensions`; not read back.
    #[serde(deserialize_with = "skipped")]
    pub initializers: Vec<PlannedInitializer>,
}

/// Nothing, whatever a document says.
fn skipped<'de, D: Deserializer<'de>>(of: D) -> Result<Vec<PlannedInitializer>, D::Error> {
    IgnoredAny::deserialize(of).map(|_| Vec::new())
}

/// A pruned dimension.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedDimension {
    /// The dimension's name.
    pub name: String,
    /// Its number of channels.
    pub size: usize,
    /// True if its channels influence each other, so that pruning is not exactly masking.
    pub mixing: bool,
    /// The positions that stay, ascending.
    pub kept: Vec<u32>,
    /// Importance of every channel.
    pub scores: Vec<f64>,
}

/// An initializer that loses positions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedInitializer {
    /// Its name.
    pub name: String,
    /// The axes that lose positions.
    pub axes: Vec<AxisKept>,
}

/// The kept positions of one axis.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AxisKept {
    /// The axis, counted from 0.
    pub axis: usize,
    /// Its size before.
    pub size: usize,
    /// The positions that stay, ascending; one list, or one for each equal block of axis 0 where the groups
    /// of a convolution keep different channels.
    pub kept: Vec<Vec<u32>>,
}

impl Plan {
    /// The plan of a selection.
    pub fn new(
        analysis: &Analysis,
        selection: &Selection,
        scores: &[Vec<f64>],
        settings: &Settings,
    ) -> Plan {
        let dimensions = selection.pruned().map(|(id, kept)| {
            let dimension = &analysis.dimensions()[id.0];
            PlannedDimension {
                name: dimension.name.clone(),
                size: dimension.size,
                mixing: dimension.mixing.is_some(),
                kept: kept.to_vec(),
                scores: scores[id.0].clone(),
            }
        });
        let mut plan = Plan {
            secateur_plan: VERSION,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            model_hash: analysis.graph().model().hash().to_owned(),
            settings: settings.clone(),
            dropped_blocks: Vec::new(),
            dimensions: dimensions.collect(),
            initializers: Vec::new(),
        };
        plan.find_initializers(analysis);
        plan
    }

    /// The plan that drops these residual branches, by name, as well.
    pub(crate) fn dropping(mut self, analysis: &Analysis, blocks: Vec<String>) -> Plan {
        self.dropped_blocks = blocks;
        self.find_initializers(analysis);
        self
    }

    /// Whether all of the model stays.
    pub(crate) fn removes_nothing(&self) -> bool {
        self.dimensions.is_empty() && self.dropped_blocks.is_empty()
    }

    fn find_initializers(&mut self, analysis: &Analysis) {
        let kept = self.positions(analysis);
        let found = kept.map(|kept| initializers(analysis, &kept));
        self.initializers = found.unwrap_or_default();
    }

    /// Reads a plan.
    ///
    /// # Errors
    /// An unreadable file, or one that is no plan of a version we know.
    pub fn load(path: &Path) -> Result<Plan> {
        let text = files::map_file(path)?;
        let plan: Plan = serde_json::from_slice(&text)
            .map_err(|fault| Error::plan(format!("{} is no plan: {fault}", path.display())))?;
        if plan.secateur_plan != VERSION {
            return Err(Error::plan(format!(
                "{} is of version {}, this secateur reads version {VERSION}; make the plan anew",
                path.display(),
                plan.secateur_plan
            )));
        }
        Ok(plan)
    }

    /// The plan as indented JSON.
    pub fn to_json(&self) -> String {
        // A plan holds numbers, strings and lists only, so this cannot fail.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// The plan without dimensions whose channels meet in a way that no masked twin can put right.
    pub(crate) fn provable_part(&self, analysis: &Analysis) -> Plan {
        let known = by_name(analysis);
        let unproven = |planned: &PlannedDimension| {
            let dimension = known.get(planned.name.as_str());
            dimension.is_some_and(|dimension| dimension.unproven.is_some())
        };
        let mut plan = self.clone();
        plan.dimensions.retain(|planned| !unproven(planned));
        plan
    }

    /// The plan with everything that follows from the model and the kept positions found anew: nothing that a
    /// document claims beyond them is believed.
    ///
    /// # Errors
    /// The plan is of another model, names dimensions that are not there, keeps positions that cannot be, or prunes
    /// nothing.
    pub(crate) fn checked(mut self, analysis: &Analysis) -> Result<Plan> {
        let kept = self.kept(analysis)?;
        if kept.is_empty() {
            return Err(Error::plan("it prunes nothing"));
        }
        let known = by_name(analysis);
        for planned in &mut self.dimensions {
            if !planned.scores.is_empty() && planned.scores.len() != planned.size {
                return Err(Error::plan(format!(
                    "dimension '{}' has {} scores for {} channels",
                    planned.name,
                    planned.scores.len(),
                    planned.size
                )));
            }
            let dimension = known.get(planned.name.as_str());
            planned.mixing = dimension.is_some_and(|dimension| dimension.mixing.is_some());
        }
        self.initializers = initializers(analysis, &kept);
        Ok(self)
    }

    /// The plan of the dimensions at these places of its list alone, and of the blocks that it drops.
    pub(crate) fn only(&self, analysis: &Analysis, places: &[usize]) -> Plan {
        let mut plan = self.clone();
        let chosen = places
            .iter()
            .filter_map(|&place| self.dimensions.get(place));
        plan.dimensions = chosen.cloned().collect();
        plan.find_initializers(analysis);
        plan
    }

    /// The kept positions as the rewriter needs them.
    ///
    /// # Errors
    /// The plan is of another model, names dimensions that are not there, or keeps positions that cannot be.
    pub(crate) fn kept(&self, analysis: &Analysis) -> Result<Kept> {
        let hash = analysis.graph().model().hash();
        if self.model_hash != hash {
            return Err(Error::plan(format!(
                "it was made for a model with hash {}, this one has {hash}; make a plan of this model with `plan_out`",
                self.model_hash
            )));
        }
        self.positions(analysis)
    }

    fn positions(&self, analysis: &Analysis) -> Result<Kept> {
        let known = by_name(analysis);
        let mut kept = analysis.everything();
        let mut named = HashSet::new();
        for planned in &self.dimensions {
            let dimension = known.get(planned.name.as_str()).ok_or_else(|| {
                Error::plan(format!("the model has no dimension '{}'", planned.name))
            })?;
            check(planned, dimension)?;
            if !named.insert(planned.name.as_str()) {
                let reason = format!("dimension '{}' is there twice", planned.name);
                return Err(Error::plan(reason));
            }
            if planned.kept.len() < dimension.size {
                kept.insert(dimension.var, Arc::from(planned.kept.as_slice()));
            }
        }
        self.drop_blocks(analysis, &mut kept)?;
        Ok(kept)
    }

    fn drop_blocks(&self, analysis: &Analysis, kept: &mut Kept) -> Result<()> {
        let mut named = HashSet::new();
        for name in &self.dropped_blocks {
            let mut blocks = analysis.blocks().iter();
            let place = blocks.position(|block| block.name == *name);
            let place = place.ok_or_else(|| {
                Error::plan(format!(
                    "the model has no residual block '{name}' that could be dropped; `secateur inspect` lists them"
                ))
            })?;
            if !named.insert(name.as_str()) {
                return Err(Error::plan(format!("block '{name}' is there twice")));
            }
            kept.drop_part(place);
        }
        Ok(())
    }
}

fn by_name(analysis: &Analysis) -> HashMap<&str, &Dimension> {
    let dimensions = analysis.dimensions().iter();
    dimensions
        .map(|dimension| (dimension.name.as_str(), dimension))
        .collect()
}

fn check(planned: &PlannedDimension, dimension: &Dimension) -> Result<()> {
    let fault = |what: String| Err(Error::plan(format!("dimension '{}' {what}", planned.name)));
    if planned.size != dimension.size {
        return fault(format!(
            "has {} channels in the plan and {} in the model",
            planned.size, dimension.size
        ));
    }
    if planned.kept.is_empty() {
        return fault("keeps nothing; at least one channel has to stay".to_owned());
    }
    if planned.kept.len() < dimension.least {
        return fault(format!(
            "keeps {} channels, of which a node chooses {}; let it keep as many at least",
            planned.kept.len(),
            dimension.least
        ));
    }
    let ascending = planned.kept.windows(2).all(|pair| pair[0] < pair[1]);
    let inside = planned
        .kept
        .last()
        .is_some_and(|&last| (last as usize) < planned.size);
    if !ascending || !inside {
        return fault(format!(
            "keeps positions that are not ascending numbers below {}",
            planned.size
        ));
    }
    let block = dimension.size / dimension.blocks.max(1);
    let mut counts = vec![0_usize; dimension.blocks.max(1)];
    for &position in &planned.kept {
        counts[position as usize / block] += 1;
    }
    if counts.iter().any(|&count| count != counts[0]) {
        return fault(format!(
            "keeps different numbers of channels in its {} groups; a grouped convolution needs the same in each",
            dimension.blocks
        ));
    }
    Ok(())
}

fn initializers(analysis: &Analysis, kept: &Kept) -> Vec<PlannedInitializer> {
    let types = &analysis.state.types;
    let nodes = analysis.nodes_left(kept.dropped());
    let mut out = Vec::new();
    let constants = analysis.constants();
    for (value, axes) in constants.filter(|(value, _)| analysis.is_left(*value, &nodes)) {
        let mut touched = Vec::new();
        for (axis, ty) in axes.iter().enumerate() {
            if !types.is_pruned(ty, kept) {
                continue;
            }
            let positions = match types.normal(ty) {
                Type::Block { of, blocks } => types.kept_per_block(&of, blocks, kept),
                ty => vec![types.kept_positions(&ty, kept)],
            };
            touched.push(AxisKept {
                axis,
                size: types.size(ty) as usize,
                kept: positions,
            });
        }
        if !touched.is_empty() {
            out.push(PlannedInitializer {
                name: analysis.graph().value(value).name.clone(),
                axes: touched,
            });
        }
    }
    out
}
