//! Inputs that choose which body runs, and how often: they are drawn such that every body does, as far as numbers of inputs decide.

use std::collections::{BTreeSet, HashMap, HashSet};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::allowed::{Allowed, allowed};
use crate::dimensions::{Analysis, InputSizes};
use crate::graph::{Producer, ValueId};
use crate::onnx::{ElementType, integers};

/// Numbers that are tried for one input at most.
const MOST: usize = 8;
/// Elements of a constant that an input may be compared with.
const COMPARED: usize = 4;
/// Draws after which what is chosen comes again, at most.
const PERIOD: u64 = 16;
/// How often bodies run: once, so often that what is carried on is read and carried again, and never.
const RUNS: [i64; 4] = [1, 3, 2, 0];

/// What is put into an input; the elements that are not set are drawn as they are anyway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Setting {
    All(i64),
    First(i64),
}

impl Setting {
    pub(super) fn number(self) -> i64 {
        match self {
            Setting::All(number) | Setting::First(number) => number,
        }
    }

    /// Whether it is of the element at this place.
    pub(super) fn is_at(self, place: usize) -> bool {
        match self {
            Setting::All(_) => true,
            Setting::First(_) => place == 0,
        }
    }
}

/// An input that a condition or a number of runs depends on, and what is tried of it.
#[derive(Debug)]
struct Switch<'a> {
    input: &'a str,
    numbers: Vec<i64>,
    settings: Vec<Setting>,
}

/// The inputs of integers and flags that choose, and how they are drawn together.
#[derive(Debug)]
pub(crate) struct Switches<'a>(Vec<Switch<'a>>);

