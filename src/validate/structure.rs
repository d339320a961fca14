//! That a quantised model is the planned one but for weights that are stored as codes.

use std::collections::{HashMap, HashSet};

use crate::error::{Error, ProofFault, Result};
use crate::graph::Attributes;
use crate::onnx::proto::{GraphProto, NodeProto, TensorProto};
use crate::onnx::{ElementType, Model, packed_bytes};
use crate::rewrite::{CodedWeight, RoundedModel};

/// What the reference is called.
const PLANNED: &str = "the planned model";

/// Compares nodes, constants, inputs and outputs of `written` with the planned ones: all are the same but that weights and
/// biases are codes, which stand for exactly the planned numbers, of at most `limit`.
///
/// # Errors
/// [`Error::Verification`] with the first difference.
pub(crate) fn same_structure(
    planned: &RoundedModel,
    written: &Model,
    weights: &[CodedWeight],
    limit: i32,
) -> Result<()> {
    let empty = GraphProto::default();
    let graphs = [&planned.model, written];
    let [plan, made] = graphs.map(|of| of.proto.graph.as_ref().unwrap_or(&empty));
    let coded = stored(weights, limit);
    let both = Both {
        plan: by_name(plan),
        made: by_name(made),
        coded: &coded,
    };
    let nodes = both.numbers(made)?;
    if nodes.others.len() != plan.node.len() {
        return Err(other("the number of nodes".to_owned()));
    }
    for (plan, made) in plan.node.iter().zip(&nodes.others) {
        if !is_same(plan, made, &nodes.numbers) {
            return Err(other(format!("the node '{}'", plan.name())));
        }
    }
    for (name, plan) in &both.plan {
        let same = both.made.get(name).is_some_and(|made| made == plan);
        if !same && !coded.contains_key(name) {
            return Err(other(format!("the constant '{name}'")));
        }
    }
    let ends = plan.input == made.input && plan.output == made.output;
    match ends && planned.model.proto.opset_import == written.proto.opset_import {
        true => Ok(()),
        false => Err(other("the inputs, outputs or operator sets".to_owned())),
    }
}

/// By constant how it is stored.
fn stored(weights: &[CodedWeight], limit: i32) -> HashMap<&str, Stored<'_>> {
    let mut coded = HashMap::new();
    for weight in weights {
        let own = Stored {
            axis: weight.axis,
            steps: &weight.steps,
            element: ElementType::Int8,
            limit,
        };
        coded.insert(weight.name.as_str(), own);
        if let Some((bias, steps)) = &weight.bias {
            let own = Stored {
                axis: 0,
                steps,
                element: ElementType::Int32,
                limit: i32::MAX,
            };
            coded.insert(bias.as_str(), own);
        }
    }
    coded
}

/// The constants of both models by name.
struct Both<'a> {
    plan: HashMap<&'a str, &'a TensorProto>,
    made: HashMap<&'a str, &'a TensorProto>,
    coded: &'a HashMap<&'a str, Stored<'a>>,
}

/// The nodes of a written model.
struct Nodes<'a> {
    /// By number that is made of codes the constant that has these.
    numbers: HashMap<&'a str, &'a str>,
    others: Vec<&'a NodeProto>,
}

