//! Random inputs that a model can be run on, from its signature and what its graph allows.

use std::collections::{HashMap, HashSet};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::switches::switches;

use crate::dimensions::{Analysis, Filling, InputSizes};
use crate::error::{Error, Result};
use crate::graph::{NodeId, Producer, ValueId};
use crate::onnx::{ElementType, byte_length};
use crate::ops::{self, Pointwise};
use crate::random::normal;
use crate::runtime::{Signature, Tensor};

/// Share of ones in integer and Boolean inputs that nothing is said of: masks are mostly set.
const SHARE_OF_ONES: f64 = 0.75;
/// Bytes that all inputs together may have.
const LARGEST_INPUT: usize = 2 << 30;

/// The smallest and the largest number that an input may hold.
type Range = (i64, i64);

/// A random tensor for every input of `signatures`: standard normal numbers, integers in the range that
/// their readers allow, mostly ones elsewhere. Dynamic axes have the sizes of the analysis.
///
/// # Errors
/// An input whose type cannot be made, that is too large, or that no random numbers fit.
pub fn random_inputs(
    analysis: &Analysis,
    signatures: &[Signature],
    seed: u64,
) -> Result<Vec<(String, Tensor)>> {
    made(analysis, signatures, analysis.sizes(), seed)
}

/// As [`random_inputs`], with caches that hold this; none where they cannot.
///
/// # Errors
/// As [`random_inputs`].
pub(crate) fn random_inputs_with(
    analysis: &Analysis,
    signatures: &[Signature],
    filling: Filling,
    seed: u64,
) -> Result<Option<Vec<(String, Tensor)>>> {
    let sizes = analysis.sizes_with(analysis.sizes(), filling);
    let inputs = sizes.map(|sizes| made(analysis, signatures, &sizes, seed));
    inputs.transpose()
}

/// As [`random_inputs_with`], for a run of this many samples.
///
/// # Errors
/// As [`random_inputs`].
pub(crate) fn random_batch_with(
    analysis: &Analysis,
    signatures: &[Signature],
    (samples, filling): (usize, Filling),
    seed: u64,
) -> Result<Option<Vec<(String, Tensor)>>> {
    let sizes = analysis.sizes_with(&analysis.sizes_of_run(samples), filling);
    let inputs = sizes.map(|sizes| made(analysis, signatures, &sizes, seed));
    inputs.transpose()
}

/// As [`random_inputs`], for a run of this many samples.
pub(crate) fn random_batch(
    analysis: &Analysis,
    signatures: &[Signature],
    samples: usize,
    seed: u64,
) -> Result<Vec<(String, Tensor)>> {
    made(analysis, signatures, &analysis.sizes_of_run(samples), seed)
}

fn made(
    analysis: &Analysis,
    signatures: &[Signature],
    sizes: &InputSizes,
    seed: u64,
) -> Result<Vec<(String, Tensor)>> {
    let ranges = ranges(analysis, sizes);
    let switches = switches(analysis);
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    let mut left = LARGEST_INPUT;
    let tensor = |signature: &Signature| {
        let unusual = || Error::Runtime {
            reason: format!(
                "input '{}' is no tensor of numbers, so that no random ones can be given",
                signature.name
            ),
            remedy: "run with `proof` skipped".to_owned(),
        };
        let element = signature.element.ok_or_else(unusual)?;
        let shape = shape(analysis, signature, sizes);
        left -= size_within(left, signature, element, &shape)?;
        let range = match target_of(analysis, &signature.name) {
            Some(node) => Some(target_range(analysis, signature, node, &shape)?),
            None => ranges.get(signature.name.as_str()).copied(),
        };
        let count: usize = shape.iter().product();
        let switched = switches.iter().find(|own| own.input == signature.name);
        let range = switched.map_or(range, |own| {
            let number = own.numbers[(seed % own.numbers.len() as u64) as usize];
            Some((number, number))
        });
        let numbers = (0..count).map(|place| draw(&mut generator, element, range, place));
        let tensor = Tensor::from_numbers(element, &shape, numbers)?;
        Ok((signature.name.clone(), tensor))
    };
    signatures.iter().map(tensor).collect()
}

fn draw(
    generator: &mut ChaCha8Rng,
    element: ElementType,
    range: Option<Range>,
    place: usize,
) -> f64 {
    match range {
        Some((min, max)) => generator.random_range(min..=max.max(min)) as f64,
        None if element.is_float() => normal(generator),
        // The first element is set, so that no mask is empty.
        None => f64::from(place == 0 || generator.random::<f64>() < SHARE_OF_ONES),
    }
}

/// The shape to run with: declared sizes, and those chosen for dynamic axes.
pub(super) fn shape(analysis: &Analysis, signature: &Signature, sizes: &InputSizes) -> Vec<usize> {
    let value = analysis.graph().find(&signature.name);
    let axes = value
        .and_then(|value| analysis.state.axes(value))
        .unwrap_or_default();
    let chosen = axes.iter().map(|axis| {
        let extent = analysis.state.types.extent(axis);
        usize::try_from(analysis.number_at(&extent, sizes)).unwrap_or(usize::MAX)
    });
    let chosen: Vec<usize> = chosen.collect();
    if signature.shape.is_empty() {
        return chosen;
    }
    let declared = signature.shape.iter().enumerate();
    let size = |(axis, &size): (usize, &i64)| {
        let known = usize::try_from(size).ok();
        known.unwrap_or_else(|| chosen.get(axis).copied().unwrap_or(1))
    };
    declared.map(size).collect()
}

