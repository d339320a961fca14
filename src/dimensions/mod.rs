//! The prunable dimensions of a model: every operator's rule is run, what is left free is a dimension.
//!
//! An [`Analysis`] is the one place that the floors above ask: which dimensions there are, what they are
//! called, where they occur, what they cost, and for everything else which node holds it and why.

mod attention;
mod blocks;
mod caches;
mod cost;
mod declared;
mod edits;
mod find;
mod holders;
mod kernel_widths;
mod names;
mod polynomial;
mod products;
mod reach;
mod samples;
mod settle;
mod sizes;
mod vocabulary;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::axes::{Kept, Origin, Reason, Type, VarId};
use crate::error::Error;
use crate::graph::{Graph, NodeId, ValueId};
use crate::onnx::ElementType;
use crate::ops::{AttentionPart, Premises, State, Unruled, type_graph};

pub use blocks::Block;
use caches::Cache;
pub(crate) use caches::Filling;
pub use cost::Totals;
pub use holders::Holder;
pub(crate) use kernel_widths::{KernelWidth, kernel_widths};
pub(crate) use polynomial::{CostPolynomial, Expression, Expressions, Meter};
pub use samples::SampleAxes;
pub use sizes::InputSizes;
pub(crate) use vocabulary::Vocabulary;

/// A dimension, by its place in [`Analysis::dimensions`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DimensionId(pub(crate) usize);

/// A place where a dimension occurs: an axis of an initializer or constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Site {
    /// The constant value.
    pub value: ValueId,
    /// The axis, counted from 0.
    pub axis: usize,
}

/// A class of axes (or parts of axes) that must keep the same positions.
#[derive(Clone, Debug)]
pub struct Dimension {
    /// Stable name: the weight of the first node that produces it, or that node's place in the network where an
    /// exporter made the weight's name up; with axis and part where several have the same.
    pub name: String,
    /// The weight that it is named after.
    pub weight: String,
    /// Number of channels.
    pub size: usize,
    /// Where it occurs.
    pub sites: Vec<Site>,
    /// The nodes whose outputs have it because their weight does.
    pub producers: Vec<NodeId>,
    /// The nodes that sum over it.
    pub consumers: Vec<NodeId>,
    /// Where its channels meet (a normalisation over them), if they do: then removing some changes what the others become.
    pub mixing: Option<String>,
    /// Where they meet in a way that a masked twin cannot put right, if they do.
    pub unproven: Option<String>,
    /// Why its positions are alternatives, if they are: shares of a distribution, ranks, steps. They are pruned only where
    /// the settings name them.
    pub alternatives: Option<String>,
    /// True if nothing but contractions, reshapes, additions and uniform scalings touches it.
    pub linear: bool,
    /// Each of this many equal blocks has to keep the same number of channels (grouped convolutions).
    pub blocks: usize,
    /// No fewer channels than this may stay: as many as a node chooses of them.
    pub least: usize,
    /// Parameters in the tensors it occurs in.
    pub params: u64,
    /// Multiply-accumulate operations of the nodes it occurs in.
    pub macs: u64,
    /// What stays has to be a multiple of this many channels: a kernel demands it.
    pub step: usize,
    pub(crate) var: VarId,
    /// What it is in an attention.
    pub(crate) attends: Option<AttentionPart>,
}

impl Dimension {
    /// Of what the channels that stay in a block have to be a multiple.
    pub(crate) fn multiple(&self) -> usize {
        let blocks = self.blocks.max(1);
        let step = self.step.max(1);
        // Steps and blocks have prime factors in common that count once.
        (1..=step)
            .find(|&channels| (channels * blocks).is_multiple_of(step))
            .unwrap_or(step)
    }

    /// The positions of all its channels.
    pub(crate) fn channels(&self) -> Vec<u32> {
        (0..).take(self.size).collect()
    }
}

/// An axis of a weight that cannot be pruned.
#[derive(Clone, Debug)]
pub struct Blocked {
    /// The weight.
    pub initializer: String,
    /// The axis, counted from 0.
    pub axis: usize,
    /// Its size.
    pub size: usize,
    /// The node or value that holds it, and why.
    pub reason: String,
}

