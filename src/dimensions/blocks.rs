//! Residual branches: what is added to what it reads, so that it can be left out whole.
//!
//! Found by the graph and its types alone. In `y = x + f(x)` the branch f is every node between x and the other operand.
//! It can go if nothing else reads what it makes, and if both operands have one shape, so that x can stand for y. What
//! else enters it cannot depend on x, or it would lie between.

use std::collections::{HashMap, HashSet};

use super::names::Scopes;
use super::{Analysis, Totals};
use crate::axes::Kept;
use crate::graph::{NodeId, Producer, ValueId};
use crate::ops::find;

/// Blocks at most: no net is as deep.
const MOST_BLOCKS: usize = 1024;
/// Constants of a block that may name it.
const NAMING: usize = 16;
/// Values that are looked at for all sums together, so that no graph takes long.
const MOST_STEPS: usize = 1 << 20;

/// A residual branch with the sum that it ends in.
#[derive(Clone, Debug)]
pub struct Block {
    /// Stable name: that of its first layer, named as dimensions are; of several that begin with the same the outer ones
    /// have the name of their last layer as well.
    pub name: String,
    /// What it reads, and is added to.
    pub reads: ValueId,
    /// The node that adds.
    pub sum: NodeId,
    /// What the sum makes.
    pub makes: ValueId,
    /// The nodes between, in graph order.
    pub nodes: Vec<NodeId>,
    /// What goes with it where it is dropped alone: parameters, operations, bytes and nodes.
    pub costs: Totals,
}

impl Analysis {
    /// The residual branches that can be dropped, in the order of their sums, so that inner ones come before those around
    /// them.
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// What stands in the place of a value where blocks are dropped: what the block that made it reads.
    pub(crate) fn stand_in(&self, value: ValueId, kept: &Kept) -> ValueId {
        let dropped = kept.dropped().iter().rev();
        let dropped = dropped.filter_map(|&place| self.blocks.get(place));
        // A block reads what an earlier one makes.
        dropped.fold(value, |value, block| match block.makes == value {
            true => block.reads,
            false => value,
        })
    }

    /// The blocks that are dropped.
    pub(crate) fn dropped_blocks<'a>(&'a self, kept: &'a Kept) -> impl Iterator<Item = &'a Block> {
        let dropped = kept.dropped().iter();
        dropped.filter_map(|&place| self.blocks.get(place))
    }

    /// Gives blocks the names that they have in `original`, where they make a value of the same name there.
    pub(super) fn name_blocks_as(&mut self, original: &Analysis) {
        let known = original.blocks.iter().map(|block| {
            let made = &original.graph.value(block.makes).name;
            (made.as_str(), block.name.as_str())
        });
        let known: HashMap<&str, &str> = known.collect();
        let mut taken: HashSet<String> = known.values().map(|&name| name.to_owned()).collect();
        for block in &mut self.blocks {
            let made = &self.graph.value(block.makes).name;
            match known.get(made.as_str()) {
                Some(&name) => block.name = name.to_owned(),
                None => block.name = unique(std::mem::take(&mut block.name), &mut taken),
            }
        }
    }
}

/// The residual branches of a typed graph, without costs.
pub(super) fn blocks(analysis: &Analysis) -> Vec<Block> {
    let graph = analysis.graph();
    let mut places = vec![0; graph.node_count()];
    for (place, node) in (1..).zip(graph.order()) {
        places[node.index()] = place;
    }
    let mut finder = Finder {
        analysis,
        places,
        fixed: graph.fixed_nodes(),
        steps: 0,
    };
    let mut found = Vec::new();
    for &sum in graph.order() {
        if found.len() >= MOST_BLOCKS || finder.steps >= MOST_STEPS {
            break;
        }
        found.extend(finder.at(sum));
    }
    name(&finder, &mut found);
    found
}

struct Finder<'a> {
    analysis: &'a Analysis,
    /// By node its place in the order of the graph, from 1.
    places: Vec<usize>,
    fixed: Vec<bool>,
    /// Values looked at so far.
    steps: usize,
}

