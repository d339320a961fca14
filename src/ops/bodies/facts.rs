//! What rules state inside a body, said of the node that has it.

use super::call::Call;
use crate::axes::Type;
use crate::graph::{Producer, ValueId};
use crate::ops::facts::{Bias, Bound, Linear, Operand, Role};
use crate::ops::kinds::Viewing;
use crate::ops::row::find;
use crate::ops::state::State;
use crate::ops::typing::Typing;

/// States of the node what can be said of its inputs and outputs.
pub(super) fn state(op: &mut Typing, call: &Call, inner: &State) {
    for cost in inner.costs() {
        op.cost(cost.produced.clone(), cost.contracted.clone());
    }
    op.state.agreements.extend(inner.agreements.iter().cloned());
    for bound in &inner.bounds {
        let slot = source(call, bound.value, |_| true);
        if let Some(value) = slot.and_then(|slot| op.value(slot)) {
            let range = bound.range.clone();
            op.state.bounds.push(Bound { value, range });
        }
    }
    for &(value, _) in &inner.targets {
        if let Some(slot) = source(call, value, same) {
            op.shapes(slot);
        }
    }
    contractions(op, call, inner);
    for picked in inner.picked() {
        let slot = source(call, picked.index, |_| true);
        op.picked_at(slot, &picked.table, "is selected from by index");
    }
    for linear in inner.linears() {
        if let Some(linear) = said(op, call, linear) {
            op.state.linears.state(linear);
        }
    }
}

/// Sums over an axis of an input, however it is arranged in between.
fn contractions(op: &mut Typing, call: &Call, inner: &State) {
    for contraction in inner.contractions() {
        let value = call
            .called
            .graph
            .node(contraction.node)
            .input(contraction.slot);
        let ty = value.and_then(|value| inner.axes(value)?.get(contraction.axis));
        let slot = value.and_then(|value| source(call, value, |_| true));
        let (Some(ty), Some(slot)) = (ty, slot) else {
            continue;
        };
        let summed = op.state.types.vars(ty);
        let axes: Vec<Type> = op
            .value(slot)
            .and_then(|value| op.state.axes(value))
            .unwrap_or_default()
            .to_vec();
        for (axis, ty) in axes.iter().enumerate() {
            let own = op.state.types.vars(ty);
            if !summed.is_empty() && summed.iter().all(|var| own.contains(var)) {
                op.contract(slot, axis);
            }
        }
    }
}

/// A linear map of inputs of the node.
fn said(op: &Typing, call: &Call, linear: &Linear) -> Option<Linear> {
    let node = call.called.graph.node(linear.node);
    let outer = |slot: usize| source(call, node.input(slot)?, same);
    let data = match linear.data {
        Some(Operand::Input(slot)) => Some(Operand::Input(outer(slot)?)),
        None => None,
        Some(_) => return None,
    };
    let bias = match linear.bias {
        Some(bias) if node.input(bias.slot).is_some() => Some(Bias {
            slot: outer(bias.slot)?,
            ..bias
        }),
        _ => None,
    };
    let output = call.called.graph.find("o0");
    let is_output = node.output(0).is_some() && node.output(0) == output;
    let role = |role: &Role| match role {
        Role::Row(_) if !is_output => Role::Row(None),
        role => *role,
    };
    Some(Linear {
        node: op.node,
        slot: outer(linear.slot)?,
        data,
        roles: linear.roles.iter().map(role).collect(),
        groups: linear.groups,
        bias,
        scales: linear.scales,
        joined: None,
    })
}

fn same(viewing: Viewing) -> bool {
    viewing == Viewing::Same
}

/// The slot of the node whose elements a value of the body shows, seen through such views.
fn source(call: &Call, value: ValueId, through: impl Fn(Viewing) -> bool) -> Option<usize> {
    let graph = &call.called.graph;
    let mut value = value;
    loop {
        match graph.value(value).producer {
            Producer::Input(input) => return call.slot(input),
            Producer::Node(node, 0) => {
                find(graph, node)?
                    .viewing
                    .filter(|&viewing| through(viewing))?;
                value = graph.node(node).input(0)?;
            }
            _ => return None,
        }
    }
}
