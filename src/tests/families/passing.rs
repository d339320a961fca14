//! Axes that pass what points into, samples or transforms other axes.

use crate::onnx::{ElementType, from_raw};
use crate::tests::builder::{Attributes, Builder, Value, floats};
use crate::tests::cases::{Case, dense, image, read_dense, read_image};

/// Integers of this shape.
fn indices(name: &str, dims: &[usize], numbers: &[i64]) -> crate::onnx::proto::TensorProto {
    let bytes: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
    from_raw(name, ElementType::Int64, dims, bytes)
}

pub(in crate::tests) fn passing() -> Vec<Case> {
    let mut cases = elements();
    cases.extend(tuples());
    cases.extend(sequences());
    cases.extend(samples());
    cases.extend(deformed());
    cases.extend(transformed());
    cases.extend(computed_weights());
    cases
}

/// Rows of h[2, 8] at i[3, 8], which is blown up from i[3, 1].
fn spread_rows(opset: i64) -> Builder {
    dense(opset)
        .tensor(indices("rows", &[3, 1], &[1, 0, 1]))
        .ints("size", &[3, 8])
        .node("Expand", "rows size -> i", &[])
}

fn elements() -> Vec<Case> {
    let mut cases = Vec::new();
    let gathered = spread_rows(13).node("GatherElements", "h i -> a", &[("axis", 0.into())]);
    cases.push(Case::new(
        "GatherElements of rows",
        read_dense(gathered, "a"),
        &[8],
    ));
    let part = dense(13)
        .tensor(indices("rows", &[3, 1], &[1, 0, 1]))
        .ints("size", &[3, 4])
        .node("Expand", "rows size -> i", &[])
        .node("GatherElements", "h i -> a", &[])
        .weight("w3", &[4, 8])
        .node("MatMul", "a w3 -> b", &[]);
    let table = dense(13)
        .tensor(indices(
            "i",
            &[2, 8],
            &[0, 1, 0, 1, 1, 1, 0, 0, 1, 0, 0, 1, 1, 0, 1, 0],
        ))
        .node("GatherElements", "h i -> a", &[("axis", 0.into())]);
    cases.push(Case::new(
        "GatherElements by a table",
        read_dense(table, "a"),
        &[8],
    ));
    let flags: Vec<u8> = (0..8).map(|place| u8::from(place % 3 == 1)).collect();
    let masked = dense(13)
        .tensor(from_raw("flags", ElementType::Bool, &[8], flags))
        .tensor(floats("one", &[1], &[1.0]))
        .node("Where", "flags one h -> a", &[]);
    cases.push(Case::new("Where by flags", read_dense(masked, "a"), &[8]));
    cases.push(Case::new(
        "GatherElements of some columns",
        read_dense(part, "b"),
        &[8],
    ));
    let ranked = image(13)
        .ints("k", &[2])
        .node("TopK", "h k -> v i", &[("axis", 2.into())])
        .node("GatherElements", "h i -> a", &[("axis", 2.into())]);
    cases.push(Case::new(
        "GatherElements where TopK found",
        read_image(ranked, "a"),
        &[8],
    ));
    for (opset, operator, reduction) in [
        (9, "Scatter", None),
        (13, "ScatterElements", None),
        (18, "ScatterElements", Some("add")),
        (18, "ScatterElements", Some("max")),
    ] {
        let mut attributes = vec![("axis", Value::Int(0))];
        attributes.extend(reduction.map(|reduction| ("reduction", reduction.into())));
        let scattered = dense(opset)
            .tensor(indices("rows", &[1, 1], &[1]))
            .ints("size", &[1, 8])
            .node("Expand", "rows size -> i", &[])
            .input("z", &[1, 6])
            .weight("w3", &[6, 8])
            .node("MatMul", "z w3 -> u", &[])
            .node(operator, "h i u -> a", &attributes);
        let name = format!("{operator} to rows, {reduction:?}");
        cases.push(Case::new(&name, read_dense(scattered, "a"), &[8]));
    }
    cases
}

fn tuples() -> Vec<Case> {
    let mut cases = Vec::new();
    let rows =
        dense(13)
            .tensor(indices("i", &[3, 1], &[1, 0, 1]))
            .node("GatherND", "h i -> a", &[]);
    cases.push(Case::new("GatherND of rows", read_dense(rows, "a"), &[8]));
    let batches = image(13)
        .tensor(indices(
            "i",
            &[2, 3, 2],
            &[0, 1, 5, 2, 3, 3, 1, 1, 4, 0, 2, 2],
        ))
        .node("Transpose", "h -> t", &[("perm", [0, 2, 3, 1].into())])
        .node("GatherND", "t i -> a", &[("batch_dims", 1.into())]);
    cases.push(Case::new(
        "GatherND in batches",
        read_dense(batches, "a"),
        &[8],
    ));
    for reduction in ["none", "add", "mul"] {
        let rows = dense(18)
            .tensor(indices("i", &[1, 1], &[1]))
            .input("z", &[1, 6])
            .weight("w3", &[6, 8])
            .node("MatMul", "z w3 -> u", &[])
            .node(
                "ScatterND",
                "h i u -> a",
                &[("reduction", reduction.into())],
            );
        let name = format!("ScatterND to rows, {reduction}");
        cases.push(Case::new(&name, read_dense(rows, "a"), &[8]));
    }
    cases
}

