//! What typing a graph yields: the types of all values and the facts that rules state beside them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use crate::axes::{Extent, Origin, Symbols, Type, Types, VarId};
use crate::error::Fault;
use crate::graph::{BodyId, CalledGraph, NodeId, ValueId};
use crate::onnx::ElementType;

use super::facts::{
    Agreement, Attending, AxisCodes, BlockCodes, Bound, Clash, Contraction, Facts, Growth, Implied,
    Linear, Lookup, Mirror, Multiple, NodeCost, Picked, Span, Unruled,
};
use super::mix::MixFact;
use super::numbers::NumbersForm;
use super::premises::GroupCut;
use super::shapes::Integers;

/// Types and facts of a whole graph.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    pub(crate) types: Types,
    pub(crate) symbols: Symbols,
    /// By value: the types of its axes, where its rank is known.
    pub(crate) axes: Vec<Option<Vec<Type>>>,
    /// By value: its integers, where they can be computed from sizes.
    pub(crate) integers: Vec<Option<Integers>>,
    /// By value: its element type, where it can be told.
    pub(crate) elements: Vec<Option<ElementType>>,
    pub(super) contractions: Facts<Contraction>,
    pub(super) mixes: Facts<MixFact>,
    /// Values whose integers are positions of an axis.
    pub(super) pointers: HashMap<ValueId, Type>,
    /// Nodes that select from the same axis by such a value.
    pub(super) followed: HashSet<(NodeId, ValueId)>,
    pub(super) linears: Facts<Linear>,
    pub(super) costs: Facts<NodeCost>,
    pub(super) mirrors: Facts<Mirror>,
    pub(super) implied: Facts<Implied>,
    pub(super) multiples: Facts<Multiple>,
    pub(super) attending: Facts<Attending>,
    pub(super) unruled: Facts<Unruled>,
    pub(super) lookups: Facts<Lookup>,
    /// Where ids pick rows that may go.
    pub(super) picked: Facts<Picked>,
    pub(super) block_codes: Facts<BlockCodes>,
    pub(super) axis_codes: Facts<AxisCodes>,
    pub(super) numbers_forms: Facts<NumbersForm>,
    /// By variable of what number its size has to be a multiple, where it is of one.
    pub(crate) steps: BTreeMap<VarId, usize>,
    pub(crate) bounds: Vec<Bound>,
    /// By value: between which sizes its integers lie, where rules tell.
    pub(super) spans: HashMap<ValueId, Span>,
    /// How many positions an axis has behind the last one that is selected there: no model runs with fewer than none.
    pub(crate) rooms: Vec<Extent>,
    /// Inputs of the graph that are the target shape of a node.
    pub(crate) targets: Vec<(ValueId, NodeId)>,
    pub(crate) agreements: Vec<Agreement>,
    /// Where axes are joined that cannot be.
    pub(crate) clashes: Vec<Clash>,
    /// Lengths of caches that operators add to, where shapes do not show it.
    pub(crate) grown: Vec<Growth>,
    /// Nodes that were typed by what their operator does in terms of others, in graph order.
    pub(crate) bodied: Vec<NodeId>,
    /// Bodies that were made, for nodes that are alike.
    pub(super) made: MadeBodies,
    /// The nodes that were typed, those of bodies before the one that runs them, else in graph order.
    pub(crate) typed: Vec<NodeId>,
    /// Nodes of which the bodies were typed with the graph around them.
    pub(crate) opened: HashSet<NodeId>,
    /// Values that choose which body runs.
    pub(crate) conditions: Vec<ValueId>,
    /// Values that say how often a body runs: numbers of runs, and whether there is another.
    pub(crate) runs: Vec<ValueId>,
    /// Bodies that never run: what chooses is known.
    pub(crate) idle: HashSet<BodyId>,
    /// Loops around what is being typed.
    pub(super) loops: usize,
    /// How often what is being typed runs, where a node runs its body again and again.
    pub(super) repeated: Vec<Type>,
    /// Inputs and attributes that no model has so by the standard.
    pub(crate) unfit: Vec<Fault>,
    /// Whether some node makes codes of numbers when the model runs: the smallest difference is then now and then a step.
    pub(crate) rounds: bool,
    /// What of grouped convolutions may go.
    pub(super) groups: GroupCut,
    /// Whether rows may go that inputs of the graph pick by number.
    pub(super) vocabulary: bool,
    /// The node whose body this is, where it is one.
    pub(super) inside: Option<Inside>,
}

/// Bodies as graphs, by what they are made of.
pub(super) type MadeBodies = HashMap<Vec<u8>, Arc<CalledGraph>>;

/// A node that is being typed by its body.
#[derive(Clone, Debug)]
pub(super) struct Inside {
    pub(super) node: NodeId,
    /// What symbols of the body are called after.
    pub(super) name: String,
    /// Bodies around it, and itself.
    pub(super) depth: usize,
}

impl State {
    /// The types of a value's axes; none where the rank is unknown.
    pub(crate) fn axes(&self, value: ValueId) -> Option<&[Type]> {
        self.axes[value.index()].as_deref()
    }

