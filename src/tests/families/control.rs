//! Bodies of nodes: what they capture, carry and step through.

use crate::onnx::ElementType;
use crate::tests::builder::{Builder, Size, Value, floats, noise};
use crate::tests::cases::Case;

pub(in crate::tests) fn control() -> Vec<Case> {
    vec![
        own_weights_in_branches(),
        captured_weights(),
        branches_of_other_sizes(),
        branch_in_a_branch(),
        carried_state(),
        growing_state(),
        loop_in_a_branch(),
        stepped("Scan", 0),
        stepped("Scan along another axis", 1),
        stepped_where_sizes_are_declared(),
        branch_that_never_runs(),
        drawn_in_a_branch(),
        shadowed(),
    ]
}

fn flagged(opset: i64) -> Builder {
    Builder::new(opset)
        .input("x", &[2, 6])
        .input_of("flag", ElementType::Bool, &[])
}

/// x[2, 6] -> h[2, 8].
fn hidden() -> Builder {
    flagged(17)
        .weight("w1", &[6, 8])
        .node("MatMul", "x w1 -> h", &[])
}

/// One of two bodies, as the flag says.
fn branches(builder: Builder, made: &str, [yes, no]: [Builder; 2]) -> Builder {
    builder
        .node("If", &format!("flag -> {made}"), &[])
        .body("then_branch", yes)
        .body("else_branch", no)
}

/// Weights of one size each in both branches: each has its own hidden channels.
fn own_weights_in_branches() -> Case {
    let branch = |name: &str, width: usize| {
        let weight = |part: &str| format!("{name}.{part}");
        Builder::new(17)
            .tensor(noise(&weight("w1"), &[6, width]))
            .tensor(noise(&weight("w2"), &[width, 4]))
            .node(
                "MatMul",
                &format!("x {} -> {}", weight("w1"), weight("h")),
                &[],
            )
            .node("Relu", &format!("{} -> {}", weight("h"), weight("r")), &[])
            .node(
                "MatMul",
                &format!("{} {} -> {}", weight("r"), weight("w2"), weight("y")),
                &[],
            )
            .output(&weight("y"))
    };
    let builder = branches(flagged(17), "y", [branch("yes", 8), branch("no", 12)]).output("y");
    Case::new("If with weights of its own", builder, &[8, 12])
}

/// Both branches read weights around them, and what is made there.
fn captured_weights() -> Case {
    let branch = |name: &str, function: &str| {
        Builder::new(17)
            .node(function, &format!("h -> {name}.a"), &[])
            .node("MatMul", &format!("{name}.a w2 -> {name}.y"), &[])
            .output(&format!("{name}.y"))
    };
    let builder = branches(
        hidden().weight("w2", &[8, 5]).weight("w3", &[5, 4]),
        "i",
        [branch("yes", "Relu"), branch("no", "Tanh")],
    )
    .node("MatMul", "i w3 -> y", &[])
    .output("y");
    Case::new("If with weights around it", builder, &[5, 8])
}

/// What comes out is as wide as the branch says: nothing of it goes.
fn branches_of_other_sizes() -> Case {
    let branch = |name: &str, width: usize| {
        Builder::new(17)
            .tensor(noise(&format!("{name}.w"), &[8, width]))
            .node("MatMul", &format!("h {name}.w -> {name}.y"), &[])
            .output(&format!("{name}.y"))
    };
    let builder = branches(hidden(), "i", [branch("yes", 4), branch("no", 6)])
        .ints("last", &[1])
        .node("ReduceSum", "i last -> y", &[])
        .output("y");
    Case::new("If of two widths", builder, &[8])
}

fn branch_in_a_branch() -> Case {
    let leaf = |name: &str| {
        Builder::new(17)
            .tensor(noise(&format!("{name}.w2"), &[8, 4]))
            .node("MatMul", &format!("r {name}.w2 -> {name}.y"), &[])
            .output(&format!("{name}.y"))
    };
    let inner = Builder::new(17)
        .node("Relu", "h -> r", &[])
        .node("If", "other -> inner.y", &[])
        .body("then_branch", leaf("a"))
        .body("else_branch", leaf("b"))
        .output("inner.y");
    let outer = Builder::new(17)
        .tensor(noise("c.w2", &[8, 4]))
        .node("MatMul", "h c.w2 -> c.y", &[])
        .output("c.y");
    let builder = branches(
        hidden().input_of("other", ElementType::Bool, &[]),
        "y",
        [inner, outer],
    )
    .output("y");
    Case::new("If in an If", builder, &[8])
}

