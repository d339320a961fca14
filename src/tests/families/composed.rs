//! Operators that are typed by their bodies, and fused activations.

use crate::onnx::ElementType;
use crate::tests::builder::{Builder, Value, floats};
use crate::tests::cases::{Case, dense, read_dense};

pub(in crate::tests) fn composed() -> Vec<Case> {
    let mut cases = activations();
    cases.extend(skipped());
    cases.extend(embedded());
    cases.extend(rotated());
    cases.extend(causal());
    cases
}

fn activations() -> Vec<Case> {
    let mut cases = Vec::new();
    for (operator, wiring) in [
        ("Gelu", "h -> a"),
        ("QuickGelu", "h -> a"),
        ("FastGelu", "h -> a"),
        ("FastGelu", "h b -> a"),
        ("BiasGelu", "h b -> a"),
    ] {
        let builder = dense(17).weight("b", &[8]).contrib(operator, wiring, &[]);
        let name = format!("com.microsoft.{operator} {wiring}");
        cases.push(Case::new(&name, read_dense(builder, "a"), &[8]));
    }
    cases
}

fn positive(name: &str) -> crate::onnx::proto::TensorProto {
    floats(name, &[8], &[0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2])
}

/// A sum that is normalised, in all forms, and what is read of it.
fn skipped() -> Vec<Case> {
    let mut cases = Vec::new();
    for (operator, wiring) in [
        ("SkipLayerNormalization", "h k scale -> a"),
        ("SkipLayerNormalization", "h k scale shift -> a"),
        ("SkipLayerNormalization", "h k scale - b -> a"),
        ("SkipLayerNormalization", "h k scale shift b -> a - - sum"),
        ("SkipSimplifiedLayerNormalization", "h k scale -> a"),
        (
            "SkipSimplifiedLayerNormalization",
            "h k scale b -> a - - sum",
        ),
    ] {
        for opset in [12, 17, 20] {
            let builder = Builder::new(opset)
                .input("x", &[2, 3, 6])
                .weight("w1", &[6, 8])
                .weight("w3", &[6, 8])
                .node("MatMul", "x w1 -> h", &[])
                .node("MatMul", "x w3 -> k", &[])
                .tensor(positive("scale"))
                .weight("shift", &[8])
                .weight("b", &[8])
                .contrib(operator, wiring, &[("epsilon", 1e-3_f32.into())]);
            let builder = match wiring.ends_with("sum") {
                true => builder.node("Mul", "a sum -> c", &[]),
                false => builder.node("Identity", "a -> c", &[]),
            };
            let name = format!("com.microsoft.{operator} {wiring} {opset}");
            cases.push(Case::new(&name, read_dense(builder, "c"), &[8]).mixing(1));
        }
    }
    let simplified = dense(17).tensor(positive("scale")).node(
        "SimplifiedLayerNormalization",
        "h scale -> a",
        &[],
    );
    let simplified = read_dense(simplified, "a");
    cases.push(Case::new("SimplifiedLayerNormalization", simplified, &[8]).mixing(1));
    cases
}

/// Words with and without segments, places and a mask.
fn embedded() -> Vec<Case> {
    let mut cases = Vec::new();
    for (segments, places, mask) in [
        ("-", "-", "-"),
        ("s", "-", "m"),
        ("-", "p", "m"),
        ("s", "p", "-"),
    ] {
        let sizes = [2.into(), 3.into()];
        let mut builder = Builder::new(17)
            .weight("words", &[11, 8])
            .weight("places", &[5, 8])
            .tensor(positive("scale"))
            .weight("shift", &[8]);
        for input in ["i", segments, places, mask] {
            if input != "-" {
                builder = builder.input_of(input, ElementType::Int32, &sizes);
            }
        }
        let table = match segments {
            "-" => "-",
            _ => {
                builder = builder.weight("kinds", &[2, 8]);
                "kinds"
            }
        };
        let wiring =
            format!("i {segments} words places {table} scale shift {mask} {places} -> a l sum");
        let builder = builder
            .contrib("EmbedLayerNormalization", &wiring, &[])
            .node("Mul", "a sum -> c", &[]);
        let builder = match mask {
            // All lengths are zero.
            "-" => builder,
            _ => builder.output_of("l", ElementType::Int32),
        };
        let name = format!("com.microsoft.EmbedLayerNormalization {wiring}");
        cases.push(Case::new(&name, read_dense(builder, "c"), &[8]).mixing(1));
    }
    cases
}

/// A form of rotation: whether heads have an axis of their own, whether pairs lie side by side, and how much of a head
/// is turned.
struct Rotation {
    heads_apart: bool,
    interleaved: i64,
    part: i64,
}

