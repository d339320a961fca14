//! Operators on codes between two products of codes.

use crate::onnx::{ElementType, from_raw};
use crate::tests::builder::{Attributes, Builder, Value, floats};
use crate::tests::cases::Case;

use super::packed::bytes;

/// Codes of 8 bits, and their scale and zero point: one, or one for each position of an axis.
fn weight(builder: Builder, name: &str, dims: &[usize], along: Option<usize>) -> Builder {
    let count = dims.iter().product();
    let signed: Vec<u8> = bytes(name, count)
        .into_iter()
        .map(|code| code / 2)
        .collect();
    let scales = along.map_or(1, |axis| dims[axis]);
    let numbers: Vec<f32> = (0..scales)
        .map(|place| 0.01 + 0.001 * place as f32)
        .collect();
    let listed: &[usize] = if along.is_some() { &[scales] } else { &[] };
    builder
        .tensor(from_raw(name, ElementType::Int8, dims, signed))
        .tensor(floats(&format!("{name}.scale"), listed, &numbers))
        .tensor(from_raw(
            &format!("{name}.zero"),
            ElementType::Int8,
            listed,
            vec![3; scales],
        ))
}

/// A scale and a zero point of codes without sign.
fn scale(builder: Builder, name: &str, scale: f32, zero: u8) -> Builder {
    builder
        .tensor(floats(&format!("{name}.scale"), &[], &[scale]))
        .tensor(from_raw(
            &format!("{name}.zero"),
            ElementType::Uint8,
            &[],
            vec![zero],
        ))
}

/// x[2, 6] as codes -> h[2, 8] as codes by a product of codes; what follows reads `h`.
fn begun() -> Builder {
    let builder = Builder::new(17).input("x", &[2, 6]);
    let builder = scale(builder, "a", 0.02, 120);
    let builder = scale(builder, "h", 0.05, 110);
    let builder = scale(builder, "g", 0.04, 100);
    let builder = weight(builder, "w1", &[6, 8], Some(1));
    builder
        .node("QuantizeLinear", "x a.scale a.zero -> a", &[])
        .node(
            "QLinearMatMul",
            "a a.scale a.zero w1 w1.scale w1.zero h.scale h.zero -> h",
            &[],
        )
}

/// As numbers, and read by a product of numbers.
fn ended(builder: Builder, from: &str) -> Builder {
    builder
        .weight("w2", &[8, 4])
        .node(
            "DequantizeLinear",
            &format!("{from} g.scale g.zero -> n"),
            &[],
        )
        .node("MatMul", "n w2 -> y", &[])
        .output("y")
}

fn between(operator: &str, wiring: &str, attributes: Attributes) -> Case {
    let name = operator.rsplit('.').next().unwrap_or(operator);
    let builder = begun().node(operator, wiring, attributes);
    Case::new(name, ended(builder, "g"), &[8])
}

pub(in crate::tests) fn coded() -> Vec<Case> {
    let mut cases = vec![
        Case::new(
            "QLinearMatMul",
            ended(begun().node("Identity", "h -> g", &[]), "g"),
            &[8],
        ),
        between(
            "com.microsoft.QLinearSigmoid",
            "h h.scale h.zero g.scale g.zero -> g",
            &[],
        ),
        between(
            "com.microsoft.QLinearLeakyRelu",
            "h h.scale h.zero g.scale g.zero -> g",
            &[("alpha", Value::from(0.1_f32))],
        ),
        between(
            "com.microsoft.QLinearAdd",
            "h h.scale h.zero h h.scale h.zero g.scale g.zero -> g",
            &[],
        ),
        between(
            "com.microsoft.QLinearMul",
            "h h.scale h.zero h h.scale h.zero g.scale g.zero -> g",
            &[],
        ),
    ];
    let mut shares = between(
        "com.microsoft.QLinearSoftmax",
        "h h.scale h.zero g.scale g.zero -> g",
        &[("opset", 13.into()), ("axis", (-1).into())],
    );
    shares.dimensions.clear();
    cases.push(shares);
    cases.extend([joined(), gemm(), whole(), wide(), dynamic(), to_numbers()]);
    cases.extend([chosen(), lstm(false), lstm(true), attention()]);
    cases.extend(images());
    cases
}

