//! Attention whose number of heads the graph computes.

use super::{FLOAT, INT64, OPSETS, USUAL, attention, cast, follows, projected, real};
use crate::tests::builder::{Builder, Value};

fn cut(builder: Builder, from: &str, [start, end]: [&str; 2], to: &str) -> Builder {
    let place = |name: &str| {
        ["zero", "one", "two", "three"]
            .iter()
            .position(|n| *n == name)
    };
    let [Some(first), Some(last)] = [place(start), place(end)] else {
        panic!("no such place");
    };
    if builder.opset >= 10 {
        return builder.node("Slice", &format!("{from} {start} {end} -> {to}"), &[]);
    }
    let bounds = [first, last].map(|n| Value::from([n as i64]));
    let [first, last] = bounds;
    let attributes = [("starts", first), ("ends", last)];
    builder.node("Slice", &format!("{from} -> {to}"), &attributes)
}

fn unsqueezed(builder: Builder, from: &str, to: &str) -> Builder {
    match builder.opset {
        13.. => builder.node("Unsqueeze", &format!("{from} zero -> {to}"), &[]),
        _ => builder.node(
            "Unsqueeze",
            &format!("{from} -> {to}"),
            &[("axes", [0].into())],
        ),
    }
}

fn squeezed(builder: Builder, from: &str, to: &str) -> Builder {
    match builder.opset {
        13.. => builder.node("Squeeze", &format!("{from} zero -> {to}"), &[]),
        _ => builder.node(
            "Squeeze",
            &format!("{from} -> {to}"),
            &[("axes", [0].into())],
        ),
    }
}

fn reduced(builder: Builder, operator: &str, from: &str, to: &str) -> Builder {
    let by_input = builder.opset >= 18 || (builder.opset >= 13 && operator == "ReduceSum");
    let (axes, axis) = (("axes", Value::from([0])), format!("{from} zero -> {to}"));
    match by_input {
        true => builder.node(operator, &axis, &[]),
        false => builder.node(operator, &format!("{from} -> {to}"), &[axes]),
    }
}

fn hidden(builder: Builder) -> Builder {
    builder.node("Gather", "shape.q two -> hidden", &[])
}

#[test]
fn heads_follow_however_their_number_is_computed() {
    for opset in OPSETS {
        let start = || projected(opset);
        let batch = || start().node("Gather", "shape zero -> batch", &[]);
        let along = || [("axis", 0.into())];
        let judge = |name: &str, builder: Builder| {
            follows(&format!("{name}, {opset}"), &attention(builder, USUAL), 4);
        };
        judge(
            "times",
            batch()
                .ints("heads", &[4])
                .node("Mul", "heads batch -> rows", &[]),
        );
        judge(
            "width over sizes",
            hidden(start())
                .node("Div", "hidden heads -> width", &[])
                .ints("heads", &[4]),
        );
        judge(
            "heads over sizes",
            hidden(start())
                .ints("width", &[6])
                .node("Div", "hidden width -> heads", &[]),
        );
        judge(
            "a difference",
            batch()
                .ints("five", &[5])
                .node("Mul", "batch five -> more", &[])
                .node("Sub", "more batch -> rows", &[]),
        );
        if opset >= 10 {
            let builder = hidden(start())
                .ints("seven", &[7])
                .node("Mod", "hidden seven -> rest", &[])
                .node("Add", "rest one -> heads", &[]);
            judge("a remainder", builder);
        }
        let listed = cut(
            start().ints("list", &[7, 4, 6]),
            "list",
            ["one", "three"],
            "tail",
        );
        judge(
            "picked from a cut list",
            listed.node("Gather", "tail zero -> heads", &[]).node(
                "Gather",
                "tail one -> width",
                &[],
            ),
        );
        let single = cut(start(), "shape", ["zero", "one"], "first");
        let single = squeezed(single, "first", "alone").scalar("four", 4);
        let single = unsqueezed(
            single.node("Mul", "alone four -> product", &[]),
            "product",
            "rows",
        );
        judge("squeezed and unsqueezed", single);
        let parts = match opset {
            18 => vec![along()[0].clone(), ("num_outputs", 3.into())],
            _ => along().to_vec(),
        };
        judge(
            "a split shape",
            start()
                .node("Split", "shape.q -> batch length hidden", &parts)
                .ints("width", &[6])
                .node("Div", "hidden width -> heads", &[]),
        );
        let pair = batch()
            .ints("heads", &[4])
            .node("Concat", "batch heads -> pair", &along());
        judge(
            "a product of a list",
            reduced(pair, "ReduceProd", "pair", "rows"),
        );
        let halves = start().ints("halves", &[12, 12]);
        judge(
            "a sum of a list",
            reduced(halves, "ReduceSum", "halves", "hidden"),
        );
        let sizes = hidden(start()).ints("few", &[5]);
        let sizes = sizes
            .node("Div", "hidden heads -> part", &[])
            .ints("heads", &[4]);
        let sizes = sizes.node("Concat", "part few -> both", &along());
        judge(
            "the largest of a list",
            reduced(sizes, "ReduceMax", "both", "width"),
        );
        let total =
            start()
                .node("Gather", "shape one -> length", &[])
                .node("Size", "q -> size", &[]);
        judge(
            "a total over others",
            total
                .ints("width", &[6])
                .node("Mul", "length width -> each", &[])
                .node("Div", "size each -> rows", &[]),
        );
    }
}

