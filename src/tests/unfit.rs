//! Bodies that the nodes which run them cannot run: refused with what is wrong, before anything runs.

use super::builder::{Attributes, Builder, Value, analyse};
use crate::graph::Graph;
use crate::onnx::ElementType::{self, Bool, Double, Float, Int64};
use crate::onnx::{Model, from_raw};
use crate::ops::unfit_bodies;

/// All faults of a model in a line.
fn faults(model: &Model) -> String {
    match Graph::new(model) {
        Err(fault) => fault.to_string(),
        Ok(graph) => {
            let state = &analyse(model).state;
            let faults = unfit_bodies(&graph, state);
            let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
            faults.join("; ")
        }
    }
}

fn start() -> Builder {
    Builder::new(17)
        .input("x", &[3, 8])
        .input_of("flag", Bool, &[])
        .scalar("three", 3)
        .node("Relu", "x -> h", &[])
}

fn empty() -> Builder {
    Builder::new(17)
}

/// A body that makes a value of its captured `h`.
fn branch(name: &str) -> Builder {
    empty()
        .node("Tanh", &format!("h -> {name}"), &[])
        .output(name)
}

fn doubled(name: &str) -> Builder {
    let to = Value::from(i64::from(Double.number()));
    empty()
        .node("Cast", &format!("h -> {name}"), &[("to", to)])
        .output_of(name, Double)
}

fn chosen(wiring: &str, bodies: Vec<(&str, Builder)>) -> String {
    let builder = start().node("If", wiring, &[]);
    let bodies = bodies.into_iter();
    let builder = bodies.fold(builder, |builder, (name, body)| builder.body(name, body));
    faults(&builder.output("y").model())
}

#[test]
fn branches_have_to_fit() {
    let both = |yes: Builder, no: Builder| vec![("then_branch", yes), ("else_branch", no)];
    assert_eq!(chosen("flag -> y", both(branch("a"), branch("b"))), "");
    let two = || branch("a").node("Relu", "h -> c", &[]).output("c");
    let given = branch("a").input("q", &[2]);
    let late = empty()
        .node("Relu", "r -> a", &[])
        .node("Tanh", "h -> r", &[])
        .output("a");
    let twice = branch("a").node("Relu", "h -> a", &[]);
    let third = [both(branch("a"), branch("b")), vec![("third", branch("c"))]].concat();
    for (wiring, bodies, said) in [
        (
            "flag -> y",
            vec![("then_branch", branch("a"))],
            "it has no body 'else_branch'",
        ),
        ("flag -> y", third, "it runs no body 'third'"),
        (
            "flag -> y",
            both(given, branch("b")),
            "'then_branch' has 1 input(s), but is given 0",
        ),
        (
            "flag -> y",
            both(branch("a"), two()),
            "'else_branch' has 2 output(s), but the node needs 1",
        ),
        (
            "flag -> y z",
            both(two(), branch("b")),
            "'else_branch' has 1 output(s), but the node needs 2",
        ),
        (
            "flag -> y",
            both(branch("a"), doubled("b")),
            "('b') has elements of type float64, but",
        ),
        (
            "h -> y",
            both(branch("a"), branch("b")),
            "('h') has elements of type float32, not bool",
        ),
        (
            "flag -> y",
            both(late, branch("b")),
            "stands before what it reads in its body",
        ),
        (
            "flag -> y",
            both(twice, branch("b")),
            "'a' is produced twice",
        ),
    ] {
        let found = chosen(wiring, bodies);
        assert!(found.contains(said), "{said}: {found}");
    }
}

/// The body of a loop: runs, a condition and what is carried, of these types.
fn round(
    inputs: &[(&str, ElementType)],
    nodes: &[(&str, &str)],
    outputs: &[(&str, ElementType)],
) -> Builder {
    let own = |builder: Builder, (name, element): &(&str, ElementType)| {
        builder.input_of(name, *element, &[])
    };
    let builder = inputs.iter().fold(empty(), own);
    let node = |builder: Builder, (operator, wiring): &(&str, &str)| {
        let to = Value::from(i64::from(Double.number()));
        let attributes: Attributes = &[("to", to)];
        let attributes = if *operator == "Cast" { attributes } else { &[] };
        builder.node(operator, wiring, attributes)
    };
    let builder = nodes.iter().fold(builder, node);
    let given =
        |builder: Builder, (name, element): &(&str, ElementType)| builder.output_of(name, *element);
    outputs.iter().fold(builder, given)
}

