//! Element-wise operators and broadcasting.

use crate::tests::builder::Value;
use crate::tests::cases::{Case, between, dense, read_dense};

const FLOAT: i64 = 1;
const INT32: i64 = 6;
const UINT32: i64 = 12;

pub(in crate::tests) fn elementwise() -> Vec<Case> {
    let mut cases = Vec::new();
    for operator in [
        "Identity",
        "Dropout",
        "Neg",
        "Relu",
        "LeakyRelu",
        "Elu",
        "Selu",
        "Celu",
        "Mish",
        "HardSwish",
        "HardSigmoid",
        "Sigmoid",
        "Softplus",
        "Softsign",
        "Shrink",
        "Clip",
        "Erf",
        "Abs",
        "Sqrt",
        "Reciprocal",
        "Exp",
        "Log",
        "Sin",
        "Cos",
        "Tan",
        "Asin",
        "Acos",
        "Atan",
        "Sinh",
        "Cosh",
        "Tanh",
        "Asinh",
        "Atanh",
    ] {
        let builder = between(operator, 18, &["Sigmoid"], &[]);
        cases.push(Case::new(operator, builder, &[8]));
    }
    for operator in ["Sign", "Floor", "Ceil", "Round", "ThresholdedRelu"] {
        cases.push(Case::new(operator, between(operator, 18, &[], &[]), &[8]));
    }
    cases.push(Case::new(
        "Acosh",
        between("Acosh", 18, &["Sigmoid", "Reciprocal"], &[]),
        &[8],
    ));
    cases.push(Case::new("Gelu", between("Gelu", 20, &[], &[]), &[8]));
    cases.push(Case::new("Swish", between("Swish", 24, &[], &[]), &[8]));
    cases.push(Case::new(
        "Cast",
        between("Cast", 18, &[], &[("to", FLOAT.into())]),
        &[8],
    ));
    let like = dense(18)
        .weight("s", &[1])
        .node("CastLike", "h s -> a", &[]);
    cases.push(Case::new("CastLike", read_dense(like, "a"), &[8]));
    for operator in ["IsNaN", "IsInf"] {
        // Neither is ever true here, so the flag is turned round and scales the data.
        let builder = dense(20)
            .node(operator, "h -> flag", &[])
            .node("Not", "flag -> is", &[])
            .node("Cast", "is -> one", &[("to", FLOAT.into())])
            .node("Mul", "h one -> a", &[]);
        cases.push(Case::new(operator, read_dense(builder, "a"), &[8]));
    }
    cases.extend(binary());
    cases.extend(logical());
    cases.push(broadcasting());
    cases
}

fn binary() -> Vec<Case> {
    let mut cases = Vec::new();
    for operator in [
        "Add", "Sub", "Sum", "Mean", "Mul", "Div", "Pow", "Min", "Max",
    ] {
        let builder = dense(18)
            .weight("c", &[8])
            .node("Sigmoid", "h -> p", &[])
            .node(operator, "p c -> a", &[]);
        cases.push(Case::new(operator, read_dense(builder, "a"), &[8]));
    }
    let slopes = dense(18).weight("c", &[8]).node("PRelu", "h c -> a", &[]);
    cases.push(Case::new("PRelu", read_dense(slopes, "a"), &[8]));
    let modulo = dense(18)
        .weight("c", &[8])
        .node("Mod", "h c -> a", &[("fmod", 1.into())]);
    cases.push(Case::new("Mod", read_dense(modulo, "a"), &[8]));
    for operator in ["Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"] {
        let builder = dense(18)
            .weight("c", &[8])
            .weight("d", &[8])
            .node("Floor", "h -> p", &[])
            .node("Floor", "c -> q", &[])
            .node(operator, "p q -> flag", &[])
            .node("Where", "flag h d -> a", &[]);
        cases.push(Case::new(operator, read_dense(builder, "a"), &[8]));
    }
    cases
}

fn logical() -> Vec<Case> {
    let mut cases = Vec::new();
    for operator in ["And", "Or", "Xor"] {
        let builder = dense(18)
            .weight("c", &[8])
            .weight("d", &[8])
            .node("Greater", "h c -> left", &[])
            .node("Less", "h d -> right", &[])
            .node("Not", "right -> other", &[])
            .node(operator, "left other -> flag", &[])
            .node("Where", "flag h c -> a", &[]);
        cases.push(Case::new(operator, read_dense(builder, "a"), &[8]));
    }
    for operator in ["BitwiseAnd", "BitwiseOr", "BitwiseXor", "BitShift"] {
        let shift = [("direction", Value::from("LEFT"))];
        let attributes = if operator == "BitShift" {
            &shift[..]
        } else {
            &[]
        };
        let to = if operator == "BitShift" {
            UINT32
        } else {
            INT32
        };
        let builder = dense(18)
            .node("Abs", "h -> p", &[])
            .node("Cast", "p -> bits", &[("to", to.into())])
            .node(operator, "bits bits -> b", attributes)
            .node("Cast", "b -> c", &[("to", FLOAT.into())])
            .node("Add", "c h -> a", &[]);
        cases.push(Case::new(operator, read_dense(builder, "a"), &[8]));
    }
    let not = dense(18)
        .node("Cast", "h -> bits", &[("to", INT32.into())])
        .node("BitwiseNot", "bits -> b", &[])
        .node("Cast", "b -> a", &[("to", FLOAT.into())]);
    cases.push(Case::new("BitwiseNot", read_dense(not, "a"), &[8]));
    cases
}

fn broadcasting() -> Case {
    let builder = dense(13)
        .weight("column", &[2, 1])
        .weight("one", &[])
        .weight("w3", &[8, 8])
        .node("MatMul", "h w3 -> g", &[])
        .node("Add", "g h -> r", &[])
        .node("Mul", "r column -> s", &[])
        .node("Add", "one s -> a", &[]);
    Case::new("broadcasting", read_dense(builder, "a"), &[8])
}
