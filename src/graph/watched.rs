//! Which bodies of a model run: a further output counts, by body, whether it did.

use super::attributes::{Attributes, int, ints};
use super::declare::declaration;
use super::{BodyId, Graph, Names, NodeId, numbered};
use crate::onnx::proto::{AttributeProto, GraphProto, NodeProto, ValueInfoProto};
use crate::onnx::{ElementType, Model, from_raw};

/// Bodies that are watched at most: each has a place in what all of them give.
const MOST: usize = 256;

/// A model with an output of 64-bit integers, one for each body: how often it ran, 0 where it did not.
pub(crate) struct WatchedBodies {
    pub(crate) model: Model,
    /// The name of that output.
    pub(crate) output: String,
    /// What the bodies are called, in that order.
    pub(crate) bodies: Vec<String>,
}

impl Graph {
    /// What a body is called in messages.
    pub(crate) fn describe_body(&self, body: BodyId) -> String {
        let own = &self.bodies.all[body.index()];
        format!("'{}' of {}", own.attribute, self.describe(own.owner))
    }

    /// The model with its bodies watched; none where it has none, or too many.
    pub(crate) fn watched(&self) -> Option<WatchedBodies> {
        let count = self.bodies.all.len();
        if count == 0 || count > MOST {
            return None;
        }
        let mut proto = self.model().proto.clone();
        let mut watcher = Watcher {
            graph: self,
            names: Names::of(self),
            taps: vec![Vec::new(); count + 1],
            opset: self.model().opset(),
        };
        let message = proto.graph.get_or_insert_default();
        let mut owners: Vec<NodeId> = Vec::new();
        for body in 0..count {
            let owner = self.owner(BodyId(numbered(body)));
            if !owners.contains(&owner) {
                owners.push(owner);
            }
        }
        // A body that is around others comes before them.
        for owner in owners.into_iter().rev() {
            watcher.watch(message, owner);
        }
        let taps = std::mem::take(&mut watcher.taps[count]);
        let output = watcher.sum(message, &taps);
        message.output.push(counts(&output, count));
        let bodies = (0..count).map(|body| self.describe_body(BodyId(numbered(body))));
        Some(WatchedBodies {
            output,
            bodies: bodies.collect(),
            model: self.model().with(proto, self.model().lazy.clone()),
        })
    }
}

/// The declaration of what says how often bodies ran.
fn counts(name: &str, count: usize) -> ValueInfoProto {
    declaration(
        name,
        Some(ElementType::Int64),
        Some(&[i64::try_from(count).ok()]),
    )
}

struct Watcher<'a> {
    graph: &'a Graph,
    names: Names,
    /// By body, the graph itself last: what nodes in it say of their bodies.
    taps: Vec<Vec<String>>,
    opset: i64,
}

impl Watcher<'_> {
    /// Lets the bodies of a node say that they ran, and the node hand that on.
    fn watch(&mut self, message: &mut GraphProto, owner: NodeId) {
        let graph = self.graph;
        let count = graph.bodies.all.len();
        let mut repeats = false;
        for (body, own) in graph.bodies_of(owner) {
            repeats |= own.attribute == "body";
            let mark = self.mark(message, body);
            let mut taps = std::mem::take(&mut self.taps[body.index()]);
            taps.push(mark);
            if let Some(inner) = graph.bodies.message_mut(message, Some(body)) {
                let sum = self.sum(inner, &taps);
                inner.output.push(counts(&sum, count));
            }
        }
        let around = graph.body_of(owner);
        let given = self.names.fresh("secateur.ran");
        if let Some(node) = graph.bodies.node_mut(message, owner) {
            node.output.push(given.clone());
            for list in ["scan_output_axes", "scan_output_directions"] {
                let longer = node.ints(list).map(|all| [all, &[0]].concat());
                longer.into_iter().for_each(|all| node.set_ints(list, all));
            }
        }
        let said = match graph.bodies.message_mut(message, around) {
            Some(outer) if repeats => self.total(outer, &given),
            _ => given,
        };
        let place = around.map_or(count, BodyId::index);
        self.taps[place].push(said);
    }

    /// A constant that is 1 at the place of a body.
    fn mark(&mut self, message: &mut GraphProto, body: BodyId) -> String {
        let name = self.names.fresh("secateur.runs");
        let places = 0..self.graph.bodies.all.len();
        let numbers = places.flat_map(|place| i64::from(place == body.index()).to_le_bytes());
        let dims = [self.graph.bodies.all.len()];
        let tensor = from_raw(
            &name,
            ElementType::Int64,
            &dims,
            numbers.collect::<Vec<u8>>(),
        );
        message.initializer.push(tensor);
        name
    }

    /// The sum of what there is, made in this graph.
    fn sum(&mut self, message: &mut GraphProto, taps: &[String]) -> String {
        let mut sum = self.node(message, "Identity", &taps[..1], Vec::new());
        for tap in &taps[1..] {
            sum = self.node(message, "Add", &[sum, tap.clone()], Vec::new());
        }
        sum
    }

    /// The sum of what all runs said.
    fn total(&mut self, message: &mut GraphProto, runs: &str) -> String {
        let whole = int("keepdims", 0);
        let runs = runs.to_owned();
        if self.opset < 13 {
            return self.node(
                message,
                "ReduceSum",
                &[runs],
                vec![ints("axes", &[0]), whole],
            );
        }
        let first = self.names.fresh("secateur.first");
        let zero = 0_i64.to_le_bytes().to_vec();
        let tensor = from_raw(&first, ElementType::Int64, &[1], zero);
        message.initializer.push(tensor);
        self.node(message, "ReduceSum", &[runs, first], vec![whole])
    }

    fn node(
        &mut self,
        message: &mut GraphProto,
        operator: &str,
        inputs: &[String],
        attribute: Vec<AttributeProto>,
    ) -> String {
        let output = self.names.fresh("secateur.ran");
        message.node.push(NodeProto {
            op_type: Some(operator.to_owned()),
            name: Some(self.names.fresh("secateur.watch")),
            input: inputs.to_vec(),
            output: vec![output.clone()],
            attribute,
            ..NodeProto::default()
        });
        output
    }
}
