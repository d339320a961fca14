//! What rules state beside types, found by node.

use std::collections::HashMap;

use crate::axes::{Extent, Type};
use crate::graph::{NodeId, ValueId};

/// A node sums over this axis of this input: where a pruned channel is read, and where the twin masks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Contraction {
    pub(crate) node: NodeId,
    pub(crate) slot: usize,
    pub(crate) axis: usize,
    /// The input that stands for 0, where the numbers are codes.
    pub(crate) zero: Option<usize>,
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
pub(crate) struct NodeCost {
    pub(crate) node: NodeId,
    /// Sizes of the output: what the node produces.
    pub(crate) produced: Vec<Type>,
    /// Sizes that are summed over: what the node reads.
    pub(crate) contracted: Vec<Type>,
}

/// Where a number stands that has to equal a kept size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NumberPlace {
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
    pub(crate) target: NumberPlace,
    /// By element; `None` for elements that adapt by themselves.
    pub(crate) sizes: Vec<Option<Type>>,
}

/// A real attribute that a node leaves out and that then follows from a size: it is written out where the size changes.
#[derive(Clone, Debug)]
pub(crate) struct Implied {
    pub(crate) node: NodeId,
    pub(crate) attribute: &'static str,
    /// What it follows from.
    pub(crate) size: Type,
    /// What it is at the size that there was.
    pub(crate) value: f32,
}

/// The kernel of a node takes an axis only where its size is a multiple.
#[derive(Clone, Debug)]
pub(crate) struct Multiple {
    pub(crate) node: NodeId,
    pub(crate) size: Type,
    pub(crate) of: usize,
    /// The same in words.
    pub(crate) why: &'static str,
}

/// What an axis is in an attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum AttentionPart {
    /// Parts that attend each for itself.
    Heads,
    /// What a head reads or makes.
    HeadWidth,
}

/// An axis has a part in an attention.
#[derive(Clone, Debug)]
pub(crate) struct Attending {
    pub(crate) node: NodeId,
    pub(crate) part: AttentionPart,
    pub(crate) axis: Type,
    /// False where the node may multiply anything: an attention it is if heads and width are factors of one axis, and the
    /// node multiplies data with data.
    pub(crate) certain: bool,
}

/// Integers that a node reads lie in a range: positions of an axis, lengths along one, arguments.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Bound {
    pub(crate) value: ValueId,
    /// The smallest and the largest number that is allowed.
    pub(crate) range: [Extent; 2],
}

/// Between which sizes integers lie: the smallest and the largest number, or what is below and above them.
pub(crate) type Span = [Extent; 2];

/// Two sizes, of which at least one is dynamic, that are equal whenever the model runs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Agreement {
    pub(crate) sizes: [Extent; 2],
    /// A size of 1 fits as well.
    pub(crate) broadcast: bool,
}

/// What an operator has seen, and what it adds to that.
#[derive(Clone, Debug)]
pub(crate) struct Growth {
    pub(crate) seen: Extent,
    pub(crate) new: Extent,
}

/// Values of an input select positions of an axis.
#[derive(Clone, Debug)]
pub(crate) struct Lookup {
    pub(crate) node: NodeId,
    /// What selects.
    pub(crate) index: ValueId,
    /// The axis of the first input that it selects positions of.
    pub(crate) axis: usize,
}

/// Numbers that come from inputs of the graph and constants, unchanged, pick positions of an axis: where it loses some, they are
/// renumbered.
#[derive(Clone, Debug)]
pub(crate) struct Picked {
    pub(crate) node: NodeId,
    /// The input that picks.
    pub(crate) slot: usize,
    pub(crate) index: ValueId,
    /// The inputs of the graph and constants that they come from.
    pub(crate) sources: Vec<ValueId>,
    /// The axis that is picked from.
    pub(crate) table: Type,
}

