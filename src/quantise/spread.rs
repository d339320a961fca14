//! From the values that products of codes need rounded to all that are: what operators on codes make of them, and what
//! they are made of.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::KernelTarget;
use crate::dimensions::Analysis;
use crate::graph::{Graph, NodeId, Producer, ValueId};
use crate::onnx::ElementType;
use crate::ops::{Form, Pointwise, find};

/// What a cut that alone reads a value makes of it, where rounding cuts as well; the value itself otherwise.
pub(super) fn behind_cut(graph: &Graph, value: ValueId, target: KernelTarget) -> ValueId {
    let known = graph.value(value);
    let [(reader, 0)] = known.consumers[..] else {
        return value;
    };
    let cuts = find(graph, reader).is_some_and(|row| row.form == Form::Cut);
    match graph.node(reader).output(0) {
        Some(end) if cuts && target.cuts() && !known.is_output && !graph.is_captured(value) => end,
        _ => value,
    }
}

/// True if codes pass a node as they are, with one scale on both sides: a cut lets them through where 0 is a code among
/// others.
fn passes(graph: &Graph, node: NodeId, target: KernelTarget) -> bool {
    find(graph, node).is_some_and(|row| match row.form {
        Form::Through => true,
        Form::Cut => target.is_chained() && !target.cuts(),
        _ => false,
    })
}

/// True if a value is of 32-bit real numbers, as far as is known.
pub(super) fn is_real(analysis: &Analysis, value: ValueId) -> bool {
    let element = analysis.state.elements[value.index()];
    element.is_none_or(|element| element == ElementType::Float)
}

/// The values that products of codes need rounded, and what lies between them.
pub(super) struct Spread<'a> {
    analysis: &'a Analysis,
    target: KernelTarget,
    start: BTreeSet<ValueId>,
}

impl<'a> Spread<'a> {
    /// From the values that `products` of codes read, and that are rounded behind them.
    pub(super) fn from(
        analysis: &'a Analysis,
        start: BTreeSet<ValueId>,
        products: Vec<NodeId>,
        target: KernelTarget,
    ) -> Spread<'a> {
        let mut spread = Spread {
            analysis,
            target,
            start,
        };
        if !target.is_chained() {
            let shortcuts = spread.shortcuts(&products);
            spread.start.extend(shortcuts);
            spread.raise();
        }
        spread
    }

    /// What is added to a convolution that nothing else reads: rounded, the sum goes into its kernel.
    fn shortcuts(&self, products: &[NodeId]) -> Vec<ValueId> {
        let graph = self.analysis.graph();
        let depths = Depths::of(graph, products);
        let sums = graph.order().iter().filter(|&&node| {
            find(graph, node).is_some_and(|row| row.pointwise == Some(Pointwise::Sum))
        });
        let mut found = Vec::new();
        for &sum in sums {
            let operands: Vec<ValueId> = graph.node(sum).reads().collect();
            let [a, b] = operands[..] else {
                continue;
            };
            // Of two convolutions the deeper one takes the other in, which is the shortcut.
            let other = match [a, b].map(|value| depths.of_convolution(graph, value)) {
                [None, None] => continue,
                [of_a, of_b] if of_a > of_b => b,
                _ => a,
            };
            let constant = graph.constant(other).is_some();
            found.extend(Some(other).filter(|value| self.is_free(value) && !constant));
        }
        found
    }

    /// Rounds what rounded values are rearrangements of, where nothing reads that as real numbers.
    fn raise(&mut self) {
        let graph = self.analysis.graph();
        for &node in graph.order().iter().rev() {
            let Some((inputs, _)) = self.between(node) else {
                continue;
            };
            let whole = |&(reader, _): &(NodeId, usize)| {
                let mut outputs = graph.node(reader).outputs.iter().flatten();
                passes(graph, reader, self.target)
                    && outputs.all(|value| self.start.contains(value))
            };
            let of_codes = |value: &ValueId| {
                let known = graph.value(*value);
                self.is_free(value) && known.consumers.iter().all(whole)
            };
            if inputs.iter().all(of_codes) {
                self.start.extend(inputs);
            }
        }
    }

    /// The rounded values of which nothing is read but what a cut leaves.
    pub(super) fn uncut(&self, rounded: &BTreeSet<ValueId>) -> BTreeSet<ValueId> {
        let graph = self.analysis.graph();
        let cut = |&(node, _): &(NodeId, usize)| {
            let output = graph.node(node).output(0);
            find(graph, node).is_some_and(|row| row.form == Form::Cut)
                && output.is_some_and(|output| rounded.contains(&output))
        };
        let values = rounded.iter().copied();
        values
            .filter(|&value| graph.value(value).consumers.iter().all(cut))
            .collect()
    }

    /// All values that are rounded: the start, and what operators on codes make of rounded values for rounded values.
    pub(super) fn rounded(&self) -> BTreeSet<ValueId> {
        let graph = self.analysis.graph();
        let nodes: Vec<(Vec<ValueId>, Vec<ValueId>)> = graph
            .order()
            .iter()
            .filter_map(|&node| self.between(node))
            .collect();
        let mut fed = self.start.clone();
        for (inputs, outputs) in &nodes {
            if inputs.iter().all(|value| fed.contains(value)) {
                fed.extend(outputs);
            }
        }
        let mut wanted = self.start.clone();
        for (inputs, outputs) in nodes.iter().rev() {
            let whole = inputs.iter().all(|value| fed.contains(value));
            if whole && outputs.iter().any(|value| wanted.contains(value)) {
                wanted.extend(inputs);
                wanted.extend(outputs);
            }
        }
        wanted
    }

    /// The real inputs of a node that passes codes on, and what is rounded behind it.
    fn between(&self, node: NodeId) -> Option<(Vec<ValueId>, Vec<ValueId>)> {
        let graph = self.analysis.graph();
        let known = graph.node(node);
        let through = passes(graph, node, self.target);
        let rescaled = find(graph, node)?.form == Form::Rescaled && self.target.is_chained();
        let inputs: Vec<ValueId> = match (through, rescaled) {
            (true, _) => known.input(0).into_iter().collect(),
            (false, true) => known.reads().collect(),
            (false, false) => return None,
        };
        let outputs = known.outputs.iter().flatten().copied();
        let outputs: Vec<ValueId> = match through {
            true => outputs.collect(),
            false => outputs
                .map(|value| behind_cut(graph, value, self.target))
                .collect(),
        };
        let constant = |value: &ValueId| graph.constant(*value).is_some();
        let free = |value: &ValueId| self.is_free(value);
        let usable = outputs.iter().all(free) && !inputs.iter().any(constant);
        usable.then_some((inputs, outputs))
    }

    /// True if a value may be rounded wherever it is read.
    fn is_free(&self, value: &ValueId) -> bool {
        let graph = self.analysis.graph();
        let known = graph.value(*value);
        let real = is_real(self.analysis, *value);
        real && !known.is_output && !graph.is_captured(*value)
    }
}