/// s = tanh(x wx + s ws), three times.
fn recurrence() -> Builder {
    let scalar: [Size; 0] = [];
    Builder::new(17)
        .input_of("number", ElementType::Int64, &scalar)
        .input_of("going", ElementType::Bool, &scalar)
        .input("s", &[2, 8])
        .node("MatMul", "x wx -> a", &[])
        .node("MatMul", "s ws -> b", &[])
        .node("Add", "a b -> c", &[])
        .node("Tanh", "c -> s.next", &[])
        .node("Identity", "going -> going.next", &[])
        .output_of("going.next", ElementType::Bool)
        .output("s.next")
}

fn rounds(builder: Builder) -> Builder {
    builder
        .weight("wx", &[6, 8])
        .weight("ws", &[8, 8])
        .weight("wo", &[8, 4])
        .tensor(noise("s0", &[2, 8]))
        .scalar("rounds", 3)
        .tensor(crate::onnx::from_raw(
            "going0",
            ElementType::Bool,
            &[],
            vec![1],
        ))
}

fn carried_state() -> Case {
    let builder = rounds(Builder::new(17).input("x", &[2, 6]))
        .node("Loop", "rounds going0 s0 -> state", &[])
        .body("body", recurrence())
        .node("MatMul", "state wo -> y", &[])
        .output("y");
    Case::new("Loop with a state", builder, &[8])
}

/// What is carried becomes longer in each round, along an axis of steps; its channels go all the same.
fn growing_state() -> Case {
    let scalar: [Size; 0] = [];
    let body = Builder::new(17)
        .input_of("number", ElementType::Int64, &scalar)
        .input_of("going", ElementType::Bool, &scalar)
        .input_of(
            "s",
            ElementType::Float,
            &[2.into(), "steps".into(), 8.into()],
        )
        .node("MatMul", "x wx -> a", &[])
        .node("Reshape", "a one_step -> a3", &[])
        .node("Concat", "s a3 -> s.next", &[("axis", 1.into())])
        .node("Identity", "going -> going.next", &[])
        .output_of("going.next", ElementType::Bool)
        .output("s.next");
    let builder = Builder::new(17)
        .input("x", &[2, 6])
        .weight("wx", &[6, 8])
        .weight("wo", &[8, 4])
        .tensor(noise("s0", &[2, 1, 8]))
        .ints("one_step", &[2, 1, 8])
        .scalar("rounds", 3)
        .tensor(crate::onnx::from_raw(
            "going0",
            ElementType::Bool,
            &[],
            vec![1],
        ))
        .node("Loop", "rounds going0 s0 -> state", &[])
        .body("body", body)
        .node("MatMul", "state wo -> y", &[])
        .output("y");
    Case::new("Loop with a state that grows", builder, &[8])
}

fn loop_in_a_branch() -> Case {
    let looped = rounds(Builder::new(17))
        .node("Loop", "rounds going0 s0 -> state", &[])
        .body("body", recurrence())
        .node("MatMul", "state wo -> yes.y", &[])
        .output("yes.y");
    let plain = Builder::new(17)
        .tensor(noise("no.w", &[6, 4]))
        .node("MatMul", "x no.w -> no.y", &[])
        .output("no.y");
    let builder = branches(flagged(17), "y", [looped, plain]).output("y");
    Case::new("Loop in an If", builder, &[8])
}

