//! Shape arithmetic: small integer tensors evaluated element by element over symbolic sizes.
//!
//! The same functions run twice: while typing, with the model's sizes, and while rewriting, with the kept
//! sizes, to see which numbers adapt by themselves and which have to be written anew.

use ndarray::ArrayD;

use super::reals;
use crate::axes::{Extent, Symbols};
use crate::graph::{Attributes, Graph, NodeId, ValueId};
use crate::onnx::integers as tensor_integers;
use crate::onnx::proto::NodeProto;
use crate::onnx::{ElementType, to_f32};
use crate::ops::find;

/// Larger tensors are data, not shapes.
pub(in crate::ops) const MOST_ELEMENTS: usize = 4096;

pub(in crate::ops) type Array = ArrayD<Option<Extent>>;

/// An integer or Boolean tensor; elements that cannot be computed are `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Integers {
    pub(crate) dims: Vec<usize>,
    /// In row-major order.
    pub(crate) elements: Vec<Option<Extent>>,
}

impl Integers {
    pub(in crate::ops) fn scalar(value: Extent) -> Integers {
        Integers {
            dims: Vec::new(),
            elements: vec![Some(value)],
        }
    }

    pub(in crate::ops) fn list(elements: Vec<Option<Extent>>) -> Integers {
        Integers {
            dims: vec![elements.len()],
            elements,
        }
    }

    pub(in crate::ops) fn of(array: &Array) -> Integers {
        Integers {
            dims: array.shape().to_vec(),
            elements: array.iter().cloned().collect(),
        }
    }

    pub(in crate::ops) fn array(&self) -> Option<Array> {
        ArrayD::from_shape_vec(self.dims.clone(), self.elements.clone()).ok()
    }

    /// All elements as numbers.
    pub(crate) fn known(&self) -> Option<Vec<i64>> {
        let number = |e: &Option<Extent>| e.as_ref().and_then(Extent::known);
        self.elements.iter().map(number).collect()
    }
}

/// Real numbers at most in a constant that is a part of a list of numbers.
const MOST_REALS: usize = 8;

/// True for a list of real numbers that does nothing but become a part of longer lists.
pub(in crate::ops) fn is_part_of_a_list(graph: &Graph, id: ValueId) -> bool {
    let value = graph.value(id);
    let joined = |&(node, _): &(NodeId, usize)| find(graph, node).is_some_and(|row| row.joins);
    graph.constant(id).is_some_and(|tensor| {
        matches!(tensor.dims[..], [count] if count <= MOST_REALS as i64)
            && !value.is_output
            && !graph.is_captured(id)
            && !value.consumers.is_empty()
            && value.consumers.iter().all(joined)
    })
}

/// The integers of a constant value, if it is small, or the real numbers of one that holds just one or is a part
/// of a list.
pub(in crate::ops) fn constant(
    graph: &Graph,
    id: ValueId,
    symbols: &mut Symbols,
) -> Option<Integers> {
    let tensor = graph.constant(id)?;
    let dims: Option<Vec<usize>> = tensor
        .dims
        .iter()
        .map(|&d| usize::try_from(d).ok())
        .collect();
    let dims = dims?;
    let count = dims.iter().try_fold(1_usize, |n, &d| n.checked_mul(d))?;
    if count > MOST_ELEMENTS {
        return None;
    }
    if let Some(element) = graph.element(id).filter(|element| element.is_float()) {
        // Numbers of 64 bits would have to be read as such.
        let readable = element == ElementType::Float;
        if !readable || (count != 1 && !is_part_of_a_list(graph, id)) {
            return None;
        }
        let numbers = to_f32(tensor).ok()?.into_iter();
        let elements = numbers.map(|n| reals::number(symbols, n.into(), element));
        let elements = elements.collect();
        return Some(Integers { dims, elements });
    }
    let elements = tensor_integers(tensor).ok()??;
    Some(Integers {
        dims,
        elements: elements
            .into_iter()
            .map(|n| Some(Extent::Known(n)))
            .collect(),
    })
}

/// What is known of a node's inputs, and of the type of what it makes.
pub(crate) struct Known {
    pub(crate) inputs: Vec<Option<Integers>>,
    pub(crate) shapes: Vec<Option<Vec<Extent>>>,
    pub(crate) element: Option<ElementType>,
}

/// The element type of the first output of a node.
pub(crate) fn element_of(
    graph: &Graph,
    node: NodeId,
    elements: &[Option<ElementType>],
) -> Option<ElementType> {
    elements[graph.node(node).output(0)?.index()]
}

/// What a node's evaluation sees.
pub(crate) struct Evaluation<'a> {
    pub(in crate::ops) proto: &'a NodeProto,
    pub(in crate::ops) inputs: Vec<Option<Integers>>,
    pub(in crate::ops) shapes: Vec<Option<Vec<Extent>>>,
    /// Of the first output.
    pub(in crate::ops) element: Option<ElementType>,
    pub(in crate::ops) symbols: &'a mut Symbols,
}