fn sequences() -> Vec<Case> {
    let mut cases = Vec::new();
    let cache = Builder::new(24)
        .input("x", &[2, 5, 6])
        .input("z", &[2, 2, 6])
        .weight("w1", &[6, 8])
        .weight("w3", &[6, 8])
        .tensor(indices("at", &[2], &[0, 3]))
        .node("MatMul", "x w1 -> h", &[])
        .node("MatMul", "z w3 -> u", &[])
        .node("TensorScatter", "h u at -> a", &[]);
    cases.push(Case::new(
        "TensorScatter along time",
        read_dense(cache, "a"),
        &[8],
    ));
    let sequence = || {
        Builder::new(13)
            .input("x", &[5, 2, 6])
            .weight("w1", &[6, 8])
            .node("MatMul", "x w1 -> h", &[])
    };
    let reversed =
        sequence()
            .ints("lengths", &[3, 5])
            .node("ReverseSequence", "h lengths -> a", &[]);
    cases.push(Case::new(
        "ReverseSequence along time",
        read_dense(reversed, "a"),
        &[8],
    ));
    let holds = from_raw("holds", ElementType::Bool, &[5], vec![1, 0, 0, 1, 1]);
    let compressed =
        sequence()
            .tensor(holds)
            .node("Compress", "h holds -> a", &[("axis", 0.into())]);
    cases.push(Case::new(
        "Compress along time",
        read_dense(compressed, "a"),
        &[8],
    ));
    let hot = image(13)
        .node(
            "ArgMax",
            "h -> i",
            &[("axis", 2.into()), ("keepdims", 0.into())],
        )
        .scalar("depth", 6)
        .tensor(floats("values", &[2], &[0.0, 1.0]))
        .node("OneHot", "i depth values -> a", &[]);
    cases.push(Case::new("OneHot of places", read_image(hot, "a"), &[8]));
    let multiplied = image(26)
        .scalar("axis", 2)
        .node("CumProd", "h axis -> a", &[]);
    cases.push(Case::new(
        "CumProd along an axis",
        read_image(multiplied, "a"),
        &[8],
    ));
    let determinants = image(13)
        .node("Det", "h -> d", &[])
        .weight("w2", &[8, 4])
        .node("MatMul", "d w2 -> y", &[])
        .output("y");
    cases.push(Case::new("Det of images", determinants, &[8]));
    cases
}

fn samples() -> Vec<Case> {
    let mut cases = Vec::new();
    for mode in ["bilinear", "nearest"] {
        let sampled = image(16).weight("grid", &[2, 3, 5, 2]).node(
            "GridSample",
            "h grid -> a",
            &[("mode", mode.into())],
        );
        let name = format!("GridSample, {mode}");
        cases.push(Case::new(&name, read_image(sampled, "a"), &[8]));
    }
    let turned = image(20)
        .weight("theta", &[2, 2, 3])
        .ints("size", &[2, 8, 5, 5])
        .node("AffineGrid", "theta size -> grid", &[])
        .node("GridSample", "h grid -> a", &[]);
    cases.push(Case::new("AffineGrid", read_image(turned, "a"), &[8]));
    let rois = [0.0, 0.0, 0.0, 3.0, 3.0, 1.0, 1.0, 1.0, 4.0, 5.0];
    let regions = image(13).tensor(floats("rois", &[2, 5], &rois)).node(
        "MaxRoiPool",
        "h rois -> a",
        &[("pooled_shape", [2, 2].into())],
    );
    cases.push(Case::new("MaxRoiPool", read_image(regions, "a"), &[8]));
    for (name, axes, size) in [
        (
            "CenterCropPad of places",
            Some(Value::from([2, 3])),
            vec![4, 8],
        ),
        ("CenterCropPad of all axes", None, vec![2, 8, 4, 8]),
    ] {
        let axes: Vec<_> = axes.into_iter().map(|axes| ("axes", axes)).collect();
        let cropped = image(18)
            .ints("size", &size)
            .node("CenterCropPad", "h size -> a", &axes);
        cases.push(Case::new(name, read_image(cropped, "a"), &[8]));
    }
    let joined = Builder::new(18)
        .input("x", &[2, 9, 6])
        .weight("w1", &[6, 32])
        .ints("image", &[6, 6])
        .ints("block", &[2, 2])
        .node("MatMul", "x w1 -> h", &[])
        .node("Transpose", "h -> t", &[("perm", [0, 2, 1].into())])
        .node(
            "Col2Im",
            "t image block -> a",
            &[("strides", [2, 2].into())],
        );
    cases.push(Case::new("Col2Im", read_image(joined, "a"), &[8]));
    cases
}

