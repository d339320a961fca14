//! Attention as one operator.

use crate::tests::builder::{Attributes, Builder, Value};
use crate::tests::cases::Case;

const MULTI: &str = "com.microsoft.MultiHeadAttention";
const GROUPED: &str = "com.microsoft.GroupQueryAttention";

pub(in crate::tests) fn attention() -> Vec<Case> {
    let mut cases = standard();
    cases.extend(multi_head());
    cases.extend(grouped());
    cases.extend(packed());
    cases.extend(linear());
    cases
}

/// x[2, 5, 6] -> q, k, v [2, 5, of these widths], to be continued.
fn projected(opset: i64, widths: [usize; 3]) -> Builder {
    let builder = Builder::new(opset).input("x", &[2, 5, 6]);
    ["q", "k", "v"]
        .iter()
        .zip(widths)
        .fold(builder, |builder, (name, width)| {
            let made = format!("x w{name} -> {name}");
            let builder = builder.weight(&format!("w{name}"), &[6, width]);
            builder.node("MatMul", &made, &[])
        })
}

/// a[.., width] -> y[.., 4]
fn read(builder: Builder, width: usize) -> Builder {
    builder
        .weight("wo", &[width, 4])
        .node("MatMul", "a wo -> y", &[])
        .output("y")
}

/// a as heads of this width.
fn apart(builder: Builder, name: &str, heads: i64, width: i64) -> Builder {
    let (list, made, by_head) = (
        format!("{name}s"),
        format!("{name} {name}s -> {name}r"),
        format!("{name}r -> {name}h"),
    );
    builder
        .ints(&list, &[0, 0, heads, width])
        .node("Reshape", &made, &[])
        .node("Transpose", &by_head, &[("perm", [0, 2, 1, 3].into())])
}

fn standard() -> Vec<Case> {
    let numbers: Attributes = &[("q_num_heads", 6.into()), ("kv_num_heads", 2.into())];
    let joined = |wiring: &str, more: Attributes| {
        projected(23, [24, 8, 10]).node("Attention", wiring, &[numbers, more].concat())
    };
    let plain = joined("q k v -> a", &[]);
    let causal = joined(
        "q k v -> a",
        &[("is_causal", 1.into()), ("softcap", 2.0_f32.into())],
    );
    let masked = projected(23, [24, 8, 10]).weight("mask", &[6, 5, 5]).node(
        "Attention",
        "q k v mask -> a",
        numbers,
    );
    let mut by_head = projected(23, [24, 8, 10]);
    for (name, heads, width) in [("q", 6, 4), ("k", 2, 4), ("v", 2, 5)] {
        by_head = apart(by_head, name, heads, width);
    }
    let by_head = by_head
        .node("Attention", "qh kh vh -> ah", &[("scale", 0.3_f32.into())])
        .node("Transpose", "ah -> at", &[("perm", [0, 2, 1, 3].into())])
        .ints("joined", &[0, 0, -1])
        .node("Reshape", "at joined -> a", &[]);
    let cached = projected(23, [24, 8, 10])
        .input("pk", &[2, 2, 3, 4])
        .input("pv", &[2, 2, 3, 5])
        .node("Attention", "q k v - pk pv -> a nk nv", numbers)
        .output("nk")
        .output("nv");
    vec![
        Case::new("Attention", read(plain, 30), &[2, 3, 4, 5]),
        Case::new("Attention causal", read(causal, 30), &[2, 3, 4, 5]),
        Case::new("Attention mask by head", read(masked, 30), &[2, 3, 4, 5]),
        Case::new("Attention by head", read(by_head, 30), &[2, 3, 4, 5]),
        Case::new("Attention with caches", read(cached, 30), &[3]),
    ]
}

fn multi_head() -> Vec<Case> {
    let heads: Attributes = &[("num_heads", 3.into())];
    let plain = projected(17, [12, 12, 15]).weight("b", &[39]).node(
        MULTI,
        "q k v b -> a",
        &[heads, &[("unidirectional", 1.into())]].concat(),
    );
    let biased = projected(17, [12, 12, 15])
        .weight("bias", &[1, 3, 5, 5])
        .node(MULTI, "q k v - - bias -> a", heads);
    let mut crossed = projected(17, [12, 12, 12]);
    for name in ["k", "v"] {
        crossed = apart(crossed, name, 3, 4);
    }
    let crossed = crossed.node(MULTI, "q kh vh -> a", heads);
    let mut decoded = Builder::new(17)
        .input("z", &[2, 1, 6])
        .weight("wq", &[6, 12])
        .node("MatMul", "z wq -> q", &[])
        .input("x", &[2, 5, 6]);
    for (name, made) in [("k", "x wk -> k"), ("v", "x wv -> v")] {
        let builder = decoded.weight(&format!("w{name}"), &[6, 12]);
        decoded = apart(builder.node("MatMul", made, &[]), name, 3, 4);
    }
    let decoded = decoded.node(
        "com.microsoft.DecoderMaskedMultiHeadAttention",
        "q kh vh -> a",
        heads,
    );
    vec![
        Case::new("MultiHeadAttention", read(plain, 15), &[3, 4, 5]),
        Case::new("MultiHeadAttention bias", read(biased, 15), &[3, 4, 5]),
        Case::new("MultiHeadAttention by head", read(crossed, 12), &[3, 4]),
        Case::new(
            "DecoderMaskedMultiHeadAttention",
            read(decoded, 12),
            &[3, 4],
        ),
    ]
}

