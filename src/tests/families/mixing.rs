//! Channels that meet: what a twin has to put right.

use crate::onnx::ElementType;
use crate::tests::builder::{Value, floats};
use crate::tests::cases::{Case, dense, image, read_dense, read_image};

pub(super) const REDUCTIONS: [&str; 10] = [
    "ReduceMean",
    "ReduceSum",
    "ReduceMax",
    "ReduceMin",
    "ReduceProd",
    "ReduceL1",
    "ReduceL2",
    "ReduceSumSquare",
    "ReduceLogSum",
    "ReduceLogSumExp",
];

pub(in crate::tests) fn mixing() -> Vec<Case> {
    let mut cases = reductions();
    cases.extend(distributions());
    cases.extend(normalisations());
    cases.extend(decomposed());
    cases.extend(pointed());
    cases
}

fn reductions() -> Vec<Case> {
    let mut cases = Vec::new();
    for operator in REDUCTIONS {
        for (opset, places) in [(18, &[1][..]), (18, &[1, 2, 3]), (8, &[-3])] {
            if operator == "ReduceProd" && places.len() > 1 {
                // So many numbers below one are 0 together.
                continue;
            }
            let builder = match opset {
                18 => image(18)
                    .ints(
                        "axes",
                        &places.iter().map(|&at| at as i64).collect::<Vec<_>>(),
                    )
                    .node("Sigmoid", "h -> s", &[])
                    .node(operator, "s axes -> m", &[]),
                _ => image(opset).node("Sigmoid", "h -> s", &[]).node(
                    operator,
                    "s -> m",
                    &[("axes", [1].into())],
                ),
            };
            let builder = builder.node("Mul", "h m -> a", &[]);
            let name = format!("{operator} of channels {opset} {places:?}");
            cases.push(Case::new(&name, read_image(builder, "a"), &[8]).mixing(1));
        }
    }
    // Two dimensions joined, of which a norm is over both.
    let joined = dense(17)
        .weight("w3", &[6, 6])
        .node("MatMul", "x w3 -> k", &[])
        .node("Concat", "h k -> j", &[("axis", Value::Int(-1))])
        .node("ReduceMean", "j -> m", &[("axes", [1].into())])
        .node("Sub", "h m -> a", &[])
        .weight("w4", &[6, 4])
        .node("MatMul", "k w4 -> z", &[])
        .output("z");
    cases.push(Case::new("ReduceMean of two", read_dense(joined, "a"), &[6, 8]).mixing(2));
    cases
}

fn distributions() -> Vec<Case> {
    let mut cases = Vec::new();
    for operator in ["Softmax", "LogSoftmax", "Hardmax"] {
        let builder = image(13).node(operator, "h -> a", &[("axis", 1.into())]);
        let name = format!("{operator} over channels");
        cases.push(Case::new(&name, read_image(builder, "a"), &[8]).mixing(1));
        for opset in [8, 11] {
            let flat = image(opset).node(operator, "h -> a", &[]);
            let name = format!("{operator} over all channels {opset}");
            cases.push(Case::new(&name, read_image(flat, "a"), &[8]).mixing(1));
        }
    }
    // What is below all data in 16 bits is no infinity, which no mask makes 0.
    let cast = |element: ElementType| [("to", i64::from(element.number()).into())];
    let half = dense(17)
        .node("Cast", "h -> f", &cast(ElementType::Float16))
        .node("LogSoftmax", "f -> l", &[])
        .node("Cast", "l -> a", &cast(ElementType::Float));
    cases.push(Case::new("LogSoftmax in 16 bits", read_dense(half, "a"), &[8]).mixing(1));
    let logarithm = image(13)
        .node("Softmax", "h -> s", &[("axis", 1.into())])
        .node("Log", "s -> a", &[]);
    let name = "the logarithm of shares";
    cases.push(Case::new(name, read_image(logarithm, "a"), &[8]).mixing(1));
    for (exclusive, reverse) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
        let attributes = [
            ("exclusive", Value::Int(exclusive)),
            ("reverse", Value::Int(reverse)),
        ];
        let summed = image(13)
            .scalar("axis", 1)
            .node("CumSum", "h axis -> a", &attributes);
        let name = format!("CumSum of channels {exclusive} {reverse}");
        cases.push(Case::new(&name, read_image(summed, "a"), &[8]).mixing(1));
    }
    cases
}