    /// Who speaks where the rule of a node does: inside a body the node that the body is of.
    pub(super) fn origin_of(&self, node: NodeId) -> Origin {
        Origin::Node(self.inside.as_ref().map_or(node, |inside| inside.node).0)
    }

    /// As [`State::origin_of`], for a value.
    pub(super) fn origin_of_value(&self, value: ValueId) -> Origin {
        match &self.inside {
            Some(inside) => Origin::Node(inside.node.0),
            None => Origin::Value(value.0),
        }
    }

    /// The name of a symbol, which inside a body is that of one call.
    pub(super) fn symbol_name(&self, name: &str) -> String {
        match &self.inside {
            Some(inside) => format!("{}/{name}", inside.name),
            None => name.to_owned(),
        }
    }

    /// As if the rule of a node did not say where it sums.
    #[cfg(test)]
    pub(crate) fn forget_contractions(&mut self, node: NodeId) {
        self.contractions.forget(|fact| fact.node == node);
    }

    /// As if no rule said which numbers have to equal sizes.
    #[cfg(test)]
    pub(crate) fn forget_mirrors(&mut self) {
        self.mirrors.forget(|_| true);
    }

    /// Where nodes sum over axes, in graph order.
    pub(crate) fn contractions(&self) -> &[Contraction] {
        self.contractions.all()
    }

    /// Where a node sums over axes.
    pub(crate) fn contractions_of(&self, node: NodeId) -> impl Iterator<Item = &Contraction> {
        self.contractions.of(node)
    }

    /// How channels meet in nodes, in graph order.
    #[cfg(test)]
    pub(crate) fn mixes(&self) -> &[MixFact] {
        self.mixes.all()
    }

    /// As if a rule said something else, or nothing, of how channels meet.
    #[cfg(test)]
    pub(crate) fn restate_mix(&mut self, place: usize, mix: Option<super::mix::Mix>) {
        let facts = self.mixes.all().to_vec();
        self.mixes.forget(|_| true);
        for (at, fact) in facts.into_iter().enumerate() {
            let stated = if at == place {
                mix.clone()
            } else {
                Some(fact.mix.clone())
            };
            if let Some(mix) = stated {
                self.mixes.state(MixFact { mix, ..fact });
            }
        }
    }

    /// How channels meet in a node.
    pub(crate) fn mixes_of(&self, node: NodeId) -> impl Iterator<Item = &MixFact> {
        self.mixes.of(node)
    }

    /// Linear maps, in graph order.
    pub(crate) fn linears(&self) -> &[Linear] {
        self.linears.all()
    }

    /// The linear maps of a node.
    pub(crate) fn linears_of(&self, node: NodeId) -> impl Iterator<Item = &Linear> {
        self.linears.of(node)
    }

    /// Multiply-accumulate operations, in graph order.
    pub(crate) fn costs(&self) -> &[NodeCost] {
        self.costs.all()
    }

    /// The numbers of a node that have to equal kept sizes.
    pub(crate) fn mirrors_of(&self, node: NodeId) -> impl Iterator<Item = &Mirror> {
        self.mirrors.of(node)
    }

    /// The attributes that a node leaves out and that follow from sizes.
    pub(crate) fn implied_of(&self, node: NodeId) -> impl Iterator<Item = &Implied> {
        self.implied.of(node)
    }

    /// What kernels demand of sizes, in graph order.
    pub(crate) fn multiples(&self) -> &[Multiple] {
        self.multiples.all()
    }

    /// What axes are in attentions, in graph order.
    pub(crate) fn attending(&self) -> &[Attending] {
        self.attending.all()
    }

    /// Nodes whose operator has no rule or whose rule did not apply, in graph order.
    pub(crate) fn unruled(&self) -> &[Unruled] {
        self.unruled.all()
    }

    /// Why no rule applied to a node, if none did.
    pub(crate) fn unruled_of(&self, node: NodeId) -> Option<&'static str> {
        self.unruled.of(node).map(|fact| fact.why).next()
    }

    /// Inputs that are codes in blocks, in graph order.
    pub(crate) fn block_codes(&self) -> &[BlockCodes] {
        self.block_codes.all()
    }

    /// Inputs that are codes with scales along an axis, in graph order.
    pub(crate) fn axis_codes(&self) -> &[AxisCodes] {
        self.axis_codes.all()
    }

    /// What a node on codes computes in terms of numbers, where that is known.
    pub(crate) fn numbers_form(&self, node: NodeId) -> Option<&NumbersForm> {
        self.numbers_forms.of(node).next()
    }

    /// Where ids pick rows that may go.
    pub(crate) fn picked(&self) -> &[Picked] {
        self.picked.all()
    }

    /// The axis that a value's integers are positions of, where they are.
    pub(crate) fn pointed_at(&self, value: ValueId) -> Option<&Type> {
        self.pointers.get(&value)
    }

    /// The values by which a node selects.
    pub(crate) fn lookups_of(&self, node: NodeId) -> impl Iterator<Item = &Lookup> {
        self.lookups.of(node)
    }
}
