//! Recovery: weights of the pruned model that make up for what was removed, from calibration data alone.
//!
//! The dense model and the pruned one run side by side, front by front. Each layer of the pruned model is
//! solved by least squares for what the dense model makes at its place, from what the pruned model, repaired
//! so far, gives it to read; always with constants, which go into biases. Layers that meet in a sum are solved
//! together; a layer that is added to something else is solved for the dense sum less what is added. Before an
//! activation that cuts off, targets that it would cut off may move, and the layer is solved again.
//!
//! Nothing is believed: of plain slicing, constants alone, the fold of the removed channels into those kept
//! (CORP) and the solutions for several ridges, the one with the least error on samples that were held out is
//! taken.

mod aims;
mod choice;
mod codes;
mod fold;
mod front;
mod group;
mod ledger;
mod lockstep;
mod places;
mod regrow;
mod rounding;
mod solve;
mod solver;
mod sums;
mod unit;
mod units;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::axes::Kept;
use crate::data::DataSet;
use crate::dimensions::Analysis;
use crate::engine::Pass;
use crate::error::{Error, Result};
use crate::events::Events;
use crate::graph::{Graph, ValueId};
use crate::layers::Addition;
use crate::layers::{Layer, Layers, unmeasured_nodes};
use crate::onnx::Model;
use crate::plan::Plan;
use crate::rewrite::{Edit, Side, add_to_rows, side_by_side, with_weights};
use crate::runtime::{Provider, Runtime};
use crate::statistics::Stats;

pub(crate) use fold::{Folds, fold_to};

use group::{Group, Unrecovered, is_shared};
use ledger::{Biases, Ledger};
use lockstep::Lockstep;
use solver::Solver;
use unit::Unit;
use units::groups;

pub(crate) use codes::LayerCodes;
pub(crate) use rounding::{RoundContext, Rounded, round, round_alone};

pub use codes::{RoundedLayer, RoundingError, RoundingWay};
pub use solver::{Method, RecoveredLayer};

/// How far recovery goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Recovery {
    /// Plain slicing.
    None,
    /// Constants into biases.
    Bias,
    /// Removed channels folded into those kept, as the dense model's statistics say.
    Fold,
    /// Least squares on what the pruned model computes.
    #[default]
    Solve,
}

impl fmt::Display for Recovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Recovery::None => "none",
            Recovery::Bias => "bias",
            Recovery::Fold => "fold",
            Recovery::Solve => "solve",
        })
    }
}

impl FromStr for Recovery {
    type Err = Error;

    fn from_str(text: &str) -> Result<Recovery> {
        match text {
            "none" => Ok(Recovery::None),
            "bias" => Ok(Recovery::Bias),
            "fold" => Ok(Recovery::Fold),
            "solve" => Ok(Recovery::Solve),
            _ => Err(Error::Usage(format!(
                "there is no recovery '{text}'; choose one of none, bias, fold, solve"
            ))),
        }
    }
}

/// With what a model is recovered.
pub(crate) struct Context<'a> {
    pub(crate) recovery: Recovery,
    pub(crate) stats: &'a Stats,
    pub(crate) runtime: &'a Runtime,
    pub(crate) provider: Provider,
    pub(crate) data: &'a DataSet<'a>,
}

/// What the dense model has to become so that pruning it gives the recovered one.
#[derive(Default)]
pub(crate) struct Recovered {
    /// New weights.
    pub(crate) edits: BTreeMap<ValueId, Edit>,
    /// What is added to rows.
    pub(crate) constants: Vec<Addition>,
    /// What became of every layer.
    pub(crate) layers: Vec<RecoveredLayer>,
}

/// Solves the layers of the model that `plan` leaves of the analysed one; `pruned` is that model.
///
/// # Errors
/// Data that cannot be read or gives no numbers, weights that are no numbers, or a provider that refuses a
/// part of the model.
pub(crate) fn recover(
    analysis: &Analysis,
    plan: &Plan,
    pruned: &Analysis,
    context: &Context,
    events: &mut dyn Events,
) -> Result<Recovered> {
    let kept = plan.kept(analysis)?;
    let scene = Scene {
        teacher: analysis,
        analysis,
        kept: &kept,
        pruned,
        no_new_biases: false,
    };
    recover_in(&scene, context, events)
}

/// As [`recover`], of a choice in a scene.
///
/// # Errors
/// Those of [`recover`].
pub(crate) fn recover_in(
    scene: &Scene,
    context: &Context,
    events: &mut dyn Events,
) -> Result<Recovered> {
    let analysis = scene.analysis;
    let pass = Pass {
        runtime: context.runtime,
        provider: &context.provider,
        data: context.data,
    };
    walk(scene, pass, context.recovery == Recovery::Solve, |walk| {
        let Walk { groups, units, .. } = walk;
        let mut solver = Solver::new(analysis, context, groups, units, walk.ledger);
        front::run(
            walk.lockstep,
            units,
            &mut |evidence, front| solver.solve(evidence, front),
            events,
        )?;
        let mut recovered = solver.finish();
        let left = walk.left.into_iter();
        recovered
            .layers
            .extend(left.map(|left| RecoveredLayer::left(left.name, left.reason)));
        Ok(recovered)
    })
}

