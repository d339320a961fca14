//! How much a model grows when the calls of its local functions are replaced by their bodies, counted before any
//! body is made: a few functions that call each other twice stand for more nodes than there is memory.

use std::collections::HashMap;

use prost::Message;

use super::attributes::Attributes;
use crate::error::{Error, Result};
use crate::onnx::proto::{FunctionProto, GraphProto, NodeProto};

/// Functions may call functions; deeper nesting than this is a cycle.
const DEEPEST_CALL: usize = 64;
/// Calls that a model may make.
const MOST_CALLS: u64 = 250_000;
/// Bytes of memory that the bodies of all calls may take in a model of any size, and for each of its bytes.
const LARGEST: usize = 64 << 20;
const LARGEST_EXPANSION: usize = 8;

/// Domain, name and overload of a function.
pub(super) type Key = (String, String, String);

/// The function that a node would call.
pub(super) fn key_of(node: &NodeProto) -> Key {
    let [domain, name, overload] =
        [node.domain(), node.op_type(), node.overload()].map(str::to_owned);
    (domain, name, overload)
}

/// What the body of one function takes.
struct Body {
    /// Bytes of its messages in memory but for the data of tensors, which is not copied.
    bytes: usize,
    /// Names that each call gives a prefix of its own.
    names: usize,
}

/// What may still be made.
pub(super) struct Allowance<'a> {
    functions: &'a HashMap<Key, FunctionProto>,
    bodies: HashMap<&'a Key, Body>,
    /// By function the calls that one call of it makes, itself included.
    calls: HashMap<&'a Key, u64>,
    left: usize,
}

impl<'a> Allowance<'a> {
    /// For a model whose files have so many bytes.
    pub(super) fn new(functions: &'a HashMap<Key, FunctionProto>, file_bytes: u64) -> Self {
        let file_bytes = usize::try_from(file_bytes).unwrap_or(usize::MAX);
        Allowance {
            functions,
            bodies: functions.iter().map(|(key, of)| (key, body(of))).collect(),
            calls: HashMap::new(),
            left: LARGEST.saturating_add(file_bytes.saturating_mul(LARGEST_EXPANSION)),
        }
    }

    /// That the calls of a graph, and those that they make, are no more than can be made.
    ///
    /// # Errors
    /// A function that makes too many, or calls itself.
    pub(super) fn check_calls(&mut self, graph: &GraphProto) -> Result<()> {
        let mut total = 0_u64;
        for (key, function) in self.called(&graph.node) {
            total = total.saturating_add(self.calls_of(key, function, 0)?);
            if total > MOST_CALLS {
                return Err(fault(
                    function,
                    &format!(
                        "the model makes more than {MOST_CALLS} calls of functions; inline them in the exporter"
                    ),
                ));
            }
        }
        Ok(())
    }

    fn calls_of(&mut self, key: &'a Key, function: &'a FunctionProto, depth: usize) -> Result<u64> {
        if let Some(&known) = self.calls.get(key) {
            return Ok(known);
        }
        if depth >= DEEPEST_CALL {
            return Err(fault(
                function,
                "it calls itself, or functions call each other more than 64 deep; ONNX does not allow recursion",
            ));
        }
        let mut total = 1_u64;
        for (inner, function) in self.called(&function.node) {
            total = total.saturating_add(self.calls_of(inner, function, depth + 1)?);
        }
        self.calls.insert(key, total);
        Ok(total)
    }

    /// The functions that nodes call, in bodies too, each as often as it is called.
    fn called(&self, nodes: &[NodeProto]) -> Vec<(&'a Key, &'a FunctionProto)> {
        let (mut out, mut open) = (Vec::new(), vec![nodes]);
        while let Some(nodes) = open.pop() {
            for node in nodes {
                out.extend(self.functions.get_key_value(&key_of(node)));
                open.extend(node.bodies().map(|graph| &graph.node[..]));
            }
        }
        out
    }

    /// Takes what one call makes, before it is made.
    ///
    /// # Errors
    /// No so much is left.
    pub(super) fn take(&mut self, function: &FunctionProto, key: &Key, prefix: &str) -> Result<()> {
        let needed = self.bodies.get(key).map_or(0, |body| {
            let prefixes = body.names.saturating_mul(prefix.len());
            body.bytes.saturating_add(prefixes)
        });
        let left = self.left.checked_sub(needed);
        self.left = left.ok_or_else(|| {
            fault(
                function,
                "with all calls replaced by bodies the model would become too large; inline them in the exporter",
            )
        })?;
        Ok(())
    }
}

fn fault(function: &FunctionProto, reason: &str) -> Error {
    Error::Function {
        function: function.name().to_owned(),
        reason: reason.to_owned(),
    }
}

fn body(function: &FunctionProto) -> Body {
    let (mut bytes, mut names) = (function.encoded_len(), 0);
    let mut open = vec![&function.node[..]];
    while let Some(nodes) = open.pop() {
        for node in nodes {
            names += 1 + node.input.len() + node.output.len();
            bytes += size_of::<NodeProto>() + size_of_val(&node.attribute[..]);
            for held in &node.attribute {
                let data = held.t.as_ref().and_then(|tensor| tensor.raw_data.as_ref());
                bytes = bytes.saturating_sub(data.map_or(0, |data| data.len()));
                open.extend(
                    held.g
                        .iter()
                        .chain(&held.graphs)
                        .map(|graph| &graph.node[..]),
                );
            }
        }
    }
    bytes += names * size_of::<String>();
    Body { bytes, names }
}