impl<'a> Switches<'a> {
    /// Those of a model. Tried are the numbers that inputs are compared with and the ones behind these, as far as all that
    /// reads an input allows them, in all of its elements and in the first alone.
    pub(crate) fn of(analysis: &'a Analysis) -> Switches<'a> {
        let mut found: Vec<Switch> = Vec::new();
        for &condition in &analysis.state.conditions {
            let (inputs, constants) = cone(analysis, condition, false);
            let compared = constants.iter();
            let tried = compared.flat_map(|&number| [number, number.saturating_add(1)]);
            note(analysis, &mut found, &inputs, tried.collect());
        }
        for &count in &analysis.state.runs {
            let (inputs, constants) = cone(analysis, count, true);
            let tried = RUNS.into_iter().chain(constants).collect();
            note(analysis, &mut found, &inputs, tried);
        }
        let sizes = analysis.sizes();
        let allowed = allowed(analysis, sizes);
        for switch in &mut found {
            let fits = |number: &i64| is_allowed(&allowed, switch.input, *number);
            switch.numbers.retain(fits);
            let all = switch.numbers.iter().map(|&number| Setting::All(number));
            let first = switch.numbers.iter().map(|&number| Setting::First(number));
            switch.settings = match is_single(analysis, switch.input, sizes) {
                true => all.collect(),
                false => all.chain(first).collect(),
            };
        }
        found.retain(|switch| !switch.settings.is_empty());
        Switches(found)
    }

    /// The draws after which what is chosen comes again: all combinations where these are few, else each setting of each
    /// input, and combinations by chance.
    pub(crate) fn period(&self) -> u64 {
        self.combinations()
            .map_or(PERIOD, |count| count.min(PERIOD))
    }

    fn combinations(&self) -> Option<u64> {
        let counts = self.0.iter().map(|switch| switch.settings.len() as u64);
        counts.into_iter().try_fold(1, u64::checked_mul)
    }

    /// What is put into all of them at a draw, in words.
    pub(crate) fn told(&self, seed: u64) -> String {
        let told = self.0.iter().filter_map(|switch| {
            let number = self.setting(switch.input, seed)?.number();
            Some(format!("'{}' = {number}", switch.input))
        });
        told.collect::<Vec<_>>().join(", ")
    }

    /// What is put into this input at a draw; none where it chooses nothing.
    pub(super) fn setting(&self, input: &str, seed: u64) -> Option<Setting> {
        let place = self.0.iter().position(|switch| switch.input == input)?;
        let settings = &self.0[place].settings;
        let count = settings.len() as u64;
        let draw = seed % self.period();
        let longest = self.0.iter().map(|switch| switch.settings.len()).max()?;
        let digit = if self.combinations().is_some_and(|all| all <= PERIOD) {
            let before = self.0[..place].iter();
            let unit: u64 = before.map(|switch| switch.settings.len() as u64).product();
            draw / unit % count
        } else if draw < longest as u64 {
            draw % count
        } else {
            let seed = draw * self.0.len() as u64 + place as u64;
            ChaCha8Rng::seed_from_u64(seed).random_range(0..count)
        };
        settings.get(digit as usize).copied()
    }
}

fn is_allowed(allowed: &HashMap<&str, Allowed>, input: &str, number: i64) -> bool {
    allowed.get(input).is_none_or(|allowed| allowed.has(number))
}

/// Whether an input is a single number.
fn is_single(analysis: &Analysis, input: &str, sizes: &InputSizes) -> bool {
    let value = analysis.graph().find(input);
    let axes = value.and_then(|value| analysis.state.axes(value));
    axes.is_some_and(|axes| {
        let mut sizes = axes.iter().map(|axis| {
            let extent = analysis.state.types.extent(axis);
            analysis.number_at(&extent, sizes)
        });
        sizes.all(|size| size == 1)
    })
}

/// Adds numbers that are to be tried of inputs; flags are on and off.
fn note<'a>(
    analysis: &'a Analysis,
    found: &mut Vec<Switch<'a>>,
    inputs: &[ValueId],
    numbers: Vec<i64>,
) {
    let graph = analysis.graph();
    for &input in inputs {
        let name = graph.value(input).name.as_str();
        let flags = graph.element(input) == Some(ElementType::Bool);
        let tried: &[i64] = if flags { &[0, 1] } else { &numbers };
        let known = found.iter().position(|known| known.input == name);
        let known = known.unwrap_or_else(|| {
            found.push(Switch {
                input: name,
                numbers: Vec::new(),
                settings: Vec::new(),
            });
            found.len() - 1
        });
        let numbers = &mut found[known].numbers;
        for &number in tried {
            if !numbers.contains(&number) && numbers.len() < MOST {
                numbers.push(number);
            }
        }
    }
}

/// The inputs of integers and flags that a value depends on, sizes apart, and the integers that take part; through integers and
/// flags alone where `whole`.
fn cone(analysis: &Analysis, value: ValueId, whole: bool) -> (Vec<ValueId>, BTreeSet<i64>) {
    let graph = analysis.graph();
    let (mut inputs, mut constants) = (Vec::new(), BTreeSet::new());
    let mut seen = HashSet::new();
    let mut queue = vec![value];
    while let Some(value) = queue.pop() {
        if !seen.insert(value) {
            continue;
        }
        if let Some(tensor) = graph.constant(value) {
            let numbers = integers(tensor).ok().flatten().unwrap_or_default();
            if numbers.len() <= COMPARED {
                constants.extend(numbers);
            }
            continue;
        }
        let element = analysis.state.elements[value.index()];
        let counts = element.is_some_and(|element| element.is_index());
        match graph.value(value).producer {
            Producer::Input(_) if counts => inputs.push(value),
            _ if whole && !counts => {}
            // Sizes are no matter of the numbers that inputs hold.
            Producer::Node(node, _) if analysis.state.integers[value.index()].is_none() => {
                queue.extend(graph.node(node).inputs.iter().flatten());
            }
            // What a node with a body reads at a place the body has at the same.
            Producer::BodyInput(place) => {
                let owner = graph.value(value).body.map(|body| graph.owner(body));
                queue.extend(owner.and_then(|owner| graph.node(owner).input(place)));
            }
            _ => {}
        }
    }
    (inputs, constants)
}