/// The lengths that the operator reads, for five places.
fn counted(builder: Builder) -> Builder {
    builder
        .tensor(integers("lengths", &[2], &[4, 4]))
        .tensor(integers("total", &[], &[5]))
}

fn integers(name: &str, dims: &[usize], numbers: &[i32]) -> crate::onnx::proto::TensorProto {
    let bytes: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
    crate::onnx::from_raw(name, crate::onnx::ElementType::Int32, dims, bytes)
}

fn grouped() -> Vec<Case> {
    let heads: Attributes = &[("num_heads", 6.into()), ("kv_num_heads", 2.into())];
    let rotary = ("do_rotary", Value::Int(1));
    let apart = |width: usize| counted(projected(17, [6 * width, 2 * width, 2 * width]));
    let plain = apart(16).node(GROUPED, "q k v - - lengths total -> a - -", heads);
    let sinks = apart(8).weight("sinks", &[6]).node(
        GROUPED,
        "q k v - - lengths total - - - - sinks -> a - -",
        heads,
    );
    let tables = |builder: Builder, width: usize| {
        builder
            .weight("cos", &[8, width])
            .weight("sin", &[8, width])
    };
    let whole = tables(apart(32), 16).node(
        GROUPED,
        "q k v - - lengths total cos sin -> a - -",
        &[heads, std::slice::from_ref(&rotary)].concat(),
    );
    let pairs = [rotary.clone(), ("rotary_interleaved", Value::Int(1))];
    let part = counted(Builder::new(17).input("x", &[2, 5, 6]))
        .weight("w", &[6, 10 * 64])
        .node("MatMul", "x w -> q", &[]);
    let part = tables(part, 16).node(
        GROUPED,
        "q - - - - lengths total cos sin -> a - -",
        &[heads, &pairs].concat(),
    );
    vec![
        Case::new("GroupQueryAttention", read(plain, 96), &[2, 3, 16]),
        Case::new("GroupQueryAttention sinks", read(sinks, 48), &[2, 3]),
        Case::new("GroupQueryAttention rotary", read(whole, 192), &[2, 3, 16]),
        Case::new(
            "GroupQueryAttention packed pairs",
            read(part, 384),
            &[2, 3, 16, 32],
        ),
    ]
}

fn packed() -> Vec<Case> {
    let start = Builder::new(17)
        .input("x", &[2, 5, 6])
        .weight("w1", &[6, 7])
        .node("MatMul", "x w1 -> h", &[])
        .weight("b", &[36]);
    let plain = start.clone().weight("w", &[7, 36]).node(
        "com.microsoft.Attention",
        "h w b -> a",
        &[("num_heads", 3.into())],
    );
    let sized = start.weight("w", &[7, 36]).node(
        "com.microsoft.Attention",
        "h w b -> a",
        &[
            ("num_heads", 3.into()),
            ("unidirectional", 1.into()),
            ("qkv_hidden_sizes", [9, 9, 18].into()),
        ],
    );
    vec![
        Case::new("Attention of one weight", read(plain, 12), &[3, 4, 4, 7]),
        Case::new("Attention of given sizes", read(sized, 18), &[3, 3, 6, 7]),
    ]
}

fn linear() -> Vec<Case> {
    let heads: Attributes = &[("q_num_heads", 6.into()), ("kv_num_heads", 2.into())];
    let gated = |rule: &'static str| [heads, &[("update_rule", Value::Text(rule))]].concat();
    let gate = |builder: Builder, name: &str, width: usize| {
        let (raw, made) = (
            format!("x w{name} -> {name}r"),
            format!("{name}r -> {name}s"),
        );
        let builder = builder.weight(&format!("w{name}"), &[6, width]);
        builder
            .node("MatMul", &raw, &[])
            .node("Sigmoid", &made, &[])
            .node("Neg", &format!("{name}s -> {name}"), &[])
    };
    let plain =
        projected(27, [24, 8, 10]).node("LinearAttention", "q k v -> a state", &gated("linear"));
    let forgets = gate(projected(27, [24, 8, 10]), "f", 8).weight("s", &[2, 2, 4, 5]);
    let forgets = forgets.node("LinearAttention", "q k v s f -> a state", &gated("gated"));
    let corrects = gate(gate(projected(27, [24, 8, 10]), "f", 2), "l", 2);
    let corrects = corrects.node(
        "LinearAttention",
        "q k v - f ls -> a state",
        &gated("gated_delta"),
    );
    vec![
        Case::new("LinearAttention", read(plain, 30), &[2, 3, 4, 5]),
        Case::new("LinearAttention gated", read(forgets, 30), &[2, 3, 4, 5]),
        Case::new("LinearAttention delta", read(corrects, 30), &[2, 3, 4, 5]),
    ]
}
