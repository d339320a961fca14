//! The units of a model: which layers are solved together, and for what.

use std::collections::{HashMap, HashSet};

use faer::Mat;

use super::places::{Places, places};
use super::unit::Target;
use crate::axes::{Kept, Type};
use crate::dimensions::Analysis;
use crate::error::Result;
use crate::graph::{NodeId, Producer, ValueId};
use crate::layers::{Follower, Layer, Tail, constant_of};
use crate::onnx::to_f32;
use crate::ops::{Operand, Role};
use crate::rewrite::rows_with_constants;

/// A layer of a unit.
pub(super) struct Member<'a> {
    pub(super) dense: &'a Layer,
    pub(super) pruned: &'a Layer,
    /// By matrix of the pruned layer.
    pub(super) places: Vec<Places>,
    /// By element of the pruned initializer its place in the dense one.
    pub(super) elements: Vec<u32>,
    /// What becomes of each row before the target: `scale * row + shift`, by matrix and row.
    pub(super) scale: Vec<Vec<f64>>,
    pub(super) shift: Vec<Vec<f64>>,
    /// What a constant that is added to the row is scaled by.
    pub(super) bias_scale: Vec<Vec<f64>>,
    /// Whether constants can be added to its rows.
    pub(super) constants: bool,
    /// By matrix the weights that slicing leaves.
    pub(super) weights: Vec<Mat<f64>>,
}

/// Layers that are solved together, in terms of the dense model.
pub(super) struct Group<'a> {
    pub(super) members: Vec<Member<'a>>,
    pub(super) goal: Goal,
    pub(super) clamp: Option<[f32; 2]>,
}

/// What a unit is solved for.
pub(super) enum Goal {
    /// A value less others: by axis, with the positions that stay.
    Value {
        end: ValueId,
        others: Vec<ValueId>,
        axis: usize,
        kept: Vec<(usize, Vec<u32>)>,
    },
    /// What the dense weights make of the dense inputs, by axis with the positions that stay, and the groups
    /// that stay where some went.
    Product {
        kept: Vec<(usize, Vec<u32>)>,
        groups: Option<Vec<u32>>,
    },
}

/// A layer that is left as slicing makes it.
pub(super) struct Left {
    pub(super) name: String,
    pub(super) reason: &'static str,
}

/// All units of the dense model whose pruned layers are `pruned`, by name, in the order in which they run.
pub(super) fn units<'a>(
    analysis: &Analysis,
    kept: &Kept,
    dense: &'a [Layer],
    pruned: &HashMap<&str, &'a Layer>,
) -> Result<(Vec<Group<'a>>, Vec<Left>)> {
    let place: HashMap<NodeId, usize> = {
        let order = analysis.graph().order();
        order.iter().copied().zip(0..).collect()
    };
    let follower = Follower::new(analysis);
    let fixed = analysis.graph().fixed_nodes();
    let mut layers: Vec<&Layer> = dense.iter().collect();
    // A normalisation that belongs to a layer comes after it.
    layers.sort_by_key(|layer| layer.nodes().map(|node| place[&node]).max());
    let mut taken: HashSet<NodeId> = HashSet::new();
    let mut groups: Vec<Group> = Vec::new();
    let mut left = Vec::new();
    // By sum that is not complete yet the unit that waits for it.
    let mut waiting: HashMap<NodeId, usize> = HashMap::new();
    for layer in layers {
        if layer.nodes().any(|node| taken.contains(&node)) {
            continue;
        }
        let mut leave = |reason: &'static str| {
            let name = layer.name.clone();
            left.push(Left { name, reason });
        };
        let [_] = &layer.uses[..] else {
            leave("several nodes read it");
            continue;
        };
        if !layer.is_measurable(analysis, &fixed) {
            leave("what it is multiplied with is constant or cannot be measured");
            continue;
        }
        let Some(&partner) = pruned.get(layer.name.as_str()) else {
            leave("nothing is left of it");
            continue;
        };
        if partner.uses.len() != 1 {
            leave("several nodes read what is left of it");
            continue;
        }
        let Some((places, elements)) = places(analysis, kept, layer, partner)? else {
            leave("what slicing left of it has another form");
            continue;
        };
        let weights = layer.matrices(analysis.graph())?;
        let weights = sliced(&weights, &places);
        let Some((axis, mut tail)) = follower.behind(layer, None) else {
            let unit = product(analysis, kept, layer, partner, places, elements, weights);
            groups.push(unit);
            continue;
        };
        let earlier = tail.sums.iter().find_map(|sum| waiting.remove(sum));
        let earlier = earlier.filter(|&place: &usize| {
            let before = groups[place].members.iter();
            places.len() == 1 && before.into_iter().all(|member| member.places.len() == 1)
        });
        if let Some(Goal::Value { end, .. }) = earlier.map(|place| &groups[place].goal)
            && let Some((_, whole)) = follower.behind(layer, Some(*end))
        {
            tail = whole;
        }
        taken.extend(&tail.normalised);
        let member = member(
            &follower,
            analysis,
            kept,
            (layer, partner),
            places,
            elements,
            weights,
            axis,
            &tail,
        );
        let Some(member) = member else {
            leave("its bias is computed");
            continue;
        };
        let goal = Goal::Value {
            end: tail.end,
            others: tail.others.clone(),
            axis,
            kept: kept_axes(analysis, kept, tail.end, &[]),
        };
        let mut unit = Group {
            members: vec![member],
            goal,
            clamp: tail.clamp,
        };
        if let Some(place) = earlier {
            join(&mut unit, &mut groups, place);
        }
        if let Some(&sum) = tail.sums.get(tail.others.len()) {
            waiting.insert(sum, groups.len());
        }
        groups.push(unit);
    }
    groups.retain(|group| !group.members.is_empty());
    Ok((groups, left))
}

