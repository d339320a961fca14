//! Where two models part: the values from which an output is computed by nodes that no rewrite touched.

use std::collections::{HashMap, HashSet};

use crate::axes::Kept;
use crate::dimensions::Analysis;
use crate::graph::{NodeId, Producer, ValueId};

/// Values by output at most: the nearest ones.
const MOST: usize = 32;

/// By output of the model what enters it.
pub(super) struct Entries(HashMap<String, Entering>);

/// What enters an output.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Entering {
    /// Values of real numbers that lose no positions and that touched nodes make; nodes behind them are the same
    /// in both models. Empty where a touched node makes the output itself.
    pub(super) values: Vec<String>,
    /// Whether the output depends on anything that is pruned.
    pub(super) depends: bool,
}

impl Entries {
    pub(super) fn of(analysis: &Analysis, kept: &Kept) -> Entries {
        let graph = analysis.graph();
        let outputs = graph.value_ids().filter(|&id| graph.value(id).is_output);
        let entries = outputs.map(|id| {
            let entering = entering(analysis, kept, id);
            (graph.value(id).name.clone(), entering)
        });
        Entries(entries.collect())
    }

    /// What enters an output; nothing is known of an output that the analysed model does not have.
    pub(super) fn of_output(&self, output: &str) -> Entering {
        self.0.get(output).cloned().unwrap_or_default()
    }
}

fn entering(analysis: &Analysis, kept: &Kept, output: ValueId) -> Entering {
    let graph = analysis.graph();
    let mut found = Entering::default();
    let mut seen = HashSet::from([output]);
    let mut front = vec![output];
    while !front.is_empty() {
        let mut next = Vec::new();
        for value in front {
            let Producer::Node(node, _) = graph.value(value).producer else {
                continue;
            };
            let stand_in = analysis.stand_in(value, kept);
            if stand_in != value {
                // Without the branch the sum is what it reads, and nodes behind are the same.
                found.depends = true;
                let named = comparable(analysis, kept, stand_in) && found.values.len() < MOST;
                if named {
                    found.values.push(graph.value(stand_in).name.clone());
                }
                continue;
            }
            if touched(analysis, kept, node) {
                found.depends = true;
                if value != output && comparable(analysis, kept, value) && found.values.len() < MOST
                {
                    found.values.push(graph.value(value).name.clone());
                }
                continue;
            }
            next.extend(graph.node(node).reads().filter(|&read| seen.insert(read)));
        }
        front = next;
    }
    found
}

/// Whether a rewrite or a mask changes what a node reads.
fn touched(analysis: &Analysis, kept: &Kept, node: NodeId) -> bool {
    let mut reads = analysis.graph().node(node).reads();
    reads.any(|value| analysis.is_pruned(value, kept))
}

/// Whether a value is the same in both models: no sizes, which may follow what was pruned.
fn comparable(analysis: &Analysis, kept: &Kept, value: ValueId) -> bool {
    let state = &analysis.state;
    let float = state.elements[value.index()].is_some_and(|element| element.is_float());
    let known = state.axes(value).is_some();
    float && known && state.integers[value.index()].is_none() && !analysis.is_pruned(value, kept)
}
