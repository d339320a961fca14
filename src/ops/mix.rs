//! How channels influence each other, and so what a twin has to put right where some of them count for nothing.

use super::facts::Fact;
use super::typing::Typing;
use crate::axes::Type;
use crate::graph::NodeId;

/// What a node makes of the channels along some axes of an input.
#[derive(Clone, Debug)]
pub(crate) enum Mix {
    /// A sum of them or of what grows from 0: one that is 0 does not count.
    Sum,
    /// Their product: one that is 1 does not count.
    Product,
    /// Their largest: the lowest number does not count.
    Largest,
    /// Powers of them, as a sum or as shares of it: minus infinity does not count.
    Powers,
    /// Their smallest: the highest number does not count.
    Smallest,
    /// Their mean, as the first output.
    Mean,
    /// The channels divided by the root of their mean square, taken over all these axes together.
    Normalised {
        /// Whether the mean is taken off first.
        centred: bool,
        /// The input that the result is multiplied with.
        scale: Option<usize>,
        /// Parts of the first of the axes that are normalised each for themselves.
        groups: Option<Type>,
    },
}

/// Channels that meet in a node.
#[derive(Clone, Debug)]
pub(crate) struct MixFact {
    pub(crate) node: NodeId,
    pub(crate) slot: usize,
    /// The axes of the input, each with the type of what meets along it: of a grouped axis the part inside a group.
    pub(crate) axes: Vec<(usize, Type)>,
    pub(crate) mix: Mix,
}

impl Fact for MixFact {
    fn node(&self) -> NodeId {
        self.node
    }
}

impl Typing<'_> {
    /// States that the channels along axes of the input at `slot`, which are of type `x`, meet in this node.
    pub(super) fn mixes(
        &mut self,
        slot: usize,
        x: &[Type],
        axes: &[usize],
        mix: Mix,
        why: &'static str,
    ) {
        let axes = axes.iter().map(|&axis| (axis, x[axis].clone())).collect();
        self.mixes_parts(slot, axes, mix, why);
    }

    /// States that the positions along axes of the input at `slot`, which meet in this node, are alternatives.
    pub(super) fn ranks(
        &mut self,
        slot: usize,
        x: &[Type],
        axes: &[usize],
        mix: Mix,
        why: &'static str,
    ) {
        let reason = self.reason(why);
        for &axis in axes {
            self.state.types.alternatives(&x[axis], reason);
        }
        self.mixes(slot, x, axes, mix, why);
    }

    /// As [`Typing::mixes`], of axes with the types of what meets along them.
    pub(super) fn mixes_parts(
        &mut self,
        slot: usize,
        axes: Vec<(usize, Type)>,
        mix: Mix,
        why: &'static str,
    ) {
        let reason = self.reason(why);
        // What is scaled must be a real number.
        let scaled = matches!(mix, Mix::Mean | Mix::Normalised { .. });
        let whole = self.element(slot).is_some_and(|of| !of.is_float());
        for (_, ty) in &axes {
            self.state.types.mixing(ty, reason);
            self.state.types.nonlinear(ty, reason);
            if scaled && whole {
                self.state.types.unproven(ty, reason);
            }
        }
        let node = self.node;
        self.state.mixes.state(MixFact {
            node,
            slot,
            axes,
            mix,
        });
    }
}