/// How many convolutions of codes lie before values.
struct Depths {
    convolutions: BTreeSet<NodeId>,
    before: HashMap<ValueId, usize>,
}

impl Depths {
    fn of(graph: &Graph, products: &[NodeId]) -> Depths {
        let chained =
            |node: &NodeId| find(graph, *node).is_some_and(|row| row.form == Form::Chained);
        let convolutions: BTreeSet<NodeId> = products.iter().copied().filter(chained).collect();
        let mut before: HashMap<ValueId, usize> = HashMap::new();
        for &node in graph.order() {
            let known = graph.node(node);
            let read = known.reads().filter_map(|value| before.get(&value));
            let depth = read.max().map_or(0, |&depth| depth);
            let depth = depth + usize::from(convolutions.contains(&node));
            before.extend(known.outputs.iter().flatten().map(|&value| (value, depth)));
        }
        Depths {
            convolutions,
            before,
        }
    }

    /// The depth of what a convolution makes for one reader; none for other values.
    fn of_convolution(&self, graph: &Graph, value: ValueId) -> Option<usize> {
        let known = graph.value(value);
        match known.producer {
            Producer::Node(node, _) if self.convolutions.contains(&node) => {
                let seen = known.is_output || graph.is_captured(value);
                let alone = known.consumers.len() == 1 && !seen;
                self.before.get(&value).copied().filter(|_| alone)
            }
            _ => None,
        }
    }
}

/// Numbers for rounded values, the same where codes pass from one to the other.
pub(super) fn classes(
    graph: &Graph,
    rounded: BTreeSet<ValueId>,
    target: KernelTarget,
) -> BTreeMap<ValueId, usize> {
    let mut class: BTreeMap<ValueId, usize> = BTreeMap::new();
    let mut next = 0;
    for &value in graph_order(graph, &rounded).iter() {
        let from = match graph.value(value).producer {
            Producer::Node(node, _) => {
                let through = passes(graph, node, target);
                let input = graph.node(node).input(0).filter(|_| through);
                input.and_then(|input| class.get(&input).copied())
            }
            _ => None,
        };
        let own = from.unwrap_or_else(|| {
            next += 1;
            next - 1
        });
        class.insert(value, own);
    }
    class
}

/// Values in the order in which they are made.
fn graph_order(graph: &Graph, values: &BTreeSet<ValueId>) -> Vec<ValueId> {
    let made = graph
        .order()
        .iter()
        .flat_map(|&node| &graph.node(node).outputs);
    let made: Vec<ValueId> = made
        .flatten()
        .copied()
        .filter(|v| values.contains(v))
        .collect();
    let known: BTreeSet<ValueId> = made.iter().copied().collect();
    let given = values
        .iter()
        .copied()
        .filter(|value| !known.contains(value));
    given.chain(made).collect()
}