impl Both<'_> {
    /// Tells the nodes that make numbers of stored codes from all others.
    fn numbers<'b>(&self, made: &'b GraphProto) -> Result<Nodes<'b>> {
        let mut nodes = Nodes {
            numbers: HashMap::new(),
            others: Vec::new(),
        };
        for node in &made.node {
            let name = node.input.first().map_or("", String::as_str);
            let Some(stored) = self.coded.get(name) else {
                nodes.others.push(node);
                continue;
            };
            let output = node.output.first().map_or("", String::as_str);
            let fits = self.stands_for(node, name, stored)?;
            if !fits || nodes.numbers.insert(output, name).is_some() {
                let what = format!("the codes of '{name}', their scale or its axis");
                return Err(other(what));
            }
        }
        let used: HashSet<&str> = nodes.numbers.values().copied().collect();
        match used.len() == nodes.numbers.len() && used.len() == self.coded.len() {
            true => Ok(nodes),
            false => Err(other("the number of weights that are codes".to_owned())),
        }
    }

    fn stands_for(&self, node: &NodeProto, name: &str, stored: &Stored) -> Result<bool> {
        let scale = node.input.get(1);
        let scale = scale.and_then(|scale| self.made.get(scale.as_str()));
        match (scale, self.made.get(name), self.plan.get(name)) {
            (Some(scale), Some(codes), Some(plan)) => {
                let axis = node.int("axis") == Some(stored.axis as i64);
                let centred = self.is_centred(node, scale, codes)?;
                Ok(axis && centred && stored.stands_for(scale, codes, plan)?)
            }
            _ => Ok(false),
        }
    }

    /// True if the codes that a node reads stand for numbers around 0: without a zero point, or with one of zeros.
    fn is_centred(
        &self,
        node: &NodeProto,
        scale: &TensorProto,
        codes: &TensorProto,
    ) -> Result<bool> {
        let zero = match &node.input[..] {
            [_, _] => return Ok(true),
            [_, _, zero] => self.made.get(zero.as_str()),
            _ => None,
        };
        let Some(zero) = zero else {
            return Ok(false);
        };
        let typed = zero.data_type == codes.data_type && zero.dims == scale.dims;
        Ok(typed && packed_bytes(zero)?.iter().all(|&byte| byte == 0))
    }
}

fn other(what: String) -> Error {
    Error::Verification {
        reference: PLANNED,
        fault: ProofFault::Structure { what },
    }
}

fn by_name(graph: &GraphProto) -> HashMap<&str, &TensorProto> {
    let tensors = graph.initializer.iter();
    tensors.map(|tensor| (tensor.name(), tensor)).collect()
}

/// True if a node is the planned one, where it reads codes through what makes numbers of them.
fn is_same(plan: &NodeProto, made: &NodeProto, numbers: &HashMap<&str, &str>) -> bool {
    let mut own = made.clone();
    for name in &mut own.input {
        if let Some(constant) = numbers.get(name.as_str()) {
            (*constant).clone_into(name);
        }
    }
    *plan == own
}

/// How a constant is stored.
struct Stored<'a> {
    axis: usize,
    steps: &'a [f32],
    element: ElementType,
    limit: i32,
}

impl Stored<'_> {
    /// True if codes and scale are those of the plan, and stand for its numbers to the bit.
    fn stands_for(
        &self,
        scale: &TensorProto,
        codes: &TensorProto,
        plan: &TensorProto,
    ) -> Result<bool> {
        let steps: Vec<u8> = self
            .steps
            .iter()
            .flat_map(|step| step.to_le_bytes())
            .collect();
        let typed = codes.data_type() == self.element.number() && codes.dims == plan.dims;
        if !typed || packed_bytes(scale)?.as_ref() != &steps[..] {
            return Ok(false);
        }
        let bytes = packed_bytes(codes)?;
        let codes: Vec<i32> = match self.element {
            ElementType::Int8 => bytes.iter().map(|&code| i32::from(code as i8)).collect(),
            _ => {
                let words = bytes.chunks_exact(4);
                let word = |of: &[u8]| i32::from_le_bytes([of[0], of[1], of[2], of[3]]);
                words.map(word).collect()
            }
        };
        let inner: i64 = plan.dims.iter().skip(self.axis + 1).product();
        let count = self.steps.len().max(1);
        let row = |at: usize| at / (inner as usize).max(1) % count;
        let numbers = packed_bytes(plan)?;
        let numbers = numbers.chunks_exact(4);
        let same = codes
            .iter()
            .zip(numbers)
            .enumerate()
            .all(|(at, (&code, number))| {
                let step = self.steps.get(row(at)).copied().unwrap_or_default();
                let stands = code as f32 * step;
                let planned = f32::from_le_bytes([number[0], number[1], number[2], number[3]]);
                stands == planned && code.unsigned_abs() <= self.limit.unsigned_abs()
            });
        Ok(same)
    }
}
