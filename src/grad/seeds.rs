//! Inputs for the gradients that values have by themselves.

use super::BoundGraph;
use crate::graph::{Array, Emitter, ValueId};

/// Inputs that take the gradients of values whose sizes are known.
pub(crate) fn seed_inputs(
    bound: &BoundGraph,
    emit: &mut Emitter,
    seeded: &[ValueId],
) -> Vec<(ValueId, Array)> {
    let mut seeds = Vec::new();
    for &value in seeded {
        let Some(array) = bound.settled().array(value) else {
            continue;
        };
        let base = format!("{}.seed", array.name);
        seeds.push((value, emit.input(&base, &array.sizes, array.element)));
    }
    seeds
}