/// Two halves put together, of which each loses its own channels.
fn joined() -> Case {
    let builder = weight(begun(), "w3", &[6, 4], None)
        .weight("w2", &[12, 4])
        .node(
            "QLinearMatMul",
            "a a.scale a.zero w3 w3.scale w3.zero h.scale h.zero -> k",
            &[],
        )
        .node(
            "com.microsoft.QLinearConcat",
            "g.scale g.zero h h.scale h.zero k h.scale h.zero -> g",
            &[("axis", 1.into())],
        )
        .node("DequantizeLinear", "g g.scale g.zero -> n", &[])
        .node("MatMul", "n w2 -> y", &[])
        .output("y");
    Case::new("QLinearConcat", builder, &[4, 8])
}

fn gemm() -> Case {
    let bias: Vec<u8> = (0..5_i32).flat_map(|n| (10 * n).to_le_bytes()).collect();
    let builder = weight(begun(), "w3", &[5, 8], Some(0))
        .tensor(from_raw("b3", ElementType::Int32, &[5], bias))
        .weight("w2", &[5, 4])
        .node(
            "com.microsoft.QGemm",
            "h h.scale h.zero w3 w3.scale w3.zero b3 g.scale g.zero -> g",
            &[("transB", 1.into())],
        )
        .node("DequantizeLinear", "g g.scale g.zero -> n", &[])
        .node("MatMul", "n w2 -> y", &[])
        .output("y");
    Case::new("QGemm", builder, &[5, 8])
}

/// Sums of products of codes, scaled afterwards.
fn whole() -> Case {
    let builder = weight(begun(), "w3", &[8, 5], Some(1))
        .weight("w2", &[5, 4])
        .tensor(floats("s", &[], &[0.001]))
        .node("MatMulInteger", "h w3 h.zero w3.zero -> i", &[])
        .node("Cast", "i -> f", &[("to", 1.into())])
        .node("Mul", "f s -> n", &[])
        .node("MatMul", "n w2 -> y", &[])
        .output("y");
    Case::new("MatMulInteger", builder, &[5, 8])
}

/// The same of codes of 16 bits.
fn wide() -> Case {
    let codes: Vec<u8> = bytes("w3", 80).iter().map(|code| code / 8).collect();
    let builder = Builder::new(17)
        .input("x", &[2, 6])
        .weight("w1", &[6, 8])
        .tensor(from_raw("w3", ElementType::Int16, &[8, 5], codes))
        .weight("w2", &[5, 4])
        .tensor(floats("s", &[], &[100.0]))
        .tensor(floats("t", &[], &[1e-6]))
        .node("MatMul", "x w1 -> h", &[])
        .node("Mul", "h s -> k", &[])
        .node("Cast", "k -> c", &[("to", 5.into())])
        .contrib("MatMulInteger16", "c w3 -> i", &[])
        .node("Cast", "i -> f", &[("to", 1.into())])
        .node("Mul", "f t -> n", &[])
        .node("MatMul", "n w2 -> y", &[])
        .output("y");
    Case::new("MatMulInteger16", builder, &[5])
}

/// Codes by the extremes of what is there when the model runs.
fn dynamic() -> Case {
    let builder = Builder::new(17)
        .input("x", &[2, 6])
        .weight("w1", &[6, 8])
        .node("MatMul", "x w1 -> h", &[])
        .node("Relu", "h -> r", &[])
        .node("DynamicQuantizeLinear", "r -> c c.scale c.zero", &[]);
    let builder = weight(builder, "w3", &[8, 5], Some(1))
        .node("MatMulInteger", "c w3 c.zero w3.zero -> i", &[])
        .node("Cast", "i -> f", &[("to", 1.into())])
        .node("Mul", "f c.scale -> n", &[])
        .node(
            "com.microsoft.DynamicQuantizeMatMul",
            "n w4 w4.scale w4.zero -> y",
            &[],
        )
        .output("y");
    let builder = weight(builder, "w4", &[5, 4], Some(1));
    Case::new("DynamicQuantizeLinear", builder, &[5, 8])
}

