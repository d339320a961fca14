//! The nodes that sum over a dimension, and what constants add to what they make.

use super::ranges::Seen;
use crate::dimensions::{Analysis, Dimension};
use crate::error::Result;
use crate::graph::ValueId;
use crate::ops::{Contraction, Linear, Operand, Role};

/// A reader of a dimension: a node that sums over it.
pub(super) struct Reader<'a> {
    pub(super) site: Contraction,
    pub(super) value: ValueId,
    /// The weight that the value is multiplied with, if it is a constant.
    pub(super) partner: Option<(&'a Linear, ValueId)>,
}

/// The readers of a dimension.
pub(super) fn readers<'a>(
    analysis: &'a Analysis,
    dimension: &Dimension,
    fixed: &[bool],
) -> Vec<Reader<'a>> {
    let mut out = Vec::new();
    for &site in analysis.state.contractions() {
        let site = data_side(analysis, site, fixed);
        let node = analysis.graph().node(site.node);
        let Some(value) = node.input(site.slot) else {
            continue;
        };
        let axes = analysis.state.axes(value).unwrap_or_default();
        let types = &analysis.state.types;
        let has = |ty| types.vars(ty).contains(&dimension.var);
        if !axes.get(site.axis).is_some_and(has) {
            continue;
        }
        let partner = analysis.state.linears_of(site.node).find_map(|linear| {
            let with = linear.data == Some(Operand::Input(site.slot));
            let weight = node.input(linear.slot)?;
            (with && analysis.graph().is_fixed(weight, fixed)).then_some((linear, weight))
        });
        out.push(Reader {
            site,
            value,
            partner,
        });
    }
    out
}

/// Where a sum over a weight and data is stated at the weight: the same at the data.
fn data_side(analysis: &Analysis, site: Contraction, fixed: &[bool]) -> Contraction {
    let inputs = &analysis.graph().node(site.node).inputs;
    let is_data = |slot: usize| {
        let value = inputs.get(slot).copied().flatten();
        value.is_some_and(|value| !analysis.graph().is_fixed(value, fixed))
    };
    let linears = analysis.state.linears_of(site.node);
    let mut own = linears.filter(|linear| linear.slot == site.slot);
    let turned = own.find_map(|linear| match (linear.data, linear.roles.get(site.axis)) {
        (Some(Operand::Input(slot)), Some(&Role::Reduction(axis))) => {
            (!is_data(site.slot) && is_data(slot)).then_some(Contraction { slot, axis, ..site })
        }
        _ => None,
    });
    turned.unwrap_or(site)
}

/// What constant columns add to the rows of a weight.
pub(super) fn rows_of(
    linear: &Linear,
    weight: ValueId,
    constants: &[(usize, f32)],
    seen: &mut Seen,
) -> Result<Vec<f32>> {
    let find = |wanted: fn(&Role) -> bool| linear.roles.iter().position(wanted);
    let row = find(|role| matches!(role, Role::Row(_)));
    let column = find(|role| matches!(role, Role::Reduction(_)));
    let (Some(row), Some(column), Some(numbers)) = (row, column, seen.numbers(weight)?) else {
        return Ok(Vec::new());
    };
    let step = |axis: usize| numbers.shape[axis + 1..].iter().product::<usize>();
    let mut by_place = vec![0.0_f64; numbers.shape[column]];
    constants
        .iter()
        .for_each(|&(place, constant)| by_place[place] = f64::from(constant));
    let mut out = vec![0.0_f64; numbers.shape[row]];
    for (place, &weight) in numbers.data.iter().enumerate() {
        let constant = by_place[place / step(column) % numbers.shape[column]];
        out[place / step(row) % numbers.shape[row]] += f64::from(weight) * constant;
    }
    let scale = f64::from(linear.scales[0]);
    Ok(out.into_iter().map(|sum| (sum * scale) as f32).collect())
}
