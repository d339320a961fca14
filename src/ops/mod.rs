//! Operators: for every family one file, for every operator one row.
//!
//! A [`Row`] names an operator, the rule that types its axes and, where its output can carry sizes, the
//! function that evaluates it symbolically. A rule speaks the verbs of [`Typing`] and nothing else; what
//! follows from it (dimensions, costs, the masked twin, the rewrite) is generic code that never looks at an
//! operator's name. An operator without a row, and any input that a rule does not ask for, is pinned.
//!
//! A new operator is a row here or, if it behaves like none of these, a row and one function.

mod families;
mod pass;
mod shapes;
mod state;
mod typing;

use crate::graph::{Graph, NodeId};
use crate::onnx::ElementType;

pub(crate) use families::TABLE;
pub(crate) use pass::{declared_shape, type_graph};
pub(crate) use shapes::{Evaluation, Integers, evaluate_node};
pub(crate) use state::{
    Agreement, Bias, Contraction, Linear, Mirror, Operand, Role, State, Target,
};

use typing::{Ruling, Typing};

/// Types the axes around one node.
type Rule = fn(&mut Typing) -> Ruling;
/// Computes a node's integer outputs; empty where they cannot be known.
type Evaluate = fn(&mut Evaluation) -> Option<Vec<Integers>>;

/// How the elements of an output are those of the first input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Viewing {
    /// In the same places.
    Same,
    /// In the same row-major order under other sizes.
    Reshaped,
    /// With axes in the order of the attribute `perm`.
    Permuted,
}

/// Whose elements the elements of the outputs are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carried {
    /// Those of the first input.
    First,
    /// Those of this input and all after it.
    From(usize),
}

/// How an operator acts on each element of its first input, or of any input where it says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pointwise {
    /// The sum of all inputs.
    Sum,
    /// The first input less the second.
    Difference,
    /// The product of all inputs.
    Product,
    /// The first input over the second.
    Quotient,
    /// Batch normalisation with given statistics: scale, bias, mean and variance are inputs.
    Normalised,
    /// Negative numbers become zero.
    Positive,
    /// Numbers are cut off at a minimum and a maximum: inputs or attributes `min` and `max`.
    Bounded,
}

/// Which kernels compute an operator: how fast they are depends on the widths that they get.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum KernelFamily {
    /// Convolutions that run on blocks of channels.
    Convolution,
    /// Products of a matrix, or many, with a matrix.
    MatMul,
    /// Products with a matrix and a vector added.
    Gemm,
    /// Products with a matrix, step by step.
    Recurrent,
}

/// What is known about one operator of the default domain.
#[derive(Clone, Copy)]
pub(crate) struct Row {
    pub(crate) operator: &'static str,
    rule: Rule,
    evaluate: Option<Evaluate>,
    /// Element type of the outputs where it does not follow from the inputs.
    yields: Option<ElementType>,
    /// Set where the output shows the elements of the first input.
    pub(crate) viewing: Option<Viewing>,
    /// Set where the output's elements are elements of inputs.
    carried: Option<Carried>,
    /// Input slots that have the same rank, where the first may be of any.
    ranked: Option<[usize; 2]>,
    /// Set where the output is piecewise linear in the elements of an input.
    pub(crate) pointwise: Option<Pointwise>,
    /// Set where most of the time goes into products.
    pub(crate) kernels: Option<KernelFamily>,
}

const fn row(operator: &'static str, rule: Rule) -> Row {
    Row {
        operator,
        rule,
        evaluate: None,
        yields: None,
        viewing: None,
        carried: None,
        ranked: None,
        pointwise: None,
        kernels: None,
    }
}

impl Row {
    const fn evaluated(self, evaluate: Evaluate) -> Row {
        Row {
            evaluate: Some(evaluate),
            ..self
        }
    }

    const fn viewed(self, viewing: Viewing) -> Row {
        Row {
            viewing: Some(viewing),
            ..self
        }
    }

    const fn carries(self, carried: Carried) -> Row {
        Row {
            carried: Some(carried),
            ..self
        }
    }

    /// States that an input has the rank of another, in the usual case that this one is a weight.
    const fn ranked_as(self, slot: usize, weight: usize) -> Row {
        Row {
            ranked: Some([slot, weight]),
            ..self
        }
    }

    /// True if elements of the input at `slot` are elements of the outputs.
    pub(crate) fn carries_elements_of(&self, slot: usize) -> bool {
        match self.carried {
            Some(Carried::First) => slot == 0,
            Some(Carried::From(first)) => slot >= first,
            None => self.viewing.is_some() && slot == 0,
        }
    }

    const fn pointwise(self, pointwise: Pointwise) -> Row {
        Row {
            pointwise: Some(pointwise),
            ..self
        }
    }

    const fn kernels(self, kernels: KernelFamily) -> Row {
        Row {
            kernels: Some(kernels),
            ..self
        }
    }

    const fn yields(self, element: ElementType) -> Row {
        Row {
            yields: Some(element),
            ..self
        }
    }
}

/// The row of a node's operator.
pub(crate) fn find(graph: &Graph, node: NodeId) -> Option<&'static Row> {
    let proto = graph.node_proto(node);
    if !matches!(proto.domain(), "" | "ai.onnx") {
        return None;
    }
    let mut rows = TABLE.iter().flat_map(|family| family.iter());
    rows.find(|row| row.operator == proto.op_type())
}

#[cfg(test)]
mod tests {
    use super::TABLE;
    use std::collections::HashSet;

    #[test]
    fn every_operator_has_one_row() {
        let mut seen = HashSet::new();
        for row in TABLE.iter().flat_map(|family| family.iter()) {
            assert!(seen.insert(row.operator), "{} has two rows", row.operator);
        }
    }
}
