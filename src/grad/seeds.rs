//! Inputs for the gradients that values have by themselves.

use super::BoundGraph;
use crate::graph::{Array, Emitter, ValueId, declaration};

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
        let name = emit.patch().fresh(&format!("{}.seed", array.name));
        let seed = Array { name, ..array };
        let shape: Vec<_> = seed.sizes.iter().map(|&size| Some(size as i64)).collect();
        let declared = declaration(&seed.name, Some(seed.element), Some(&shape));
        emit.patch().input(declared);
        seeds.push((value, seed));
    }
    seeds
}
