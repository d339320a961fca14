//! What later steps may rely on once a graph is typed. What would break it is pinned, with its reason:
//!
//! - a [`Type::Block`] that can lose positions stands at axis 1 of a value, whose axis 0 has the filters of a grouped
//!   convolution that reads it so: of its weight, or of what that is computed from;
//! - a variable that can lose positions has a number of them that fits 32 bits, and its blocks divide it;
//! - a constant that can lose positions has elements that are real numbers or flags, and a node reads it;
//! - a variable whose size has to be a multiple of a number has a size that is one, and larger than the number;
//! - what can lose positions and is summed over stands in an axis of known size, for which a mask can be made.
//!
//! Where channels meet otherwise along an axis of unknown size that no mask can be spread over, they are left out of proofs.

use super::state::State;
use crate::axes::{Origin, Reason, Type};
use crate::graph::{Graph, ValueId};
use crate::onnx::ElementType;

/// Pins what later steps could not treat.
pub(super) fn settle(graph: &Graph, state: &mut State) {
    settle_steps(state);
    settle_open(graph, state);
    let grouped = grouped(graph, state);
    for id in graph.value_ids() {
        let axes: Vec<Type> = state.axes(id).unwrap_or_default().to_vec();
        let known = graph.value(id);
        let read = !known.consumers.is_empty() || known.is_output || graph.is_captured(id);
        for (axis, ty) in axes.iter().enumerate() {
            let why = if graph.constant(id).is_some() && !read {
                Some("is read by nothing")
            } else if !is_real(graph, id) {
                Some("has elements that are no real numbers")
            } else if !fits(state, ty) {
                Some("has more positions than can be numbered")
            } else {
                let stands = !graph.is_captured(id) && views_a_group(state, &grouped, &axes, axis);
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

/// False for a constant whose elements no criterion can rank, and no slice cut.
fn is_real(graph: &Graph, id: ValueId) -> bool {
    use ElementType::{Complex64, Complex128, String};
    let tensor = graph.constant(id);
    let element = tensor.and_then(|tensor| ElementType::of(tensor.data_type()));
    !matches!(element, Some(Complex64 | Complex128 | String))
}

/// Finds of what numbers sizes have to be multiples, and pins what could lose nothing then.
fn settle_steps(state: &mut State) {
    for demand in state.multiples.all().to_vec() {
        let (types, steps) = (&mut state.types, &mut state.steps);
        types.multiples(&demand.size, demand.of, steps);
        for var in types.vars(&demand.size) {
            let size = types.size(&Type::Var(var)) as usize;
            let step = steps.get(&var).copied().unwrap_or(1);
            if size.is_multiple_of(step) && (step == 1 || size > step) {
                continue;
            }
            let origin = Origin::Node(demand.node.0);
            let why = demand.why;
            types.pin(&Type::Var(var), Reason { origin, why });
        }
    }
}

/// Pins what is summed over along axes of unknown size, and says of what meets there otherwise that no twin can mask it.
fn settle_open(graph: &Graph, state: &mut State) {
    const WHY: &str = "joins its channels with an axis of unknown size";
    let is_open = |state: &State, ty: &Type| state.types.extent(ty).size().is_none();
    for at in state.contractions().to_vec() {
        let value = graph.node(at.node).input(at.slot);
        let ty = value.and_then(|value| state.axes(value)?.get(at.axis).cloned());
        if let Some(ty) = ty.filter(|ty| is_open(state, ty)) {
            let origin = Origin::Node(at.node.0);
            state.types.pin(&ty, Reason { origin, why: WHY });
        }
    }
    for fact in state.mixes.all().to_vec() {
        let origin = Origin::Node(fact.node.0);
        for (_, ty) in &fact.axes {
            if is_open(state, ty) && state.types.open_axis(ty).is_none() {
                state.types.unproven(ty, Reason { origin, why: WHY });
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

/// The first two axes of the weights of grouped convolutions, of which the second views a channel axis by block.
fn grouped(graph: &Graph, state: &State) -> Vec<[Type; 2]> {
    let weights = state.linears().iter().filter(|linear| linear.groups > 1);
    let axes = weights.filter_map(|linear| {
        let weight = graph.node(linear.node).input(linear.slot)?;
        let [first, second, ..] = state.axes(weight)? else {
            return None;
        };
        Some([first, second].map(|axis| state.types.normal(axis)))
    });
    axes.collect()
}

/// True if the axis views channels by block, and the first one has the filters that do.
fn views_a_group(state: &State, grouped: &[[Type; 2]], axes: &[Type], axis: usize) -> bool {
    let own = || [0, 1].map(|place| state.types.normal(&axes[place]));
    axis == 1 && grouped.contains(&own())
}
