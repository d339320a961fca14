//! Random inputs that a model can be run on, from its signature and what its graph allows.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::allowed::{Allowed, allowed};
use super::switches::{Setting, Switches};
use crate::dimensions::{Analysis, Filling, InputSizes};
use crate::error::{Error, Result};
use crate::graph::NodeId;
use crate::onnx::{ElementType, byte_length};
use crate::random::normal;
use crate::runtime::{Signature, Tensor};

/// Share of ones in integer and Boolean inputs that nothing is said of: masks are mostly set.
const SHARE_OF_ONES: f64 = 0.75;
/// Bytes that all inputs together may have.
const LARGEST_INPUT: usize = 2 << 30;

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
    let mut allowed = allowed(analysis, sizes);
    let switches = Switches::of(analysis);
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
        let numbers = match target_of(analysis, &signature.name) {
            Some(node) => Some(target_numbers(analysis, signature, node, &shape)?),
            None => allowed.remove(signature.name.as_str()),
        };
        let count: usize = shape.iter().product();
        let numbers = numbers.as_ref();
        let set = switches.setting(&signature.name, seed);
        let fits = |set: &Setting| numbers.is_none_or(|allowed| allowed.has(set.number()));
        let set = set.filter(fits);
        let numbers = (0..count).map(|place| {
            let drawn = draw(&mut generator, element, numbers, place);
            match set.filter(|set| set.is_at(place)) {
                Some(set) => set.number() as f64,
                None => drawn,
            }
        });
        let tensor = Tensor::from_numbers(element, &shape, numbers)?;
        Ok((signature.name.clone(), tensor))
    };
    signatures.iter().map(tensor).collect()
}

fn draw(
    generator: &mut ChaCha8Rng,
    element: ElementType,
    allowed: Option<&Allowed>,
    place: usize,
) -> f64 {
    match allowed {
        Some(allowed) => allowed.draw(generator) as f64,
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
fn target_numbers(
    analysis: &Analysis,
    signature: &Signature,
    node: NodeId,
    shape: &[usize],
) -> Result<Allowed> {
    match shape {
        [1] => Ok(Allowed::Between(-1, -1)),
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
