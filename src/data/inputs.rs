//! Random inputs that a model can be run on, from its signature and what its consumers allow.

use std::collections::HashMap;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::dimensions::Analysis;
use crate::error::{Error, Result};
use crate::graph::{Producer, ValueId};
use crate::onnx::ElementType;
use crate::random::normal;
use crate::runtime::{Signature, Tensor};

/// Share of ones in integer and Boolean inputs that select from no table: masks are mostly set.
const SHARE_OF_ONES: f64 = 0.75;

/// Operators whose output elements are elements of their first input.
const CARRIERS: [&str; 12] = [
    "Identity",
    "Cast",
    "Reshape",
    "Flatten",
    "Squeeze",
    "Unsqueeze",
    "Transpose",
    "Slice",
    "Split",
    "Concat",
    "Expand",
    "Clip",
];

/// A random tensor for every input of `signatures`: standard normal numbers, indices below the height of
/// the tables that they select from, mostly ones elsewhere. Dynamic axes have the sizes of the analysis.
///
/// # Errors
/// An input whose type cannot be made.
pub fn random_inputs(
    analysis: &Analysis,
    signatures: &[Signature],
    seed: u64,
) -> Result<Vec<(String, Tensor)>> {
    let bounds = index_bounds(analysis);
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    signatures
        .iter()
        .map(|signature| {
            let unusual = || Error::Runtime {
                reason: format!("input '{}' is no tensor of numbers", signature.name),
                remedy: "use --no-verify".to_owned(),
            };
            let element = signature.element.ok_or_else(unusual)?;
            let shape = shape(analysis, signature);
            let count: usize = shape.iter().product();
            let bound = bounds.get(signature.name.as_str()).copied();
            let numbers: Vec<f64> = (0..count)
                .map(|place| draw(&mut generator, element, bound, place))
                .collect();
            Ok((
                signature.name.clone(),
                Tensor::from_f64(element, &shape, &numbers)?,
            ))
        })
        .collect()
}

fn draw(generator: &mut ChaCha8Rng, element: ElementType, bound: Option<u64>, place: usize) -> f64 {
    if element.is_float() {
        return normal(generator);
    }
    match bound {
        Some(bound) => generator.random_range(0..bound.max(1)) as f64,
        // The first element is set, so that no mask is empty.
        None => f64::from(place == 0 || generator.random::<f64>() < SHARE_OF_ONES),
    }
}

/// The shape to run with: declared sizes, and those chosen for dynamic axes.
fn shape(analysis: &Analysis, signature: &Signature) -> Vec<usize> {
    let value = analysis.graph().find(&signature.name);
    let axes = value.and_then(|value| analysis.state.axes(value));
    let chosen = |axis: usize| {
        let extent = analysis.state.types.extent(&axes?[axis]);
        Some(analysis.number(&extent) as usize)
    };
    let sizes = signature.shape.iter().enumerate();
    sizes
        .map(|(axis, &size)| {
            usize::try_from(size)
                .ok()
                .or_else(|| chosen(axis))
                .unwrap_or(1)
        })
        .collect()
}

/// For graph inputs that reach a table as indices: the height of the lowest table.
fn index_bounds(analysis: &Analysis) -> HashMap<&str, u64> {
    let mut bounds: HashMap<&str, u64> = HashMap::new();
    for lookup in analysis.state.lookups() {
        let (index, table) = (&lookup.index, &lookup.table);
        let height = analysis.number(&analysis.state.types.extent(table));
        let mut queue = vec![*index];
        let mut seen: Vec<ValueId> = Vec::new();
        while let Some(value) = queue.pop() {
            if seen.contains(&value) {
                continue;
            }
            seen.push(value);
            let value = analysis.graph().value(value);
            match value.producer {
                Producer::Input(_) => {
                    let bound = bounds.entry(&value.name).or_insert(height);
                    *bound = (*bound).min(height);
                }
                Producer::Node(node, _) => {
                    let operator = analysis.graph().node_proto(node).op_type();
                    let inputs = &analysis.graph().node(node).inputs;
                    match operator {
                        "Concat" => queue.extend(inputs.iter().flatten()),
                        _ if CARRIERS.contains(&operator) => {
                            queue.extend(inputs.first().copied().flatten());
                        }
                        _ => {}
                    }
                }
                Producer::Initializer(_) | Producer::SparseInitializer(_) | Producer::Missing => {}
            }
        }
    }
    bounds
}