/// An input of a node is codes with one scale for each block of numbers along an axis: `(code - zero) * scale`.
#[derive(Clone, Debug)]
pub(crate) struct BlockCodes {
    pub(crate) node: NodeId,
    /// Where the codes are, and bits of one where several stand in a byte, the low ones first.
    pub(crate) codes: (usize, Option<usize>),
    pub(crate) scales: usize,
    pub(crate) zeros: ZeroCodes,
    /// Types of the axes of the numbers.
    pub(crate) axes: Vec<Type>,
    /// The axis that is cut into blocks, and numbers of a block.
    pub(crate) block: (usize, usize),
    /// True where the node sums over that axis.
    pub(crate) summed: bool,
}

/// An input of a node is codes with one scale, or one for each position of axes: `(code - zero) * scale`.
#[derive(Clone, Debug)]
pub(crate) struct AxisCodes {
    pub(crate) node: NodeId,
    pub(crate) codes: usize,
    pub(crate) scale: Option<usize>,
    pub(crate) zero: Option<usize>,
    /// The axes of the codes along which scales and zero points differ, where they do.
    pub(crate) axes: Vec<usize>,
}

/// The codes that stand for 0.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ZeroCodes {
    /// The same one everywhere.
    Always(f32),
    /// One for each scale, at this input.
    At(usize),
    /// As many to a byte as codes, at this input; rows of this many scales start in bytes of their own.
    Packed(usize, usize),
    /// The same, and the bytes lose their codes one by one: the types of their axes say nothing of blocks.
    Repacked(usize, usize),
}

impl BlockCodes {
    /// The inputs that the numbers are made of beside the codes.
    pub(crate) fn partners(&self) -> impl Iterator<Item = usize> {
        let zeros = match self.zeros {
            ZeroCodes::Always(_) => None,
            ZeroCodes::At(slot) | ZeroCodes::Packed(slot, _) | ZeroCodes::Repacked(slot, _) => {
                Some(slot)
            }
        };
        std::iter::once(self.scales).chain(zeros)
    }
}

/// The rule of a node did not apply, or there is none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unruled {
    pub(crate) node: NodeId,
    pub(crate) why: &'static str,
}

/// Something that a rule states about a node.
pub(crate) trait Fact {
    fn node(&self) -> NodeId;
}

macro_rules! facts {
    ($($fact:ty),*) => {
        $(impl Fact for $fact {
            fn node(&self) -> NodeId {
                self.node
            }
        })*
    };
}

facts!(
    Attending,
    AxisCodes,
    BlockCodes,
    Contraction,
    Implied,
    Linear,
    Lookup,
    Mirror,
    Multiple,
    NodeCost,
    Picked,
    Unruled
);

/// Facts of one kind in the order in which they were stated.
#[derive(Clone, Debug)]
pub(crate) struct Facts<T> {
    all: Vec<T>,
    by_node: HashMap<NodeId, Vec<usize>>,
}

impl<T> Default for Facts<T> {
    fn default() -> Facts<T> {
        Facts {
            all: Vec::new(),
            by_node: HashMap::new(),
        }
    }
}

impl<T: Fact> Facts<T> {
    pub(super) fn state(&mut self, fact: T) {
        let places = self.by_node.entry(fact.node()).or_default();
        places.push(self.all.len());
        self.all.push(fact);
    }

    /// Forgets facts: as if a rule were wrong.
    #[cfg(test)]
    pub(super) fn forget(&mut self, wrong: impl Fn(&T) -> bool) {
        let left: Vec<T> = self.all.drain(..).filter(|fact| !wrong(fact)).collect();
        self.by_node.clear();
        left.into_iter().for_each(|fact| self.state(fact));
    }

    pub(crate) fn all(&self) -> &[T] {
        &self.all
    }

    pub(crate) fn of(&self, node: NodeId) -> impl Iterator<Item = &T> {
        let places = self.by_node.get(&node).map_or(&[][..], Vec::as_slice);
        places.iter().map(|&place| &self.all[place])
    }
}