/// h = tanh(x w + h r) at each step, stacked along an axis.
fn stepped(name: &str, axis: i64) -> Case {
    let body = Builder::new(17)
        .input("h", &[2, 8])
        .input("step", &[2, 6])
        .node("MatMul", "step w -> a", &[])
        .node("MatMul", "h r -> b", &[])
        .node("Add", "a b -> c", &[])
        .node("Tanh", "c -> h.next", &[])
        .node("Identity", "h.next -> seen", &[])
        .output("h.next")
        .output("seen");
    let shape: [i64; 3] = if axis == 0 { [5, 2, 6] } else { [2, 5, 6] };
    let builder = Builder::new(17)
        .input("x", &shape)
        .weight("w", &[6, 8])
        .weight("r", &[8, 8])
        .weight("wo", &[8, 4])
        .tensor(floats("h0", &[2, 8], &[0.1; 16]))
        .node(
            "Scan",
            "h0 x -> last all",
            &[
                ("num_scan_inputs", 1.into()),
                ("scan_input_axes", [axis].into()),
                ("scan_output_axes", [axis].into()),
            ],
        )
        .body("body", body)
        .node("MatMul", "all wo -> y", &[])
        .node("MatMul", "last wo -> z", &[])
        .output("y")
        .output("z");
    Case::new(name, builder, &[8])
}

/// Bodies whose sizes are declared, behind a size that is written anew in front of them.
fn stepped_where_sizes_are_declared() -> Case {
    let shape: [Size; 2] = [2.into(), 8.into()];
    let body = Builder::new(17)
        .input("s", &[2, 8])
        .input("x.now", &[2, 6])
        .node("MatMul", "x.now wx -> a", &[])
        .node("MatMul", "s ws -> b", &[])
        .node("Add", "a b -> c", &[])
        .node("Tanh", "c -> s.next", &[])
        .declared("s.next", &shape);
    let builder = rounds(Builder::new(17).input("x", &[4, 2, 6]))
        .tensor(noise("start", &[1, 8]))
        .ints("both", &[2, 8])
        .node("Expand", "start both -> s1", &[])
        .node("Scan", "s1 x -> state", &[("num_scan_inputs", 1.into())])
        .body("body", body)
        .node("MatMul", "state wo -> y", &[])
        .output("y");
    Case::new("Scan of declared sizes", builder, &[8])
}

/// A size says which branch runs; the other one makes another rank.
fn branch_that_never_runs() -> Case {
    let squeezed = Builder::new(17)
        .ints("first", &[1])
        .node("Squeeze", "q first -> yes", &[])
        .output("yes");
    let same = Builder::new(17)
        .node("Identity", "q -> no", &[])
        .output("no");
    let builder = Builder::new(17)
        .input("x", &[2, 6])
        .weight("w1", &[6, 8])
        .weight("w2", &[8, 4])
        .ints("second", &[1])
        .scalar("at", 1)
        .node("MatMul", "x w1 -> h", &[])
        .node("Unsqueeze", "h second -> q", &[])
        .node("Shape", "q -> sizes", &[])
        .node("Gather", "sizes at -> size", &[])
        .node("Equal", "size at -> single", &[])
        .node("If", "single -> r", &[])
        .body("then_branch", squeezed)
        .body("else_branch", same)
        .node("MatMul", "r w2 -> y", &[])
        .output("y");
    Case::new("If of a known condition", builder, &[8])
}

/// Both models draw the same numbers.
fn drawn_in_a_branch() -> Case {
    let shape = Value::Ints(vec![2, 4]);
    let noisy = Builder::new(17)
        .node("Relu", "h -> yes.r", &[])
        .node("MatMul", "yes.r w2 -> yes.m", &[])
        .node("RandomNormal", " -> yes.n", &[("shape", shape)])
        .node("Add", "yes.m yes.n -> yes.y", &[])
        .output("yes.y");
    let quiet = Builder::new(17)
        .node("Tanh", "h -> no.t", &[])
        .node("MatMul", "no.t w2 -> no.y", &[])
        .output("no.y");
    let builder = branches(hidden().weight("w2", &[8, 4]), "y", [noisy, quiet]).output("y");
    Case::new("If that draws", builder, &[8])
}

/// Names in bodies that values around them have, and the node itself for what it makes: the inner ones count there.
fn shadowed() -> Case {
    let branch = |name: &str| {
        Builder::new(17)
            .tensor(noise("w2", &[8, 4]))
            .node(name, "h -> a", &[])
            .node("MatMul", "a w2 -> i", &[])
            .output("i")
    };
    let builder = branches(
        hidden().weight("w2", &[4, 4]),
        "i",
        [branch("Relu"), branch("Tanh")],
    )
    .node("MatMul", "i w2 -> a", &[])
    .output("a");
    Case::new("If with names twice", builder, &[4, 8])
}