/// Solves the unit that waited for a sum together with the one that completes it.
fn join<'a>(unit: &mut Group<'a>, groups: &mut [Group<'a>], place: usize) {
    let Goal::Value { others, .. } = &mut unit.goal else {
        return;
    };
    let earlier = &mut groups[place];
    let Goal::Value {
        end,
        others: before,
        ..
    } = &earlier.goal
    else {
        return;
    };
    let Some(place) = others.iter().position(|other| other == end) else {
        return;
    };
    let before = before.clone();
    others.remove(place);
    others.extend(before);
    let mut members = std::mem::take(&mut earlier.members);
    members.append(&mut unit.members);
    unit.members = members;
}

fn sliced(weights: &[Mat<f64>], places: &[Places]) -> Vec<Mat<f64>> {
    let slice = |of: &Places| {
        let from = &weights[of.batch];
        Mat::from_fn(of.rows.len(), of.columns.len(), |i, j| {
            from[(of.rows[i], of.columns[j])]
        })
    };
    places.iter().map(slice).collect()
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

/// By axis of a value that loses positions, but for some, those that stay.
fn kept_axes(
    analysis: &Analysis,
    kept: &Kept,
    value: ValueId,
    without: &[usize],
) -> Vec<(usize, Vec<u32>)> {
    let axes = analysis.state.axes(value).unwrap_or_default();
    kept_of(analysis, kept, axes, without)
}

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

#[allow(clippy::too_many_arguments)]
fn member<'a>(
    follower: &Follower,
    analysis: &Analysis,
    kept: &Kept,
    (dense, pruned): (&'a Layer, &'a Layer),
    places: Vec<Places>,
    elements: Vec<u32>,
    weights: Vec<Mat<f64>>,
    axis: usize,
    tail: &Tail,
) -> Option<Member<'a>> {
    let graph = analysis.graph();
    let linear = dense.uses.first()?;
    let beta = f64::from(linear.scales[1]);
    let (factors, constants) = follower.inside(dense)?;
    if factors.len() != tail.scale.len() {
        return None;
    }
    let pairs = tail.shift.iter().zip(&tail.scale).zip(constants);
    let mut shift: Vec<f64> = pairs.map(|((shift, scale), c)| shift + scale * c).collect();
    let bias = linear
        .bias
        .and_then(|bias| graph.node(linear.node).input(bias.slot));
    if let Some(bias) = bias {
        let numbers = to_f32(constant_of(analysis, bias)?).ok()?;
        for (place, shift) in shift.iter_mut().enumerate() {
            let number = match numbers.len() {
                1 => numbers[0],
                n if n == tail.scale.len() => numbers[place],
                _ => return None,
            };
            *shift += tail.scale[place] * beta * f64::from(number);
        }
    }
    let positions = kept_positions(analysis, kept, tail.end, axis);
    let positions = positions.unwrap_or_else(|| (0..tail.scale.len() as u32).collect());
    let by_matrix = |numbers: &[f64]| -> Vec<Vec<f64>> {
        let numbers: Vec<f64> = positions.iter().map(|&at| numbers[at as usize]).collect();
        let rows = numbers.len() / places.len().max(1);
        numbers.chunks(rows.max(1)).map(<[f64]>::to_vec).collect()
    };
    let bias_scale = by_matrix(&tail.scale);
    let pairs = tail.scale.iter().zip(factors);
    let scale: Vec<f64> = pairs.map(|(scale, factor)| scale * factor).collect();
    Some(Member {
        scale: by_matrix(&scale),
        shift: by_matrix(&shift),
        bias_scale,
        constants: true,
        dense,
        pruned,
        places,
        elements,
        weights,
    })
}