/// Everything that is known about a model's axes.
#[derive(Debug)]
pub struct Analysis {
    graph: Graph,
    pub(crate) state: State,
    dimensions: Vec<Dimension>,
    blocked: Vec<Blocked>,
    sizes: InputSizes,
    caches: Vec<Cache>,
    /// Weights in the order in which the graph reads them.
    weights: Vec<ValueId>,
    costs: CostPolynomial,
    blocks: Vec<Block>,
    premises: Premises,
    /// Dimensions that were found and are held now, with the reason.
    held: Vec<(Dimension, &'static str)>,
    /// The last choice that was found to fit, with the graph that it leaves.
    fitting: Mutex<Option<(Kept, Graph)>>,
}

impl Analysis {
    /// Types the axes of `graph` and collects its dimensions. Costs are counted at `sizes`.
    pub fn new(graph: Graph, sizes: InputSizes) -> Analysis {
        Analysis::with(graph, sizes, Premises::default())
    }

    /// As [`Analysis::new`], typed by these premises.
    pub(crate) fn with(graph: Graph, sizes: InputSizes, premises: Premises) -> Analysis {
        let state = type_graph(&graph, &premises);
        let caches = caches::find(&graph, &state, &sizes);
        let sizes = settle::settled(caches::as_lengths(sizes, &caches), &state);
        let sizes = settle::settled(settle::stretched(sizes, &state), &state);
        let mut analysis = Analysis {
            graph,
            state,
            dimensions: Vec::new(),
            blocked: Vec::new(),
            sizes,
            caches,
            weights: Vec::new(),
            costs: CostPolynomial::default(),
            blocks: Vec::new(),
            premises,
            held: Vec::new(),
            fitting: Mutex::default(),
        };
        analysis.weights = analysis.weights_in_order();
        analysis.blocks = blocks::blocks(&analysis);
        analysis.collect();
        analysis
    }

    fn collect(&mut self) {
        self.dimensions = find::dimensions(self);
        self.blocked = find::blocked(self);
        self.costs = CostPolynomial::new(self);
        let whole = self.channels(&self.everything());
        let operations = self.costs.operations_by_dimension(&whole);
        for (dimension, macs) in self.dimensions.iter_mut().zip(operations) {
            dimension.macs = macs;
        }
        let costs = self.costs.of_blocks(&whole);
        for (block, costs) in self.blocks.iter_mut().zip(costs) {
            block.costs = costs;
        }
    }

    /// True if the rank of some value is unknown.
    pub(crate) fn has_unknown_ranks(&self) -> bool {
        let mut values = self.graph.value_ids();
        values.any(|value| self.state.axes(value).is_none())
    }

    /// The sizes of a value of this rank that are known: onnxruntime infers wrong ones behind some operators where they are
    /// not declared.
    pub(crate) fn known_sizes(&self, value: ValueId, rank: usize) -> Vec<Option<i64>> {
        let axes = self.state.axes(value).filter(|axes| axes.len() == rank);
        let known = |axis: &Type| self.state.types.extent(axis).known();
        match axes {
            Some(axes) => axes.iter().map(known).collect(),
            None => vec![None; rank],
        }
    }

    /// What the model was typed by beside its graph.
    pub(crate) fn premises(&self) -> &Premises {
        &self.premises
    }

    /// The graph that was analysed.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// All dimensions, in the order of their first site.
    pub fn dimensions(&self) -> &[Dimension] {
        &self.dimensions
    }

    /// Weight axes that cannot be pruned. Kernel axes are left out.
    pub fn blocked(&self) -> &[Blocked] {
        &self.blocked
    }

