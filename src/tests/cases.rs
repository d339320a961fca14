//! The cases: models in which an operator stands between a producer and a consumer of a dimension.

use super::builder::{Attributes, Builder};
use super::families;
use crate::onnx::Model;

/// A model and the dimensions that it has, in ascending order of size.
pub(in crate::tests) struct Case {
    pub(in crate::tests) name: String,
    pub(in crate::tests) model: Model,
    pub(in crate::tests) dimensions: Vec<usize>,
    /// How many of them are mixing.
    pub(in crate::tests) mixing: usize,
}

impl Case {
    pub(in crate::tests) fn new(name: &str, builder: Builder, dimensions: &[usize]) -> Case {
        Case {
            name: name.to_owned(),
            model: builder.model(),
            dimensions: dimensions.to_vec(),
            mixing: 0,
        }
    }

    pub(in crate::tests) fn mixing(mut self, count: usize) -> Case {
        self.mixing = count;
        self
    }
}

pub(in crate::tests) fn all() -> Vec<Case> {
    let mut cases = families::elementwise();
    cases.extend(families::contractions());
    cases.extend(families::fused());
    cases.extend(families::packed());
    cases.extend(families::coded());
    cases.extend(families::control());
    cases.extend(families::experts());
    cases.extend(families::attention());
    cases.extend(families::normalizations());
    cases.extend(families::composed());
    cases.extend(families::mixing());
    cases.extend(families::arrangements());
    cases.extend(families::spatial());
    cases.extend(families::reductions());
    cases.extend(families::recurrent());
    cases.extend(families::sizes());
    cases.extend(families::held());
    cases.extend(families::passing());
    cases
}

/// x[2, 6] -> h[2, 8], to be continued.
pub(in crate::tests) fn dense(opset: i64) -> Builder {
    Builder::new(opset)
        .input("x", &[2, 6])
        .weight("w1", &[6, 8])
        .node("MatMul", "x w1 -> h", &[])
}

/// a[.., 8] -> y[.., 4]
pub(in crate::tests) fn read_dense(builder: Builder, from: &str) -> Builder {
    builder
        .weight("w2", &[8, 4])
        .node("MatMul", &format!("{from} w2 -> y"), &[])
        .output("y")
}

/// x[2, 3, 8, 8] -> h[2, 8, 6, 6], to be continued.
pub(in crate::tests) fn image(opset: i64) -> Builder {
    Builder::new(opset)
        .input("x", &[2, 3, 8, 8])
        .weight("w1", &[8, 3, 3, 3])
        .weight("b1", &[8])
        .node("Conv", "x w1 b1 -> h", &[])
}

/// a[2, 8, ..] -> y[2, 4, ..]
pub(in crate::tests) fn read_image(builder: Builder, from: &str) -> Builder {
    builder
        .weight("w2", &[4, 8, 1, 1])
        .node("Conv", &format!("{from} w2 -> y"), &[])
        .output("y")
}

/// One node between two matrix multiplications, behind `before` nodes that bring its input into its domain.
pub(in crate::tests) fn between(
    operator: &str,
    opset: i64,
    before: &[&str],
    attributes: Attributes,
) -> Builder {
    let mut builder = dense(opset);
    let mut last = "h".to_owned();
    for (place, pre) in before.iter().enumerate() {
        let next = format!("p{place}");
        builder = builder.node(pre, &format!("{last} -> {next}"), &[]);
        last = next;
    }
    let builder = builder.node(operator, &format!("{last} -> a"), attributes);
    read_dense(builder, "a")
}