/// Convolutions that read beside their windows' places, by groups of channels and of places.
fn deformed() -> Vec<Case> {
    let forms = [
        (1, 1, false),
        (1, 2, true),
        (2, 1, true),
        (2, 2, false),
        (8, 1, false),
    ];
    let case = |(groups, shared, masked): (i64, i64, bool)| {
        let places = 9 * shared as usize;
        let attributes: Attributes = &[
            ("group", groups.into()),
            ("offset_group", shared.into()),
            ("kernel_shape", [3, 3].into()),
        ];
        let mut builder = image(19)
            .weight("w3", &[8, 8 / groups as usize, 3, 3])
            .weight("b3", &[8])
            .weight("o", &[2 * places, 3, 5, 5])
            .weight("m", &[places, 3, 5, 5])
            .node("Conv", "x o -> offset", &[]);
        let mut inputs = "h w3 offset b3".to_owned();
        if masked {
            builder = builder.node("Conv", "x m -> mask", &[]);
            inputs += " mask";
        }
        let builder = builder.node("DeformConv", &format!("{inputs} -> a"), attributes);
        // In a depthwise one the channels read are those made.
        let dimensions: &[usize] = if groups == 8 { &[8] } else { &[8, 8] };
        let name = format!("DeformConv, {groups} groups, {shared} of places");
        Case::new(&name, read_image(builder, "a"), dimensions)
    };
    forms.into_iter().map(case).collect()
}

fn transformed() -> Vec<Case> {
    let mut cases = Vec::new();
    for operator in ["AveragePool", "MaxPool"] {
        let pooled = Builder::new(13)
            .input("x", &[2, 1, 7, 6])
            .weight("w1", &[6, 8])
            .node("MatMul", "x w1 -> h", &[])
            .node(
                operator,
                "h -> a",
                &[("kernel_shape", [2, 1].into()), ("strides", [2, 1].into())],
            );
        let name = format!("{operator} along time");
        cases.push(Case::new(&name, read_dense(pooled, "a"), &[8]));
    }
    let sequence = |opset: i64| {
        Builder::new(opset)
            .input("x", &[2, 7, 6])
            .weight("w1", &[6, 8])
            .ints("last", &[-1])
            .node("MatMul", "x w1 -> h", &[])
            .node("Unsqueeze", "h last -> u", &[])
    };
    let read = |builder: Builder| {
        builder
            .ints("parts", &[3])
            .node("ReduceSum", "f parts -> a", &[("keepdims", 0.into())])
    };
    let half = [("axis", Value::Int(1)), ("onesided", 1.into())];
    let old = read(sequence(17).node("DFT", "u -> f", &half));
    cases.push(Case::new("DFT 17 along time", read_dense(old, "a"), &[8]));
    let new =
        sequence(20)
            .scalar("axis", 1)
            .node("DFT", "u - axis -> f", &[("onesided", 1.into())]);
    cases.push(Case::new(
        "DFT along time",
        read_dense(read(new), "a"),
        &[8],
    ));
    cases
}

/// Weights of grouped convolutions that are computed from constants: each group keeps its own channels of those too.
fn computed_weights() -> Vec<Case> {
    let mut cases = Vec::new();
    let groups = ("group", Value::Int(2));
    let scaled = image(13)
        .weight("v", &[12, 4, 3, 3])
        .weight("g", &[12, 1, 1, 1])
        .node("Mul", "v g -> w3", &[])
        .node("Conv", "h w3 -> a", std::slice::from_ref(&groups))
        .weight("w2", &[4, 12, 1, 1])
        .node("Conv", "a w2 -> y", &[])
        .output("y");
    cases.push(Case::new("Conv, scaled weight of groups", scaled, &[8, 12]));
    let normed = image(13)
        .weight("v", &[8, 4, 3, 3])
        .weight("g", &[8, 1, 1, 1])
        .node("ReduceL2", "v -> n", &[("axes", [1, 2, 3].into())])
        .node("Div", "g n -> s", &[])
        .node("Mul", "v s -> w3", &[])
        .node("Conv", "h w3 -> a", std::slice::from_ref(&groups));
    let normed = Case::new(
        "Conv, normed weight of groups",
        read_image(normed, "a"),
        &[8, 8],
    );
    cases.push(normed.mixing(1));
    let turned = image(13)
        .weight("v", &[8, 4, 3, 3])
        .weight("g", &[8, 1, 1, 1])
        .node("Mul", "v g -> w3", &[])
        .node("ConvTranspose", "h w3 -> a", std::slice::from_ref(&groups));
    cases.push(Case::new(
        "ConvTranspose, scaled weight of groups",
        read_image(turned, "a"),
        &[8, 8],
    ));
    let reshaped = image(13)
        .weight("v", &[8, 36])
        .ints("size", &[8, 4, 3, 3])
        .node("Reshape", "v size -> w3", &[])
        .node("Conv", "h w3 -> a", std::slice::from_ref(&groups));
    // Channels by block have no place within a product.
    cases.push(Case::new(
        "Conv, reshaped weight of groups",
        read_image(reshaped, "a"),
        &[8],
    ));
    cases
}
