//! Which layers of a model are solved together, and for what.

use std::collections::{HashMap, HashSet};

use faer::Mat;

use super::Scene;
use super::group::{Goal, Group, Member, Unrecovered, join};
use super::places::{Places, places};
use crate::axes::{Kept, Type};
use crate::dimensions::Analysis;
use crate::error::Result;
use crate::graph::{NodeId, ValueId};
use crate::layers::{Follower, Layer, Tail, constant_of, unmeasured_nodes};
use crate::onnx::to_f32;
use crate::ops::{Operand, Role};
use crate::rewrite::{has_bias, rows_with_constants};

/// All groups of the dense model whose pruned layers are `pruned`, by name, in the order in which they run, and
/// the layers that are left; `both` is the graph that has the pruned layers.
pub(super) fn groups<'a>(
    scene: &Scene<'a>,
    both: &'a Analysis,
    dense: &'a [Layer],
    pruned: &'a HashMap<&'a str, &'a Layer>,
) -> Result<(Vec<Group<'a>>, Vec<Unrecovered>)> {
    let Scene { analysis, kept, .. } = *scene;
    let order = analysis.graph().order().iter().copied();
    let place: HashMap<NodeId, usize> = order.zip(0..).collect();
    let mut layers: Vec<&Layer> = dense.iter().collect();
    // A normalisation that belongs to a layer comes after it.
    let left_nodes = analysis.nodes_left(kept.dropped());
    layers.retain(|layer| layer.nodes().any(|node| left_nodes[node.index()]));
    layers.sort_by_key(|layer| layer.nodes().map(|node| place[&node]).max());
    let mut grouping = Grouping {
        analysis,
        no_new_biases: scene.no_new_biases,
        both,
        kept,
        pruned,
        follower: Follower::new(analysis),
        unmeasured: unmeasured_nodes(analysis.graph()),
        taken: HashSet::new(),
        waiting: HashMap::new(),
        groups: Vec::new(),
    };
    let mut left = Vec::new();
    for layer in layers {
        if let Err(reason) = grouping.visit(layer)? {
            let name = layer.name.clone();
            left.push(Unrecovered { name, reason });
        }
    }
    let mut groups = grouping.groups;
    groups.retain(|group| !group.members.is_empty());
    Ok((groups, left))
}

/// A layer that is solved, or why it is not.
type Solvable<T> = std::result::Result<T, &'static str>;

/// A layer in both models.
struct Pair<'a> {
    dense: &'a Layer,
    pruned: &'a Layer,
    places: Vec<Places>,
    elements: Vec<u32>,
    /// By matrix the weights that slicing leaves.
    weights: Vec<Mat<f64>>,
}

/// The groups found so far.
struct Grouping<'a> {
    analysis: &'a Analysis,
    no_new_biases: bool,
    both: &'a Analysis,
    kept: &'a Kept,
    pruned: &'a HashMap<&'a str, &'a Layer>,
    follower: Follower<'a>,
    unmeasured: Vec<bool>,
    /// Normalisations that belong to a layer.
    taken: HashSet<NodeId>,
    /// By sum that is not complete yet the group that waits for it.
    waiting: HashMap<NodeId, usize>,
    groups: Vec<Group<'a>>,
}

impl<'a> Grouping<'a> {
    /// Puts a layer into a group of its own, or into one that waits for it.
    fn visit(&mut self, layer: &'a Layer) -> Result<Solvable<()>> {
        if layer.nodes().any(|node| self.taken.contains(&node)) {
            return Ok(Ok(()));
        }
        let pair = match self.pair(layer)? {
            Ok(pair) => pair,
            Err(reason) => return Ok(Err(reason)),
        };
        match self.follower.behind(layer, None) {
            Some((axis, tail)) => Ok(self.sum(pair, axis, tail)),
            None => {
                let group = self.product(pair);
                self.groups.push(group);
                Ok(Ok(()))
            }
        }
    }

