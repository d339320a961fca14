//! A model in two: what some inputs cannot change, and the rest.
//!
//! The first part is run once per batch, the second one once for every setting of those inputs.

use std::collections::{BTreeSet, HashSet};

use super::spill::Waiting;
use crate::dimensions::Analysis;
use crate::graph::{Graph, NodeId, Producer, ValueId, declaration, tapped};
use crate::onnx::Model;
use crate::onnx::proto::GraphProto;

/// Where a graph falls in two.
pub(crate) struct Split<'a> {
    graph: &'a Graph,
    /// By node: whether it depends on the inputs that vary.
    varying: Vec<bool>,
    /// By node: whether it depends on constants only: it stands in both parts.
    fixed: Vec<bool>,
    /// What the second part reads of the first, and outputs of the graph that the first makes.
    pub(crate) border: BTreeSet<String>,
}

impl<'a> Split<'a> {
    /// Splits `graph` by what depends on the inputs in `varying`.
    pub(crate) fn of(graph: &'a Graph, inputs: &HashSet<String>) -> Split<'a> {
        let mut varying = vec![false; graph.node_count()];
        let fixed = graph.fixed_nodes();
        let changes = |value: ValueId, varying: &[bool]| match graph.value(value).producer {
            Producer::Input(_) => inputs.contains(&graph.value(value).name),
            Producer::Node(node, _) => varying[node.index()],
            _ => false,
        };
        for &node in graph.order() {
            let mut reads = graph.node(node).reads();
            varying[node.index()] = reads.any(|value| changes(value, &varying));
        }
        let made_before = |value: ValueId| match graph.value(value).producer {
            Producer::Node(node, _) => !varying[node.index()] && !fixed[node.index()],
            _ => false,
        };
        let order = graph.order().iter();
        let after = order.filter(|node| varying[node.index()]);
        let read = after.flat_map(|&node| graph.node(node).reads());
        let outputs = graph.value_ids().filter(|&id| graph.value(id).is_output);
        let border = read.chain(outputs).filter(|&value| made_before(value));
        let border = border.map(|value| graph.value(value).name.clone());
        Split {
            border: border.collect(),
            graph,
            varying,
            fixed,
        }
    }

    /// Whether the inputs that vary change an output at all: without, the second part is none that runs.
    pub(crate) fn changes_outputs(&self) -> bool {
        let mut outputs = self
            .graph
            .value_ids()
            .filter(|&id| self.graph.value(id).is_output);
        outputs.any(|value| match self.graph.value(value).producer {
            Producer::Node(node, _) => self.varying[node.index()],
            _ => false,
        })
    }

    /// The first part; its outputs are the border.
    pub(crate) fn before(&self) -> Model {
        let own = |node: NodeId| !self.varying[node.index()];
        let model = self.part(own, |graph| graph.output.clear());
        tapped(&model, self.border.iter().map(String::as_str))
    }

    /// The second part, which reads the border as inputs, with the sizes that `typed` knows, an analysis of the same values.
    pub(crate) fn after(&self, border: &[Waiting], typed: &Analysis) -> Model {
        let sizes = |name: &str, rank: usize| match typed.graph().find(name) {
            Some(value) => typed.known_sizes(value, rank),
            None => vec![None; rank],
        };
        let own = |node: NodeId| self.varying[node.index()] || self.fixed[node.index()];
        self.part(own, |graph| {
            graph
                .output
                .retain(|output| !self.border.contains(output.name()));
            let inputs = border.iter().map(|(name, element, rank)| {
                declaration(name, Some(*element), Some(&sizes(name, *rank)))
            });
            graph.input.extend(inputs);
        })
    }

    fn part(&self, own: impl Fn(NodeId) -> bool, change: impl FnOnce(&mut GraphProto)) -> Model {
        let source = self.graph.model();
        let mut proto = source.proto.clone();
        let target = proto.graph.get_or_insert_default();
        let order = self.graph.order().iter().copied();
        let nodes: Vec<NodeId> = order.filter(|&node| own(node)).collect();
        let nodes_proto = nodes
            .iter()
            .map(|&node| self.graph.node_proto(node).clone());
        target.node = nodes_proto.collect();
        let reads = nodes.iter().flat_map(|&node| self.graph.node(node).reads());
        let read: HashSet<&str> = reads
            .map(|value| self.graph.value(value).name.as_str())
            .collect();
        let kept = |name: &str| {
            let output = self
                .graph
                .find(name)
                .map(|id| self.graph.value(id).is_output);
            read.contains(name) || output == Some(true)
        };
        target.initializer.retain(|tensor| kept(tensor.name()));
        target.sparse_initializer.retain(|tensor| {
            let values = tensor.values.as_ref();
            values.is_none_or(|values| kept(values.name()))
        });
        target.input.retain(|input| read.contains(input.name()));
        target
            .value_info
            .retain(|value| !self.border.contains(value.name()));
        change(target);
        let mut model = source.with(proto, source.lazy.clone());
        model.external = false;
        model
    }
}
