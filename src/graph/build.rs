//! Builds a [`Graph`] and names everything that is wrong with it, in one pass, without stopping at a fault.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use petgraph::algo::{kosaraju_scc, toposort};
use petgraph::graph::{DiGraph, NodeIndex};

use super::attributes::Attributes;
use super::{DeclaredSize, Graph, Node, NodeId, Producer, Value, ValueId, declared_tensor};
use crate::error::Fault;
use crate::onnx::proto::{GraphProto, NodeProto, ValueInfoProto};
use crate::onnx::{ElementType, Model};

/// `Operator 'name'`, with the first output where the node has no name.
pub(super) fn describe(node: &NodeProto) -> String {
    let name = match node.name() {
        "" => node.output.first().map_or("", String::as_str),
        name => name,
    };
    format!("{} '{name}'", node.op_type())
}

pub(super) fn build(model: Model) -> (Graph, Vec<Fault>) {
    let empty = GraphProto::default();
    let proto = model.proto.graph.as_ref().unwrap_or(&empty);
    let mut builder = GraphBuilder::default();
    builder.declare_producers(proto);
    builder.connect(proto);
    builder.declare_shapes(proto);
    let flow = builder.flow();
    let order = builder.order(&flow, proto);
    let entered = builder.enter(proto);
    let nodes = flow.node_weights().chain(&entered.inner);
    let mut captured: HashSet<ValueId> = nodes.flat_map(|node| &node.captured).copied().collect();
    captured.extend(builder.given_back);
    let graph = Graph {
        model,
        flow,
        order,
        captured,
        bodies: Arc::new(entered.bodies),
        inner: entered.inner,
        inner_names: entered.names,
        values: builder.values,
        names: builder.names,
    };
    (graph, builder.faults)
}

#[derive(Default)]
pub(super) struct GraphBuilder {
    nodes: Vec<Node>,
    pub(super) values: Vec<Value>,
    names: HashMap<String, ValueId>,
    pub(super) faults: Vec<Fault>,
    /// Values that bodies give back.
    pub(super) given_back: Vec<ValueId>,
}

impl GraphBuilder {
    fn declare_producers(&mut self, proto: &GraphProto) {
        for (index, tensor) in proto.initializer.iter().enumerate() {
            self.produce(tensor.name(), Producer::Initializer(index), proto);
        }
        for (index, sparse) in proto.sparse_initializer.iter().enumerate() {
            let name = sparse.values.as_ref().map_or("", |values| values.name());
            self.produce(name, Producer::SparseInitializer(index), proto);
        }
        let initialized: HashSet<String> = self.names.keys().cloned().collect();
        for (index, input) in proto.input.iter().enumerate() {
            // Up to IR version 3 every initializer is listed among the inputs as well.
            if !initialized.contains(input.name()) {
                self.produce(input.name(), Producer::Input(index), proto);
            }
        }
        for (index, node) in proto.node.iter().enumerate() {
            let id = NodeId(index as u32);
            let mut outputs = Vec::with_capacity(node.output.len());
            for (slot, name) in node.output.iter().enumerate() {
                let produced = !name.is_empty();
                outputs.push(produced.then(|| self.produce(name, Producer::Node(id, slot), proto)));
            }
            self.nodes.push(Node {
                outputs,
                ..Node::default()
            });
        }
    }

    fn produce(&mut self, name: &str, producer: Producer, proto: &GraphProto) -> ValueId {
        if name.is_empty() {
            self.faults
                .push(Fault::Unnamed(describe_producer(producer, proto)));
        } else if let Some(&known) = self.names.get(name) {
            self.faults.push(Fault::DuplicateName {
                value: name.to_owned(),
                first: describe_producer(self.values[known.index()].producer, proto),
                second: describe_producer(producer, proto),
            });
            return known;
        }
        self.add(name, producer)
    }

    fn add(&mut self, name: &str, producer: Producer) -> ValueId {
        let id = ValueId(self.values.len() as u32);
        self.values.push(Value {
            name: name.to_owned(),
            producer,
            consumers: Vec::new(),
            is_output: false,
            body: None,
            declared: None,
            element: None,
        });
        self.names.insert(name.to_owned(), id);
        id
    }

    pub(super) fn read(&mut self, name: &str, reader: impl FnOnce() -> String) -> ValueId {
        if let Some(&id) = self.names.get(name) {
            return id;
        }
        self.faults.push(Fault::MissingProducer {
            value: name.to_owned(),
            reader: reader(),
        });
        self.add(name, Producer::Missing)
    }

    fn connect(&mut self, proto: &GraphProto) {
        for (index, node) in proto.node.iter().enumerate() {
            let id = NodeId(index as u32);
            let mut inputs = Vec::with_capacity(node.input.len());
            for (slot, name) in node.input.iter().enumerate() {
                if name.is_empty() {
                    inputs.push(None);
                    continue;
                }
                let value = self.read(name, || describe(node));
                self.values[value.index()].consumers.push((id, slot));
                inputs.push(Some(value));
            }
            let captured = outer_names(node);
            let captured = captured
                .iter()
                .map(|name| self.read(name, || format!("a subgraph of {}", describe(node))))
                .collect();
            self.nodes[index].inputs = inputs;
            self.nodes[index].captured = captured;
        }
        for (position, output) in proto.output.iter().enumerate() {
            if output.name().is_empty() {
                self.faults
                    .push(Fault::Unnamed(format!("graph output {position}")));
                continue;
            }
            let value = self.read(output.name(), || "the list of graph outputs".to_owned());
            self.values[value.index()].is_output = true;
        }
    }

