//! Sizes as data, selection by index, and operators that hold what they touch.

use crate::onnx::{ElementType, from_raw};
use crate::tests::builder::{Builder, Size, Value, floats, noise};
use crate::tests::cases::{Case, dense, read_dense};

const FLOAT: i64 = 1;

pub(in crate::tests) fn sizes() -> Vec<Case> {
    let mut cases = Vec::new();
    // An attention scale computed from a size: it must not follow the pruned size.
    let scaled = dense(13)
        .node("Shape", "h -> shape", &[])
        .scalar("one", 1)
        .node("Gather", "shape one -> width", &[])
        .node("Cast", "width -> number", &[("to", FLOAT.into())])
        .node("Sqrt", "number -> root", &[])
        .node("Div", "h root -> a", &[]);
    cases.push(Case::new(
        "Shape reaches data",
        read_dense(scaled, "a"),
        &[8],
    ));
    // The total size, used as a number.
    let sized = dense(13)
        .node("Size", "h -> count", &[])
        .node("Cast", "count -> number", &[("to", FLOAT.into())])
        .node("Div", "h number -> a", &[]);
    cases.push(Case::new("Size reaches data", read_dense(sized, "a"), &[8]));
    // A target shape put together from a dynamic batch and numbers.
    let heads = Builder::new(13)
        .input_of("x", ElementType::Float, &[Size::from("batch"), 6.into()])
        .weight("w1", &[6, 8])
        .node("MatMul", "x w1 -> h", &[])
        .node("Shape", "x -> shape", &[])
        .ints("zero", &[0])
        .ints("tail", &[4, 2])
        .node("Gather", "shape zero -> batch", &[])
        .node("Concat", "batch tail -> target", &[("axis", 0.into())])
        .node("Reshape", "h target -> a", &[])
        .node("Transpose", "a -> t", &[("perm", [0, 2, 1].into())])
        .weight("w2", &[4, 5])
        .node("MatMul", "t w2 -> m", &[])
        .ints("flat", &[0, -1])
        .node("Reshape", "m flat -> y", &[])
        .output("y");
    cases.push(Case::new("Reshape from a dynamic batch", heads, &[4]));
    let constant = Value::Tensor(noise("", &[6, 8]).into());
    let constants = Builder::new(13)
        .input("x", &[2, 6])
        .node("Constant", "-> w1", &[("value", constant)])
        .node("MatMul", "x w1 -> a", &[]);
    cases.push(Case::new("Constant", read_dense(constants, "a"), &[8]));
    let zeros = Value::Tensor(floats("", &[1], &[0.25]).into());
    let blown = dense(13)
        .ints("like", &[2, 8])
        .node("ConstantOfShape", "like -> c", &[("value", zeros)])
        .node("Add", "h c -> a", &[]);
    cases.push(Case::new("ConstantOfShape", read_dense(blown, "a"), &[8]));
    let expanded = dense(13)
        .weight("c", &[2, 1])
        .ints("like", &[2, 8])
        .node("Expand", "c like -> e", &[])
        .node("Mul", "h e -> a", &[]);
    cases.push(Case::new("Expand", read_dense(expanded, "a"), &[8]));
    let tiled = dense(13)
        .weight("c", &[2, 1])
        .ints("times", &[1, 8])
        .node("Tile", "c times -> e", &[])
        .node("Mul", "h e -> a", &[]);
    cases.push(Case::new("Tile from size 1", read_dense(tiled, "a"), &[8]));
    let repeated = dense(13)
        .ints("times", &[1, 2])
        .node("Tile", "h times -> t", &[])
        .weight("w2", &[16, 4])
        .node("MatMul", "t w2 -> y", &[])
        .output("y");
    cases.push(Case::new("Tile", repeated, &[8]));
    let positions = Builder::new(13)
        .input_of("x", ElementType::Int64, &[2.into(), 5.into()])
        .weight("words", &[20, 8])
        .weight("places", &[5, 8])
        .node("Gather", "words x -> e", &[])
        .scalar("start", 0)
        .scalar("limit", 5)
        .scalar("step", 1)
        .node("Range", "start limit step -> r", &[])
        .node("Gather", "places r -> p", &[])
        .node("Add", "e p -> a", &[]);
    cases.push(Case::new(
        "Range and Gather",
        read_dense(positions, "a"),
        &[8],
    ));
    cases
}