#[allow(clippy::too_many_arguments)]
fn product<'a>(
    analysis: &Analysis,
    kept: &Kept,
    dense: &'a Layer,
    pruned: &'a Layer,
    places: Vec<Places>,
    elements: Vec<u32>,
    weights: Vec<Mat<f64>>,
) -> Group<'a> {
    let all = |number: f64| -> Vec<Vec<f64>> {
        places
            .iter()
            .map(|of| vec![number; of.rows.len()])
            .collect()
    };
    let grouped = dense.uses.first().is_some_and(|linear| linear.groups > 1);
    let groups = (grouped && places.len() < dense.batches())
        .then(|| places.iter().map(|of| of.batch as u32).collect());
    Group {
        members: vec![Member {
            scale: all(1.0),
            shift: all(0.0),
            bias_scale: all(1.0),
            constants: rows_with_constants(analysis, dense).is_some(),
            dense,
            pruned,
            places,
            elements,
            weights,
        }],
        goal: Goal::Product {
            kept: data_axes(analysis, kept, dense),
            groups,
        },
        clamp: None,
    }
}

impl Group<'_> {
    /// The target in a graph where both models stand side by side; none if a value is not there.
    pub(super) fn target<'b>(
        &self,
        find: &dyn Fn(ValueId) -> Option<(ValueId, ValueId)>,
        both: &dyn Fn(&str) -> Option<&'b Layer>,
        dense: &Analysis,
    ) -> Result<Option<Target<'b>>> {
        Ok(match &self.goal {
            Goal::Value {
                end,
                others,
                axis,
                kept,
            } => {
                let others: Option<Vec<ValueId>> = others
                    .iter()
                    .map(|&other| find(other).map(|(_, pruned)| pruned))
                    .collect();
                let (Some((end, _)), Some(others)) = (find(*end), others) else {
                    return Ok(None);
                };
                Some(Target::Value {
                    dense: end,
                    others,
                    axis: *axis,
                    kept: kept.clone(),
                })
            }
            Goal::Product { kept, groups } => {
                let member = &self.members[0];
                let weights = member.dense.matrices(dense.graph())?;
                let rows = member.places.iter().map(|of| {
                    let from = &weights[of.batch];
                    Mat::from_fn(of.rows.len(), from.ncols(), |i, j| from[(of.rows[i], j)])
                });
                let weights = rows.collect();
                both(&member.dense.name).map(|layer| Target::Product {
                    layer,
                    weights,
                    kept: kept.clone(),
                    groups: groups.clone(),
                })
            }
        })
    }
}

/// True if a value is an input of the graph or depends on constants only: it stands once for both models.
pub(super) fn is_shared(analysis: &Analysis, value: ValueId) -> bool {
    matches!(analysis.graph().value(value).producer, Producer::Input(_))
}