    /// Operators that have no rule or whose rule did not apply: operator and reason, with the nodes.
    pub fn unsupported(&self) -> BTreeMap<(String, &'static str), Vec<String>> {
        let mut out: BTreeMap<(String, &'static str), Vec<String>> = BTreeMap::new();
        for &Unruled { node, why } in self.state.unruled() {
            let proto = self.graph.node_proto(node);
            let operator = match proto.domain() {
                "" => proto.op_type().to_owned(),
                domain => format!("{domain}.{}", proto.op_type()),
            };
            let nodes = out.entry((operator, why)).or_default();
            nodes.push(self.graph.describe(node));
        }
        out
    }

    /// Why the model does not run: what of it breaks the standard, where rules have found such; else the fault that there is.
    pub(crate) fn blamed(&self, fault: Error) -> Error {
        let faults = self.state.unfit.clone();
        match fault {
            Error::Runtime { .. } if !faults.is_empty() => Error::Graph {
                step: "the model".to_owned(),
                faults,
            },
            other => other,
        }
    }

    /// Keeps the graph that a choice leaves for who rewrites the model to it.
    pub(crate) fn keep_fitting(&self, kept: Kept, graph: Graph) {
        let mut fitting = self.fitting.lock().unwrap_or_else(PoisonError::into_inner);
        *fitting = Some((kept, graph));
    }

    /// Forgets what fitted before the types were changed.
    fn forget_fitting(&mut self) {
        self.fitting = Mutex::default();
    }

    /// The graph that was kept for a choice, if it was the last.
    pub(crate) fn take_fitting(&self, kept: &Kept) -> Option<Graph> {
        let mut fitting = self.fitting.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |(of, _): &mut (Kept, Graph)| of == kept;
        fitting.take_if(same).map(|(_, graph)| graph)
    }

    /// What the model costs by the channels that stay of each dimension.
    pub(crate) fn costs(&self) -> &CostPolynomial {
        &self.costs
    }

    /// The sizes that dynamic axes of the inputs are taken to have.
    pub fn sizes(&self) -> &InputSizes {
        &self.sizes
    }

    /// The sizes of the inputs for a run of this many samples.
    pub(crate) fn sizes_of_run(&self, samples: usize) -> InputSizes {
        settle::settled(self.sizes.with_samples(samples), &self.state)
    }

    /// Weights with the types of their axes: initializers and Constant nodes that hold no indices, in the order
    /// in which the graph reads them, whatever their places in the file.
    pub(crate) fn weights(&self) -> impl Iterator<Item = (ValueId, &[Type])> {
        let weights = self.weights.iter();
        weights.filter_map(|&id| Some((id, self.state.axes(id)?)))
    }

    /// All constants with the types of their axes: the weights, then those that hold indices or flags.
    pub(crate) fn constants(&self) -> impl Iterator<Item = (ValueId, &[Type])> {
        let held = self.graph.value_ids().filter(|&id| {
            let tensor = self.graph.constant(id);
            let element = tensor.and_then(|tensor| ElementType::of(tensor.data_type()));
            element.is_some_and(ElementType::is_index)
        });
        let held = held.filter_map(|id| Some((id, self.state.axes(id)?)));
        self.weights().chain(held)
    }

    fn weights_in_order(&self) -> Vec<ValueId> {
        let places = names::reading_places(&self.graph);
        let is_weight = |&id: &ValueId| {
            let tensor = self.graph.constant(id);
            let element = tensor.and_then(|tensor| ElementType::of(tensor.data_type()));
            element.is_some_and(|element| !element.is_index())
        };
        let mut weights: Vec<ValueId> = self.graph.value_ids().filter(is_weight).collect();
        weights.sort_by_key(|id| places.get(id).copied().unwrap_or((usize::MAX, 0)));
        weights
    }

    /// Which of the variables in the type of a site's axis a variable is.
    pub(crate) fn part(&self, site: &Site, var: VarId) -> Option<usize> {
        let axes = self.state.axes(site.value)?;
        let vars = self.state.types.vars(axes.get(site.axis)?);
        vars.iter().position(|&own| own == var)
    }

    /// True if some weight has 16 bits, or some of what nodes make.
    pub(crate) fn has_halves(&self) -> bool {
        let halves = [ElementType::Float16, ElementType::Bfloat16];
        let half = |element: &ElementType| halves.contains(element);
        self.state.elements.iter().flatten().any(half)
    }

    pub(crate) fn explain(&self, reason: Reason) -> String {
        let origin = match reason.origin {
            Origin::Node(node) => self.graph.describe(NodeId(node)),
            Origin::Value(value) => format!("'{}'", self.graph.value(ValueId(value)).name),
        };
        format!("{origin} ({})", reason.why)
    }

    /// A choice that keeps everything.
    pub(crate) fn everything(&self) -> Kept {
        self.state.types.everything()
    }

    /// The positions of a dimension that stay, if it loses any.
    pub(crate) fn positions<'a>(&self, kept: &'a Kept, of: &Dimension) -> Option<&'a Arc<[u32]>> {
        self.state.types.positions(kept, of.var)
    }

    pub(crate) fn is_pruned(&self, value: ValueId, kept: &Kept) -> bool {
        let axes = self.state.axes(value).unwrap_or_default();
        axes.iter()
            .any(|axis| self.state.types.is_pruned(axis, kept))
    }
}
