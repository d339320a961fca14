//! Loops: how much work they are to type, and what of one is no matter of the next.

use super::builder::{Attributes, Builder, analyse};
use crate::onnx::ElementType::{Bool, Float, Int64};

/// Values that a loop carries.
const VALUES: usize = 24;

/// Loops whose carried values have no rank are none of those around the next one, and values that push each other on are few
/// trials, however many there are and however deep they stand.
#[test]
fn loops_are_typed_in_a_bounded_number_of_trials() {
    let bad = |builder: Builder, number: usize| {
        let name = |part: &str| format!("{part}{number}");
        let body = Builder::new(17)
            .input_of(&name("i"), Int64, &[])
            .input_of(&name("on"), Bool, &[])
            .input_of(&name("s"), Float, &[])
            .node(
                "Identity",
                &format!("{} -> {}", name("on"), name("still")),
                &[],
            )
            .node("Relu", &format!("{} -> {}", name("s"), name("t")), &[])
            .output_of(&name("still"), Bool)
            .output(&name("t"));
        let wiring = format!("rounds - odd -> {}", name("end"));
        builder.node("Loop", &wiring, &[]).body("body", body)
    };
    let start = Builder::new(17)
        .input("x", &[3, 2, 6])
        .weight("w1", &[6, 8])
        .weight("w2", &[8, 4])
        .scalar("rounds", 3)
        .node("MatMul", "x w1 -> h", &[])
        .node("strange.Odd", "rounds -> odd", &[]);
    let body = Builder::new(17)
        .input_of("i", Int64, &[])
        .input_of("on", Bool, &[])
        .input("s", &[3, 2, 8])
        .node("Identity", "on -> still", &[])
        .node("Relu", "s -> t", &[])
        .output_of("still", Bool)
        .output("t");
    let builder = (0..6).fold(start, bad);
    let builder = builder
        .node("Loop", "rounds - h -> r", &[])
        .body("body", body)
        .node("MatMul", "r w2 -> y", &[])
        .output("y");
    assert_eq!(analyse(&builder.model()).dimensions().len(), 1);
    let ends: Vec<String> = (0..VALUES).map(|place| format!("end4_{place}")).collect();
    let builder = ends
        .iter()
        .fold(pushing(4), |builder, end| builder.output(end));
    assert!(analyse(&builder.model()).unsupported().is_empty());
}

/// Loops in each other that carry many values, of which each run makes one longer by the one before.
fn pushing(depth: usize) -> Builder {
    let names = |part: &str| -> Vec<String> {
        (0..VALUES)
            .map(|place| format!("{part}{depth}_{place}"))
            .collect()
    };
    let (before, inside, after) = (names("before"), names("inside"), names("after"));
    let mut body = match depth {
        1 => Builder::new(17),
        _ => pushing(depth - 1),
    };
    body =
        body.input_of(&format!("i{depth}"), Int64, &[])
            .input_of(&format!("on{depth}"), Bool, &[]);
    for name in &inside {
        body = body.input_of(name, Float, &["n".into()]);
    }
    body = body
        .node("Identity", &format!("on{depth} -> still{depth}"), &[])
        .output_of(&format!("still{depth}"), Bool);
    for place in 0..VALUES {
        let other = &inside[place.saturating_sub(1)];
        let wiring = format!("{} {other} -> {}", inside[0], after[place]);
        let operator = if place == 0 { "Concat" } else { "Identity" };
        let wiring = match place {
            0 => wiring,
            _ => format!("{other} -> {}", after[place]),
        };
        let axis: Attributes = if place == 0 {
            &[("axis", 0.into())]
        } else {
            &[]
        };
        body = body.node(operator, &wiring, axis).output(&after[place]);
    }
    let mut builder = Builder::new(17).scalar(&format!("rounds{depth}"), 3);
    for name in &before {
        builder = builder.weight(name, &[2]);
    }
    let ends = names("end").join(" ");
    let wiring = format!("rounds{depth} - {} -> {ends}", before.join(" "));
    builder.node("Loop", &wiring, &[]).body("body", body)
}