/// Heads of queries and keys turned by places, and their products.
fn rotated() -> Vec<Case> {
    let mut cases = Vec::new();
    for (heads_apart, interleaved, part) in [
        (false, 0, 0),
        (false, 1, 0),
        (true, 0, 0),
        (true, 1, 0),
        (false, 0, 8),
        (false, 1, 8),
        (true, 0, 8),
        (true, 1, 8),
    ] {
        let form = Rotation {
            heads_apart,
            interleaved,
            part,
        };
        for (domain, places) in [
            ("", "all"),
            ("", "none"),
            ("com.microsoft", "all"),
            ("com.microsoft", "first"),
        ] {
            let name =
                format!("{domain}.RotaryEmbedding {heads_apart} {interleaved} {part} {places}");
            let name = name.trim_start_matches('.');
            // Heads; pairs of a head; what of it is not turned.
            let mut dimensions = match part {
                0 => vec![4, 8],
                _ => vec![4, 4, 8],
            };
            dimensions.sort_unstable();
            let builder = rotation(&form, domain, places);
            cases.push(Case::new(name, builder, &dimensions).mixing(1));
        }
    }
    cases
}

fn rotation(form: &Rotation, domain: &str, places: &str) -> Builder {
    let width = if form.part == 0 {
        8
    } else {
        form.part as usize / 2
    };
    let mut builder = Builder::new(23)
        .input("x", &[2, 5, 6])
        .weight("cos", &[9, width])
        .weight("sin", &[9, width])
        .ints("split", &[0, 0, 4, -1]);
    let count = if places == "first" {
        vec![1.into()]
    } else {
        vec![2.into(), 5.into()]
    };
    builder = builder.input_of("places", ElementType::Int64, &count);
    let mut tables = "cos sin";
    if places == "none" {
        builder = builder.node("Gather", "cos places -> cos_rows", &[]).node(
            "Gather",
            "sin places -> sin_rows",
            &[],
        );
        tables = "cos_rows sin_rows";
    }
    let attributes = [
        ("num_heads", 4.into()),
        ("interleaved", form.interleaved.into()),
        ("rotary_embedding_dim", form.part.into()),
    ];
    for of in ["q", "k"] {
        let turned = Value::Ints(vec![0, 2, 1, 3]);
        let heads = [("perm", turned)];
        builder = builder.weight(&format!("w{of}"), &[6, 64]).node(
            "MatMul",
            &format!("x w{of} -> {of}0"),
            &[],
        );
        let read = if form.heads_apart { "2" } else { "0" };
        if form.heads_apart {
            builder = builder
                .node("Reshape", &format!("{of}0 split -> {of}1"), &[])
                .node("Transpose", &format!("{of}1 -> {of}2"), &heads);
        }
        builder = match (domain, places) {
            ("", "none") => builder.node(
                "RotaryEmbedding",
                &format!("{of}{read} {tables} -> {of}3"),
                &attributes,
            ),
            ("", _) => builder.node(
                "RotaryEmbedding",
                &format!("{of}{read} {tables} places -> {of}3"),
                &attributes,
            ),
            _ => builder.contrib(
                "RotaryEmbedding",
                &format!("{of}{read} places {tables} -> {of}3"),
                &attributes,
            ),
        };
        builder = match form.heads_apart {
            true => builder.node("Identity", &format!("{of}3 -> {of}5"), &[]),
            false => builder
                .node("Reshape", &format!("{of}3 split -> {of}4"), &[])
                .node("Transpose", &format!("{of}4 -> {of}5"), &heads),
        };
    }
    // Heads are summed over, so that they can go.
    builder
        .node("Transpose", "k5 -> k6", &[("perm", [0, 1, 3, 2].into())])
        .node("MatMul", "q5 k6 -> p", &[])
        .ints("heads", &[1])
        .node("ReduceSum", "p heads -> y", &[("keepdims", 0.into())])
        .output("y")
}

/// Single channels filtered over time, with a state and without.
fn causal() -> Vec<Case> {
    let mut cases = Vec::new();
    for (wiring, activation) in [
        ("t f -> c l", "none"),
        ("t f b -> c l", "silu"),
        ("t f b s -> c l", "swish"),
    ] {
        let turned = || [("perm", Value::Ints(vec![0, 2, 1]))];
        let builder = Builder::new(27)
            .input("x", &[2, 7, 6])
            .input("past", &[2, 3, 6])
            .weight("w1", &[6, 8])
            .weight("w3", &[8, 4])
            .weight("f", &[8, 1, 4])
            .weight("b", &[8])
            .node("MatMul", "x w1 -> h", &[])
            .node("MatMul", "past w1 -> g", &[])
            .node("Transpose", "h -> t", &turned())
            .node("Transpose", "g -> s", &turned())
            .node(
                "CausalConvWithState",
                wiring,
                &[("activation", activation.into())],
            )
            .node("Transpose", "c -> a", &turned())
            .node("Transpose", "l -> m", &turned())
            .node("MatMul", "m w3 -> z", &[])
            .output("z");
        let name = format!("CausalConvWithState {wiring} {activation}");
        cases.push(Case::new(&name, read_dense(builder, "a"), &[8]));
    }
    cases
}
