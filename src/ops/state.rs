//! What typing a graph yields: the types of all values and the facts that rules state beside them.

use crate::axes::{Extent, Symbols, Type, Types};
use crate::graph::{NodeId, ValueId};
use crate::onnx::ElementType;

use super::shapes::Integers;

/// A node sums over this axis of this input: where a pruned channel is read, and where the twin masks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Contraction {
    pub(crate) node: NodeId,
    pub(crate) slot: usize,
    pub(crate) axis: usize,
}

/// What an axis of a weight is in a linear map `Y = W X`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Rows of W: what is produced, at this axis of the output where it is one.
    Row(Option<usize>),
    /// Columns of W that are summed over together with this axis of the data: the reduction axis.
    Reduction(usize),
    /// Columns of W: places in a window that slides over the data's axes from 2 on, as the node's
    /// attributes say (strides, pads, dilations).
    Kernel,
    /// Every position has a matrix of its own, on its own part of the data along this axis if it has one.
    Batch(Option<usize>),
}

/// A value at a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operand {
    Input(usize),
    Output(usize),
    /// What the other inputs make together: see [`Linear::joined`].
    Joined,
}

/// Several inputs of a node as one value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Joined {
    pub(crate) slots: Vec<usize>,
    /// The equation of the Einsum that makes one of them.
    pub(crate) equation: String,
    /// Types of its axes.
    pub(crate) axes: Vec<Type>,
}

/// An input that is added to the rows of every batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bias {
    pub(crate) slot: usize,
    /// Its last axis falls into this many equal parts, of which this one belongs to the weight.
    pub(crate) parts: usize,
    pub(crate) part: usize,
}

impl Bias {
    /// All of an input.
    pub(crate) const fn whole(slot: usize) -> Bias {
        Bias {
            slot,
            parts: 1,
            part: 0,
        }
    }

    /// The place of a row in the input's elements, where each batch has this many rows.
    pub(crate) fn place(self, batch: usize, row: usize, rows: usize) -> usize {
        (batch * self.parts + self.part) * rows + row
    }
}

/// A node multiplies the input at `slot` with its data: the input is a weight if it is a constant.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Linear {
    pub(crate) node: NodeId,
    pub(crate) slot: usize,
    /// What the weight is multiplied with; none where that is no single value.
    pub(crate) data: Option<Operand>,
    /// By axis of the weight.
    pub(crate) roles: Vec<Role>,
    /// Axis 0 of the weight falls into this many equal blocks, each on its own block of the data's axis 1.
    pub(crate) groups: usize,
    /// Where a vector is added to the rows, if the operator has such an input.
    pub(crate) bias: Option<Bias>,
    /// Factors of the product and of the bias.
    pub(crate) scales: [f32; 2],
    /// What [`Operand::Joined`] is.
    pub(crate) joined: Option<Joined>,
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

/// Integers that a node reads lie in a range: positions of an axis, lengths along one, arguments.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Bound {
    pub(crate) value: ValueId,
    /// The smallest and the largest number that is allowed.
    pub(crate) range: [Extent; 2],
}

/// Two sizes, of which at least one is dynamic, that are equal whenever the model runs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Agreement {
    pub(crate) sizes: [Extent; 2],
    /// A size of 1 fits as well.
    pub(crate) broadcast: bool,
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
    pub(crate) linears: Vec<Linear>,
    pub(crate) costs: Vec<Cost>,
    pub(crate) mirrors: Vec<Mirror>,
    /// Nodes whose operator has no rule or whose rule did not apply, with the reason.
    pub(crate) unsupported: Vec<(NodeId, &'static str)>,
    /// Index values and the type of the axis they select from.
    pub(crate) lookups: Vec<(ValueId, Type)>,
    pub(crate) bounds: Vec<Bound>,
    /// Inputs of the graph that are the target shape of a node.
    pub(crate) targets: Vec<(ValueId, NodeId)>,
    pub(crate) agreements: Vec<Agreement>,
}

impl State {
    /// The types of a value's axes; none where the rank is unknown.
    pub(crate) fn axes(&self, value: ValueId) -> Option<&[Type]> {
        self.axes[value.index()].as_deref()
    }
}