/// Whether the outputs of a node can be integers that are computed: more inputs than elements are none.
pub(crate) fn is_evaluated(graph: &Graph, node: NodeId) -> bool {
    let inputs = graph.node(node).inputs.len();
    inputs <= MOST_ELEMENTS && find(graph, node).is_some_and(|row| row.evaluate.is_some())
}

/// The integer outputs of a node; empty where they cannot be computed.
pub(crate) fn evaluate_node(
    graph: &Graph,
    node: NodeId,
    known: Known,
    symbols: &mut Symbols,
) -> Vec<Integers> {
    let Some(evaluate) = find(graph, node).and_then(|row| row.evaluate) else {
        return Vec::new();
    };
    let mut evaluation = Evaluation {
        proto: graph.node_proto(node),
        inputs: known.inputs,
        shapes: known.shapes,
        element: known.element,
        symbols,
    };
    let outputs = evaluate(&mut evaluation).unwrap_or_default();
    let small = |integers: &Integers| integers.elements.len() <= MOST_ELEMENTS;
    match outputs.iter().all(small) {
        true => outputs,
        false => Vec::new(),
    }
}

pub(in crate::ops) type Outputs = Option<Vec<Integers>>;

pub(in crate::ops) fn one(integers: Integers) -> Outputs {
    Some(vec![integers])
}

impl Evaluation<'_> {
    pub(in crate::ops) fn input(&self, slot: usize) -> Option<&Integers> {
        self.inputs.get(slot)?.as_ref()
    }

    /// Numbers from an input or, in older operator versions, an attribute.
    pub(in crate::ops) fn numbers(&self, slot: usize, attribute: &str) -> Option<Vec<i64>> {
        match self.proto.ints(attribute) {
            Some(list) => Some(list.to_vec()),
            None => self.input(slot)?.known(),
        }
    }

    /// True if what is made are real numbers.
    pub(in crate::ops) fn is_real(&self) -> bool {
        self.element.is_some_and(ElementType::is_float)
    }

    /// Element by element of the first input.
    pub(in crate::ops) fn each(
        &mut self,
        compute: impl Fn(&mut Symbols, &Extent) -> Option<Extent>,
    ) -> Outputs {
        let x = self.input(0)?.clone();
        let element = |element: &Option<Extent>| compute(self.symbols, element.as_ref()?);
        one(Integers {
            elements: x.elements.iter().map(element).collect(),
            ..x
        })
    }

    /// Element by element over two broadcast inputs.
    pub(in crate::ops) fn pairwise(
        &mut self,
        compute: impl Fn(&mut Symbols, &Extent, &Extent) -> Option<Extent>,
    ) -> Outputs {
        let (a, b) = (self.input(0)?.array()?, self.input(1)?.array()?);
        let (a, b) = broadcast(&a, &b)?;
        let mut element = |a: &Option<Extent>, b: &Option<Extent>| {
            compute(self.symbols, a.as_ref()?, b.as_ref()?)
        };
        let pairs = a.iter().zip(&b);
        let elements = pairs.map(|(a, b)| element(a, b)).collect();
        let dims = a.shape().to_vec();
        one(Integers { dims, elements })
    }

    /// Element by element over all inputs, broadcast, from the first on.
    pub(in crate::ops) fn combined(
        &mut self,
        combine: fn(&mut Evaluation, &Extent, &Extent) -> Option<Extent>,
    ) -> Outputs {
        let mut all = self.input(0)?.array()?;
        for slot in 1..self.inputs.len() {
            let next = self.input(slot)?.array()?;
            let (a, b) = broadcast(&all, &next)?;
            let pairs = a.iter().zip(&b);
            let elements = pairs.map(|(a, b)| combine(self, a.as_ref()?, b.as_ref()?));
            let elements = elements.collect();
            all = ArrayD::from_shape_vec(a.raw_dim(), elements).ok()?;
        }
        one(Integers::of(&all))
    }
}

/// Both inputs stretched to the shape that they broadcast to.
pub(in crate::ops) fn broadcast(a: &Array, b: &Array) -> Option<(Array, Array)> {
    let rank = a.ndim().max(b.ndim());
    let size = |x: &Array, place: usize| {
        let at = (place + x.ndim()).checked_sub(rank);
        at.map_or(1, |at| x.shape()[at])
    };
    let mut dims = Vec::with_capacity(rank);
    for place in 0..rank {
        dims.push(match (size(a, place), size(b, place)) {
            (1, n) | (n, 1) => n,
            (m, n) if m == n => n,
            _ => return None,
        });
    }
    let total = dims.iter().try_fold(1_usize, |n, &d| n.checked_mul(d))?;
    if total > MOST_ELEMENTS {
        return None;
    }
    let stretched = |x: &Array| x.broadcast(dims.clone()).map(|view| view.to_owned());
    stretched(a).zip(stretched(b))
}