fn to_numbers() -> Case {
    let builder = weight(begun(), "w3", &[8, 5], None)
        .weight("b3", &[5])
        .weight("w2", &[5, 4])
        .node(
            "com.microsoft.MatMulIntegerToFloat",
            "h w3 h.scale w3.scale h.zero w3.zero b3 -> n",
            &[],
        )
        .node("MatMul", "n w2 -> y", &[])
        .output("y");
    Case::new("MatMulIntegerToFloat", builder, &[5, 8])
}

fn chosen() -> Case {
    let flags = from_raw("flags", ElementType::Bool, &[2, 1], vec![1, 0]);
    let builder = begun()
        .tensor(flags)
        .node(
            "com.microsoft.QLinearSigmoid",
            "h h.scale h.zero g.scale g.zero -> k",
            &[],
        )
        .node(
            "com.microsoft.QLinearWhere",
            "flags h h.scale h.zero k g.scale g.zero g.scale g.zero -> g",
            &[],
        );
    Case::new("QLinearWhere", ended(builder, "g"), &[8])
}

/// Two directions whose matrices have a scale each, or one for each column.
fn lstm(by_column: bool) -> Case {
    let scales: &[usize] = if by_column { &[2, 24] } else { &[2] };
    let count = scales.iter().product();
    let mut builder = Builder::new(17)
        .input("x", &[3, 2, 6])
        .weight("w1", &[6, 8])
        .node("MatMul", "x w1 -> t", &[])
        .weight("b", &[2, 48])
        .weight("w2", &[6, 4]);
    for (name, dims) in [("w", [2, 8, 24]), ("r", [2, 6, 24])] {
        let codes = bytes(&format!("lstm.{name}"), dims.iter().product());
        let numbers: Vec<f32> = (0..count).map(|at| 0.004 + 0.0001 * at as f32).collect();
        // Kernels take no zero points of columns but 0.
        let zero = if by_column { 0 } else { 128 };
        builder = builder
            .tensor(from_raw(name, ElementType::Uint8, &dims, codes))
            .tensor(floats(&format!("{name}.scale"), scales, &numbers))
            .tensor(from_raw(
                &format!("{name}.zero"),
                ElementType::Uint8,
                scales,
                vec![zero; count],
            ));
    }
    let attributes = [
        ("hidden_size", 6.into()),
        ("direction", Value::from("bidirectional")),
    ];
    let builder = builder
        .node(
            "com.microsoft.DynamicQuantizeLSTM",
            "t w r b - - - - w.scale w.zero r.scale r.zero -> h",
            &attributes,
        )
        .node("MatMul", "h w2 -> y", &[])
        .output("y");
    let name = match by_column {
        true => "DynamicQuantizeLSTM by column",
        false => "DynamicQuantizeLSTM",
    };
    Case::new(name, builder, &[6, 8])
}

/// Attention of two heads, of codes by columns.
fn attention() -> Case {
    let builder = Builder::new(17).input("x", &[2, 3, 6]);
    let builder = scale(builder, "a", 0.02, 120);
    let builder = scale(builder, "h", 0.05, 110);
    let builder = weight(builder, "w1", &[6, 10], None);
    let builder = weight(builder, "w3", &[10, 48], Some(1))
        .weight("b3", &[48])
        .weight("w2", &[16, 4])
        .node("QuantizeLinear", "x a.scale a.zero -> a", &[])
        .node(
            "QLinearMatMul",
            "a a.scale a.zero w1 w1.scale w1.zero h.scale h.zero -> h",
            &[],
        )
        .node(
            "com.microsoft.QAttention",
            "h w3 b3 h.scale w3.scale - h.zero w3.zero -> n",
            &[("num_heads", 2.into())],
        )
        .node("MatMul", "n w2 -> y", &[])
        .output("y");
    Case::new("QAttention", builder, &[2, 8, 10])
}