fn normalisations() -> Vec<Case> {
    let positive = |name: &str| floats(name, &[8], &[0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2]);
    let mut cases = Vec::new();
    let statistics = dense(17)
        .tensor(positive("scale"))
        .weight("shift", &[8])
        .node("LayerNormalization", "h scale shift -> n mean spread", &[])
        .node("Mul", "h spread -> s", &[])
        .node("Sub", "s mean -> t", &[])
        .node("Add", "n t -> a", &[]);
    cases.push(Case::new("statistics of a layer", read_dense(statistics, "a"), &[8]).mixing(1));
    let all = image(17).weight("scale", &[8, 6, 6]).node(
        "LayerNormalization",
        "h scale -> a",
        &[("axis", 1.into())],
    );
    cases.push(Case::new("LayerNormalization of all", read_image(all, "a"), &[8]).mixing(1));
    let root = image(23).weight("scale", &[8, 1, 1]).node(
        "RMSNormalization",
        "h scale -> a",
        &[("axis", 1.into())],
    );
    cases.push(Case::new("RMSNormalization of all", read_image(root, "a"), &[8]).mixing(1));
    for axes in [&[1_i64][..], &[0, 1, 2, 3]] {
        let builder = image(17).node(
            "MeanVarianceNormalization",
            "h -> a",
            &[("axes", Value::Ints(axes.to_vec()))],
        );
        let name = format!("MeanVarianceNormalization {axes:?}");
        cases.push(Case::new(&name, read_image(builder, "a"), &[8]).mixing(1));
    }
    for power in [1, 2] {
        let builder = image(17).node(
            "LpNormalization",
            "h -> a",
            &[("axis", 1.into()), ("p", power.into())],
        );
        let name = format!("LpNormalization {power}");
        cases.push(Case::new(&name, read_image(builder, "a"), &[8]).mixing(1));
    }
    let groups = image(17)
        .ints("grouped", &[2, 2, -1])
        .ints("whole", &[2, 8, 6, 6])
        .tensor(floats("scale", &[2], &[0.7, 1.3]))
        .tensor(floats("shift", &[2], &[0.1, -0.2]))
        .node("Reshape", "h grouped -> g", &[])
        .node("InstanceNormalization", "g scale shift -> i", &[])
        .node("Reshape", "i whole -> a", &[]);
    let name = "InstanceNormalization of groups";
    cases.push(Case::new(name, read_image(groups, "a"), &[2, 4]).mixing(1));
    cases
}

/// Positions that are found along an axis, and select along the same one.
fn pointed() -> Vec<Case> {
    let mut cases = Vec::new();
    let found = |operator: &'static str| {
        dense(17)
            .weight("table", &[8, 5])
            .node(
                operator,
                "h -> i",
                &[("axis", Value::Int(-1)), ("keepdims", 0.into())],
            )
            .node("Gather", "table i -> t", &[])
            .weight("w3", &[5, 4])
            .node("MatMul", "t w3 -> z", &[])
            .output("z")
    };
    for operator in ["ArgMax", "ArgMin"] {
        let name = format!("{operator} into a table");
        cases.push(Case::new(&name, read_dense(found(operator), "h"), &[5, 8]).mixing(1));
    }
    // A gate: the best stay, the others are 0.
    for largest in [0, 1] {
        let gate = dense(17)
            .ints("k", &[3])
            .tensor(floats("zero", &[1], &[0.0]))
            .node("TopK", "h k -> v i", &[("largest", largest.into())])
            .node("Softmax", "v -> p", &[("axis", Value::Int(-1))])
            .node("Mul", "h zero -> n", &[])
            .node("Cast", "i -> j", &[("to", 6.into())])
            .node("ScatterElements", "n j p -> a", &[("axis", Value::Int(-1))]);
        let name = format!("a gate of the best {largest}");
        cases.push(Case::new(&name, read_dense(gate, "a"), &[8]).mixing(1));
    }
    let taken = dense(17)
        .weight("w3", &[6, 8])
        .ints("k", &[3])
        .node("TopK", "h k -> v i", &[])
        .node("MatMul", "x w3 -> g", &[])
        .node("GatherElements", "g i -> t", &[("axis", 1.into())])
        .weight("w4", &[3, 4])
        .node("MatMul", "t w4 -> z", &[])
        .output("z");
    let name = "the best of another value";
    cases.push(Case::new(name, read_dense(taken, "h"), &[8]).mixing(1));
    // As numbers they would mean something else.
    let read = dense(17)
        .node("ArgMax", "h -> i", &[("axis", 1.into())])
        .node("Cast", "i -> f", &[("to", 1.into())])
        .node("Mul", "h f -> a", &[]);
    cases.push(Case::new("ArgMax as a number", read_dense(read, "a"), &[]));
    let output = dense(17)
        .ints("k", &[3])
        .node("TopK", "h k -> v i", &[])
        .output_of("i", crate::onnx::ElementType::Int64);
    cases.push(Case::new("TopK as an output", read_dense(output, "h"), &[]));
    cases
}

/// Normalisations as exporters write them.
fn decomposed() -> Vec<Case> {
    let mut cases = Vec::new();
    for opset in [8, 17] {
        let builder = dense(opset)
            .node("ReduceMean", "h -> m", &[("axes", [1].into())])
            .node("Sub", "h m -> d", &[])
            .tensor(floats("two", &[1], &[2.0]))
            .tensor(floats("small", &[1], &[1e-5]))
            .node("Pow", "d two -> q", &[])
            .node("ReduceMean", "q -> v", &[("axes", [1].into())])
            .node("Add", "v small -> e", &[])
            .node("Sqrt", "e -> s", &[])
            .node("Div", "d s -> a", &[]);
        let name = format!("a decomposed layer normalisation {opset}");
        cases.push(Case::new(&name, read_dense(builder, "a"), &[8]).mixing(1));
    }
    // Global response: norms over places, divided by their mean over channels.
    let response = image(17)
        .node("ReduceL2", "h -> n", &[("axes", [2, 3].into())])
        .node("ReduceMean", "n -> m", &[("axes", [1].into())])
        .node("Div", "n m -> r", &[])
        .node("Mul", "h r -> a", &[]);
    cases.push(Case::new("a global response", read_image(response, "a"), &[8]).mixing(1));
    cases
}
