//! Recovery of what a batch normalisation follows.

use super::{check, errors, images, pairs, positive};
use crate::recover::{Method, Recovery};
use crate::tests::builder::{Builder, floats};

#[test]
fn layers_before_a_batch_normalisation_are_recovered() {
    let normalised = |b: Builder, from: &str, to: &str, n: usize| {
        b.tensor(pairs(&format!("{to}.scale"), &[n], 0))
            .tensor(pairs(&format!("{to}.bias"), &[n], 0))
            .tensor(pairs(&format!("{to}.mean"), &[n], 0))
            .tensor(positive(&format!("{to}.variance"), n))
            .node(
                "BatchNormalization",
                &format!("{from} {to}.scale {to}.bias {to}.mean {to}.variance -> {to}"),
                &[],
            )
    };
    let b = images()
        .tensor(pairs("w1", &[8, 3, 3, 3], 0))
        .node("Conv", "x w1 -> a", &[]);
    let b = normalised(b, "a", "n1", 8)
        .node("Relu", "n1 -> h", &[])
        .weight("w2", &[6, 8, 3, 3])
        .node("Conv", "h w2 -> c", &[]);
    let b = normalised(b, "c", "n2", 6)
        .node("Clip", "n2 - six -> r", &[])
        .tensor(floats("six", &[], &[6.0]))
        .weight("w3", &[4, 6, 1, 1])
        .node("Conv", "r w3 -> y", &[])
        .output("y");
    check("convolution, normalisation, clip", b, &["w1"]);
}

#[test]
fn a_normalisation_on_its_own_is_estimated_anew() {
    let builder = images()
        .weight("w1", &[8, 3, 3, 3])
        .node("Conv", "x w1 -> a", &[])
        .node("Relu", "a -> h", &[])
        .weight("w2", &[6, 8, 3, 3])
        .node("Conv", "h w2 -> c", &[])
        .node("Relu", "c -> r", &[])
        .tensor(pairs("scale", &[6], 0))
        .tensor(pairs("bias", &[6], 0))
        .tensor(pairs("mean", &[6], 0))
        .tensor(positive("variance", 6))
        .node("BatchNormalization", "r scale bias mean variance -> n", &[])
        .node("Tanh", "n -> t", &[])
        .weight("w3", &[4, 6, 1, 1])
        .node("Conv", "t w3 -> y", &[])
        .output("y");
    let (sliced, repaired, recovered) = errors(&builder.model(), &["w1"], Recovery::Solve);
    let of = recovered.layers.iter().find(|layer| layer.layer == "scale");
    let of = of.expect("the normalisation is a layer");
    assert!(of.after < of.before && of.method != Method::None, "{of:?}");
    assert!(repaired < sliced, "{repaired} {sliced}");
}
