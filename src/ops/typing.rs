//! The verbs in which rules speak.

use std::collections::HashSet;

use crate::axes::{Extent, Reason, Type};
use crate::graph::{Attributes, Graph, NodeId, ValueId};
use crate::onnx::ElementType;
use crate::onnx::proto::NodeProto;

use super::state::State;

/// Why a rule does not apply to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unsupported(pub(crate) &'static str);

pub(crate) type Ruling<T = ()> = Result<T, Unsupported>;

/// Axes that the longest list of sizes is taken to have.
const MAX_RANK: usize = 64;

/// One node while its rule runs. Slots are input positions; axes are given from the front.
pub(crate) struct Typing<'a> {
    pub(super) graph: &'a Graph,
    pub(super) state: &'a mut State,
    pub(super) node: NodeId,
    /// The input slots that the rule has asked for.
    pub(super) asked: HashSet<usize>,
    /// Where the inputs of the rule stand that runs, where it is that of an operator on numbers and the node's is on codes.
    pub(super) coded: Vec<CodedSlot>,
    /// Whether linear maps are not stated.
    pub(super) is_quiet: bool,
}

/// Where an input of an operator on numbers stands among those of one on codes.
#[derive(Clone, Copy, Debug)]
pub(super) struct CodedSlot {
    pub(super) codes: usize,
    /// The inputs that are scales and zero points, where there are such.
    pub(super) scale: Option<usize>,
    pub(super) zero: Option<usize>,
    /// The axis that may have one of them for each position; from the back where it is negative.
    pub(super) axis: Option<i64>,
}

impl CodedSlot {
    /// An input that is numbers.
    pub(super) const fn numbers(slot: usize) -> CodedSlot {
        CodedSlot {
            codes: slot,
            scale: None,
            zero: None,
            axis: None,
        }
    }

    /// Codes with their scale and zero point behind them.
    pub(super) const fn codes(slot: usize) -> CodedSlot {
        CodedSlot {
            codes: slot,
            scale: Some(slot + 1),
            zero: Some(slot + 2),
            axis: None,
        }
    }

    /// With a scale for each position of an axis.
    pub(super) const fn along(self, axis: i64) -> CodedSlot {
        CodedSlot {
            axis: Some(axis),
            ..self
        }
    }
}

