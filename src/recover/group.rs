//! The layers of a model that are solved together, in terms of the dense model.

use faer::Mat;

use super::places::Places;
use super::unit::Target;
use crate::dimensions::Analysis;
use crate::error::Result;
use crate::graph::{Producer, ValueId};
use crate::layers::Layer;

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
pub(super) struct Unrecovered {
    pub(super) name: String,
    pub(super) reason: &'static str,
}

impl Group<'_> {
    /// The target in a graph where both models stand side by side; none if a value is not there.
    pub(super) fn target<'b>(
        &self,
        find: &dyn Fn(ValueId) -> Option<(ValueId, ValueId)>,
        layer: &dyn Fn(&str) -> Option<&'b Layer>,
        both: &Analysis,
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
                let Some(layer) = layer(&member.dense.name) else {
                    return Ok(None);
                };
                let weights = layer.matrices(both.graph())?;
                let rows = member.places.iter().map(|of| {
                    let from = &weights[of.batch];
                    Mat::from_fn(of.rows.len(), from.ncols(), |i, j| from[(of.rows[i], j)])
                });
                Some(Target::Product {
                    layer,
                    weights: rows.collect(),
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

/// Solves the unit that waited for a sum together with the one that completes it.
pub(super) fn join<'a>(unit: &mut Group<'a>, groups: &mut [Group<'a>], place: usize) {
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
