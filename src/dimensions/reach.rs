//! What of a graph is left where blocks are dropped.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::Analysis;
use crate::graph::{Producer, ValueId};

/// Which nodes the outputs of a graph need, by the blocks that are dropped.
#[derive(Debug, Default)]
pub(super) struct Reach {
    /// By node the nodes that make what it reads.
    sources: Vec<Vec<usize>>,
    /// By node how often others read what it makes.
    uses: Vec<usize>,
    /// What outputs need, and what nothing needed before either: that is not ours to judge.
    roots: Vec<usize>,
    /// By block.
    joints: Vec<Joint>,
    /// Nodes of bodies, each with the node of the graph itself that it runs in.
    inner: Vec<(usize, usize)>,
}

/// Where a block joins what it is added to.
#[derive(Debug)]
struct Joint {
    sum: usize,
    /// Who makes what the block reads, and the last of its nodes.
    before: Option<usize>,
    last: Option<usize>,
    /// Whether a node has to stand in the place of the sum, because its value is known outside the graph's nodes.
    stays: bool,
}

impl Reach {
    pub(super) fn of(analysis: &Analysis) -> Reach {
        let graph = analysis.graph();
        let maker = |value: ValueId| match graph.value(value).producer {
            Producer::Node(node, _) => Some(node.index()),
            _ => None,
        };
        let mut sources = vec![Vec::new(); graph.node_count()];
        for &node in graph.order() {
            sources[node.index()] = graph.node(node).reads().filter_map(maker).collect();
        }
        let inner = (graph.order_with_bodies().into_iter())
            .filter(|&node| graph.body_of(node).is_some())
            .map(|node| (node.index(), graph.outermost(node).index()));
        let live = graph.live_nodes();
        let outputs = graph.value_ids().filter(|&id| graph.value(id).is_output);
        let dead = (0..live.len()).filter(|&node| !live[node]);
        let joints = analysis.blocks().iter().map(|block| Joint {
            sum: block.sum.index(),
            before: maker(block.reads),
            last: block.nodes.last().map(|node| node.index()),
            stays: graph.value(block.makes).is_output || graph.is_captured(block.makes),
        });
        let mut uses = vec![0; sources.len()];
        let read = sources.iter().flatten();
        read.for_each(|&source: &usize| uses[source] += 1);
        Reach {
            sources,
            uses,
            roots: outputs.filter_map(maker).chain(dead).collect(),
            joints: joints.collect(),
            inner: inner.collect(),
        }
    }

    /// By block the nodes that go where it is dropped alone.
    pub(super) fn gone_alone(&self) -> impl Iterator<Item = HashSet<usize>> {
        let roots: HashSet<usize> = self.roots.iter().copied().collect();
        self.joints.iter().map(move |joint| {
            let mut gone: HashSet<usize> =
                (!joint.stays).then_some(joint.sum).into_iter().collect();
            let mut lost: HashMap<usize, usize> = HashMap::new();
            let mut unread: Vec<usize> = joint.last.into_iter().collect();
            while let Some(node) = unread.pop() {
                let lost = lost.entry(node).or_default();
                *lost += 1;
                if *lost == self.uses[node] && !roots.contains(&node) && gone.insert(node) {
                    unread.extend(&self.sources[node]);
                }
            }
            gone
        })
    }

    /// By node whether it is left.
    pub(super) fn left(&self, dropped: &BTreeSet<usize>) -> Vec<bool> {
        let mut left = vec![dropped.is_empty(); self.sources.len()];
        if dropped.is_empty() {
            return left;
        }
        let joints = || dropped.iter().filter_map(|&block| self.joints.get(block));
        let mut before: Vec<Option<Option<usize>>> = vec![None; self.sources.len()];
        joints().for_each(|joint| before[joint.sum] = Some(joint.before));
        let mut nodes = self.roots.clone();
        while let Some(node) = nodes.pop() {
            if std::mem::replace(&mut left[node], true) {
                continue;
            }
            match before[node] {
                Some(before) => nodes.extend(before),
                None => nodes.extend(&self.sources[node]),
            }
        }
        joints()
            .filter(|joint| !joint.stays)
            .for_each(|joint| left[joint.sum] = false);
        for &(node, outermost) in &self.inner {
            left[node] = left[outermost];
        }
        left
    }
}

impl Analysis {
    /// By node whether it is left where blocks are dropped.
    pub(crate) fn nodes_left(&self, dropped: &BTreeSet<usize>) -> Vec<bool> {
        self.costs.nodes_left(dropped)
    }

    /// Whether a node that is left reads a value, or the graph gives it out.
    pub(crate) fn is_left(&self, value: ValueId, nodes_left: &[bool]) -> bool {
        let known = self.graph.value(value);
        let mut readers = known.consumers.iter();
        known.is_output
            || self.graph.is_captured(value)
            || known.consumers.is_empty()
            || readers.any(|(node, _)| nodes_left[node.index()])
    }
}