pub(in crate::tests) fn held() -> Vec<Case> {
    let index = |dims: &[usize], count: usize| {
        let bytes = vec![0_u8; count * 8];
        from_raw("index", ElementType::Int64, dims, bytes)
    };
    let behind_of = |name: &str, builder: Builder, width: usize, dimensions: &[usize]| {
        let builder = builder
            .weight("w3", &[width, 8])
            .node("MatMul", "a w3 -> b", &[]);
        Case::new(name, read_dense(builder, "b"), dimensions)
    };
    let behind = |name: &str, builder: Builder, width: usize| behind_of(name, builder, width, &[8]);
    let mut cases = Vec::new();
    let columns: Vec<u8> = [5_i64, 1, 7, 2, 0, 3]
        .iter()
        .flat_map(|n| n.to_le_bytes())
        .collect();
    let columns = from_raw("index", ElementType::Int64, &[2, 3], columns);
    let gathered =
        dense(13)
            .tensor(columns)
            .node("GatherElements", "h index -> a", &[("axis", 1.into())]);
    // What the index selects can go, as columns of the index.
    cases.push(behind_of("GatherElements", gathered, 3, &[3, 8]));
    for operator in ["ScatterElements", "Scatter"] {
        let opset = if operator == "Scatter" { 9 } else { 13 };
        let scattered = dense(opset)
            .tensor(index(&[1, 1], 1))
            .weight("new", &[1, 1])
            .node(operator, "h index new -> a", &[]);
        cases.push(behind(operator, scattered, 8));
    }
    let lengths: Vec<u8> = [2_i64; 8].iter().flat_map(|n| n.to_le_bytes()).collect();
    let reversed = dense(13)
        .tensor(from_raw("lengths", ElementType::Int64, &[8], lengths))
        .node(
            "ReverseSequence",
            "h lengths -> a",
            &[("batch_axis", 1.into()), ("time_axis", 0.into())],
        );
    cases.push(behind("ReverseSequence", reversed, 8));
    let eye = dense(13)
        .node("EyeLike", "h -> e", &[])
        .node("Add", "h e -> a", &[]);
    cases.push(behind("EyeLike", eye, 8));
    let hot = dense(13)
        .node(
            "ArgMax",
            "h -> i",
            &[("axis", 1.into()), ("keepdims", 0.into())],
        )
        .scalar("depth", 8)
        .tensor(floats("values", &[2], &[0.0, 1.0]))
        .node("OneHot", "i depth values -> o", &[])
        .node("Add", "h o -> a", &[]);
    cases.push(behind("OneHot", hot, 8));
    let non_zero = dense(13)
        .node("NonZero", "h -> n", &[])
        .node("Cast", "n -> f", &[("to", FLOAT.into())])
        .node("ReduceMean", "f -> m", &[("keepdims", 0.into())])
        .node("Add", "h m -> a", &[]);
    cases.push(behind("NonZero", non_zero, 8));
    cases.extend(held_unproven());
    cases
}

fn held_unproven() -> Vec<Case> {
    let mut cases = Vec::new();
    for operator in ["RandomNormalLike", "RandomUniformLike", "Bernoulli"] {
        let builder = dense(15).node(operator, "h -> a", &[]).output("a");
        cases.push(Case::new(operator, builder, &[]));
    }
    // Noise is proven where both sides draw the same.
    for operator in ["RandomNormalLike", "RandomUniformLike"] {
        let noisy = dense(15)
            .node(operator, "x -> n", &[])
            .weight("w3", &[6, 8])
            .node("MatMul", "n w3 -> m", &[])
            .node("Add", "h m -> a", &[]);
        let name = format!("{operator} beside a dimension");
        cases.push(Case::new(&name, read_dense(noisy, "a"), &[8]));
    }
    let rotary = Builder::new(23)
        .input("x", &[2, 3, 4, 8])
        .weight("cos", &[5, 4])
        .weight("sin", &[5, 4])
        .tensor(from_raw(
            "places",
            ElementType::Int64,
            &[2, 4],
            vec![0_u8; 64],
        ))
        .node("RotaryEmbedding", "x cos sin places -> a", &[])
        .output("a");
    cases.push(Case::new("RotaryEmbedding", rotary, &[]));
    let cache = Builder::new(24)
        .input("x", &[2, 3, 4, 8])
        .weight("new", &[2, 3, 1, 8])
        .node("TensorScatter", "x new -> a", &[])
        .output("a");
    cases.push(Case::new("TensorScatter", cache, &[]));
    cases
}