/// x[2, 3, 8, 8] as codes -> h[2, 8, 6, 6] as codes.
fn image() -> Builder {
    let bias: Vec<u8> = (0..8_i32).flat_map(|n| (50 * n).to_le_bytes()).collect();
    let builder = Builder::new(17).input("x", &[2, 3, 8, 8]).tensor(from_raw(
        "b1",
        ElementType::Int32,
        &[8],
        bias,
    ));
    let builder = scale(builder, "a", 0.02, 120);
    let builder = scale(builder, "h", 0.05, 110);
    let builder = scale(builder, "g", 0.04, 100);
    let builder = weight(builder, "w1", &[8, 3, 3, 3], Some(0));
    builder
        .node("QuantizeLinear", "x a.scale a.zero -> a", &[])
        .node(
            "QLinearConv",
            "a a.scale a.zero w1 w1.scale w1.zero h.scale h.zero b1 -> h",
            &[],
        )
}

fn images() -> Vec<Case> {
    let pooled = |builder: Builder| {
        builder
            .weight("w2", &[4, 8, 1, 1])
            .node("DequantizeLinear", "g g.scale g.zero -> n", &[])
            .node("Conv", "n w2 -> y", &[])
            .output("y")
    };
    let one = image().node(
        "com.microsoft.QLinearGlobalAveragePool",
        "h h.scale h.zero g.scale g.zero -> g",
        &[("channels_last", 0.into())],
    );
    let windows = image().node(
        "com.microsoft.QLinearAveragePool",
        "h h.scale h.zero g.scale g.zero -> g",
        &[("kernel_shape", [2, 2].into())],
    );
    let whole = weight(image(), "w3", &[5, 8, 1, 1], None)
        .weight("w2", &[4, 5, 1, 1])
        .node("ConvInteger", "h w3 h.zero w3.zero -> i", &[])
        .node("Cast", "i -> n", &[("to", 1.into())])
        .node("Conv", "n w2 -> y", &[])
        .output("y");
    let second = weight(image(), "w3", &[5, 8, 1, 1], Some(0))
        .weight("w2", &[4, 5, 1, 1])
        .node(
            "com.microsoft.QLinearConv",
            "h h.scale h.zero w3 w3.scale w3.zero g.scale g.zero -> g",
            &[],
        )
        .node("DequantizeLinear", "g g.scale g.zero -> n", &[])
        .node("Conv", "n w2 -> y", &[])
        .output("y");
    vec![
        Case::new("QLinearConv", second, &[5, 8]),
        last(),
        Case::new("QLinearGlobalAveragePool", pooled(one), &[8]),
        Case::new("QLinearAveragePool", pooled(windows), &[8]),
        Case::new("ConvInteger", whole, &[5, 8]),
    ]
}

/// Channels that stand last, as where onnxruntime has optimised for the CPU.
fn last() -> Case {
    let last = [("channels_last", 1.into())];
    let windows = [("channels_last", 1.into()), ("kernel_shape", [2, 2].into())];
    let builder = weight(image(), "w3", &[5, 8, 3, 3], Some(0));
    let builder = weight(builder, "w4", &[5, 1, 1, 1], None)
        .weight("w2", &[5, 4])
        .node("Transpose", "h -> t", &[("perm", [0, 2, 3, 1].into())])
        .node(
            "com.microsoft.QLinearConv",
            "t h.scale h.zero w3 w3.scale w3.zero g.scale g.zero -> c",
            &last,
        )
        .node(
            "com.microsoft.QLinearConv",
            "c g.scale g.zero w4 w4.scale w4.zero g.scale g.zero -> d",
            &[("channels_last", 1.into()), ("group", 5.into())],
        )
        .node(
            "com.microsoft.NhwcMaxPool",
            "d -> e",
            &[("kernel_shape", [2, 2].into())],
        )
        .node(
            "com.microsoft.QLinearAveragePool",
            "e g.scale g.zero g.scale g.zero -> f",
            &windows,
        )
        .node("DequantizeLinear", "f g.scale g.zero -> n", &[])
        .node("MatMul", "n w2 -> y", &[])
        .output("y");
    Case::new("NhwcMaxPool", builder, &[5, 8])
}
