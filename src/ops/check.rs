//! What later steps may rely on once a graph is typed. What would break it is pinned, with its reason:
//!
//! - a [`Type::Block`] that can lose positions stands at axis 1 of a constant, and all that reads the constant
//!   is grouped convolutions, as their weight, with as many groups as the type has blocks;
//! - a variable that can lose positions has a number of them that fits 32 bits, and its blocks divide it;
//! - a constant that can lose positions has elements, and a node reads it.

use super::state::State;
use crate::axes::{Origin, Reason, Type};
use crate::graph::{Graph, ValueId};

/// Pins what later steps could not treat.
pub(super) fn settle(graph: &Graph, state: &mut State) {
    for id in graph.value_ids() {
        let axes: Vec<Type> = state.axes(id).unwrap_or_default().to_vec();
        let known = graph.value(id);
        let read = !known.consumers.is_empty() || known.is_output || graph.is_captured(id);
        for (axis, ty) in axes.iter().enumerate() {
            let why = if graph.constant(id).is_some() && !read {
                Some("is read by nothing")
            } else if !fits(state, ty) {
                Some("has more positions than can be numbered")
            } else {
                let stands = !graph.is_captured(id) && views_a_group(graph, state, id, axis);
                let why = "shows the weight of a grouped convolution to others";
                (has_block(&state.types.normal(ty)) && !stands).then_some(why)
            };
            if let Some(why) = why {
                let origin = Origin::Value(id.0);
                state.types.pin(ty, Reason { origin, why });
            }
        }
    }
}

/// True if every free variable of the type can be numbered and falls into its blocks.
fn fits(state: &State, ty: &Type) -> bool {
    state.types.vars(ty).into_iter().all(|id| {
        let var = state.types.var(id);
        let size = var.extent.known().map(u32::try_from);
        match size {
            Some(Ok(size)) => (size as usize).is_multiple_of(var.blocks.max(1)),
            Some(Err(_)) => false,
            // A dynamic size is pinned where it is made.
            None => true,
        }
    })
}

fn has_block(ty: &Type) -> bool {
    match ty {
        Type::Var(_) => false,
        Type::Product(inner) | Type::Sum(inner) => inner.iter().any(has_block),
        Type::Block { .. } => true,
    }
}

/// True if the axis is that of the channels in the weight of grouped convolutions alone.
fn views_a_group(graph: &Graph, state: &State, id: ValueId, axis: usize) -> bool {
    let value = graph.value(id);
    let ty = state.axes(id).and_then(|axes| axes.get(axis));
    let Some(Type::Block { blocks, .. }) = ty.map(|ty| state.types.normal(ty)) else {
        return false;
    };
    let grouped = |&(node, slot): &(_, usize)| {
        let mut linears = state.linears_of(node);
        linears.any(|linear| linear.slot == slot && linear.groups == blocks)
    };
    axis == 1
        && graph.constant(id).is_some()
        && !value.is_output
        && value.consumers.iter().all(grouped)
}
