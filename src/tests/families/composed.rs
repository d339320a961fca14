//! Operators that are typed by their bodies, and fused activations.

use crate::onnx::ElementType;
use crate::ops::CONTRIB;
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
        let opset = if wiring.ends_with("sum") { 20 } else { 12 };
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
        let name = format!("{operator} {wiring} {opset}");
        cases.push(Case::new(&name, read_dense(builder, "c"), &[8]).mixing(1));
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

/// A form of rotation: whether heads have an axis of their own, whether pairs lie side by side, how much of a head is
/// turned (0 for all of it), in which domain, and which places are given.
struct Rotation {
    heads_apart: bool,
    interleaved: i64,
    part: i64,
    domain: &'static str,
    places: &'static str,
}

/// Heads of queries and keys turned by places, and their products.
fn rotated() -> Vec<Case> {
    let mut cases = Vec::new();
    for (heads_apart, interleaved, part, domain, places) in [
        (false, 0, 0, "", "all"),
        (true, 0, 8, "", "none"),
        (false, 0, 8, "", "all"),
        (false, 1, 8, "", "none"),
        (true, 1, 0, "", "all"),
        (false, 0, 0, CONTRIB, "all"),
        (true, 0, 8, CONTRIB, "first"),
        (false, 1, 0, CONTRIB, "first"),
        (true, 1, 8, CONTRIB, "all"),
    ] {
        let form = Rotation {
            heads_apart,
            interleaved,
            part,
            domain,
            places,
        };
        let name = format!("RotaryEmbedding {domain} {heads_apart} {interleaved} {part} {places}");
        // Heads; pairs of a head; what of it is not turned.
        let dimensions = match part {
            0 => vec![4, 8],
            _ => vec![4, 4, 8],
        };
        cases.push(Case::new(&name, rotation(&form), &dimensions).mixing(1));
    }
    cases
}

fn rotation(form: &Rotation) -> Builder {
    let width = match form.part {
        0 => 8,
        part => part as usize / 2,
    };
    let count = match form.places {
        "first" => vec![1.into()],
        _ => vec![2.into(), 5.into()],
    };
    let mut builder = Builder::new(23)
        .input("x", &[2, 5, 6])
        .weight("cos", &[9, width])
        .weight("sin", &[9, width])
        .ints("split", &[0, 0, 4, -1])
        .input_of("places", ElementType::Int64, &count);
    if form.places == "none" {
        builder = builder.node("Gather", "cos places -> cosines", &[]).node(
            "Gather",
            "sin places -> sines",
            &[],
        );
    }
    builder = turned(turned(builder, form, "q"), form, "k");
    // Heads are summed over, so that they can go.
    builder
        .node("Transpose", "k5 -> k6", &[("perm", [0, 1, 3, 2].into())])
        .node("MatMul", "q5 k6 -> o", &[])
        .node("Relu", "o -> p", &[])
        .ints("heads", &[1])
        .node("ReduceSum", "p heads -> y", &[("keepdims", 0.into())])
        .output("y")
}

/// Heads of what `of` names, turned.
fn turned(builder: Builder, form: &Rotation, of: &str) -> Builder {
    let heads = [("perm", Value::Ints(vec![0, 2, 1, 3]))];
    let wire = |text: &str| text.replace('_', of);
    let attributes = [
        ("num_heads", 4.into()),
        ("interleaved", form.interleaved.into()),
        ("rotary_embedding_dim", form.part.into()),
    ];
    let mut builder =
        builder
            .weight(&wire("w_"), &[6, 64])
            .node("MatMul", &wire("x w_ -> _0"), &[]);
    builder = match form.heads_apart {
        true => builder.node("Reshape", &wire("_0 split -> _1"), &[]).node(
            "Transpose",
            &wire("_1 -> _2"),
            &heads,
        ),
        false => builder.node("Identity", &wire("_0 -> _2"), &[]),
    };
    let operator = "RotaryEmbedding";
    builder = match (form.domain, form.places) {
        ("", "none") => builder.node(operator, &wire("_2 cosines sines -> _3"), &attributes),
        ("", _) => builder.node(operator, &wire("_2 cos sin places -> _3"), &attributes),
        _ => builder.contrib(operator, &wire("_2 places cos sin -> _3"), &attributes),
    };
    match form.heads_apart {
        true => builder.node("Identity", &wire("_3 -> _5"), &[]),
        false => builder.node("Reshape", &wire("_3 split -> _4"), &[]).node(
            "Transpose",
            &wire("_4 -> _5"),
            &heads,
        ),
    }
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
