//! What holds the weights of a model: by operator and reason how many of them no plan can take, or did not.

use std::collections::{BTreeMap, HashMap};

use super::Analysis;
use crate::axes::{Kept, Origin, Reason};
use crate::graph::{NodeId, Producer, ValueId};
use crate::onnx::proto::TensorProto;
use crate::onnx::{ElementType, element_count};

/// Weights that something holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The operator or the end of the graph that holds them and why, or why their dimensions were left alone.
    pub by: String,
    /// True if a setting does.
    pub chosen: bool,
    /// Numbers in them.
    pub params: u64,
}

impl Analysis {
    /// Numbers in all weights, those in bodies of If, Loop and Scan included.
    pub fn all_params(&self) -> u64 {
        self.own_weights().map(|(_, params)| params).sum()
    }

    /// What holds the weights that lose nothing where `kept` stays, most first. `left` says why the dimension of
    /// a name is left alone, and whether a setting says so; none takes its weights out of the list.
    pub(crate) fn holders(
        &self,
        kept: &Kept,
        left: &dyn Fn(&str) -> Option<(String, bool)>,
    ) -> Vec<Holder> {
        let mut sums: BTreeMap<(String, bool), u64> = BTreeMap::new();
        let mut first: HashMap<ValueId, usize> = HashMap::new();
        for (place, dimension) in self.dimensions().iter().enumerate() {
            for site in &dimension.sites {
                first.entry(site.value).or_insert(place);
            }
        }
        let nodes = self.nodes_left(kept.dropped());
        for (value, params) in self.own_weights() {
            if self.is_pruned(value, kept) || !self.is_left(value, &nodes) {
                continue;
            }
            let by = match first.get(&value) {
                Some(&place) => left(&self.dimensions()[place].name),
                None => Some((self.held_by(value), false)),
            };
            if let Some(by) = by {
                *sums.entry(by).or_default() += params;
            }
        }
        let mut holders: Vec<Holder> = sums
            .into_iter()
            .filter(|(_, params)| *params > 0)
            .map(|((by, chosen), params)| Holder { by, chosen, params })
            .collect();
        holders.sort_by(|a, b| b.params.cmp(&a.params).then(a.by.cmp(&b.by)));
        holders
    }

    /// Constants of the graph, and of bodies, that hold numbers and no indices.
    fn own_weights(&self) -> impl Iterator<Item = (ValueId, u64)> + '_ {
        self.graph().value_ids().filter_map(|id| {
            let params = params_of(self.graph().constant(id)?)?;
            Some((id, params))
        })
    }

    fn held_by(&self, value: ValueId) -> String {
        let known = self.graph().value(value);
        let pins = self.state.axes(value).map(|axes| {
            let vars = axes.iter().flat_map(|ty| self.state.types.vars(ty));
            let pins = vars.filter_map(|var| self.state.types.var(var).pin);
            pins.collect::<Vec<Reason>>()
        });
        let pins = pins.unwrap_or_default();
        let pin = pins.iter().find(|pin| pin.why != super::find::KERNEL);
        match pin.or(pins.first()) {
            Some(pin) => self.holder_of(*pin),
            None if known.consumers.is_empty() => "no node reads them".to_owned(),
            None => "weights without a channel axis".to_owned(),
        }
    }

    /// The operator, not the node, so that layers of one kind share a row.
    fn holder_of(&self, reason: Reason) -> String {
        match reason.origin {
            Origin::Node(node) => {
                let operator = self.graph().node_proto(NodeId(node)).op_type();
                format!("{operator} ({})", reason.why)
            }
            Origin::Value(value) => {
                let value = self.graph().value(ValueId(value));
                let what = match value.producer {
                    _ if value.is_output => "outputs of the graph",
                    Producer::Input(_) => "inputs of the graph",
                    _ => "values",
                };
                format!("{what} ({})", reason.why)
            }
        }
    }
}

fn params_of(tensor: &TensorProto) -> Option<u64> {
    let element = ElementType::of(tensor.data_type())?;
    match element.is_index() {
        true => None,
        false => element_count(tensor).ok().map(|count| count as u64),
    }
}