/// Bytes of an input, if they are no more than these.
fn size_within(
    most: usize,
    signature: &Signature,
    element: ElementType,
    shape: &[usize],
) -> Result<usize> {
    let count = shape
        .iter()
        .try_fold(1_usize, |n, &size| n.checked_mul(size));
    let bytes = count.and_then(|count| byte_length(count, element.bits()));
    match bytes.filter(|&bytes| bytes <= most) {
        Some(bytes) => Ok(bytes),
        None => Err(Error::Runtime {
            reason: format!(
                "input '{}' of the sizes {shape:?} is too large to be made of random numbers",
                signature.name
            ),
            remedy: "give smaller sizes with `sizes`, or run with `proof` skipped".to_owned(),
        }),
    }
}

/// The node that an input is the target shape of.
fn target_of(analysis: &Analysis, name: &str) -> Option<NodeId> {
    let value = analysis.graph().find(name)?;
    let mut targets = analysis.state.targets.iter();
    targets
        .find(|(target, _)| *target == value)
        .map(|(_, node)| *node)
}

/// A target shape of one size is whatever there is; one of more cannot be guessed.
fn target_range(
    analysis: &Analysis,
    signature: &Signature,
    node: NodeId,
    shape: &[usize],
) -> Result<Range> {
    match shape {
        [1] => Ok((-1, -1)),
        _ => Err(Error::Runtime {
            reason: format!(
                "input '{}' is the target shape of {}: random numbers fit no data",
                signature.name,
                analysis.graph().describe(node)
            ),
            remedy: "make it a constant of the model, or run with `proof` skipped".to_owned(),
        }),
    }
}

/// By graph input the numbers that whatever reads its elements allows.
fn ranges<'a>(analysis: &'a Analysis, sizes: &InputSizes) -> HashMap<&'a str, Range> {
    let mut found: HashMap<&str, Range> = HashMap::new();
    for bound in &analysis.state.bounds {
        let [min, max] = [0, 1].map(|side| analysis.integer_at(&bound.range[side], sizes));
        let (Some(min), Some(max)) = (min, max) else {
            continue;
        };
        let mut queue = vec![(bound.value, (min, max))];
        let mut seen: HashSet<ValueId> = HashSet::new();
        while let Some((id, range)) = queue.pop() {
            if !seen.insert(id) {
                continue;
            }
            let value = analysis.graph().value(id);
            match value.producer {
                Producer::Input(_) => {
                    let known = found.entry(&value.name).or_insert(range);
                    *known = (known.0.max(range.0), known.1.min(range.1));
                }
                Producer::Node(node, _) => queue.extend(sources(analysis, node, range)),
                // What a node with a body reads at a place the body has at the same.
                Producer::BodyInput(place) => {
                    let owner = value.body.map(|body| analysis.graph().owner(body));
                    let given = owner.and_then(|owner| analysis.graph().node(owner).input(place));
                    queue.extend(given.map(|given| (given, range)));
                }
                Producer::Initializer(_) | Producer::SparseInitializer(_) | Producer::Missing => {}
            }
        }
    }
    found
}

/// The inputs of a node whose elements it hands on, with the range that theirs must lie in.
fn sources(analysis: &Analysis, node: NodeId, range: Range) -> Vec<(ValueId, Range)> {
    let Some(row) = ops::find(analysis.graph(), node) else {
        return Vec::new();
    };
    let inputs = &analysis.graph().node(node).inputs;
    let carried = inputs
        .iter()
        .enumerate()
        .filter(|(slot, _)| row.carries_elements_of(*slot));
    let mut out: Vec<(ValueId, Range)> = carried
        .filter_map(|(_, value)| Some(((*value)?, range)))
        .collect();
    if let [Some(a), Some(b)] = inputs[..] {
        let (known, other) = (constants(analysis, b), constants(analysis, a));
        let moved = |by: i64| (range.0.saturating_add(by), range.1.saturating_add(by));
        match (row.pointwise, known, other) {
            (Some(Pointwise::Sum), Some((min, max)), _) => {
                out.push((a, (moved(-min).0, moved(-max).1)))
            }
            (Some(Pointwise::Sum), _, Some((min, max))) => {
                out.push((b, (moved(-min).0, moved(-max).1)))
            }
            (Some(Pointwise::Difference), Some((min, max)), _) => {
                out.push((a, (moved(max).0, moved(min).1)));
            }
            _ => {}
        }
    }
    out
}

/// The smallest and the largest of a value's integers, where all are known.
fn constants(analysis: &Analysis, value: ValueId) -> Option<Range> {
    let integers = analysis.state.integers[value.index()].as_ref()?;
    let known = integers
        .elements
        .iter()
        .map(|element| element.as_ref()?.known());
    let known: Vec<i64> = known.collect::<Option<_>>()?;
    Some((*known.iter().min()?, *known.iter().max()?))
}
