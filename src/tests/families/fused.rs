//! Products that onnxruntime makes of several nodes.

use crate::rewrite::prune;
use crate::tests::builder::{Attributes, Builder, Value, analyse, halves, planned};
use crate::tests::cases::{Case, dense, image, read_dense, read_image};

pub(in crate::tests) fn fused() -> Vec<Case> {
    let mut cases = convolutions();
    cases.extend(matrices());
    cases.extend(batches());
    cases.extend(affine());
    cases
}

fn convolutions() -> Vec<Case> {
    let fused = |builder: Builder, wiring: &str, attributes: Attributes| {
        builder.node("com.microsoft.FusedConv", wiring, attributes)
    };
    let relu = ("activation", Value::Text("Relu"));
    let summed = image(17).weight("wf", &[8, 8, 1, 1]).weight("bf", &[8]);
    let summed = fused(summed, "h wf bf h -> a", std::slice::from_ref(&relu));
    let leaky = [
        ("activation", "LeakyRelu".into()),
        ("activation_params", [0.2_f32].into()),
        ("group", 2.into()),
        ("kernel_shape", [3, 3].into()),
    ];
    let grouped = image(17).weight("wg", &[12, 4, 3, 3]);
    let grouped = fused(grouped, "h wg -> g", &leaky)
        .weight("w2", &[4, 12, 1, 1])
        .node("Conv", "g w2 -> y", &[])
        .output("y");
    let clip = [
        ("activation", "Clip".into()),
        ("activation_params", [0.5_f32, 1.5].into()),
        ("group", 8.into()),
    ];
    let depthwise = image(17).weight("wd", &[8, 1, 3, 3]).weight("bd", &[8]);
    let depthwise = fused(depthwise, "h wd bd -> a", &clip);
    let plain = image(17).weight("wf", &[8, 8, 1, 1]).weight("bf", &[8]);
    let plain = fused(plain, "h wf bf h -> a", &[]);
    vec![
        Case::new("FusedConv of a sum", read_image(summed, "a"), &[8]),
        Case::new("FusedConv grouped", grouped, &[8, 12]),
        Case::new("FusedConv depthwise", read_image(depthwise, "a"), &[8]),
        Case::new("FusedConv without function", read_image(plain, "a"), &[8]),
    ]
}

fn matrices() -> Vec<Case> {
    let mut cases = Vec::new();
    for operator in ["com.microsoft.FusedMatMul", "com.microsoft.TransposeMatMul"] {
        let turned = Builder::new(13)
            .input("x", &[2, 6, 5])
            .weight("w1", &[8, 6])
            .node(
                operator,
                "x w1 -> h",
                &[
                    ("transA", 1.into()),
                    ("transB", 1.into()),
                    ("alpha", 0.5_f32.into()),
                ],
            )
            .weight("w2", &[8, 4])
            .node(operator, "h w2 -> y", &[("alpha", 0.25_f32.into())])
            .output("y");
        cases.push(Case::new(operator, turned, &[8]));
    }
    let columns = Builder::new(13)
        .input("x", &[3, 5, 6])
        .weight("w1", &[6, 8])
        .node(
            "com.microsoft.FusedMatMul",
            "w1 x -> h",
            &[("transA", 1.into()), ("transB", 1.into())],
        )
        .weight("w2", &[8, 4])
        .node(
            "com.microsoft.FusedMatMul",
            "w2 h -> y",
            &[("transA", 1.into())],
        )
        .output("y");
    cases.push(Case::new("FusedMatMul from the left", columns, &[8]));
    cases
}

/// Attention whose heads stand before or behind the places, and are moved by the products themselves.
fn batches() -> Vec<Case> {
    let mut cases = Vec::new();
    let heads = |builder: Builder, name: &str| {
        let (made, apart) = (
            format!("x w{name} -> {name}f"),
            format!("{name}f heads -> {name}"),
        );
        builder
            .weight(&format!("w{name}"), &[6, 12])
            .node("MatMul", &made, &[])
            .node("Reshape", &apart, &[])
    };
    let mut attention = Builder::new(13)
        .input("x", &[5, 6])
        .ints("heads", &[5, 3, 4])
        .ints("joined", &[5, 12]);
    for name in ["q", "k", "v"] {
        attention = heads(attention, name);
    }
    let scores: Attributes = &[
        ("transB", 1.into()),
        ("transBatchA", 1.into()),
        ("transBatchB", 1.into()),
        ("alpha", 0.5_f32.into()),
    ];
    let attention = attention
        .node("com.microsoft.FusedMatMul", "q k -> s", scores)
        .node("Softmax", "s -> p", &[("axis", Value::Int(-1))])
        .node(
            "com.microsoft.FusedMatMul",
            "p v -> o",
            &[("transBatchB", 1.into())],
        )
        .node("Transpose", "o -> t", &[("perm", [1, 0, 2].into())])
        .node("Reshape", "t joined -> j", &[])
        .weight("wo", &[12, 4])
        .node("MatMul", "j wo -> y", &[])
        .output("y");
    cases.push(Case::new("FusedMatMul attention", attention, &[3, 4, 4]));
    cases
}