/// Whose weights are sought, and for what.
pub(crate) struct Scene<'a> {
    /// What they are to make.
    pub(crate) teacher: &'a Analysis,
    /// The model with everything that a plan removes.
    pub(crate) analysis: &'a Analysis,
    /// What stays of it.
    pub(crate) kept: &'a Kept,
    /// That model, as it runs.
    pub(crate) pruned: &'a Analysis,
    /// Whether constants go into biases that are there, and nowhere else.
    pub(crate) no_new_biases: bool,
}

impl<'a> Scene<'a> {
    /// A model that is to do what it does, of which nothing goes.
    pub(crate) fn of_itself(analysis: &'a Analysis, everything: &'a Kept) -> Scene<'a> {
        Scene {
            teacher: analysis,
            analysis,
            kept: everything,
            pruned: analysis,
            no_new_biases: false,
        }
    }
}

/// Both models side by side, ready to be run front by front.
struct Walk<'a> {
    groups: &'a [Group<'a>],
    units: &'a [Unit<'a>],
    lockstep: &'a Lockstep<'a>,
    ledger: Ledger<'a>,
    left: Vec<Unrecovered>,
}

/// Puts both models side by side for `work`; `clamps` tells whether activations between bounds are looked behind.
fn walk<T>(
    scene: &Scene,
    pass: Pass,
    clamps: bool,
    work: impl FnOnce(Walk) -> Result<T>,
) -> Result<T> {
    let analysis = scene.analysis;
    let dense_layers = all_layers(analysis);
    let (explicit, biases) = Biases::explicit(scene)?;
    let Side { graph, prefix } = side_by_side(scene.teacher.graph(), &explicit)?;
    let prefix = format!("{prefix}.");
    let both = Analysis::with(graph, analysis.sizes().clone(), analysis.premises().clone());
    let both_layers = solvable(&both);
    let by_name: HashMap<&str, &Layer> = both_layers
        .iter()
        .map(|layer| (layer.name.as_str(), layer))
        .collect();
    let of_pruned: HashMap<&str, &Layer> = by_name
        .iter()
        .filter_map(|(name, layer)| Some((name.strip_prefix(&prefix)?, *layer)))
        .collect();
    let (found, left) = groups(scene, &both, &dense_layers, &of_pruned)?;
    let stand = Stand {
        analysis,
        kept: scene.kept,
        both: &both,
        by_name: &by_name,
        prefix: &prefix,
    };
    let (groups, units) = stand.units(found, clamps)?;
    work(Walk {
        groups: &groups,
        units: &units,
        lockstep: &Lockstep {
            analysis: &both,
            pass,
            prefix: &prefix,
        },
        ledger: Ledger::new(analysis, biases, &prefix),
        left,
    })
}

/// Where the dense model stands in the graph that has both.
struct Stand<'a, 'b> {
    analysis: &'a Analysis,
    kept: &'a Kept,
    both: &'a Analysis,
    by_name: &'a HashMap<&'b str, &'b Layer>,
    prefix: &'a str,
}

impl<'b> Stand<'_, 'b> {
    /// A value of the dense model and what the pruned one has in its place.
    fn find(&self, value: ValueId) -> Option<(ValueId, ValueId)> {
        let name = |value| &self.analysis.graph().value(value).name;
        let graph = self.both.graph();
        let dense = graph.find(name(value))?;
        let there = self.analysis.stand_in(value, self.kept);
        let pruned = match is_shared(self.analysis, there) {
            true => graph.find(name(there))?,
            false => graph.find(&format!("{}{}", self.prefix, name(there)))?,
        };
        Some((dense, pruned))
    }

    /// The groups that can be solved, each with what that means in the graph.
    fn units<'c>(
        &self,
        groups: Vec<Group<'c>>,
        clamps: bool,
    ) -> Result<(Vec<Group<'c>>, Vec<Unit<'c>>)>
    where
        'b: 'c,
    {
        let (mut ready, mut units) = (Vec::new(), Vec::new());
        for group in groups {
            let find = |value| self.find(value);
            let layer = |name: &str| self.by_name.get(name).copied();
            let Some(target) = group.target(&find, &layer, self.both)? else {
                continue;
            };
            units.push(Unit {
                members: group.members.iter().map(|member| member.pruned).collect(),
                target,
                clamp: group.clamp.filter(|_| clamps),
            });
            ready.push(group);
        }
        Ok((ready, units))
    }
}

/// The layers of a model whose data can be measured, and its batch normalisations.
fn solvable(analysis: &Analysis) -> Vec<Layer> {
    let unmeasured = unmeasured_nodes(analysis.graph());
    let mut layers = all_layers(analysis);
    layers.retain(|layer| layer.is_measurable(analysis, &unmeasured));
    layers
}

/// The layers of a model and its batch normalisations.
fn all_layers(analysis: &Analysis) -> Vec<Layer> {
    let mut layers = Layers::of(analysis).layers;
    let nodes = analysis.graph().order().iter();
    layers.extend(nodes.filter_map(|&node| Layer::of_normalisation(analysis, node)));
    layers
}

impl Recovered {
    /// The analysed model with all of this done to it.
    ///
    /// # Errors
    /// A tensor that cannot be read, or a result that is no valid graph.
    pub(crate) fn applied(&self, analysis: &Analysis) -> Result<Analysis> {
        let analysed = |model: Model| -> Result<Analysis> {
            let graph = Graph::new(&model.settled())?;
            Ok(Analysis::of_edit(graph, analysis))
        };
        let edited = analysed(with_weights(analysis.graph(), &self.edits)?)?;
        if self.constants.is_empty() {
            return Ok(edited);
        }
        analysed(add_to_rows(&edited, &self.constants)?.0)
    }
}
