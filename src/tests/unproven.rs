//! What a twin cannot show: channels that are flattened together with places whose number is not known.

use super::builder::{Builder, analyse, floats, halves, planned};
use super::rules::runtime;
use crate::onnx::{ElementType, Model};
use crate::rewrite::prune;
use crate::validate::verify;

/// Channels of places whose number is not known, `c[2, 8, height, width]`.
fn convolved(opset: i64) -> Builder {
    Builder::new(opset)
        .input_of(
            "x",
            ElementType::Float,
            &[2.into(), 3.into(), "height".into(), "width".into()],
        )
        .weight("w1", &[8, 3, 1, 1])
        .node("Conv", "x w1 -> c", &[])
}

/// Channels and places in one axis, `f[2, channels x places]`.
fn flattened() -> Builder {
    convolved(18)
        .ints("flat", &[0, -1])
        .node("Reshape", "c flat -> f", &[])
        .ints("axes", &[1])
}

/// Half of the channels, and its proof: dimensions proven and left out.
fn proof(model: &Model) -> (usize, usize) {
    let analysis = analyse(model);
    let plan = planned(&analysis, &halves());
    let pruned = prune(&analysis, &plan).expect("it is pruned");
    let proof = verify(&analysis, &plan, &pruned, &runtime()).expect("it runs");
    (proof.proven, proof.left_out)
}

const REDUCTIONS: [&str; 4] = ["ReduceMean", "ReduceSum", "ReduceMax", "ReduceLogSumExp"];

#[test]
fn channels_that_are_flattened_with_places_of_unknown_number_are_masked() {
    for operator in REDUCTIONS {
        let model = flattened().node(operator, "f axes -> y", &[]).output("y");
        assert_eq!(proof(&model.model()), (1, 0), "{operator}");
    }
    // A normalisation of groups as it is exported.
    for (first, opset) in [("c", 18), ("t", 18), ("c", 8)] {
        let model = Builder::new(opset)
            .input_of(
                "x",
                ElementType::Float,
                &[2.into(), 3.into(), "height".into(), "width".into()],
            )
            .weight("w1", &[8, 3, 1, 1])
            .node("Conv", "x w1 -> c", &[])
            .node("Transpose", "c -> t", &[("perm", [0, 2, 3, 1].into())])
            .ints(
                "flat",
                if first == "c" {
                    &[0, 4, -1]
                } else {
                    &[0, 1, -1]
                },
            )
            .node("Reshape", &format!("{first} flat -> f"), &[])
            .tensor(floats("scale", &[4], &[0.7, 1.3, 0.4, 1.1]))
            .tensor(floats("shift", &[4], &[0.1, -0.2, 0.3, 0.0]))
            .tensor(floats("scale1", &[1], &[0.7]))
            .tensor(floats("shift1", &[1], &[0.1]))
            .node(
                "InstanceNormalization",
                if first == "c" {
                    "f scale shift -> n"
                } else {
                    "f scale1 shift1 -> n"
                },
                &[],
            )
            .node("Shape", &format!("{first} -> s"), &[])
            .node("Reshape", "n s -> r", &[]);
        let model = match first {
            "c" => model.node("Identity", "r -> a", &[]),
            _ => model.node("Transpose", "r -> a", &[("perm", [0, 3, 1, 2].into())]),
        };
        let model = model
            .weight("w2", &[4, 8, 1, 1])
            .node("Conv", "a w2 -> y", &[])
            .output("y");
        assert_eq!(proof(&model.model()), (1, 0), "{first} {opset}");
    }
}

#[test]
fn what_meets_along_an_axis_that_no_mask_fits_is_left_out_of_the_proof() {
    for operator in REDUCTIONS {
        let model = flattened()
            .node("Concat", "f f -> j", &[("axis", 1.into())])
            .node(operator, "j axes -> y", &[])
            .output("y")
            .model();
        let analysis = analyse(&model);
        let [dimension] = analysis.dimensions() else {
            panic!("{operator}: {:?}", analysis.blocked());
        };
        let why = dimension.unproven.as_deref().unwrap_or_default();
        assert!(why.contains(operator), "{why}");
        assert_eq!(proof(&model), (0, 1), "{operator}");
    }
}

#[test]
fn what_is_summed_over_along_an_axis_of_unknown_size_stays() {
    let model = flattened()
        .node("Einsum", "f f -> y", &[("equation", "ij,kj->ik".into())])
        .output("y")
        .model();
    let analysis = analyse(&model);
    assert!(analysis.dimensions().is_empty());
    let held = format!("{:?}", analysis.blocked());
    assert!(held.contains("an axis of unknown size"), "{held}");
}
