//! The integers that inputs may hold, from what reads them: positions of an axis, lengths along one, arguments.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::dimensions::{Analysis, InputSizes};
use crate::graph::{NodeId, Producer, ValueId};
use crate::onnx::integers;
use crate::ops::{self, Pointwise};

/// The integers that a value may hold.
#[derive(Clone, Debug)]
pub(super) enum Allowed {
    /// All from the first to the second.
    Between(i64, i64),
    /// These, in ascending order; never none.
    Listed(Rc<[i64]>),
}

impl Allowed {
    pub(super) fn draw(&self, generator: &mut ChaCha8Rng) -> i64 {
        match self {
            Allowed::Between(min, max) => generator.random_range(*min..=*max.max(min)),
            Allowed::Listed(numbers) => numbers[generator.random_range(0..numbers.len())],
        }
    }

    /// Whether this number is one.
    pub(super) fn has(&self, number: i64) -> bool {
        match self {
            Allowed::Between(min, max) => (*min..=*max).contains(&number),
            Allowed::Listed(numbers) => numbers.binary_search(&number).is_ok(),
        }
    }

    /// What both allow. Where that is nothing no run can be right, and the first stays.
    fn and(self, other: Allowed) -> Allowed {
        match (self, other) {
            (Allowed::Between(a, b), Allowed::Between(c, d)) => {
                Allowed::Between(a.max(c), b.min(d))
            }
            (Allowed::Listed(numbers), other) | (other, Allowed::Listed(numbers)) => {
                let both = numbers.iter().copied().filter(|&number| other.has(number));
                listed(both.collect()).unwrap_or(Allowed::Listed(numbers))
            }
        }
    }

    /// Those which `by` is added to for these, whichever from `by.0` to `by.1` that is.
    fn before_adding(&self, by: (i64, i64)) -> Allowed {
        let ends = match self {
            Allowed::Between(min, max) => (*min, *max),
            Allowed::Listed(numbers) if by.0 == by.1 => {
                let before = numbers.iter().map(|number| number.saturating_sub(by.0));
                return Allowed::Listed(before.collect());
            }
            Allowed::Listed(numbers) => (numbers[0], numbers[numbers.len() - 1]),
        };
        Allowed::Between(ends.0.saturating_sub(by.0), ends.1.saturating_sub(by.1))
    }

    /// The places of a list at which it has one of these; none where none is.
    fn places_in(&self, list: &[i64]) -> Option<Allowed> {
        let places = (0..).zip(list).filter(|(_, number)| self.has(**number));
        listed(places.map(|(place, _)| place).collect())
    }
}

fn listed(numbers: Vec<i64>) -> Option<Allowed> {
    (!numbers.is_empty()).then(|| Allowed::Listed(numbers.into()))
}

/// By graph input the numbers that whatever reads its elements allows.
pub(super) fn allowed<'a>(analysis: &'a Analysis, sizes: &InputSizes) -> HashMap<&'a str, Allowed> {
    let mut found: HashMap<&str, Allowed> = HashMap::new();
    for bound in &analysis.state.bounds {
        let [min, max] = [0, 1].map(|side| analysis.integer_at(&bound.range[side], sizes));
        let (Some(min), Some(max)) = (min, max) else {
            continue;
        };
        let mut queue = vec![(bound.value, Allowed::Between(min, max))];
        let mut seen: HashSet<ValueId> = HashSet::new();
        while let Some((id, numbers)) = queue.pop() {
            if !seen.insert(id) {
                continue;
            }
            let value = analysis.graph().value(id);
            match value.producer {
                Producer::Input(_) => {
                    let name = value.name.as_str();
                    let known = found.remove(name);
                    let all = known.map_or(numbers.clone(), |known| known.and(numbers));
                    found.insert(name, all);
                }
                Producer::Node(node, _) => queue.extend(sources(analysis, node, &numbers)),
                // What a node with a body reads at a place the body has at the same.
                Producer::BodyInput(place) => {
                    let owner = value.body.map(|body| analysis.graph().owner(body));
                    let given = owner.and_then(|owner| analysis.graph().node(owner).input(place));
                    let counts = |given: &ValueId| analysis.state.runs.contains(given);
                    // The number of a run is below that of all runs, of which there may be none.
                    let numbers = match given.as_ref().is_some_and(counts) {
                        true => numbers.before_adding((0, -1)),
                        false => numbers,
                    };
                    queue.extend(given.map(|given| (given, numbers)));
                }
                Producer::Initializer(_) | Producer::SparseInitializer(_) | Producer::Missing => {}
            }
        }
    }
    found
}

/// The inputs of a node which say what elements it makes, with the numbers that they may hold where the node may make these.
fn sources(analysis: &Analysis, node: NodeId, made: &Allowed) -> Vec<(ValueId, Allowed)> {
    let Some(row) = ops::find(analysis.graph(), node) else {
        return Vec::new();
    };
    let inputs = &analysis.graph().node(node).inputs;
    let carried = inputs
        .iter()
        .enumerate()
        .filter(|(slot, _)| row.carries_elements_of(*slot));
    let mut out: Vec<(ValueId, Allowed)> = carried
        .filter_map(|(_, value)| Some(((*value)?, made.clone())))
        .collect();
    out.extend(looked_up(analysis, node, made));
    if let [Some(a), Some(b)] = inputs[..] {
        let (known, other) = (constants(analysis, b), constants(analysis, a));
        match (row.pointwise, known, other) {
            (Some(Pointwise::Sum), Some(by), _) => out.push((a, made.before_adding(by))),
            (Some(Pointwise::Sum), _, Some(by)) => out.push((b, made.before_adding(by))),
            (Some(Pointwise::Difference), Some((min, max)), _) => {
                let by = (max.saturating_neg(), min.saturating_neg());
                out.push((a, made.before_adding(by)));
            }
            _ => {}
        }
    }
    out
}

/// What looks up elements of a constant list, with the places at which these stand.
fn looked_up(analysis: &Analysis, node: NodeId, made: &Allowed) -> Option<(ValueId, Allowed)> {
    let graph = analysis.graph();
    let lookup = analysis.state.lookups_of(node).next()?;
    let list = graph.constant(graph.node(node).input(0)?)?;
    if list.dims.len() != 1 {
        return None;
    }
    let list = integers(list).ok()??;
    Some((lookup.index, made.places_in(&list)?))
}

/// The smallest and the largest of a value's integers, where all are known.
fn constants(analysis: &Analysis, value: ValueId) -> Option<(i64, i64)> {
    let integers = analysis.state.integers[value.index()].as_ref()?;
    let known = integers
        .elements
        .iter()
        .map(|element| element.as_ref()?.known());
    let known: Vec<i64> = known.collect::<Option<_>>()?;
    Some((*known.iter().min()?, *known.iter().max()?))
}
