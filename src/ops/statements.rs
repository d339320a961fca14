//! The verbs with which rules state facts about a node, beside the types of its axes.

use super::facts::{
    Agreement, Attending, AttentionPart, AxisCodes, Bias, BlockCodes, Bound, Clash, Contraction,
    Growth, Implied, Joined, Linear, Lookup, Mirror, Multiple, NodeCost, NumberPlace, Operand,
    Role,
};
use super::numbers::NumbersForm;
use super::typing::Typing;
use crate::axes::{Extent, Type};
use crate::error::Fault;
use crate::graph::{Producer, ValueId};

impl Typing<'_> {
    /// States that the node sums over this axis of this input.
    pub(super) fn contract(&mut self, slot: usize, axis: usize) {
        let node = self.node;
        let zero = self.coded.get(slot).and_then(|own| own.zero);
        let slot = self.at(slot);
        let contraction = Contraction {
            node,
            slot,
            axis,
            zero,
        };
        self.state.contractions.state(contraction);
    }

    /// States that the input at `slot` is multiplied with `data`, axis by axis as `roles` say.
    pub(super) fn linear(&mut self, slot: usize, data: Option<Operand>, roles: Vec<Role>) {
        self.linear_with(slot, data, roles, 1, None);
    }

    /// As [`Typing::linear`], with convolution groups and a bias input.
    pub(super) fn linear_with(
        &mut self,
        slot: usize,
        data: Option<Operand>,
        roles: Vec<Role>,
        groups: usize,
        bias: Option<Bias>,
    ) {
        if self.is_quiet {
            return;
        }
        let node = self.node;
        let own = |operand| match operand {
            Operand::Input(slot) => Operand::Input(self.at(slot)),
            other => other,
        };
        let (data, slot) = (data.map(own), self.at(slot));
        let bias = bias.map(|bias| Bias {
            slot: self.at(bias.slot),
            ..bias
        });
        let scales = ["alpha", "beta"].map(|name| self.real(name, 1.0));
        self.state.linears.state(Linear {
            node,
            slot,
            data,
            roles,
            groups,
            bias,
            scales,
            joined: None,
        });
    }

    /// As [`Typing::linear`], for data that several inputs make together.
    pub(super) fn linear_joined(&mut self, slot: usize, joined: Joined, roles: Vec<Role>) {
        self.state.linears.state(Linear {
            node: self.node,
            slot,
            data: Some(Operand::Joined),
            roles,
            groups: 1,
            bias: None,
            scales: [1.0; 2],
            joined: Some(joined),
        });
    }

    /// States that the node does one multiply-accumulate per element of `produced` x `contracted`.
    pub(super) fn cost(&mut self, mut produced: Vec<Type>, contracted: Vec<Type>) {
        let node = self.node;
        produced.extend(self.state.repeated.iter().cloned());
        self.state.costs.state(NodeCost {
            node,
            produced,
            contracted,
        });
    }

    /// States that an integer attribute equals the kept size of `ty`.
    pub(super) fn mirror_int(&mut self, attribute: &'static str, ty: &Type) {
        let mirror = Mirror {
            node: self.node,
            target: NumberPlace::Int(attribute),
            sizes: vec![Some(ty.clone())],
        };
        self.state.mirrors.state(mirror);
    }

    /// States that elements of a list equal kept sizes.
    pub(super) fn mirror(
        &mut self,
        slot: usize,
        attribute: &'static str,
        sizes: Vec<Option<Type>>,
    ) {
        self.mirror_list(slot, attribute, sizes, None);
    }

    /// As [`Typing::mirror`], for a list that takes the place of another attribute when it is added.
    pub(super) fn mirror_list(
        &mut self,
        slot: usize,
        attribute: &'static str,
        sizes: Vec<Option<Type>>,
        replaces: Option<&'static str>,
    ) {
        let target = NumberPlace::List {
            slot,
            attribute,
            as_input: self.opset() >= 13,
            replaces,
        };
        let node = self.node;
        self.state.mirrors.state(Mirror {
            node,
            target,
            sizes,
        });
    }

    /// States that elements of a list attribute equal kept sizes; where it is left out, all are equal.
    pub(super) fn mirror_attribute(&mut self, attribute: &'static str, sizes: Vec<Option<Type>>) {
        let target = NumberPlace::List {
            slot: usize::MAX,
            attribute,
            as_input: false,
            replaces: None,
        };
        let node = self.node;
        self.state.mirrors.state(Mirror {
            node,
            target,
            sizes,
        });
    }

    /// States that an attribute has this value where it is left out, as long as the size does not change.
    pub(super) fn implied(&mut self, attribute: &'static str, value: f32, size: &Type) {
        self.state.implied.state(Implied {
            node: self.node,
            attribute,
            size: size.clone(),
            value,
        });
    }

    /// States that the kernel takes no size but multiples.
    pub(super) fn multiple(&mut self, size: &Type, of: usize, why: &'static str) {
        self.state.multiples.state(Multiple {
            node: self.node,
            size: size.clone(),
            of,
            why,
        });
    }

    /// States that an axis has a part in an attention.
    pub(super) fn attends(&mut self, part: AttentionPart, axis: &Type) {
        self.attending(part, axis, true);
    }

    /// States that an axis has a part in an attention, if the node is in one.
    pub(super) fn may_attend(&mut self, part: AttentionPart, axis: &Type) {
        self.attending(part, axis, false);
    }

    fn attending(&mut self, part: AttentionPart, axis: &Type, certain: bool) {
        self.state.attending.state(Attending {
            node: self.node,
            part,
            axis: axis.clone(),
            certain,
        });
    }

    /// States that two sizes are equal when the model runs, or one of them 1 where they are broadcast.
    pub(super) fn agree(&mut self, a: &Type, b: &Type, broadcast: bool) {
        let sizes = [self.extent(a), self.extent(b)];
        let known = sizes.iter().all(|size| size.known().is_some());
        if !known && sizes[0] != sizes[1] {
            self.state.agreements.push(Agreement { sizes, broadcast });
        }
    }

    /// States that two axes cannot be joined, where their sizes are known and others.
    pub(super) fn clash(&mut self, a: &Type, b: &Type) {
        let sizes = [self.extent(a), self.extent(b)];
        let known = sizes.iter().all(|size| size.known().is_some());
        if known && sizes[0] != sizes[1] {
            self.state.clashes.push(Clash {
                node: self.node,
                axes: [a.clone(), b.clone()],
            });
        }
    }

    /// States that the values at `slot` select positions of an axis of the first input, which is of type `table`.
    pub(super) fn looks_up(&mut self, slot: usize, axis: usize, table: &Type) {
        if let Some(index) = self.value(slot) {
            self.state.lookups.state(Lookup {
                node: self.node,
                index,
                axis,
            });
        }
        self.positions(slot, table);
    }

    /// States that what has been seen has this size, and what is added to it that of an axis.
    pub(super) fn grows(&mut self, seen: Extent, new: &Type) {
        let new = self.extent(new);
        self.state.grown.push(Growth { seen, new });
    }

    /// States that the values at `slot` are positions of an axis.
    pub(super) fn positions(&mut self, slot: usize, axis: &Type) {
        if let Some(value) = self.value(slot) {
            self.selects(value, axis);
        }
    }

    /// States that the elements of a value are positions of an axis.
    pub(super) fn selects(&mut self, value: ValueId, axis: &Type) {
        if let Some(last) = self.extent(axis).sub(&Extent::ONE) {
            let range = [Extent::Known(0), last];
            self.state.bounds.push(Bound { value, range });
            self.needs_room(value, axis);
        }
    }

    /// States that the values at `slot` count positions of an axis, one at least.
    pub(super) fn lengths(&mut self, slot: usize, axis: &Type) {
        let whole = self.extent(axis);
        self.bounded(slot, Extent::ONE, Some(whole));
    }

    /// States that the values at `slot` lie in a range.
    pub(super) fn bounded(&mut self, slot: usize, min: Extent, max: Option<Extent>) {
        if let (Some(value), Some(max)) = (self.value(slot), max) {
            let range = [min, max];
            self.state.bounds.push(Bound { value, range });
        }
    }

    /// States that an input is codes with a scale, or one for each position of an axis.
    pub(super) fn has_codes(&mut self, codes: AxisCodes) {
        self.state.axis_codes.state(codes);
    }

    /// States what the node computes in terms of numbers.
    pub(super) fn stands_for(&mut self, form: NumbersForm) {
        let node = self.node;
        self.state.numbers_forms.state(NumbersForm { node, ..form });
    }

    /// States that the node makes codes of numbers.
    pub(super) fn rounds(&mut self) {
        self.state.rounds = true;
    }

    /// States that an input or an attribute is not what it has to be by the standard.
    pub(super) fn unfit(&mut self, what: String, is: String, wanted: String) {
        let fault = Fault::Unfit { what, is, wanted };
        if !self.state.unfit.contains(&fault) {
            self.state.unfit.push(fault);
        }
    }

    /// States that an input is codes in blocks.
    pub(super) fn in_blocks(&mut self, codes: BlockCodes) {
        self.state.block_codes.state(codes);
    }

    /// States that the numbers at `slot` are a shape that the data has to fit.
    pub(super) fn shapes(&mut self, slot: usize) {
        let value = self.value(slot);
        let is_input =
            |value: &ValueId| matches!(self.graph.value(*value).producer, Producer::Input(_));
        if let Some(value) = value.filter(is_input) {
            self.state.targets.push((value, self.node));
        }
    }
}
