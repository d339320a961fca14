//! In which segment each node runs and each layer is measured.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::dimensions::Analysis;
use crate::graph::{NodeId, Producer, ValueId};
use crate::layers::Layer;
use crate::ops::{Linear, Operand};

/// When a node runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    /// In this segment.
    In(usize),
    /// In every segment that needs it: it depends on constants only.
    Anywhere,
}

/// A place where a layer is measured.
#[derive(Clone, Debug)]
pub(super) struct Measured {
    pub(super) layer: usize,
    pub(super) linear: Linear,
}

/// The nodes and layers of a model in the order in which they run.
#[derive(Debug, Default)]
pub(super) struct Stages {
    /// By node.
    pub(super) when: Vec<Option<When>>,
    /// By segment.
    pub(super) measured: Vec<Vec<Measured>>,
    /// By segment: the layers that have been measured everywhere when it is done.
    pub(super) ready: Vec<Vec<usize>>,
}

impl Stages {
    /// Segments end before the last node of every layer in `layers`; without `cuts` there is only one.
    pub(super) fn of(analysis: &Analysis, layers: &[&Layer], cuts: bool) -> Stages {
        let graph = analysis.graph();
        let place: HashMap<NodeId, usize> = graph.order().iter().copied().zip(0..).collect();
        let mut uses: HashMap<NodeId, Vec<(usize, &Linear)>> = HashMap::new();
        let mut last = HashSet::new();
        for (number, layer) in layers.iter().enumerate() {
            for linear in &layer.uses {
                uses.entry(linear.node).or_default().push((number, linear));
            }
            last.extend(layer.nodes().max_by_key(|node| place[node]));
        }
        let fixed = graph.fixed_nodes();
        let needed = needed_nodes(analysis, layers);
        let mut stages = Stages {
            when: vec![None; graph.node_count()],
            ..Stages::default()
        };
        let mut available: HashMap<ValueId, usize> = HashMap::new();
        let mut level_of: Vec<usize> = vec![0; layers.len()];
        for &node in graph.order() {
            if fixed[node.index()] {
                stages.when[node.index()] = Some(When::Anywhere);
                continue;
            }
            let connections = graph.node(node);
            let inputs = connections.reads();
            let level = inputs.filter_map(|value| available.get(&value)).max();
            let level = level.copied().unwrap_or(0);
            for &(layer, linear) in uses.get(&node).into_iter().flatten() {
                stages
                    .measured
                    .resize_with(stages.measured.len().max(level + 1), Vec::new);
                let linear = linear.clone();
                stages.measured[level].push(Measured { layer, linear });
                level_of[layer] = level_of[layer].max(level);
            }
            let run = level + usize::from(cuts && last.contains(&node));
            if needed.contains(&node) {
                stages.when[node.index()] = Some(When::In(run));
            }
            for &value in connections.outputs.iter().flatten() {
                available.insert(value, run);
            }
        }
        stages.ready = vec![Vec::new(); stages.measured.len()];
        for (layer, level) in level_of.into_iter().enumerate() {
            if let Some(ready) = stages.ready.get_mut(level) {
                ready.push(layer);
            }
        }
        stages
    }

    /// The values that segment `number` hands on to later ones.
    pub(super) fn front(&self, analysis: &Analysis, number: usize) -> BTreeSet<ValueId> {
        let graph = analysis.graph();
        let mut out = BTreeSet::new();
        for &node in graph.order() {
            if !matches!(self.when[node.index()], Some(When::In(run)) if run > number) {
                continue;
            }
            let connections = graph.node(node);
            for value in connections.reads() {
                let made = match graph.value(value).producer {
                    Producer::Node(maker, _) => self.when[maker.index()],
                    _ => None,
                };
                if matches!(made, Some(When::In(run)) if run <= number) {
                    out.insert(value);
                }
            }
        }
        out
    }
}

/// Nodes that some layer's data depends on.
fn needed_nodes(analysis: &Analysis, layers: &[&Layer]) -> HashSet<NodeId> {
    let graph = analysis.graph();
    let mut queue: Vec<ValueId> = Vec::new();
    for linear in layers.iter().flat_map(|layer| &layer.uses) {
        let inputs = &graph.node(linear.node).inputs;
        match linear.data {
            Some(Operand::Input(slot)) => queue.extend(inputs.get(slot).copied().flatten()),
            // What a node makes itself is measured at a copy of it.
            Some(Operand::Output(_)) => queue.extend(inputs.iter().flatten()),
            None => {}
        }
    }
    let mut seen: HashSet<ValueId> = queue.iter().copied().collect();
    let mut needed = HashSet::new();
    while let Some(value) = queue.pop() {
        let Producer::Node(node, _) = graph.value(value).producer else {
            continue;
        };
        needed.insert(node);
        let connections = graph.node(node);
        for input in connections.reads() {
            if seen.insert(input) {
                queue.push(input);
            }
        }
    }
    needed
}