#[test]
fn bodies_of_loops_have_to_fit() {
    let takes = [("i", Int64), ("c", Bool), ("s", Float)];
    let makes = [("Identity", "c -> d"), ("Tanh", "s -> t")];
    let gives = [("d", Bool), ("t", Float)];
    let looped = |wiring: &str, body: Builder| {
        let builder = start().node("Loop", wiring, &[]).body("body", body);
        faults(&builder.output("y").model())
    };
    let usual = || round(&takes, &makes, &gives);
    assert_eq!(looped("three flag h -> y", usual()), "");
    let real = [("i", Float), ("c", Bool), ("s", Float)];
    let wide = [("Identity", "c -> d"), ("Cast", "s -> t")];
    let same = [("i", Int64), ("s", Bool), ("s", Float)];
    let unnamed = [("i", Int64), ("", Bool), ("s", Float)];
    for (wiring, body, said) in [
        (
            "three -> y",
            usual(),
            "it has 1 input(s), but takes a number of runs and a condition",
        ),
        (
            "three flag -> y",
            usual(),
            "'body' has 3 input(s), but is given 2",
        ),
        (
            "three flag h -> y z",
            usual(),
            "'body' has 2 output(s), but the node needs 3",
        ),
        (
            "three flag h -> y",
            round(&takes, &makes, &gives[..1]),
            "'body' has 1 output(s), but the node needs 2",
        ),
        (
            "flag three h -> y",
            usual(),
            "input 0 ('flag') has elements of type bool, not int64",
        ),
        (
            "three flag h -> y",
            round(&real, &makes, &gives),
            "('i') has elements of type float32, not int64",
        ),
        (
            "three flag h -> y",
            round(&takes, &wide, &[("d", Bool), ("t", Double)]),
            "('t') has elements of type float64, but input 2 of its body",
        ),
        (
            "three flag h -> y",
            round(&same, &makes[1..], &[("s", Bool), ("t", Float)]),
            "'s' is produced twice",
        ),
        (
            "three flag h -> y",
            round(&unnamed, &makes[1..], &[("s", Bool), ("t", Float)]),
            "has no name",
        ),
    ] {
        let found = looped(wiring, body);
        assert!(found.contains(said), "{said}: {found}");
    }
}

#[test]
fn loops_have_to_end() {
    let body = |condition: &str| {
        let gives = [("d", Bool), ("t", Float)];
        let makes = [("Identity", condition), ("Tanh", "s -> t")];
        round(&[("i", Int64), ("c", Bool), ("s", Float)], &makes, &gives)
    };
    let looped = |wiring: &str, condition: &str| {
        let yes = from_raw("yes", Bool, &[], vec![1]);
        let builder = start().scalar("all", i64::MAX).tensor(yes);
        let builder = builder.node("Loop", wiring, &[]);
        let builder = builder.body("body", body(condition));
        faults(&builder.output("y").model())
    };
    for (wiring, condition) in [("all - h -> y", "c -> d"), ("all yes h -> y", "yes -> d")] {
        let found = looped(wiring, condition);
        assert!(
            found.contains("it runs 9223372036854775807 times"),
            "{found}"
        );
    }
    let found = looped("- yes h -> y", "c -> d");
    assert!(found.contains("no number of runs ends it"), "{found}");
    // Who knows what the flag says.
    for wiring in ["all flag h -> y", "three yes h -> y"] {
        assert_eq!(looped(wiring, "c -> d"), "");
    }
    assert_eq!(looped("all yes h -> y", "flag -> d"), "");
}

#[test]
fn bodies_that_step_have_to_fit() {
    let body = |sizes: [i64; 2]| {
        empty()
            .input("s", &[sizes[0]])
            .input("e", &[sizes[1]])
            .node("Add", "s e -> t", &[])
            .node("Tanh", "t -> u", &[])
            .output("t")
            .output("u")
    };
    let scanned = |attributes: Attributes, body: Option<Builder>| {
        let builder = start().weight("s0", &[8]);
        let builder = builder.node("Scan", "s0 h -> last y", attributes);
        let builder = match body {
            Some(body) => builder.body("body", body),
            None => builder,
        };
        faults(&builder.output("y").model())
    };
    let one = || ("num_scan_inputs", 1.into());
    assert_eq!(scanned(&[one()], Some(body([8, 8]))), "");
    for (attribute, said) in [
        (
            ("num_scan_inputs", 0.into()),
            "'num_scan_inputs' is 0, where it has 2 input(s)",
        ),
        (
            ("num_scan_inputs", (1_i64 << 40).into()),
            "'num_scan_inputs' is 1099511627776",
        ),
        (
            ("scan_input_axes", [2].into()),
            "'num_scan_inputs' is left out",
        ),
    ] {
        let found = scanned(&[attribute], Some(body([8, 8])));
        assert!(found.contains(said), "{said}: {found}");
    }
    for (attribute, said) in [
        (
            ("scan_input_axes", [2].into()),
            "'scan_input_axes' says axis 2, where there are 2",
        ),
        (
            ("scan_input_axes", [0, 0].into()),
            "'scan_input_axes' has 2 number(s), where 1 are",
        ),
        (
            ("scan_output_axes", [-3].into()),
            "'scan_output_axes' says axis -3, where there are 2",
        ),
        (
            ("scan_input_directions", [7].into()),
            "'scan_input_directions' says 7",
        ),
    ] {
        let found = scanned(&[one(), attribute], Some(body([8, 8])));
        assert!(found.contains(said), "{said}: {found}");
    }
    let found = scanned(&[one()], Some(body([8, 5])));
    assert!(
        found.contains("('e') is declared with another size at axis 0 than the 8"),
        "{found}"
    );
    let found = scanned(&[one()], None);
    assert!(found.contains("it has no body 'body'"), "{found}");
}
