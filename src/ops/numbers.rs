//! What operators on codes compute, said in terms of the numbers that the codes stand for.

use crate::graph::NodeId;

/// Where an input of an operator on numbers stands among those of one on codes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CodedSlot {
    pub(crate) codes: usize,
    /// The inputs that are scales and zero points, where there are such.
    pub(crate) scale: Option<usize>,
    pub(crate) zero: Option<usize>,
    /// The axis that may have one of them for each position; from the back where it is negative.
    pub(crate) axis: Option<i64>,
}

impl CodedSlot {
    /// An input that is numbers.
    pub(super) const fn numbers(slot: usize) -> CodedSlot {
        CodedSlot {
            codes: slot,
            scale: None,
            zero: None,
            axis: None,
        }
    }

    /// Codes with their scale and zero point behind them.
    pub(super) const fn codes(slot: usize) -> CodedSlot {
        CodedSlot {
            codes: slot,
            scale: Some(slot + 1),
            zero: Some(slot + 2),
            axis: None,
        }
    }

    /// With a scale for each position of an axis.
    pub(super) const fn along(self, axis: i64) -> CodedSlot {
        CodedSlot {
            axis: Some(axis),
            ..self
        }
    }

    /// True where it is codes without a scale.
    pub(crate) fn is_bare(&self) -> bool {
        self.scale.is_none() && self.zero.is_some()
    }
}

/// A node computes what an operator makes of the numbers that its codes stand for.
#[derive(Clone, Debug)]
pub(crate) struct NumbersForm {
    pub(crate) node: NodeId,
    /// The operator of the default domain, with the attributes of the node; none where the numbers stay as they are.
    pub(crate) operator: Option<&'static str>,
    /// The inputs of that operator.
    pub(crate) inputs: Vec<CodedSlot>,
    /// An input that is codes of sums: their scale is the product of this number and those of the first two.
    pub(crate) sums: Option<(usize, f32)>,
    /// An input that is added behind the operator.
    pub(crate) added: Option<usize>,
    /// What is known of codes that it makes.
    pub(crate) made: MadeCodes,
    /// Whether its weight is packed, rows first, where the operator reads columns first and has no attributes.
    pub(crate) packed: bool,
}

/// The codes that a node makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MadeCodes {
    /// It makes numbers, or sums of codes.
    None,
    /// Their scale and zero point are inputs.
    Given([usize; 2]),
    /// Their scale and zero point are its other outputs.
    Found,
}

impl NumbersForm {
    pub(super) fn of(operator: &'static str, inputs: &[CodedSlot]) -> NumbersForm {
        NumbersForm {
            operator: Some(operator),
            ..NumbersForm::same(inputs)
        }
    }

    /// Numbers stay as they are.
    pub(super) fn same(inputs: &[CodedSlot]) -> NumbersForm {
        NumbersForm {
            node: NodeId(0),
            operator: None,
            inputs: inputs.to_vec(),
            sums: None,
            added: None,
            made: MadeCodes::None,
            packed: false,
        }
    }

    /// An operator on numbers and a packed weight with rows first.
    pub(super) fn of_packed(operator: &'static str, [data, weight]: [usize; 2]) -> NumbersForm {
        NumbersForm {
            packed: true,
            ..NumbersForm::of(operator, &[data, weight].map(CodedSlot::numbers))
        }
    }

    pub(super) fn making(self, scale: usize, zero: usize) -> NumbersForm {
        NumbersForm {
            made: MadeCodes::Given([scale, zero]),
            ..self
        }
    }

    pub(super) fn with_sums(self, slot: usize, factor: f32) -> NumbersForm {
        NumbersForm {
            sums: Some((slot, factor)),
            ..self
        }
    }

    pub(super) fn adding(self, slot: usize) -> NumbersForm {
        NumbersForm {
            added: Some(slot),
            ..self
        }
    }
}
