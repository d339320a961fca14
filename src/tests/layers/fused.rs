//! Layers of products that onnxruntime makes of several nodes.

use super::{Value, check, images, rows};

#[test]
fn gram_matrices_predict_the_energy_of_fused_products() {
    let turned = |name: &'static str| (name, Value::from(1));
    let fused = "com.microsoft.FusedMatMul";
    let alpha = ("alpha", 0.5_f32.into());
    check(
        "a weight that is turned",
        rows(&[4, 6])
            .weight("w", &[5, 6])
            .node(fused, "x w -> y", &[turned("transB")]),
    );
    check(
        "data and a weight that are turned",
        rows(&[6, 4]).weight("w", &[5, 6]).node(
            fused,
            "x w -> y",
            &[turned("transA"), turned("transB")],
        ),
    );
    check(
        "a weight that is turned and comes first",
        rows(&[6, 4])
            .weight("w", &[6, 5])
            .node(fused, "w x -> y", &[turned("transA")]),
    );
    check(
        "batches behind what is turned",
        rows(&[3, 6])
            .weight("w", &[3, 6, 5])
            .node(fused, "x w -> y", &[turned("transBatchA")]),
    );
    let conv = images(6).weight("w", &[8, 3, 3, 3]);
    check(
        "FusedConv",
        conv.node(
            "com.microsoft.FusedConv",
            "x w -> y",
            &[("group", 2.into())],
        ),
    );
    // A factor of the product is no part of the weight.
    let scaled = rows(&[6]).weight("w", &[6, 5]);
    let scaled = scaled.node(fused, "x w -> z", &[alpha]);
    let two = scaled.node("Add", "z z -> y", &[]);
    check("a factor", two);
}