fn affine() -> Vec<Case> {
    let leaky = [
        ("activation", "LeakyRelu".into()),
        ("activation_alpha", 0.1_f32.into()),
        ("transB", 1.into()),
        ("beta", 0.5_f32.into()),
    ];
    let gemm = Builder::new(13)
        .input("x", &[2, 6])
        .weight("w1", &[8, 6])
        .weight("b1", &[8])
        .node("com.microsoft.FusedGemm", "x w1 b1 -> h", &leaky);
    let plain = dense(13)
        .weight("wf", &[8, 7])
        .node(
            "com.microsoft.FusedGemm",
            "h wf -> a",
            &[("activation", "Relu".into())],
        )
        .weight("w3", &[7, 4])
        .node("MatMul", "a w3 -> y", &[])
        .output("y");
    vec![
        Case::new("FusedGemm", read_dense(gemm, "h"), &[8]),
        Case::new("FusedGemm without bias", plain, &[7, 8]),
    ]
}

/// What onnxruntime has kernels for on GPUs alone: it is typed and cut, and no proof runs it.
pub(in crate::tests) fn on_gpus() -> Vec<Case> {
    let last = |groups: i64, weight: &[usize]| {
        Builder::new(17)
            .input("x", &[2, 8, 8, 3])
            .weight("w1", &[8, 3, 3, 3])
            .weight("b1", &[8])
            .node("com.microsoft.NhwcConv", "x w1 b1 -> h", &[])
            .weight("wn", weight)
            .node(
                "com.microsoft.NhwcConv",
                "h wn -> a",
                &[("group", groups.into())],
            )
            .weight("w2", &[weight[0], 4])
            .node("MatMul", "a w2 -> y", &[])
            .output("y")
    };
    let gelu = dense(17)
        .weight("wg", &[8, 10])
        .weight("bg", &[10])
        .node("com.microsoft.GemmFastGelu", "h wg bg -> a", &[])
        .weight("w2", &[10, 4])
        .node("MatMul", "a w2 -> y", &[])
        .output("y");
    let mixture = |fusion: i64, rows: usize, third: &str| {
        let attributes = [
            ("k", 2.into()),
            ("activation_type", "swiglu".into()),
            ("swiglu_fusion", fusion.into()),
        ];
        dense(17)
            .weight("wr", &[8, 5])
            .node("MatMul", "h wr -> r", &[])
            .weight("f1", &[5, rows, 8])
            .weight("f2", &[5, 8, 7])
            .weight("f3", &[5, 7, 8])
            .node(
                "com.microsoft.MoE",
                &format!("h r f1 - f2 {third} -> m"),
                &attributes,
            )
            .weight("w2", &[8, 4])
            .node("MatMul", "m w2 -> y", &[])
            .output("y")
    };
    vec![
        Case::new("NhwcConv", last(1, &[6, 3, 3, 8]), &[6, 8]),
        Case::new("NhwcConv depthwise", last(8, &[8, 3, 3, 1]), &[8]),
        Case::new("NhwcConv grouped", last(2, &[6, 3, 3, 4]), &[]),
        Case::new("GemmFastGelu", gelu, &[8, 10]),
        Case::new("MoE, gates first", mixture(2, 14, ""), &[5, 7, 8]),
        Case::new("MoE, gates apart", mixture(0, 7, "- f3"), &[5, 7, 8]),
    ]
}

#[test]
fn operators_without_a_kernel_are_cut_to_the_sizes_that_are_asked_for() {
    for case in on_gpus() {
        let analysis = analyse(&case.model);
        let mut sizes: Vec<usize> = analysis.dimensions().iter().map(|d| d.size).collect();
        sizes.sort_unstable();
        assert_eq!(
            sizes,
            case.dimensions,
            "{}: {:#?}",
            case.name,
            analysis.blocked()
        );
        let plan = planned(&analysis, &halves());
        assert_eq!(plan.dimensions.len(), sizes.len(), "{}", case.name);
        let after = analyse(&prune(&analysis, &plan).expect("it is cut"));
        let mut left: Vec<usize> = after.dimensions().iter().map(|d| d.size).collect();
        left.sort_unstable();
        let halves: Vec<usize> = sizes.iter().map(|size| size.div_ceil(2)).collect();
        assert_eq!(left, halves, "{}", case.name);
    }
}
