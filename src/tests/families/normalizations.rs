//! Normalisations.

use crate::tests::builder::{Value, floats, noise};
use crate::tests::cases::{Case, between, dense, image, read_dense, read_image};

pub(in crate::tests) fn normalizations() -> Vec<Case> {
    let mut cases = Vec::new();
    let positive = |name: &str| floats(name, &[8], &[0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2]);
    let batch = image(17)
        .tensor(positive("scale"))
        .weight("shift", &[8])
        .weight("mean", &[8])
        .tensor(positive("variance"))
        .node(
            "BatchNormalization",
            "h scale shift mean variance -> n",
            &[],
        )
        .node("Relu", "n -> a", &[]);
    cases.push(Case::new(
        "BatchNormalization",
        read_image(batch, "a"),
        &[8],
    ));
    let instance = image(17)
        .tensor(positive("scale"))
        .weight("shift", &[8])
        .node("InstanceNormalization", "h scale shift -> a", &[]);
    cases.push(Case::new(
        "InstanceNormalization",
        read_image(instance, "a"),
        &[8],
    ));
    let layer = dense(17)
        .tensor(positive("scale"))
        .weight("shift", &[8])
        .node("LayerNormalization", "h scale shift -> a", &[]);
    cases.push(Case::new("LayerNormalization", read_dense(layer, "a"), &[8]).mixing(1));
    let rms = dense(23)
        .tensor(positive("scale"))
        .node("RMSNormalization", "h scale -> a", &[]);
    cases.push(Case::new("RMSNormalization", read_dense(rms, "a"), &[8]).mixing(1));
    let norm = between("LpNormalization", 17, &[], &[("axis", Value::Int(-1))]);
    cases.push(Case::new("LpNormalization", norm, &[8]).mixing(1));
    for (opset, parameters) in [(18, 4), (21, 8)] {
        let group = image(opset)
            .tensor(noise("scale", &[parameters]))
            .tensor(noise("shift", &[parameters]))
            .node(
                "GroupNormalization",
                "h scale shift -> a",
                &[("num_groups", 4.into())],
            );
        let name = format!("GroupNormalization {opset}");
        cases.push(Case::new(&name, read_image(group, "a"), &[2, 4]).mixing(1));
    }
    let spatial = image(17).node(
        "MeanVarianceNormalization",
        "h -> a",
        &[("axes", [2, 3].into())],
    );
    cases.push(Case::new(
        "MeanVarianceNormalization",
        read_image(spatial, "a"),
        &[8],
    ));
    let response = image(17).node("LRN", "h -> a", &[("size", 3.into())]);
    cases.push(Case::new("LRN", read_image(response, "a"), &[]));
    cases
}
