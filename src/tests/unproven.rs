//! What a twin cannot show: channels that are flattened together with places whose number is not known.

use super::builder::{Builder, analyse};
use super::rules::runtime;
use crate::criteria::{Criterion, scores};
use crate::onnx::ElementType;
use crate::plan::{Plan, RoundTo, Settings};
use crate::rewrite::prune;
use crate::search::select;
use crate::validate::verify;

/// Channels and places in one axis, `f[2, channels x places]`.
fn flattened() -> Builder {
    Builder::new(18)
        .input_of(
            "x",
            ElementType::Float,
            &[2.into(), 3.into(), "height".into(), "width".into()],
        )
        .weight("w1", &[8, 3, 1, 1])
        .node("Conv", "x w1 -> c", &[])
        .ints("flat", &[0, -1])
        .node("Reshape", "c flat -> f", &[])
        .ints("axes", &[1])
}

#[test]
fn what_meets_along_an_axis_of_unknown_size_is_left_out_of_the_proof() {
    for operator in ["ReduceMean", "ReduceSum", "ReduceMax", "ReduceLogSumExp"] {
        let model = flattened()
            .node(operator, "f axes -> y", &[])
            .output("y")
            .model();
        let analysis = analyse(&model);
        let [dimension] = analysis.dimensions() else {
            panic!("{operator}: {:?}", analysis.blocked());
        };
        let why = dimension.unproven.as_deref().unwrap_or_default();
        assert!(why.contains(operator), "{why}");
        let settings = Settings {
            round_to: RoundTo::Multiple(1),
            ..Settings::default()
        };
        let scores = scores(&analysis, Criterion::L2, 0).expect("scores");
        let selection = select(&analysis, &scores, &settings).expect("a selection");
        let plan = Plan::new(&analysis, &selection, &scores, &settings);
        let pruned = prune(&analysis, &plan).expect("it is pruned");
        let proof = verify(&analysis, &plan, &pruned, &runtime()).expect("it runs");
        assert_eq!((proof.proven, proof.left_out), (0, 1), "{operator}");
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
