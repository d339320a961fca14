//! Inputs that choose which body runs: they are drawn such that every body does.

use std::collections::{BTreeSet, HashSet};

use crate::dimensions::Analysis;
use crate::graph::{Producer, ValueId};
use crate::onnx::{ElementType, integers};

/// Numbers that are tried for one input at most.
const MOST: usize = 8;
/// Elements of a constant that an input may be compared with.
const COMPARED: usize = 4;

/// An input that a condition depends on, and what is to be tried for it.
pub(crate) struct Switch<'a> {
    pub(crate) input: &'a str,
    pub(crate) numbers: Vec<i64>,
}

/// The inputs of integers and flags that conditions depend on. Tried are the numbers that they are compared with and the ones
/// behind these.
pub(crate) fn switches(analysis: &Analysis) -> Vec<Switch<'_>> {
    let graph = analysis.graph();
    let mut switches: Vec<Switch> = Vec::new();
    for &condition in &analysis.state.conditions {
        let (inputs, constants) = cone(analysis, condition);
        for input in inputs {
            let name = graph.value(input).name.as_str();
            let flags = graph.element(input) == Some(ElementType::Bool);
            let tried = match flags {
                true => BTreeSet::from([0, 1]),
                false => (constants.iter())
                    .flat_map(|&number| [number, number.saturating_add(1)])
                    .collect(),
            };
            let known = switches.iter().position(|known| known.input == name);
            let known = known.unwrap_or_else(|| {
                switches.push(Switch {
                    input: name,
                    numbers: Vec::new(),
                });
                switches.len() - 1
            });
            let numbers = &mut switches[known].numbers;
            for number in tried {
                if !numbers.contains(&number) && numbers.len() < MOST {
                    numbers.push(number);
                }
            }
        }
    }
    switches.retain(|switch| !switch.numbers.is_empty());
    switches
}

/// The inputs of integers and flags that a value depends on, sizes apart, and the integers that take part.
fn cone(analysis: &Analysis, value: ValueId) -> (Vec<ValueId>, BTreeSet<i64>) {
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
        let whole = element.is_some_and(|element| element.is_index());
        match graph.value(value).producer {
            Producer::Input(_) if whole => inputs.push(value),
            // Sizes are no matter of the numbers that inputs hold.
            Producer::Node(node, _) if analysis.state.integers[value.index()].is_none() => {
                queue.extend(graph.node(node).inputs.iter().flatten());
            }
            _ => {}
        }
    }
    (inputs, constants)
}
