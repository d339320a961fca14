//! What onnxruntime makes of a quantised model: which of its products really are of codes.
//!
//! The model is planned so that onnxruntime puts kernels for codes in the place of operators between nodes that make real
//! numbers of codes. Where it does not, such a node runs at every run and the product is one of real numbers, slower than
//! before. So the graph that onnxruntime has rewritten is read: a weight's product is one of codes if the codes themselves
//! are read by anything else than what makes real numbers of them. Weights are found by name, which rewriting keeps; one
//! that was arranged otherwise under a new name is found by its codes, whatever their order. Names of nodes and of what they
//! make would not do: they are those of the product, fused or not.

use serde::Serialize;

use crate::error::Result;
use crate::graph::{Graph, NodeId, ValueId};
use crate::onnx::{ElementType, Model, packed_bytes};
use crate::ops::{Form, find};
use crate::runtime::Runtime;

/// Which products that were planned to be of codes are, as onnxruntime runs them.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Fusion {
    /// Weights whose products were planned to be of codes.
    pub planned: usize,
    /// Those whose products are.
    pub integer: usize,
    /// The others.
    pub rest: Vec<Unfused>,
}

/// A weight of codes whose product is one of real numbers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Unfused {
    /// The initializer.
    pub name: String,
    /// What is there instead.
    pub reason: String,
}

/// Looks at what onnxruntime makes of `written`, whose weights of these names are codes.
///
/// # Errors
/// Onnxruntime does not show it, or what it shows is no valid graph.
pub(crate) fn fused<'a>(
    written: &Model,
    weights: impl Iterator<Item = &'a str>,
    runtime: &Runtime,
) -> Result<Fusion> {
    let before = Graph::new(written)?;
    let after = Graph::new(&runtime.rewritten(written, "the quantised model")?)?;
    let mut fusion = Fusion::default();
    for name in weights {
        fusion.planned += 1;
        match unfused(&before, &after, name)? {
            None => fusion.integer += 1,
            Some(reason) => fusion.rest.push(Unfused {
                name: name.to_owned(),
                reason,
            }),
        }
    }
    Ok(fusion)
}

/// Why the product of a weight is none of codes; none where it is.
fn unfused(before: &Graph, after: &Graph, name: &str) -> Result<Option<String>> {
    let Some(codes) = after.find(name).filter(|&value| is_code(after, value)) else {
        return match rearranged(before, after, name)? {
            Some(codes) => Ok(reading(after, codes)),
            None => Ok(Some(
                "its codes became real numbers when the model was loaded".to_owned(),
            )),
        };
    };
    Ok(reading(after, codes))
}

/// True for a constant of 8-bit codes.
fn is_code(graph: &Graph, value: ValueId) -> bool {
    let element = graph
        .element(value)
        .filter(|_| graph.constant(value).is_some());
    matches!(element, Some(ElementType::Int8 | ElementType::Uint8))
}

/// The constant that has the codes of `name` in another order.
fn rearranged(before: &Graph, after: &Graph, name: &str) -> Result<Option<ValueId>> {
    let Some(wanted) = before.find(name) else {
        return Ok(None);
    };
    let wanted = (before.element(wanted), counts(before, wanted)?);
    for value in after.value_ids().filter(|&value| is_code(after, value)) {
        // One that is there under its own name is another weight.
        let own = before.find(&after.value(value).name).is_some();
        if !own && (after.element(value), counts(after, value)?) == wanted {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

/// How often each byte is in a constant.
fn counts(graph: &Graph, value: ValueId) -> Result<Vec<usize>> {
    let mut counts = vec![0; 256];
    if let Some(tensor) = graph.constant(value) {
        for &byte in &packed_bytes(tensor)? {
            counts[usize::from(byte)] += 1;
        }
    }
    Ok(counts)
}

/// Who makes real numbers of codes that nothing else reads, and for whom.
fn reading(graph: &Graph, codes: ValueId) -> Option<String> {
    let readers = graph.value(codes).consumers.iter().map(|&(node, _)| node);
    let mut decoders: Vec<NodeId> = Vec::new();
    for node in readers {
        match find(graph, node).map(|row| row.form) {
            Some(Form::Decoded) => decoders.push(node),
            _ => return None,
        }
    }
    let Some(&decoder) = decoders.first() else {
        return Some("nothing reads its codes".to_owned());
    };
    let output = graph.node(decoder).output(0);
    let next = output.and_then(|value| graph.value(value).consumers.first());
    let next = next.map_or("nothing".to_owned(), |&(node, _)| graph.describe(node));
    let operator = graph.node_proto(decoder).op_type();
    Some(format!(
        "{operator} makes real numbers of it at every run, which {next} reads"
    ))
}