    /// The layer with what slicing leaves of it.
    fn pair(&self, layer: &'a Layer) -> Result<Solvable<Pair<'a>>> {
        if layer.uses.len() != 1 {
            return Ok(Err("several nodes read it"));
        }
        if !layer.is_measurable(self.analysis, &self.unmeasured) {
            return Ok(Err(
                "what it is multiplied with is constant or cannot be measured",
            ));
        }
        let Some(&pruned) = self.pruned.get(layer.name.as_str()) else {
            return Ok(Err("nothing is left of it"));
        };
        if pruned.uses.len() != 1 {
            return Ok(Err("several nodes read what is left of it"));
        }
        let Some((places, elements)) = places(self.analysis, self.kept, layer, pruned)? else {
            return Ok(Err("what slicing left of it has another form"));
        };
        Ok(Ok(Pair {
            weights: pruned.matrices(self.both.graph())?,
            dense: layer,
            pruned,
            places,
            elements,
        }))
    }

    /// A group for the value that stands behind a layer, with the layers that add to the same.
    fn sum(&mut self, pair: Pair<'a>, axis: usize, mut tail: Tail) -> Solvable<()> {
        let earlier = tail.sums.iter().find_map(|sum| self.waiting.remove(sum));
        let earlier = earlier.filter(|&place: &usize| {
            let before = self.groups[place].members.iter();
            pair.places.len() == 1 && before.into_iter().all(|member| member.places.len() == 1)
        });
        if let Some(Goal::Value { end, .. }) = earlier.map(|place| &self.groups[place].goal)
            && let Some((_, whole)) = self.follower.behind(pair.dense, Some(*end))
        {
            tail = whole;
        }
        self.taken.extend(&tail.normalised);
        let member = self
            .member(pair, axis, &tail)
            .ok_or("its bias is computed")?;
        let mut group = Group {
            members: vec![member],
            goal: Goal::Value {
                end: tail.end,
                others: tail.others.clone(),
                axis,
                kept: kept_axes(self.analysis, self.kept, tail.end),
            },
            clamp: tail.clamp,
        };
        if let Some(place) = earlier {
            join(&mut group, &mut self.groups, place);
        }
        if let Some(&sum) = tail.sums.get(tail.others.len()) {
            self.waiting.insert(sum, self.groups.len());
        }
        self.groups.push(group);
        Ok(())
    }

    /// A layer whose rows are an axis of what it makes; none if its bias is computed.
    fn member(&self, pair: Pair<'a>, axis: usize, tail: &Tail) -> Option<Member<'a>> {
        let (factors, shift) = self.before_the_end(pair.dense, tail)?;
        let positions = kept_positions(self.analysis, self.kept, tail.end, axis);
        let positions = positions.unwrap_or_else(|| (0..tail.scale.len() as u32).collect());
        let by_matrix = |numbers: &[f64]| -> Vec<Vec<f64>> {
            let numbers: Vec<f64> = positions.iter().map(|&at| numbers[at as usize]).collect();
            let rows = numbers.len() / pair.places.len().max(1);
            numbers.chunks(rows.max(1)).map(<[f64]>::to_vec).collect()
        };
        let pairs = tail.scale.iter().zip(factors);
        let scale: Vec<f64> = pairs.map(|(scale, factor)| scale * factor).collect();
        Some(Member {
            scale: by_matrix(&scale),
            shift: by_matrix(&shift),
            bias_scale: by_matrix(&tail.scale),
            constants: self.takes_constants(pair.dense, tail.scale.len()),
            dense: pair.dense,
            pruned: pair.pruned,
            places: pair.places,
            elements: pair.elements,
            weights: pair.weights,
        })
    }

    /// True unless constants would need a bias that is not there and may not be made.
    fn takes_constants(&self, dense: &Layer, rows: usize) -> bool {
        let mut uses = dense.uses.iter();
        !self.no_new_biases || uses.all(|linear| has_bias(self.analysis, linear, rows))
    }

    /// What a layer's weights are multiplied with inside its node, and what is added to its rows before the end
    /// of the tail, by row.
    fn before_the_end(&self, dense: &Layer, tail: &Tail) -> Option<(Vec<f64>, Vec<f64>)> {
        let linear = dense.uses.first()?;
        let (factors, constants) = self.follower.inside(dense)?;
        if factors.len() != tail.scale.len() {
            return None;
        }
        let pairs = tail.shift.iter().zip(&tail.scale).zip(constants);
        let mut shift: Vec<f64> = pairs.map(|((shift, scale), c)| shift + scale * c).collect();
        let node = self.analysis.graph().node(linear.node);
        if let Some(bias) = linear.bias.and_then(|bias| node.input(bias.slot)) {
            let numbers = to_f32(constant_of(self.analysis, bias)?).ok()?;
            for (place, shift) in shift.iter_mut().enumerate() {
                let number = match numbers.len() {
                    1 => numbers[0],
                    n if n == tail.scale.len() => numbers[place],
                    _ => return None,
                };
                let beta = f64::from(linear.scales[1]);
                *shift += tail.scale[place] * beta * f64::from(number);
            }
        }
        Some((factors, shift))
    }

    /// A layer alone, for what its dense weights make of their own inputs.
    fn product(&self, pair: Pair<'a>) -> Group<'a> {
        let all = |number: f64| -> Vec<Vec<f64>> {
            let places = pair.places.iter();
            places.map(|of| vec![number; of.rows.len()]).collect()
        };
        let dense = pair.dense;
        let grouped = dense.uses.first().is_some_and(|linear| linear.groups > 1);
        let fewer = grouped && pair.places.len() < dense.batches();
        let goal = Goal::Product {
            kept: data_axes(self.analysis, self.kept, dense),
            groups: fewer.then(|| pair.places.iter().map(|of| of.batch as u32).collect()),
        };
        Group {
            members: vec![Member {
                scale: all(1.0),
                shift: all(0.0),
                bias_scale: all(1.0),
                constants: rows_with_constants(self.analysis, dense)
                    .is_some_and(|rows| self.takes_constants(dense, rows)),
                dense,
                pruned: pair.pruned,
                places: pair.places,
                elements: pair.elements,
                weights: pair.weights,
            }],
            goal,
            clamp: None,
        }
    }
}

fn kept_positions(
    analysis: &Analysis,
    kept: &Kept,
    value: ValueId,
    axis: usize,
) -> Option<Vec<u32>> {
    let ty = &analysis.state.axes(value)?[axis];
    let types = &analysis.state.types;
    let pruned = types.is_pruned(ty, kept);
    pruned.then(|| types.kept_positions(ty, kept))
}

/// By axis of a value that loses positions those that stay.
fn kept_axes(analysis: &Analysis, kept: &Kept, value: ValueId) -> Vec<(usize, Vec<u32>)> {
    let axes = analysis.state.axes(value).unwrap_or_default();
    kept_of(analysis, kept, axes, &[])
}

/// By axis of these types that loses positions, but for some, those that stay.
fn kept_of(
    analysis: &Analysis,
    kept: &Kept,
    axes: &[Type],
    without: &[usize],
) -> Vec<(usize, Vec<u32>)> {
    let types = &analysis.state.types;
    let axes = axes.iter().enumerate();
    let pruned = axes.filter(|(axis, ty)| !without.contains(axis) && types.is_pruned(ty, kept));
    pruned
        .map(|(axis, ty)| (axis, types.kept_positions(ty, kept)))
        .collect()
}

/// As [`kept_axes`], for the data of a layer but for what it sums over.
fn data_axes(analysis: &Analysis, kept: &Kept, layer: &Layer) -> Vec<(usize, Vec<u32>)> {
    let Some(linear) = layer.uses.first() else {
        return Vec::new();
    };
    let summed = linear.roles.iter().filter_map(|role| match role {
        Role::Reduction(axis) => Some(*axis),
        _ => None,
    });
    let summed: Vec<usize> = summed.collect();
    let axes = match linear.data {
        Some(Operand::Input(slot)) => {
            let value = analysis.graph().node(linear.node).input(slot);
            value.and_then(|value| analysis.state.axes(value))
        }
        Some(Operand::Joined) => linear.joined.as_ref().map(|joined| joined.axes.as_slice()),
        Some(Operand::Output(_)) | None => None,
    };
    kept_of(analysis, kept, axes.unwrap_or_default(), &summed)
}
