//! In which segment each node runs and each probe measures.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::dimensions::Analysis;
use crate::graph::{NodeId, Producer, ValueId};

/// When a node runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// In this segment.
    In(usize),
    /// In every segment that needs it: it depends on constants only.
    Anywhere,
}

/// Something that is measured on values before a node runs.
#[derive(Clone, Debug)]
pub(crate) struct Probe {
    pub(crate) needs: Vec<ValueId>,
    pub(crate) before: NodeId,
}

/// The nodes and probes of a model in the order in which they run.
#[derive(Debug, Default)]
pub(crate) struct Stages {
    /// By node; none for nodes that no probe needs.
    pub(crate) when: Vec<Option<When>>,
    /// By segment: places of the probes.
    pub(crate) measured: Vec<Vec<usize>>,
    /// By value: the last segment that reads it.
    last_read: HashMap<ValueId, usize>,
}

impl Stages {
    /// The nodes in `cuts` run in a later segment than the probes before them. Every node runs as late as it
    /// can, so that few values wait between segments.
    pub(crate) fn of(analysis: &Analysis, probes: &[Probe], cuts: &HashSet<NodeId>) -> Stages {
        let graph = analysis.graph();
        let mut before: HashMap<NodeId, Vec<usize>> = HashMap::new();
        for (place, probe) in probes.iter().enumerate() {
            before.entry(probe.before).or_default().push(place);
        }
        let fixed = graph.fixed_nodes();
        let mut measured: Vec<Vec<usize>> = Vec::new();
        let mut available: HashMap<ValueId, usize> = HashMap::new();
        for &node in graph.order() {
            if fixed[node.index()] {
                continue;
            }
            let level = |values: &mut dyn Iterator<Item = ValueId>| {
                let levels = values.filter_map(|value| available.get(&value).copied());
                levels.max().unwrap_or(0)
            };
            let connections = graph.node(node);
            let mut run = level(&mut connections.reads());
            for &place in before.get(&node).into_iter().flatten() {
                let at = level(&mut probes[place].needs.iter().copied());
                measured.resize_with(measured.len().max(at + 1), Vec::new);
                measured[at].push(place);
                if cuts.contains(&node) {
                    run = run.max(at + 1);
                }
            }
            for &value in connections.outputs.iter().flatten() {
                available.insert(value, run);
            }
        }
        let mut stages = Stages {
            when: vec![None; graph.node_count()],
            measured,
            last_read: HashMap::new(),
        };
        stages.schedule(analysis, probes, &fixed);
        stages
    }

    /// Gives every node that is needed the last segment in which it may run.
    fn schedule(&mut self, analysis: &Analysis, probes: &[Probe], fixed: &[bool]) {
        let graph = analysis.graph();
        let mut due: HashMap<ValueId, usize> = HashMap::new();
        for (number, places) in self.measured.iter().enumerate() {
            for &value in places.iter().flat_map(|&place| &probes[place].needs) {
                let first = due.entry(value).or_insert(number);
                *first = number.min(*first);
                let last = self.last_read.entry(value).or_insert(number);
                *last = number.max(*last);
            }
        }
        for &node in graph.order().iter().rev() {
            if fixed[node.index()] {
                self.when[node.index()] = Some(When::Anywhere);
                continue;
            }
            let connections = graph.node(node);
            let outputs = connections.outputs.iter().flatten();
            let Some(run) = outputs.filter_map(|value| due.get(value).copied()).min() else {
                continue;
            };
            self.when[node.index()] = Some(When::In(run));
            for value in connections.reads() {
                let first = due.entry(value).or_insert(run);
                *first = run.min(*first);
                let last = self.last_read.entry(value).or_insert(run);
                *last = run.max(*last);
            }
        }
    }

    /// The values that segment `number` hands on to later ones.
    pub(crate) fn front(&self, analysis: &Analysis, number: usize) -> BTreeSet<ValueId> {
        let graph = analysis.graph();
        let later = self.last_read.iter().filter(|(_, last)| **last > number);
        let made = |value: &ValueId| match graph.value(*value).producer {
            Producer::Node(maker, _) => {
                matches!(self.when[maker.index()], Some(When::In(run)) if run <= number)
            }
            _ => false,
        };
        later.map(|(value, _)| *value).filter(made).collect()
    }
}
