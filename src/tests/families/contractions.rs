//! Convolutions, matrix products, Einsum.

use crate::tests::builder::{Builder, Value};
use crate::tests::cases::{Case, image, read_image};

pub(in crate::tests) fn contractions() -> Vec<Case> {
    let mut cases = Vec::new();
    for (rank, name) in [(1, "Conv 1-D"), (2, "Conv 2-D"), (3, "Conv 3-D")] {
        let spatial = vec![5_i64; rank];
        let kernel = vec![3_usize; rank];
        let builder = Builder::new(17)
            .input("x", &[&[2, 3][..], &spatial].concat())
            .weight("w1", &[&[8, 3][..], &kernel].concat())
            .weight("b1", &[8])
            .weight("w2", &[&[4, 8][..], &vec![1; rank]].concat())
            .node("Conv", "x w1 b1 -> h", &[])
            .node("Relu", "h -> r", &[])
            .node("Conv", "r w2 -> y", &[])
            .output("y");
        cases.push(Case::new(name, builder, &[8]));
    }
    let grouped = image(17)
        .weight("wg", &[12, 4, 3, 3])
        .weight("bg", &[12])
        .node("Conv", "h wg bg -> g", &[("group", 2.into())])
        .weight("w2", &[4, 12, 1, 1])
        .node("Conv", "g w2 -> y", &[])
        .output("y");
    cases.push(Case::new("Conv grouped", grouped, &[8, 12]));
    let depthwise =
        image(17)
            .weight("wd", &[8, 1, 3, 3])
            .node("Conv", "h wd -> a", &[("group", 8.into())]);
    cases.push(Case::new(
        "Conv depthwise",
        read_image(depthwise, "a"),
        &[8],
    ));
    let multiplier = image(17)
        .weight("wd", &[16, 1, 3, 3])
        .weight("bd", &[16])
        .node("Conv", "h wd bd -> g", &[("group", 8.into())])
        .weight("w2", &[4, 16, 1, 1])
        .node("Conv", "g w2 -> y", &[])
        .output("y");
    cases.push(Case::new("Conv multiplier", multiplier, &[2, 8]));
    cases.extend(transposed());
    let gemm = Builder::new(13)
        .input("x", &[2, 6])
        .weight("w1", &[8, 6])
        .weight("b1", &[8])
        .weight("w2", &[8, 4])
        .weight("b2", &[2, 4])
        .node("Gemm", "x w1 b1 -> h", &[("transB", 1.into())])
        .node("Gemm", "h w2 b2 -> y", &[("alpha", 0.5_f32.into())])
        .output("y");
    cases.push(Case::new("Gemm", gemm, &[8]));
    let columns = Builder::new(13)
        .input("x", &[6, 2])
        .weight("w1", &[8, 6])
        .weight("w2", &[8, 4])
        .node("MatMul", "w1 x -> h", &[])
        .node("Gemm", "h w2 -> y", &[("transA", 1.into())])
        .output("y");
    cases.push(Case::new("Gemm transA", columns, &[8]));
    cases.extend(einsums());
    cases
}

fn transposed() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, group, weight, out) in [
        ("ConvTranspose", 1_i64, [8, 6, 3, 3], 6_usize),
        ("ConvTranspose grouped", 2, [8, 3, 3, 3], 6),
        ("ConvTranspose depthwise", 8, [8, 1, 3, 3], 8),
        ("ConvTranspose multiplier", 8, [8, 2, 3, 3], 16),
    ] {
        let attributes = [
            ("group", Value::from(group)),
            ("strides", [2, 2].into()),
            ("output_padding", [1, 1].into()),
        ];
        let builder = image(17)
            .weight("wt", &weight)
            .weight("bt", &[out])
            .node("ConvTranspose", "h wt bt -> g", &attributes)
            .weight("w2", &[4, out, 1, 1])
            .node("Conv", "g w2 -> y", &[])
            .output("y");
        let dimensions: &[usize] = match name {
            "ConvTranspose depthwise" => &[8],
            "ConvTranspose multiplier" => &[2, 8],
            _ => &[6, 8],
        };
        cases.push(Case::new(name, builder, dimensions));
    }
    cases
}

fn einsums() -> Vec<Case> {
    let mut cases = Vec::new();
    let attention = Builder::new(13)
        .input("x", &[2, 5, 6])
        .weight("wq", &[6, 3, 4])
        .weight("wk", &[6, 3, 4])
        .weight("wo", &[3, 4, 7])
        .node(
            "Einsum",
            "x wq -> q",
            &[("equation", "bsd,dhk->bhsk".into())],
        )
        .node(
            "Einsum",
            "x wk -> k",
            &[("equation", "bsd, dhk -> bhsk".into())],
        )
        .node(
            "Einsum",
            "q k -> s",
            &[("equation", "bhsk,bhtk->bhst".into())],
        )
        .node("Softmax", "s -> p", &[("axis", Value::Int(-1))])
        .node(
            "Einsum",
            "p k -> v",
            &[("equation", "bhst,bhtk->bhsk".into())],
        )
        .node(
            "Einsum",
            "v wo -> y",
            &[("equation", "bhsk,hkd->bsd".into())],
        )
        .output("y");
    cases.push(Case::new("Einsum attention", attention, &[3, 4]));
    let ellipsis = Builder::new(13)
        .input("x", &[2, 5, 6])
        .weight("w1", &[6, 8])
        .weight("w2", &[8, 4])
        .node(
            "Einsum",
            "x w1 -> h",
            &[("equation", "...d,dk->...k".into())],
        )
        .node("Einsum", "h w2 -> y", &[("equation", "abc,cd".into())])
        .output("y");
    cases.push(Case::new("Einsum ellipsis", ellipsis, &[8]));
    cases
}