#[test]
fn heads_follow_through_floating_point() {
    for opset in OPSETS {
        let judge = |name: &str, builder: Builder| {
            follows(&format!("{name}, {opset}"), &attention(builder, USUAL), 4);
        };
        let start = || cast(hidden(projected(opset)), "hidden", "wide", FLOAT);
        let over = real(start(), "six", 6.0).node("Div", "wide six -> ratio", &[]);
        let floor = over.node("Floor", "ratio -> whole", &[]);
        judge("rounded down", cast(floor, "whole", "heads", INT64));
        let quarter = real(start(), "quarter", 0.25).node("Mul", "wide quarter -> part", &[]);
        judge("a quarter", cast(quarter, "part", "width", INT64));
        let over = real(start(), "seven", 7.0).node("Div", "wide seven -> ratio", &[]);
        let ceil = over.node("Ceil", "ratio -> whole", &[]);
        judge("rounded up", cast(ceil, "whole", "heads", INT64));
        let batch = projected(opset).node("Gather", "shape zero -> batch", &[]);
        let many = real(cast(batch, "batch", "many", FLOAT), "four", 4.0);
        let many = many.node("Mul", "many four -> product", &[]);
        judge("a product", cast(many, "product", "rows", INT64));
        let root = real(projected(opset), "sixteen", 16.0).node("Sqrt", "sixteen -> root", &[]);
        judge("a root", cast(root, "root", "heads", INT64));
    }
}

#[test]
fn heads_follow_in_newer_operators() {
    let judge = |name: &str, builder: Builder, shapes: [&str; 4]| {
        follows(name, &attention(builder, shapes), 4);
    };
    let ends = projected(15)
        .node(
            "Shape",
            "x -> batch",
            &[("start", 0.into()), ("end", 1.into())],
        )
        .node("Shape", "q -> hidden", &[("start", (-1).into())])
        .ints("width", &[6])
        .node("Div", "hidden width -> heads", &[]);
    judge("parts of a shape", ends, USUAL);
    for (operator, bound) in [("Min", 64), ("Max", 1)] {
        let bounded = hidden(projected(13))
            .ints("bound", &[bound])
            .ints("heads", &[4]);
        let bounded = bounded.node("Div", "hidden heads -> part", &[]).node(
            operator,
            "part bound -> width",
            &[],
        );
        judge(operator, bounded, USUAL);
    }
    let chosen = hidden(projected(13))
        .ints("expected", &[24])
        .ints("six", &[6])
        .node("Equal", "hidden expected -> equal", &[])
        .node("Where", "equal six three -> width", &[]);
    judge("a choice", chosen, USUAL);
    for opset in OPSETS {
        let open = [
            "zero minus heads width",
            "minus length width",
            "batch heads minus width",
            "batch length minus",
        ];
        judge("0 and -1", projected(opset), open);
        let other = [
            "zero zero heads minus",
            "rows minus width",
            "minus heads length width",
            "zero length hidden",
        ];
        judge("0 and -1 elsewhere", projected(opset), other);
    }
}