    fn declare_shapes(&mut self, proto: &GraphProto) {
        let mut ranks: HashMap<ValueId, (usize, &'static str)> = HashMap::new();
        for tensor in &proto.initializer {
            if let Some(&id) = self.names.get(tensor.name()) {
                self.values[id.index()].element = ElementType::of(tensor.data_type());
                ranks.insert(id, (tensor.dims.len(), "its initializer"));
            }
        }
        let declarations = [
            (&proto.input, "the graph inputs"),
            (&proto.output, "the graph outputs"),
            (&proto.value_info, "value_info"),
        ];
        for (list, place) in declarations {
            for info in list {
                self.declare(info, place, &mut ranks);
            }
        }
    }

    fn declare(
        &mut self,
        info: &ValueInfoProto,
        place: &'static str,
        ranks: &mut HashMap<ValueId, (usize, &'static str)>,
    ) {
        let (Some(&id), Some(tensor)) = (
            self.names.get(info.name()),
            declared_tensor(info.r#type.as_ref()),
        ) else {
            return;
        };
        self.declare_inner(id, info);
        let Some(shape) = &tensor.shape else { return };
        let rank = shape.dim.len();
        let (first, first_place) = *ranks.entry(id).or_insert((rank, place));
        if first != rank {
            self.faults.push(Fault::RankClash {
                value: info.name().to_owned(),
                first,
                first_place,
                second: rank,
                second_place: place,
            });
        }
    }

    /// What is declared of a value, where it is the first.
    pub(super) fn declare_inner(&mut self, id: ValueId, info: &ValueInfoProto) {
        let Some(tensor) = declared_tensor(info.r#type.as_ref()) else {
            return;
        };
        let value = &mut self.values[id.index()];
        value.element = value.element.or(ElementType::of(tensor.elem_type()));
        let Some(shape) = &tensor.shape else { return };
        if value.declared.is_none() {
            value.declared = Some(shape.dim.iter().map(DeclaredSize::of).collect());
        }
    }

    /// The nodes as a petgraph graph, with an edge for every value that one makes and another reads.
    fn flow(&mut self) -> DiGraph<Node, ValueId> {
        let mut flow = DiGraph::new();
        for node in std::mem::take(&mut self.nodes) {
            flow.add_node(node);
        }
        for index in flow.node_indices() {
            let read: Vec<ValueId> = flow[index].reads().collect();
            for value in read {
                if let Producer::Node(from, _) = self.values[value.index()].producer {
                    flow.add_edge(NodeIndex::new(from.index()), index, value);
                }
            }
        }
        flow
    }

    /// The order of the file where that is topological, as it should be.
    fn order(&mut self, flow: &DiGraph<Node, ValueId>, proto: &GraphProto) -> Vec<NodeId> {
        let id = |index: NodeIndex| NodeId(index.index() as u32);
        if flow
            .raw_edges()
            .iter()
            .all(|edge| edge.source() < edge.target())
        {
            return flow.node_indices().map(id).collect();
        }
        if let Ok(order) = toposort(flow, None) {
            return order.into_iter().map(id).collect();
        }
        for cycle in kosaraju_scc(flow) {
            let loops = cycle.len() > 1 || flow.contains_edge(cycle[0], cycle[0]);
            if loops {
                let mut members: Vec<usize> = cycle.iter().map(|i| i.index()).collect();
                members.sort_unstable();
                let nodes = members.iter().map(|&i| describe(&proto.node[i])).collect();
                self.faults.push(Fault::Cycle { nodes });
            }
        }
        Vec::new()
    }
}

fn describe_producer(producer: Producer, proto: &GraphProto) -> String {
    match producer {
        Producer::Input(index) => format!("graph input {index}"),
        Producer::Initializer(index) => format!("initializer {index}"),
        Producer::SparseInitializer(index) => format!("sparse initializer {index}"),
        Producer::Node(node, slot) => {
            format!("output {slot} of {}", describe(&proto.node[node.index()]))
        }
        Producer::BodyInput(index) => format!("input {index} of a body"),
        Producer::Missing => "nothing".to_owned(),
    }
}

/// Names that the subgraphs of a node read from outside, each once, in order of first use.
pub(super) fn outer_names(node: &NodeProto) -> Vec<String> {
    let mut names = Vec::new();
    for graph in node.bodies() {
        collect_outer(graph, &mut Vec::new(), &mut names);
    }
    let mut seen = HashSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}

/// `scopes` are the names of the graphs around, from the outermost.
fn collect_outer<'a>(
    graph: &'a GraphProto,
    scopes: &mut Vec<HashSet<&'a str>>,
    names: &mut Vec<String>,
) {
    let mut local: HashSet<&str> = graph.input.iter().map(|input| input.name()).collect();
    local.extend(graph.initializer.iter().map(|tensor| tensor.name()));
    local.extend(
        graph
            .sparse_initializer
            .iter()
            .filter_map(|sparse| sparse.values.as_ref().map(|values| values.name())),
    );
    local.extend(
        graph
            .node
            .iter()
            .flat_map(|node| node.output.iter().map(String::as_str)),
    );
    scopes.push(local);
    let mut read = |name: &str| {
        if !name.is_empty() && !scopes.iter().any(|scope| scope.contains(name)) {
            names.push(name.to_owned());
        }
    };
    for node in &graph.node {
        node.input.iter().for_each(|name| read(name));
    }
    graph.output.iter().for_each(|output| read(output.name()));
    for inner in graph.node.iter().flat_map(Attributes::bodies) {
        collect_outer(inner, scopes, names);
    }
    scopes.pop();
}