impl Typing<'_> {
    pub(super) fn proto(&self) -> &NodeProto {
        self.graph.node_proto(self.node)
    }

    pub(super) fn opset(&self) -> i64 {
        self.graph.model().opset()
    }

    pub(super) fn reason(&self, why: &'static str) -> Reason {
        Reason {
            origin: self.state.origin_of(self.node),
            why,
        }
    }

    /// The input of the node that a slot of the rule is.
    pub(super) fn at(&self, slot: usize) -> usize {
        match self.coded.is_empty() {
            true => slot,
            false => self.coded.get(slot).map_or(usize::MAX, |own| own.codes),
        }
    }

    /// The value at an input slot, if it is connected.
    pub(super) fn value(&self, slot: usize) -> Option<ValueId> {
        self.graph.node(self.node).input(self.at(slot))
    }

    pub(super) fn input_count(&self) -> usize {
        match self.coded.len() {
            0 => self.graph.node(self.node).inputs.len(),
            count => count,
        }
    }

    pub(super) fn output_count(&self) -> usize {
        self.graph.node(self.node).outputs.len()
    }

    /// True if somebody may read the output.
    pub(super) fn has_output(&self, slot: usize) -> bool {
        let outputs = &self.graph.node(self.node).outputs;
        let used = |value: ValueId| {
            let known = self.graph.value(value);
            known.is_output || self.graph.is_captured(value) || !known.consumers.is_empty()
        };
        outputs.get(slot).copied().flatten().is_some_and(used)
    }

    /// The types of a required input's axes.
    pub(super) fn input(&mut self, slot: usize) -> Ruling<Vec<Type>> {
        let found = self.optional(slot)?;
        found.ok_or(Unsupported("a required input is missing"))
    }

    /// The types of an optional input's axes.
    pub(super) fn optional(&mut self, slot: usize) -> Ruling<Option<Vec<Type>>> {
        let Some(value) = self.value(slot) else {
            return Ok(None);
        };
        self.asked.insert(self.at(slot));
        match self.state.axes(value) {
            Some(axes) => Ok(Some(axes.to_vec())),
            None => Err(Unsupported("the rank of an input is unknown")),
        }
    }

    /// The axes of an input, pinned; none where it is left out or its rank is unknown.
    pub(super) fn held(&mut self, slot: usize, why: &'static str) -> Option<Vec<Type>> {
        let value = self.value(slot)?;
        self.asked.insert(self.at(slot));
        let axes = self.state.axes(value)?.to_vec();
        self.pin_all(&axes, why);
        Some(axes)
    }

    /// Pins the axes of all inputs.
    pub(super) fn hold_inputs(&mut self, why: &'static str) -> Vec<Option<Vec<Type>>> {
        let slots = 0..self.input_count();
        slots.map(|slot| self.held(slot, why)).collect()
    }

    /// The element type of an input, where it can be told.
    pub(super) fn element(&self, slot: usize) -> Option<ElementType> {
        self.state.elements[self.value(slot)?.index()]
    }

    /// An input of which only numbers matter: its axes stay as they are.
    pub(super) fn integers(&mut self, slot: usize) -> Option<Vec<Option<Extent>>> {
        let value = self.value(slot)?;
        self.asked.insert(self.at(slot));
        // Numbers that are no integers are steps on the way to sizes.
        self.element(slot)
            .filter(|element| element.is_float())
            .is_none()
            .then_some(())?;
        Some(self.state.integers[value.index()].clone()?.elements)
    }

    /// The numbers of a list, each where it can be computed; its length has to be known.
    pub(super) fn list(&mut self, slot: usize) -> Option<Vec<Option<Extent>>> {
        if let Some(elements) = self.integers(slot) {
            return Some(elements);
        }
        let [axis] = self.state.axes(self.value(slot)?)? else {
            return None;
        };
        let count = self.extent(axis).size().filter(|&n| n <= MAX_RANK)?;
        Some(vec![None; count])
    }

    /// Pins all axes of `x`; the output has as many, of sizes that cannot be computed.
    pub(super) fn hold_like(&mut self, x: &[Type], why: &'static str) {
        self.pin_all(x, why);
        let axes = 0..x.len();
        let out = axes.map(|axis| self.unknown(0, axis, why)).collect();
        self.output(0, out);
    }

    /// The numbers of an input or, in older operator versions, of an attribute; all must be known.
    pub(super) fn constants(&mut self, slot: usize, attribute: &str) -> Ruling<Option<Vec<i64>>> {
        if let Some(list) = self.proto().ints(attribute) {
            return Ok(Some(list.to_vec()));
        }
        if self.value(slot).is_none() {
            return Ok(None);
        }
        let known = |e: Option<Extent>| e.and_then(|e| e.known());
        let list = self.integers(slot).into_iter().flatten().map(known);
        let list: Option<Vec<i64>> = list.collect();
        match list {
            Some(list) if !list.is_empty() || self.is_empty(slot) => Ok(Some(list)),
            _ => Err(Unsupported("an argument is computed at run time")),
        }
    }

    fn is_empty(&self, slot: usize) -> bool {
        let value = self.value(slot);
        let integers = value.and_then(|value| self.state.integers[value.index()].as_ref());
        integers.is_some_and(|integers| integers.elements.is_empty())
    }

    /// Whether an input is a constant.
    pub(super) fn is_constant(&self, slot: usize) -> bool {
        self.value(slot)
            .is_some_and(|value| self.graph.constant(value).is_some())
    }

    pub(super) fn int(&self, name: &str, default: i64) -> i64 {
        self.proto().int(name).unwrap_or(default)
    }

    pub(super) fn ints(&self, name: &str) -> Option<Vec<i64>> {
        self.proto().ints(name).map(<[i64]>::to_vec)
    }

    pub(super) fn string(&self, name: &str, default: &'static str) -> String {
        self.proto().string(name).unwrap_or(default).to_owned()
    }

    pub(super) fn extent(&self, ty: &Type) -> Extent {
        self.state.types.extent(ty)
    }

    pub(super) fn extents(&self, types: &[Type]) -> Vec<Extent> {
        types.iter().map(|ty| self.extent(ty)).collect()
    }

    /// A size that must be known.
    pub(super) fn size(&self, ty: &Type) -> Ruling<usize> {
        let size = self.extent(ty).size();
        size.ok_or(Unsupported("a size that must be known is dynamic"))
    }

    pub(super) fn is_one(&self, ty: &Type) -> bool {
        self.extent(ty).is_one()
    }

    pub(super) fn unify(&mut self, a: &Type, b: &Type) {
        self.agree(a, b, false);
        let reason = self.reason("joins axes");
        self.state.types.unify(a, b, reason);
    }

    pub(super) fn split(&mut self, ty: &Type, sizes: &[Extent]) -> Vec<Type> {
        let reason = self.reason("cuts through it");
        self.state.types.split(ty, sizes, reason)
    }

    pub(super) fn factor(&mut self, ty: &Type, sizes: &[Extent]) -> Vec<Type> {
        let reason = self.reason("regroups it");
        self.state.types.factor(ty, sizes, reason)
    }

    pub(super) fn pin(&mut self, ty: &Type, why: &'static str) {
        let reason = self.reason(why);
        self.state.types.pin(ty, reason);
    }

    pub(super) fn pin_all(&mut self, types: &[Type], why: &'static str) {
        for ty in types {
            self.pin(ty, why);
        }
    }

    pub(super) fn nonlinear(&mut self, ty: &Type, why: &'static str) {
        let reason = self.reason(why);
        self.state.types.nonlinear(ty, reason);
    }

    pub(super) fn balance(&mut self, ty: &Type, blocks: usize) {
        let reason = self.reason("needs groups of equal size");
        self.state.types.balance(ty, blocks, reason);
    }

    pub(super) fn keep_least(&mut self, ty: &Type, least: usize, why: &'static str) {
        let reason = self.reason(why);
        self.state.types.keep_least(ty, least, reason);
    }

    pub(super) fn fixed(&mut self, extent: Extent, why: &'static str) -> Type {
        let reason = self.reason(why);
        self.state.types.fixed(extent, reason)
    }

    pub(super) fn fresh(&mut self, extent: Extent) -> Type {
        match extent {
            Extent::Known(2..) => self.state.types.fresh(extent),
            _ => self.fixed(extent, "has a dynamic size"),
        }
    }

    /// An axis with these parts one after another. One of more parts than any model has is held: joined with itself
    /// again and again, it would outgrow all memory.
    pub(super) fn sum(&mut self, parts: Vec<Type>) -> Type {
        const MOST_PARTS: usize = 512;
        let sum = Type::Sum(parts);
        if self.state.types.has_fewer_parts(&sum, MOST_PARTS) {
            return self.state.types.normal(&sum);
        }
        let why = "is joined of too many parts";
        self.pin(&sum, why);
        let extent = self.extent(&sum);
        self.fixed(extent, why)
    }

    /// A pinned axis of a size that cannot be computed: a symbol of its own.
    pub(super) fn unknown(&mut self, slot: usize, axis: usize, why: &'static str) -> Type {
        let name = format!("{}:{slot}.{axis}", self.graph.describe(self.node));
        let name = self.state.symbol_name(&name);
        let extent = self.state.symbols.named(&name);
        self.fixed(extent, why)
    }

    /// A pinned axis of a size, or of one that cannot be computed, which is called after a slot and an axis.
    pub(super) fn sized(
        &mut self,
        (slot, axis): (usize, usize),
        size: Option<Extent>,
        why: &'static str,
    ) -> Type {
        match size {
            Some(size) => self.fixed(size, why),
            None => self.unknown(slot, axis, why),
        }
    }

    /// Sets the types of an output's axes.
    pub(super) fn output(&mut self, slot: usize, axes: Vec<Type>) {
        let outputs = &self.graph.node(self.node).outputs;
        if let Some(value) = outputs.get(slot).copied().flatten() {
            self.state.axes[value.index()] = Some(axes);
        }
    }
}

/// An axis number that may count from the back.
pub(super) fn axis_of(axis: i64, rank: usize) -> Ruling<usize> {
    let wrapped = if axis < 0 { axis + rank as i64 } else { axis };
    match usize::try_from(wrapped) {
        Ok(axis) if axis < rank => Ok(axis),
        _ => Err(Unsupported("an axis lies outside the tensor")),
    }
}
