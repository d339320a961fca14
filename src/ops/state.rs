//! What typing a graph yields: the types of all values and the facts that rules state beside them.

use crate::axes::{Symbols, Type, Types};
use crate::graph::{NodeId, ValueId};
use crate::onnx::ElementType;

use super::integers::Integers;

/// A node sums over this axis of this input: where a pruned channel is read, and where the twin masks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Contraction {
    pub(crate) node: NodeId,
    pub(crate) slot: usize,
    pub(crate) axis: usize,
}

/// A product of sizes that adds to a node's multiply-accumulate operations.
#[derive(Clone, Debug)]
pub(crate) struct Cost {
    pub(crate) node: NodeId,
    /// Sizes of the output: what the node produces.
    pub(crate) produced: Vec<Type>,
    /// Sizes that are summed over: what the node reads.
    pub(crate) contracted: Vec<Type>,
}

/// Where a number stands that has to equal a kept size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// An integer attribute.
    Int(&'static str),
    /// A list: the input at `slot`, or the attribute where the operator version has it there. A list that
    /// the node leaves out is added when it is needed, as input if `as_input`; it then replaces `replaces`.
    List {
        slot: usize,
        attribute: &'static str,
        as_input: bool,
        replaces: Option<&'static str>,
    },
}

/// Numbers of a node that have to equal kept sizes.
#[derive(Clone, Debug)]
pub(crate) struct Mirror {
    pub(crate) node: NodeId,
    pub(crate) target: Target,
    /// By element; `None` for elements that adapt by themselves.
    pub(crate) sizes: Vec<Option<Type>>,
}

/// Types and facts of a whole graph.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) types: Types,
    pub(crate) symbols: Symbols,
    /// By value: the types of its axes, where its rank is known.
    pub(crate) axes: Vec<Option<Vec<Type>>>,
    /// By value: its integers, where they can be computed from sizes.
    pub(crate) integers: Vec<Option<Integers>>,
    /// By value: its element type, where it can be told.
    pub(crate) elements: Vec<Option<ElementType>>,
    pub(crate) contractions: Vec<Contraction>,
    pub(crate) costs: Vec<Cost>,
    pub(crate) mirrors: Vec<Mirror>,
    /// Nodes whose operator has no rule or whose rule did not apply, with the reason.
    pub(crate) unsupported: Vec<(NodeId, &'static str)>,
    /// Index values and the type of the axis they select from.
    pub(crate) lookups: Vec<(ValueId, Type)>,
}

impl State {
    /// The types of a value's axes; none where the rank is unknown.
    pub(crate) fn axes(&self, value: ValueId) -> Option<&[Type]> {
        self.axes[value.index()].as_deref()
    }
}
