//! Pools, interpolation, reductions and recurrent layers.

use super::mixing::REDUCTIONS;
use crate::onnx::{ElementType, from_raw, packed};
use crate::tests::builder::{Builder, Value, floats};
use crate::tests::cases::{Case, image, read_image};

const FLOAT: i64 = 1;

pub(in crate::tests) fn spatial() -> Vec<Case> {
    let mut cases = Vec::new();
    let kernel = ("kernel_shape", Value::from([2, 2]));
    for operator in ["AveragePool", "MaxPool", "LpPool"] {
        let attributes = [kernel.clone(), ("strides", [2, 2].into())];
        let builder = image(13).node(operator, "h -> a", &attributes);
        cases.push(Case::new(operator, read_image(builder, "a"), &[8]));
    }
    for operator in ["GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"] {
        let builder = image(13).node(operator, "h -> a", &[]);
        cases.push(Case::new(operator, read_image(builder, "a"), &[8]));
    }
    let indices = image(13)
        .node("MaxPool", "h -> a i", std::slice::from_ref(&kernel))
        .output_of("i", ElementType::Int64);
    cases.push(Case::new(
        "MaxPool with indices",
        read_image(indices, "a"),
        &[],
    ));
    let scaled = image(13)
        .tensor(floats("roi", &[0], &[]))
        .tensor(floats("scales", &[4], &[1.0, 1.0, 2.0, 2.0]))
        .node("Resize", "h roi scales -> a", &[("mode", "nearest".into())]);
    cases.push(Case::new("Resize by scales", read_image(scaled, "a"), &[8]));
    let halves = [1.0_f32, 1.0, 2.0, 2.0];
    let bytes = packed(&halves, ElementType::Float16);
    let halves = image(13)
        .tensor(from_raw("half", ElementType::Float16, &[4], bytes))
        .node("Cast", "half -> scales", &[("to", FLOAT.into())])
        .node("Resize", "h - scales -> a", &[("mode", "nearest".into())]);
    let name = "Resize by scales of 16 bits";
    cases.push(Case::new(name, read_image(halves, "a"), &[8]));
    let sized = image(13).ints("sizes", &[2, 8, 12, 12]).node(
        "Resize",
        "h - - sizes -> a",
        &[("mode", "linear".into())],
    );
    cases.push(Case::new("Resize by sizes", read_image(sized, "a"), &[8]));
    let upsampled = image(9)
        .tensor(floats("scales", &[4], &[1.0, 1.0, 2.0, 2.0]))
        .node("Upsample", "h scales -> a", &[]);
    cases.push(Case::new("Upsample 9", read_image(upsampled, "a"), &[8]));
    let old = image(7).node(
        "Upsample",
        "h -> a",
        &[("scales", [1.0, 1.0, 2.0, 2.0].into())],
    );
    cases.push(Case::new("Upsample 7", read_image(old, "a"), &[8]));
    cases
}

pub(in crate::tests) fn reductions() -> Vec<Case> {
    let mut cases = Vec::new();
    for operator in REDUCTIONS {
        // Spatial axes go, the channels stay.
        let builder = image(18)
            .ints("axes", &[2, 3])
            .node("Sigmoid", "h -> s", &[])
            .node(operator, "s axes -> a", &[]);
        cases.push(Case::new(operator, read_image(builder, "a"), &[8]));
    }
    let channel = image(13)
        .node("ReduceMean", "h -> m", &[("axes", [1].into())])
        .node("Sub", "h m -> a", &[]);
    cases.push(Case::new("ReduceMean of channels", read_image(channel, "a"), &[8]).mixing(1));
    for operator in ["Softmax", "LogSoftmax", "Hardmax"] {
        let builder = image(13).node(operator, "h -> a", &[("axis", 3.into())]);
        cases.push(Case::new(operator, read_image(builder, "a"), &[8]));
    }
    for operator in ["ArgMax", "ArgMin"] {
        let builder = image(13)
            .node(operator, "h -> i", &[("axis", 2.into())])
            .node("Cast", "i -> a", &[("to", FLOAT.into())]);
        cases.push(Case::new(operator, read_image(builder, "a"), &[8]));
    }
    let regions = image(16)
        .tensor(floats(
            "rois",
            &[2, 4],
            &[0.0, 0.0, 3.0, 3.0, 1.0, 1.0, 4.0, 4.0],
        ))
        .ints("of", &[0, 0])
        .node(
            "RoiAlign",
            "h rois of -> a",
            &[("output_height", 2.into()), ("output_width", 2.into())],
        );
    cases.push(Case::new("RoiAlign", read_image(regions, "a"), &[8]));
    let ranked = image(13)
        .ints("k", &[3])
        .node("TopK", "h k -> a i", &[("axis", 2.into())]);
    cases.push(Case::new("TopK", read_image(ranked, "a"), &[8]));
    let summed = image(13)
        .scalar("axis", 2)
        .node("CumSum", "h axis -> a", &[]);
    cases.push(Case::new("CumSum", read_image(summed, "a"), &[8]));
    let cut = image(14).scalar("k", 0).node("Trilu", "h k -> a", &[]);
    cases.push(Case::new("Trilu", read_image(cut, "a"), &[8]));
    cases
}

pub(in crate::tests) fn recurrent() -> Vec<Case> {
    let mut cases = Vec::new();
    for (operator, gates) in [("LSTM", 4), ("GRU", 3), ("RNN", 1)] {
        for directions in [1_usize, 2] {
            let direction = if directions == 1 {
                "forward"
            } else {
                "bidirectional"
            };
            let attributes = [
                ("hidden_size", Value::from(6)),
                ("direction", direction.into()),
            ];
            let builder = Builder::new(14)
                .input("x", &[5, 2, 3])
                .weight("w", &[directions, gates * 6, 3])
                .weight("r", &[directions, gates * 6, 6])
                .weight("b", &[directions, 2 * gates * 6])
                .node(operator, "x w r b -> h last", &attributes)
                .ints("batch", &[5, 2, -1])
                .node("Transpose", "h -> t", &[("perm", [0, 2, 1, 3].into())])
                .node("Reshape", "t batch -> f", &[])
                .weight("w2", &[directions * 6, 4])
                .node("MatMul", "f w2 -> y", &[])
                .output("y");
            let name = format!("{operator} {direction}");
            cases.push(Case::new(&name, builder, &[6]));
        }
    }
    // States, peepholes and an activation that is not 0 at 0.
    let attributes = [("hidden_size", Value::from(6))];
    let states = Builder::new(14)
        .input("x", &[5, 2, 3])
        .weight("w", &[1, 24, 3])
        .weight("r", &[1, 24, 6])
        .weight("b", &[1, 48])
        .weight("h0", &[1, 2, 6])
        .weight("c0", &[1, 2, 6])
        .weight("p", &[1, 18])
        .node("LSTM", "x w r b - h0 c0 p -> h", &attributes)
        .weight("w2", &[6, 4])
        .node("MatMul", "h w2 -> y", &[])
        .output("y");
    cases.push(Case::new("LSTM with states and peepholes", states, &[6]));
    cases
}
