//! Axes put together, taken apart and rearranged.

use crate::tests::builder::{Builder, Value};
use crate::tests::cases::{Case, dense, image, read_dense, read_image};

pub(in crate::tests) fn arrangements() -> Vec<Case> {
    let mut cases = Vec::new();
    let concat = dense(17)
        .weight("w3", &[6, 5])
        .node("MatMul", "x w3 -> g", &[])
        .node("Concat", "h g -> c", &[("axis", Value::Int(-1))])
        .weight("w2", &[13, 4])
        .node("MatMul", "c w2 -> y", &[])
        .output("y");
    cases.push(Case::new("Concat", concat, &[5, 8]));
    let rows = dense(17)
        .weight("w3", &[6, 8])
        .node("MatMul", "x w3 -> g", &[])
        .node("Concat", "h g -> c", &[("axis", 0.into())]);
    cases.push(Case::new("Concat of rows", read_dense(rows, "c"), &[8]));
    let gated = |name: &str, opset: i64, wiring: &str, attributes: &[(&'static str, Value)]| {
        let builder = Builder::new(opset)
            .input("x", &[2, 6])
            .weight("w1", &[6, 16])
            .ints("sizes", &[8, 8])
            .node("MatMul", "x w1 -> h", &[])
            .node("Split", wiring, attributes)
            .node("Sigmoid", "g -> s", &[])
            .node("Mul", "v s -> a", &[]);
        Case::new(name, read_dense(builder, "a"), &[8])
    };
    let axis = ("axis", Value::Int(-1));
    cases.push(gated(
        "Split by input",
        13,
        "h sizes -> v g",
        std::slice::from_ref(&axis),
    ));
    let by_attribute = [axis.clone(), ("split", [8, 8].into())];
    cases.push(gated("Split by attribute", 11, "h -> v g", &by_attribute));
    cases.push(gated(
        "Split in halves",
        11,
        "h -> v g",
        std::slice::from_ref(&axis),
    ));
    let by_number = [axis.clone(), ("num_outputs", 2.into())];
    cases.push(gated("Split by number", 18, "h -> v g", &by_number));
    for (name, opset, number) in [("Split uneven", 18, Some(2)), ("Split uneven 13", 13, None)] {
        // The halves have readers of their own, so they end up with different sizes.
        let mut attributes = vec![("axis", Value::Int(1))];
        attributes.extend(number.map(|n: i64| ("num_outputs", n.into())));
        let builder = Builder::new(opset)
            .input("x", &[2, 6])
            .weight("w1", &[6, 7])
            .weight("w5", &[6, 5])
            .node("MatMul", "x w1 -> h", &[])
            .node("MatMul", "x w5 -> k", &[])
            .node("Concat", "h k -> c", &[("axis", 1.into())])
            .node("Split", "c -> v g", &attributes)
            .weight("w2", &[6, 4])
            .weight("w3", &[6, 4])
            .node("MatMul", "v w2 -> p", &[])
            .node("MatMul", "g w3 -> q", &[])
            .node("Add", "p q -> y", &[])
            .output("y");
        cases.push(Case::new(name, builder, &[5, 6]));
    }
    cases.extend(slices());
    cases.extend(reshapes());
    cases
}

fn slices() -> Vec<Case> {
    let mut cases = Vec::new();
    let read = |builder: Builder| {
        builder
            .weight("w2", &[5, 4])
            .weight("w3", &[8, 4])
            .node("MatMul", "a w2 -> p", &[])
            .node("MatMul", "h w3 -> q", &[])
            .node("Add", "p q -> y", &[])
            .output("y")
    };
    let by_input = dense(13)
        .ints("starts", &[-5])
        .ints("ends", &[i64::MAX])
        .ints("axes", &[1])
        .node("Slice", "h starts ends axes -> a", &[]);
    cases.push(Case::new("Slice by input", read(by_input), &[3, 5]));
    let attributes = [
        ("starts", Value::from([1])),
        ("ends", [6].into()),
        ("axes", [1].into()),
    ];
    let by_attribute = dense(9).node("Slice", "h -> a", &attributes);
    cases.push(Case::new("Slice by attribute", read(by_attribute), &[2, 5]));
    let padded = image(13)
        .ints("pads", &[0, 1, 1, 0, 0, 2, 1, 0])
        .node("Pad", "h pads -> a", &[])
        .weight("w2", &[4, 11, 1, 1])
        .node("Conv", "a w2 -> y", &[])
        .output("y");
    cases.push(Case::new("Pad", padded, &[8]));
    let pads = [
        ("pads", Value::from([0, 0, 1, 1, 0, 0, 1, 1])),
        ("mode", "reflect".into()),
    ];
    let reflected = image(7).node("Pad", "h -> a", &pads);
    cases.push(Case::new(
        "Pad by reflection",
        read_image(reflected, "a"),
        &[8],
    ));
    cases
}

fn reshapes() -> Vec<Case> {
    let mut cases = Vec::new();
    let flat = image(13)
        .node("Flatten", "h -> a", &[])
        .weight("w2", &[288, 4])
        .node("MatMul", "a w2 -> y", &[])
        .output("y");
    cases.push(Case::new("Flatten", flat, &[8]));
    for (name, target) in [
        ("Reshape", vec![2, 288]),
        ("Reshape with -1", vec![2, -1]),
        ("Reshape with 0", vec![0, 288]),
    ] {
        let builder = image(13)
            .ints("target", &target)
            .node("Reshape", "h target -> a", &[])
            .weight("w2", &[288, 4])
            .node("MatMul", "a w2 -> y", &[])
            .output("y");
        cases.push(Case::new(name, builder, &[8]));
    }
    // 0 copies an axis that moves to another place: it has to be written out once that axis is pruned.
    let moved = Builder::new(13)
        .input("x", &[4, 6])
        .weight("w1", &[6, 6])
        .ints("target", &[2, 0, 2])
        .node("MatMul", "x w1 -> h", &[])
        .node("Reshape", "h target -> a", &[])
        .weight("w2", &[2, 6, 3])
        .node("MatMul", "a w2 -> y", &[])
        .output("y");
    cases.push(Case::new("Reshape with a moved 0", moved, &[]));
    let squeezed = image(13)
        .ints("two", &[2, 3])
        .ints("last", &[-1])
        .node("GlobalAveragePool", "h -> g", &[])
        .node("Squeeze", "g two -> s", &[])
        .node("Unsqueeze", "s last -> u", &[])
        .node("Transpose", "u -> t", &[])
        .node("Transpose", "t -> v", &[("perm", [2, 0, 1].into())])
        .node("Squeeze", "v -> w", &[])
        .weight("w2", &[8, 4])
        .node("MatMul", "w w2 -> y", &[])
        .output("y");
    // [2, 8, 1] reversed is [1, 8, 2]; permuted [2, 1, 8]; squeezed [2, 8].
    cases.push(Case::new("Squeeze, Unsqueeze, Transpose", squeezed, &[8]));
    for mode in ["DCR", "CRD"] {
        let attributes = [("blocksize", Value::from(2)), ("mode", mode.into())];
        let shuffled = image(13)
            .node("DepthToSpace", "h -> d", &attributes)
            .weight("w2", &[4, 2, 1, 1])
            .node("Conv", "d w2 -> y", &[])
            .output("y");
        cases.push(Case::new(&format!("DepthToSpace {mode}"), shuffled, &[2]));
    }
    let folded = image(13)
        .node("SpaceToDepth", "h -> d", &[("blocksize", 2.into())])
        .weight("w2", &[4, 32, 1, 1])
        .node("Conv", "d w2 -> y", &[])
        .output("y");
    cases.push(Case::new("SpaceToDepth", folded, &[8]));
    for mode in ["DCR", "CRD"] {
        let attributes = [("blocksize", Value::from(2)), ("mode", mode.into())];
        let folded = image(28)
            .node("SpaceToDepth", "h -> d", &attributes)
            .weight("w2", &[4, 32, 1, 1])
            .node("Conv", "d w2 -> y", &[])
            .output("y");
        cases.push(Case::new(&format!("SpaceToDepth {mode}"), folded, &[8]));
    }
    cases
}