impl Finder<'_> {
    /// The branch that a node adds to what the branch reads.
    fn at(&mut self, sum: NodeId) -> Option<Block> {
        let graph = self.analysis.graph();
        if !find(graph, sum).is_some_and(|row| row.adds) {
            return None;
        }
        let [Some(one), Some(other)] = graph.node(sum).inputs[..] else {
            return None;
        };
        let makes = graph.node(sum).output(0)?;
        let alike = self.is_alike(one, makes) && self.is_alike(other, makes);
        let real = self.analysis.state.elements[makes.index()]?.is_float();
        if !alike || !real {
            return None;
        }
        let mut sides = [(one, other), (other, one)].into_iter();
        let (reads, nodes) = sides.find_map(|(x, z)| Some((x, self.between(x, z, sum)?)))?;
        Some(Block {
            name: String::new(),
            reads,
            sum,
            makes,
            nodes,
            costs: Totals::default(),
        })
    }

    /// Whether two values have one shape and element type.
    fn is_alike(&self, one: ValueId, other: ValueId) -> bool {
        let state = &self.analysis.state;
        let (Some(own), Some(others)) = (state.axes(one), state.axes(other)) else {
            return false;
        };
        let same = |(a, b)| state.types.extent(a) == state.types.extent(b);
        own.len() == others.len()
            && own.iter().zip(others).all(same)
            && state.elements[one.index()] == state.elements[other.index()]
    }

    /// The nodes between `x` and `z`, which `sum` adds to it, in graph order; none where they are no branch.
    fn between(&mut self, x: ValueId, z: ValueId, sum: NodeId) -> Option<Vec<NodeId>> {
        let graph = self.analysis.graph();
        if graph.is_fixed(x, &self.fixed) {
            return None;
        }
        let mut before = self.makers_behind(z, self.place(x));
        before.sort_by_key(|node| self.places[node.index()]);
        let mut branch = HashSet::new();
        for &node in &before {
            let of_branch = |value| match maker(self.analysis, value) {
                Some(maker) => branch.contains(&maker),
                None => false,
            };
            let mut reads = graph.node(node).reads();
            // Sizes of x are those of the sum as well, whoever reads them.
            let reads_x = graph.node(node).reads().any(|value| value == x);
            if reads.any(of_branch) || (reads_x && !self.makes_sizes(node)) {
                branch.insert(node);
            }
        }
        before.retain(|node| branch.contains(node));
        let ends_in_z = maker(self.analysis, z).is_some_and(|last| branch.contains(&last));
        let alone = |&node: &NodeId| {
            let mut made = graph.node(node).outputs.iter().flatten();
            let inside = |next: NodeId| next == sum || branch.contains(&next);
            made.all(|&value| !graph.value(value).is_output) && graph.successors(node).all(inside)
        };
        let layered = || before.iter().any(|&node| self.layer(node).is_some());
        (ends_in_z && before.iter().all(alone) && layered()).then_some(before)
    }

    /// Whether all that a node makes follows from sizes.
    fn makes_sizes(&self, node: NodeId) -> bool {
        let made = &self.analysis.graph().node(node).outputs;
        let known = |value: &ValueId| self.analysis.state.integers[value.index()].is_some();
        made.iter().flatten().all(known)
    }

    /// The place of the node that makes a value; 0 for inputs of the graph.
    fn place(&self, value: ValueId) -> usize {
        maker(self.analysis, value).map_or(0, |node| self.places[node.index()])
    }

    /// The nodes that a value depends on and that come after a place in the order of the graph.
    fn makers_behind(&mut self, value: ValueId, place: usize) -> Vec<NodeId> {
        let mut seen = HashSet::new();
        let mut values = vec![value];
        while let Some(value) = values.pop() {
            self.steps += 1;
            let Some(node) = maker(self.analysis, value) else {
                continue;
            };
            if self.places[node.index()] > place && self.steps < MOST_STEPS && seen.insert(node) {
                values.extend(self.analysis.graph().node(node).reads());
            }
        }
        seen.into_iter().collect()
    }

    /// The weight of a block's first layer, or of its last, and the first constants that are read there and behind, or
    /// before, each with its reader.
    fn constants(&self, block: &Block, last: bool) -> Vec<(ValueId, Option<NodeId>)> {
        let graph = self.analysis.graph();
        let mut nodes = block.nodes.clone();
        if last {
            nodes.reverse();
        }
        let first = nodes.iter().position(|&node| self.layer(node).is_some());
        let nodes = nodes.split_off(first.unwrap_or(0));
        let weight = nodes.first().and_then(|&node| self.layer(node));
        let weight = weight.into_iter().map(|weight| (weight, nodes[0]));
        let read = nodes.iter().flat_map(|&node| {
            let reads = graph.node(node).reads();
            reads.map(move |value| (value, node))
        });
        let constants = read.filter(|&(value, _)| graph.constant(value).is_some());
        let all = weight.chain(constants.take(NAMING));
        all.map(|(value, node)| (value, Some(node))).collect()
    }

    /// The weight that a node multiplies data with.
    fn layer(&self, node: NodeId) -> Option<ValueId> {
        let graph = self.analysis.graph();
        let fixed = |value: ValueId| graph.is_fixed(value, &self.fixed);
        let mut linears = self.analysis.state.linears_of(node);
        linears.find_map(|linear| {
            let weight = graph.node(node).input(linear.slot);
            weight.filter(|&weight| fixed(weight))
        })
    }
}

fn maker(analysis: &Analysis, value: ValueId) -> Option<NodeId> {
    match analysis.graph().value(value).producer {
        Producer::Node(node, _) => Some(node),
        _ => None,
    }
}

/// Names blocks after their first layers.
fn name(finder: &Finder, blocks: &mut [Block]) {
    let scopes = Scopes::of(finder.analysis);
    let mut taken = HashSet::new();
    for block in blocks {
        let mut name = scopes.base(&finder.constants(block, false));
        if taken.contains(&name) {
            let last = scopes.base(&finder.constants(block, true));
            name = format!("{name}..{last}");
        }
        block.name = unique(name, &mut taken);
    }
}

/// A name that nothing has.
fn unique(mut name: String, taken: &mut HashSet<String>) -> String {
    while !taken.insert(name.clone()) {
        name.push('\'');
    }
    name
}
